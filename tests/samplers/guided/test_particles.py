"""Guided samplers that weigh particles: TDS and MCGDiff."""

import pytest

from posterior.errors import InvalidValueError, TrustWarning
from posterior.problem import Posterior
from samplers.guided import TDS, MCGDiff
from samplers.guided.base import Guided
from tests.problems import check_copies, check_moments, copies, mixture_problem
from tests.samplers.case import Case
from tests.samplers.guided.problems import white_problem

SHARED_CASES = {
    "MCGDiff": Case(MCGDiff(steps=8, population=16), calls=(8 * 4, 0)),
    "TDS": Case(TDS(steps=8, population=16), calls=(8 * 4, 8 * 4)),
}


@pytest.mark.parametrize("sampler", [TDS(population=500, steps=200), MCGDiff(population=500, steps=200)])
def test_many_particles_find_the_modes(sampler: Guided) -> None:
    three = mixture_problem(3)
    exact = three.prior.posterior(three.likelihood, three.y)
    problem = Posterior(three.prior, three.likelihood, three.y.repeat_interleave(25, 0))
    shares = three.prior.responsibilities(sampler.sample(problem, 500, progress=False).x).mean(0)
    for b, of_one in enumerate(shares.split(25)):
        check_copies(of_one, exact.weights[b], within=0.06 if isinstance(sampler, TDS) else 0.16, bias=0.01)


@pytest.mark.parametrize("sampler", [TDS(population=500, steps=200), MCGDiff(population=500, steps=200)])
def test_a_gaussian_posterior(sampler: Guided) -> None:
    # Steps of first order: variances come out low by 10/steps or so
    problem = copies(white_problem(), 25)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    samples = sampler.sample(problem, 500, progress=False)
    check_moments(samples.x, exact.mean()[0], exact.covariance()[0], within=0.15, bias=0.025)


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


@pytest.mark.parametrize("sampler", [TDS, MCGDiff])
def test_settings_are_checked(sampler: type[TDS] | type[MCGDiff]) -> None:
    for wrong in ({"population": 1}, {"resample_below": -0.1}, {"resample_below": 1.1}):
        with pytest.raises(InvalidValueError, match=f"{sampler.__name__} needs"):
            sampler(**wrong).sample(mixture_problem(), 2, progress=False)
    for share in (0.0, 1.0):
        sampler(steps=2, population=2, resample_below=share).sample(mixture_problem(), 2, progress=False)
