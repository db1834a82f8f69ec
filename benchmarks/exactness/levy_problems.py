"""Lévy processes seen through four operators, as the benchmark of Zach et al. 2025 (arXiv:2509.12821) has them."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from benchmarks.exactness.levy_increments import LAWS, Gaussian
from benchmarks.exactness.levy_prior import LevyPrior
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Blur, Fourier, Inpainting, LinearOperator
from posterior.priors import GaussianMixturePrior, ScorePrior
from posterior.problem import Posterior

LENGTH = 64
SHAPE = (1, LENGTH)
OPERATORS = ("identity", "blur", "missing points", "Fourier")
_DECIBELS, _SEEN, _LOW = 25, 0.4, 5  # signal-to-noise ratio; share of points or coefficients; low frequencies


def make_operator(name: str) -> LinearOperator:
    """One of `OPERATORS`; masks are drawn with seed 0."""
    random = Noise.of(0, ["levy operator"], dtype=torch.float64).use(name).uniform(SHAPE)[0, 0]
    if name == "blur":
        offsets = torch.arange(-6.0, 7.0, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (offsets / 2).square())
        return Blur(SHAPE, (kernel / kernel.sum())[None])
    if name == "Fourier":  # with zero frequency at LENGTH // 2; the other half are conjugates
        mask = random < _SEEN
        mask[:, : LENGTH // 2] = False
        mask[:, LENGTH // 2 : LENGTH // 2 + _LOW] = True
        return Fourier(SHAPE, mask)
    return Inpainting(random < (_SEEN if name == "missing points" else 2), SHAPE)


@cache
def make_problem(law: str, operator: str, count: int) -> tuple[Posterior, Tensor]:
    """A batch of measurements, problems 0 … count − 1, and the signals (count, 1, 64) behind them."""
    process = LevyPrior(LAWS[law], LENGTH)
    forward = make_operator(operator)
    pool = Noise.of(0, ["levy signal-to-noise"], dtype=torch.float64).use(law)
    clean = forward(process.exact_sample(1000, pool)[:, 0]).flatten(1)
    real_numbers = forward.num_measured * (2 if clean.is_complex() else 1)
    power = float((clean.abs().square().sum(1) / real_numbers).median())
    likelihood = GaussianLikelihood(forward, (power / 10 ** (_DECIBELS / 10)) ** 0.5)
    noise = Noise.of(0, [f"levy {law} {k}" for k in range(count)], dtype=torch.float64)
    truth = process.exact_sample(1, noise.use("truth"))[0]
    return Posterior(process, likelihood, likelihood.simulate(truth, noise.use("measurement"))), truth


def for_samplers(problem: Posterior) -> Posterior:
    """The same problem, with the closed form of the denoiser where the process is Gaussian."""
    process = problem.prior
    assert isinstance(process, LevyPrior)
    if not isinstance(process.law, Gaussian):
        return problem
    times = torch.arange(1.0, LENGTH + 1, dtype=torch.float64)
    covariance = process.unit.square() * torch.minimum(times[:, None], times)
    prior: ScorePrior = GaussianMixturePrior(torch.zeros(1, *SHAPE, dtype=torch.float64), covariance=covariance)
    return Posterior(prior, problem.likelihood, problem.y)
