"""Exact posteriors of random fields: in closed form, by conjugate gradients, and by Gibbs sampling."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator as LinearMap
from scipy.sparse.linalg import cg
from torch import Tensor

from posterior.noise import Noise
from posterior.operators import Blur, Fourier, Identity, LinearOperator
from posterior.problem import Posterior

_TOLERANCE, _ITERATIONS = 1e-5, 2000


class Truth(NamedTuple):
    """A posterior.

    Attributes:
        mean: Image.
        variance: Of each pixel.
        error: Root mean square error of `mean` in posterior standard deviations; 0 where it is exact.
    """

    mean: Tensor
    variance: Tensor
    error: float = 0.0


def posterior_of(problem: Posterior, draws: int) -> Truth:
    """The posterior of one measurement of a field; `draws` exact samples or Gibbs chains where there is no closed form.

    Raises:
        ValueError: The halves of the Gibbs chains disagree.
    """
    if isinstance(problem.operator, Identity | Blur | Fourier):
        return _by_coefficients(problem)
    return _by_gibbs(problem, draws) if problem.prior.spiky else _by_gradients(problem, draws)


def eigenvalues(operator: LinearOperator) -> Tensor:
    """Those of AᵀA by coefficient of Hartley (H, W), where it is a convolution with a symmetric kernel."""
    impulse = torch.zeros(operator.event_shape, dtype=torch.float64)
    impulse[..., 0, 0] = 1
    return torch.fft.fft2(copy.deepcopy(operator).double().gram(impulse))[0].real.clamp_min(0)


def _by_coefficients(problem: Posterior) -> Truth:
    """In the Hartley basis, where prior and AᵀA are both diagonal; pixels are taken to be equally uncertain."""
    prior, noise = problem.prior, float(problem.likelihood.noise_std) ** 2
    weights, variances = prior.parts
    seen = eigenvalues(problem.operator)
    data = prior.transform(problem.operator.adjoint(problem.y)[0]).double()
    total = torch.stack([1 / (1 / v + seen / noise) for v in variances])
    # N(y; 0, σ² + λv) but for what does not depend on the part
    log_weights = weights.log()[:, None, None] + 0.5 * (total / variances).log() + 0.5 * total * (data / noise) ** 2
    share = log_weights.softmax(0)
    each = total * data / noise
    mean = (share * each).sum(0)
    variance = (share * (total + each.square())).sum(0) - mean.square()
    return Truth(prior.transform(mean.float()), torch.full_like(mean, float(variance.mean())))


def _solve(problem: Posterior, variances: Tensor, residual: Tensor) -> Tensor:
    """(C⁻¹ + AᵀA/σ²)⁻¹ Aᵀr/σ², with variances of the coefficients (..., H, W), as images.

    In the Hartley basis, where the diagonal of C⁻¹ + AᵀA/σ² is a good preconditioner.
    """
    transform, operator = problem.prior.transform, problem.operator
    noise = float(problem.likelihood.noise_std) ** 2
    right = transform(operator.adjoint(residual)) / noise
    diagonal = (1 / variances).expand(right.shape)

    def product(vector: np.ndarray) -> np.ndarray:
        c = torch.from_numpy(vector).reshape(right.shape).to(right)
        return (diagonal * c + transform(operator.gram(transform(c))) / noise).double().numpy().ravel()

    probe = Noise.of(0, dtype=right.dtype).use("probe").normal(problem.event_shape)
    seen = float((probe * operator.gram(probe)).sum() / probe.square().sum())
    inverse = (1 / (diagonal + seen / noise)).double().numpy().ravel()
    sides = (right.numel(), right.numel())
    matrix = LinearMap(sides, product, dtype=np.float64)
    preconditioner = LinearMap(sides, lambda vector: inverse * vector.ravel(), dtype=np.float64)
    solution, failed = cg(
        matrix, right.double().numpy().ravel(), rtol=_TOLERANCE, maxiter=_ITERATIONS, M=preconditioner
    )
    if failed:
        raise ValueError(f"conjugate gradients did not converge in {_ITERATIONS} steps")
    return transform(torch.from_numpy(solution).reshape(right.shape).to(right))


def _perturbed(problem: Posterior, std: Tensor, noise: Noise) -> Tensor:
    """Draws given the coefficients' standard deviations (S, 1, ...), by solving for what a simulation misses of y."""
    image = problem.prior.transform(std * noise.use("coefficients").normal(problem.event_shape))
    simulated = problem.likelihood.simulate(image, noise.use("measurement"))
    return image + _solve(problem, std.square(), problem.y - simulated)


def _by_gradients(problem: Posterior, draws: int) -> Truth:
    mean = _solve(problem, problem.prior.power, problem.y)[0]
    std = problem.prior.power.sqrt()
    sources = (Noise.of(1, [f"exact {first}"], 16, dtype=problem.dtype) for first in range(0, draws, 16))
    parts = [_perturbed(problem, std, source) for source in sources]
    return Truth(mean, (torch.cat(parts)[:, 0] - mean).square().mean(0))


def _by_gibbs(problem: Posterior, chains: int, rounds: int = 200, burn_in: int = 20) -> Truth:
    """Parts given coefficients, coefficients given parts, in turn."""
    prior, source = problem.prior, Noise.of(2, ["gibbs"], chains, dtype=problem.dtype)
    _, variances = prior.parts
    x = prior.exact_sample(chains, source.use("start"))
    draws = []
    for k in range(rounds):
        noise = source.at(k)
        share = prior.responsibilities(prior.transform(x).square(), x.new_zeros(()))[0]
        slab = noise.use("part").uniform(prior.event_shape) < share
        variance = torch.where(slab, variances[0], variances[1])
        x = _perturbed(problem, variance.sqrt(), noise)
        if k >= burn_in:
            draws.append(x[:, 0])
    every = torch.stack(draws)
    mean = every.mean((0, 1))
    variance = (every - mean).square().mean((0, 1))
    halves = every.unflatten(0, (2, -1)).mean((1, 2))
    of_chains = every.mean(0)
    error = float((of_chains.var(0) / chains / variance).mean().sqrt())
    disagreement = float(((halves[0] - halves[1]) ** 2 / variance).mean().sqrt())
    if disagreement > 0.05:
        raise ValueError(f"the halves of the Gibbs chains differ by {disagreement:.3f} of a standard deviation")
    return Truth(mean, variance, error)
