"""Every registered sampler and solver in small, with a problem that it takes: what the shared suites run on.

A new method takes one row of `CASES`. Rows whose names have a part after the comma are variants of the same method.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch

from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.operators import Identity, Matrix
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers import (
    AnnealedLangevin,
    AuxiliaryGibbs,
    AuxiliaryMH,
    KineticLangevin,
    ReplicaExchange,
    TemperedSMC,
    guided,
)
from samplers.base import Sampler
from samplers.baselines import BM3D
from samplers.flows import PLMCMC, AmbientVI, ComposedFlow, FlowHMC
from samplers.latent import HMC, LatentLangevin
from samplers.map import CSGM, ILO, PULSE, Lasso, TotalVariation
from samplers.solver import Solver
from tests.problems import DOUBLE, mixture, mixture_problem
from tests.samplers.flows.flows import bent_flow_batch
from tests.samplers.latent.generators import bent_batch
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


def noisy_images(batch: int = 1) -> Posterior:
    """Images of one channel in noise."""
    shape = (1, 32, 32)
    y = torch.linspace(-1, 1, 3 * 1024).reshape(3, *shape)
    return Posterior(GaussianMixturePrior(torch.zeros(1, *shape)), GaussianLikelihood(Identity(shape), 0.2), y[:batch])


def generated(batch: int = 1) -> Posterior:
    """Images of a small generator, seen at half the resolution."""
    return small_problem(count=3, std=0.1).select(range(batch))


CASES: dict[str, Case] = {
    "TemperedSMC": Case(TemperedSMC(accuracy="fast", population=24)),
    "TemperedSMC, refused moves": Case(TemperedSMC(accuracy="fast", population=16), counts_problem),
    "TemperedSMC, latents": Case(TemperedSMC(accuracy="fast", population=16), bent_batch),
    "AuxiliaryGibbs": Case(AuxiliaryGibbs(chains=2, burn_in=3, thinning=1, steps=4, prior_steps=5)),
    "AuxiliaryMH": Case(AuxiliaryMH(chains=4, burn_in=3, thinning=1, steps=4, prior_steps=5), counts_problem),
    "KineticLangevin": Case(KineticLangevin("fast"), calls=(56, 0)),
    "ReplicaExchange": Case(ReplicaExchange(chains=2, replicas=3, burn_in=8, thinning=1, steps=4, prior_steps=5)),
    "AnnealedLangevin": Case(AnnealedLangevin(levels=10, sigma_last=0.1), calls=(31, 0)),
    "AnnealedLangevin, code": Case(AnnealedLangevin(levels=10, sigma_last=0.1, form="code", step_size=0.2)),
    "AnnealedLangevin.jalal2021": Case(replace(AnnealedLangevin.jalal2021("code"), levels=10)),
    "DAPS": Case(guided.DAPS(steps=5, ode_steps=2, langevin_steps=3), calls=(10, 0)),
    "DDNM": Case(guided.DDNM(steps=8), calls=(8, 0)),
    "DDRM": Case(guided.DDRM(steps=8), calls=(8, 0)),
    "DPS": Case(guided.DPS(steps=8, step_size=0.1), calls=(8, 8)),
    "DiffPIR": Case(guided.DiffPIR(steps=8), calls=(8, 0)),
    "MCGDiff": Case(guided.MCGDiff(steps=8, population=16), calls=(8 * 4, 0)),
    "MMPS": Case(guided.MMPS(steps=8), calls=(8, 8)),  # one number is measured: one iteration solves
    "PiGDM": Case(guided.PiGDM(steps=8), calls=(8, 8)),
    "PnPDM": Case(guided.PnPDM(steps=4, burn_out=2), calls=(6 * 6, 0)),
    "PnPLangevin": Case(guided.PnPLangevin(steps=4, langevin_steps=4), calls=(8, 0)),
    "PredictorCorrector": Case(guided.PredictorCorrector(steps=8), calls=(15, 0)),
    "REDDiff": Case(guided.REDDiff(steps=8), calls=(8, 0)),
    "TDS": Case(guided.TDS(steps=8, population=16), calls=(8 * 4, 8 * 4)),
    "TMPD": Case(guided.TMPD(steps=8), calls=(8, 2 * 8)),
    "HMC": Case(HMC(chains=2, burn_in=10, thinning=1, leapfrogs=2), bent_batch),
    "LatentLangevin": Case(LatentLangevin(levels=5, steps=2), bent_batch),
    "ComposedFlow": Case(ComposedFlow(steps=6, batch=3, candidates=50), bent_flow_batch),
    "ComposedFlow, importance": Case(
        ComposedFlow(steps=6, batch=3, correction="importance", candidates=50), bent_flow_batch
    ),
    "ComposedFlow, metropolis": Case(
        ComposedFlow(steps=6, batch=3, correction="metropolis", candidates=50), bent_flow_batch
    ),
    "AmbientVI": Case(AmbientVI(steps=6, batch=3, candidates=50), bent_flow_batch),
    "FlowHMC": Case(
        FlowHMC(transport=ComposedFlow(steps=4, batch=3), chains=2, burn_in=8, thinning=1, leapfrogs=2),
        bent_flow_batch,
    ),
    "PLMCMC": Case(PLMCMC(chains=2, burn_in=8, thinning=2), bent_flow_batch),
    "CSGM": Case(CSGM(restarts=2, steps=5), generated),
    "PULSE": Case(PULSE(restarts=2, steps=5), generated),
    "ILO": Case(ILO(restarts=2, steps=(5, 5, 5)), generated),
    "Lasso": Case(Lasso(steps=20), generated, calls=(0, 0), seeded=False),
    "TotalVariation": Case(TotalVariation(steps=20), generated, calls=(0, 0), seeded=False),
    "BM3D": Case(BM3D(), noisy_images, calls=(0, 0), seeded=False, package="bm3d"),
}


def each(wanted: Callable[[Case], bool] = lambda case: True) -> pytest.MarkDecorator:
    """A test of every case that is wanted, as its argument `case`."""
    return pytest.mark.parametrize(
        "case",
        [pytest.param(case, id=name, marks=_marks(case)) for name, case in CASES.items() if wanted(case)],
    )


def _marks(case: Case) -> tuple[pytest.MarkDecorator, ...]:
    if case.package is None or importlib.util.find_spec(case.package):
        return ()
    return (pytest.mark.skip(reason=f"{case.package} is not installed"),)
