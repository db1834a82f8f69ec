import math

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.priors import ScorePrior
from samplers.guided import PnPDM
from tests.problems import DOUBLE, check_moments, copies, gaussian_problem
from tests.samplers.case import Case
from tests.samplers.guided.problems import spectral, white_problem

SHARED_CASES = {
    "PnPDM": Case(PnPDM(steps=4, burn_out=2), calls=(6 * 6, 0)),
}


def test_it_is_exact_for_a_noisier_measurement() -> None:
    # The moves at ρ leave the posterior for noise of variance σ_y² + ρ²AAᵀ, a mask's σ_y² + ρ², as it is. The
    # integrator loses or adds 0.002 ρ² = 0.0003 of variances of 0.06 and more: half a per cent.
    problem, rho = gaussian_problem(4), 0.4
    wider = GaussianLikelihood(problem.operator, math.sqrt(0.3**2 + rho**2))
    exact = problem.prior.posterior(wider, problem.y)
    samples = PnPDM(steps=10, rho_last=rho, burn_out=60).sample(copies(problem, 25), 600, progress=False)
    check_moments(samples.x, exact.mean()[0], exact.covariance()[0], within=0.08, bias=0.0025)


def test_one_step() -> None:
    problem, _, _, x, _ = spectral()
    noise, rho, matrix = Noise.of(3, 1, 5, dtype=DOUBLE), 0.7, problem.operator.matrix
    covariance = torch.linalg.inv(matrix.T @ matrix / 0.3**2 + torch.eye(4, dtype=DOUBLE) / rho**2)
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors @ values.sqrt().diag() @ vectors.T
    z = (problem.y @ matrix / 0.3**2 + x / rho**2) @ covariance + noise.use("likelihood").normal((4,)) @ root
    expected = problem.prior.sample_denoised(z, rho, noise.use("prior"), steps=5)
    assert torch.allclose(PnPDM(denoise_steps=5).move(problem, x, rho, 0.1, noise), expected)


def test_levels() -> None:
    prior = white_problem().prior
    sampler = PnPDM(steps=3, burn_out=2, rho_first=4.0, rho_last=1.0)
    assert sampler.levels(prior, 0.01) == pytest.approx((4.0, 2.0, 1.0, 1.0, 1.0))
    coarse = ScorePrior.from_denoiser(lambda x, sigma: x, (4,), sigma_max=9.0, sigma_min=0.3)
    assert PnPDM(steps=2, burn_out=1).levels(coarse, 0.01) == pytest.approx((9.0, 0.3, 0.3))
    assert min(PnPDM(steps=40).levels(coarse, 0.01)) >= 0.3  # to the last bit, or the prior would refuse it
    assert PnPDM(steps=3, burn_out=0, rho_first=0.2).levels(coarse, 0.01) == (0.3,) * 3
    assert PnPDM(steps=2, burn_out=0).levels(prior, 0.1) == pytest.approx((prior.sigma_max, 0.03))
    assert PnPDM(steps=2, burn_out=0, rho_first=0.2).levels(prior, 9.0) == (0.2,) * 2  # noise that hides the image


def test_settings_are_checked() -> None:
    problem = white_problem()
    for wrong in ({"rho_first": 0.1, "rho_last": 0.1}, {"rho_last": 0.0}, {"burn_out": -1}, {"denoise_steps": 2}):
        with pytest.raises(InvalidValueError, match="PnPDM needs"):
            PnPDM(**wrong)
    PnPDM(steps=2, burn_out=0, denoise_steps=3).sample(problem, 2, progress=False)
