"""A method in small, with a problem that it takes, for the shared suites."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from posterior.likelihoods import PoissonLikelihood
from posterior.operators import Matrix
from posterior.problem import Posterior
from samplers.base import Sampler
from samplers.solver import Solver
from tests.problems import DOUBLE, mixture, mixture_problem
from tests.samplers.map.generators import small_problem


class Case(NamedTuple):
    """A method with settings that make it quick.

    Attributes:
        method: The sampler or solver.
        problem: Makes a problem of B ≤ 3 measurements. It has no products of matrices in a network, which round as
            their number of rows says.
        calls: Network evaluations forward and backward that four samples of one measurement take, a sample; None where
            they depend on the course of the run.
        seeded: Whether anything is random.
        package: What must be installed, besides the library.
    """

    method: Sampler | Solver
    problem: Callable[[int], Posterior] = mixture_problem
    calls: tuple[float, float] | None = None
    seeded: bool = True
    package: str | None = None


def counts_problem(batch: int = 1) -> Posterior:
    """Counts, whose moves may be refused."""
    rotated = Matrix(torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=DOUBLE))
    y = torch.tensor([[2.0, 1.0], [0.0, 4.0], [5.0, 5.0]], dtype=DOUBLE)
    return Posterior(mixture(), PoissonLikelihood(rotated, 2.0, 0.5), y[:batch])


def generated(batch: int = 1) -> Posterior:
    """Images of a small generator, seen at half the resolution."""
    return small_problem(count=3, std=0.1).select(range(batch))
