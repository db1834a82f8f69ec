"""Posteriors of MRI against the exact ones of a Gaussian field."""

import math

import pytest
import torch

from posterior import GaussianLikelihood, Posterior
from posterior.mri import poisson_mask, radial_trajectory, random_maps, random_mask
from posterior.noise import Noise
from posterior.operators import LinearOperator, MultiCoilMRI, NonCartesianMRI
from posterior.priors import GaussianMixturePrior
from samplers import KineticLangevin

SIDE, DRAWS = 8, 120
PLACES = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).float()
HEAD = ((PLACES - 3.5).norm(dim=1) < 3.8).reshape(SIDE, SIDE)
MAPS = random_maps(3, SIDE, SIDE, seed=1) * HEAD


@pytest.mark.parametrize(
    "operator",
    [
        NonCartesianMRI(MAPS, radial_trajectory(SIDE, SIDE, 6, SIDE)),
        MultiCoilMRI(MAPS, random_mask((SIDE, SIDE), 2.5, calibration=2, seed=1)),
        MultiCoilMRI(MAPS, poisson_mask((SIDE, SIDE), 3, calibration=2, seed=1)),
    ],
    ids=["radial", "columns", "points"],
)
def test_kinetic_langevin_draws_from_the_posterior(operator: LinearOperator) -> None:
    field = 0.25 * torch.exp(-torch.cdist(PLACES, PLACES) / 4)
    covariance = torch.block_diag(field, field) + 1e-3 * torch.eye(2 * SIDE**2)
    prior = GaussianMixturePrior(torch.zeros(1, *operator.event_shape), covariance=covariance)
    likelihood = GaussianLikelihood(operator, 0.1 * float(operator.norm()))
    y = likelihood.simulate(prior.exact_sample(1, Noise.of(1))[0], Noise.of(0))
    samples = KineticLangevin().sample(Posterior(prior, likelihood, y), DRAWS, progress=False)
    exact = prior.posterior(likelihood, y)
    errors = (samples.mean() - exact.mean()) / exact.std()
    # The mean of N exact draws is off by 1/√N on average; pixels go together, so that it varies by a tenth. Total
    # variance, over some thirty independent directions, by √(2/30N) = 2.4 %. The method's own errors are 5 and 1 %.
    assert float(errors.square().mean().sqrt()) < 1.35 / math.sqrt(DRAWS)
    ratio = samples.std().square().sum() / exact.std().square().sum()
    assert float(ratio) == pytest.approx(1, abs=0.08)
