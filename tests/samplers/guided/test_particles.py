"""Guided samplers that weigh particles: TDS and MCGDiff."""

import pytest

from posterior.diagnostics import mode_weight_error
from posterior.errors import TrustWarning
from samplers.guided import TDS, MCGDiff
from samplers.guided.base import Guided
from tests.problems import mixture_problem


@pytest.mark.parametrize("sampler", [TDS(population=4000, steps=200), MCGDiff(population=4000, steps=200)])
def test_many_particles_find_the_modes(sampler: Guided) -> None:
    # A share comes from a hundred families or so: 0.05 off at one standard deviation; what differs is half of three
    problem = mixture_problem(3)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    samples = sampler.sample(problem, 4000, progress=False)
    for b in range(3):
        found = problem.prior.responsibilities(samples.x[:, b]).mean(0)
        assert mode_weight_error(found, exact.weights[b]) < 0.06


def test_the_evidence_of_tds() -> None:
    # Noise of 3 leaves weights of relative variance below 1: log p(y) is right to √(1/4000) = 0.016; three of that
    problem = mixture_problem(3, noise_std=3.0)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    samples = TDS(population=4000).sample(problem, 4000, progress=False)
    assert ((samples.info["log_evidence"] - exact.log_evidence).abs() < 0.05).all()


def test_few_ancestors_are_told() -> None:
    with pytest.warns(TrustWarning, match="few of the first"):
        samples = TDS(population=12).sample(mixture_problem(), 12, progress=False)
    assert bool(samples.info["warned"]) and samples.warnings  # type: ignore[arg-type]
