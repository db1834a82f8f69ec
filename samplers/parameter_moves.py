"""Moves of what is not known of a measurement, given its image: a sweep over parameters of the likelihood."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood, InverseGamma, ParameterPrior
from posterior.noise import Noise
from posterior.problem import LatentPosterior, Posterior
from samplers.auxiliary_kernel import largest_rho
from samplers.curvature import Curvature, is_linear_gaussian

ACCEPTANCE = 0.44  # the best rate of random walks in one dimension
_TRIES = 5  # Metropolis steps a sweep, at no network call

Priors = Mapping[str, ParameterPrior]


def at_parameters(problem: Posterior, priors: Priors, theta: Tensor) -> Posterior:
    """The problem of B measurements at the parameters (B, P) of each."""
    return problem.with_parameters(**dict(zip(priors, theta.unbind(-1), strict=True)))


def reachable(problem: Posterior) -> Tensor:
    """Whether 0.95 σ_y/‖A‖ is no less than the smallest noise level of the prior, where noise is Gaussian: (B,)."""
    one = torch.ones(len(problem), dtype=problem.dtype, device=problem.device)
    if isinstance(problem, LatentPosterior) or not is_linear_gaussian(problem):
        return one > 0
    return largest_rho(problem, Curvature(problem, one), one) >= problem.prior.sigma_min


def moved_parameters(
    problem: Posterior, priors: Priors, images: Tensor, theta: Tensor, walk: Tensor, beta: Tensor, noise: Noise
) -> tuple[Tensor, Tensor]:
    r"""One sweep that leaves \(p(\theta)\,p(y \mid x, \theta)^\beta\) invariant, each parameter in turn.

    Args:
        problem: The measurements; their own parameters are replaced.
        priors: Of each parameter, by its name.
        images: x, (1, B, *event of the likelihood).
        theta: Parameters (B, P).
        walk: Standard deviations of the steps of log θ, (B, P).
        beta: Inverse temperatures β, (B,); where it is 0 parameters are drawn anew.
        noise: Of one draw of each measurement.

    Returns:
        Parameters, and with what probability steps of each were accepted, (B, P) each.
    """
    accepted = torch.full_like(theta, ACCEPTANCE)
    for i, (name, prior) in enumerate(priors.items()):
        source = noise.use(name)
        if isinstance(prior, InverseGamma) and type(problem.likelihood) is GaussianLikelihood and name == "noise_std":
            likelihood = at_parameters(problem, priors, theta).likelihood
            count, squares = likelihood.num_values(problem.y), likelihood.squared_residual(images, problem.y)
            drawn = prior.sample_given(beta * count, beta * squares, source)[0].to(theta)
            theta = _within(problem, priors, _replaced(theta, i, drawn), theta)
            continue
        rates = []
        for k in range(_TRIES):
            step = walk[:, i] * source.use("step", k).normal()[0].to(theta)
            ahead = _replaced(theta, i, theta[:, i] * step.exp())
            here, there = (at_parameters(problem, priors, one) for one in (theta, ahead))
            gain = (
                beta * (there.likelihood.log_prob(images, problem.y) - here.likelihood.log_prob(images, problem.y))[0]
            )
            # The walk is one of log θ, whose density has the Jacobian θ.
            gain = gain + prior.log_prob(ahead[:, i]) - prior.log_prob(theta[:, i]) + step
            rates.append(gain.nan_to_num(nan=-torch.inf).masked_fill(~reachable(there), -torch.inf).clamp_max(0).exp())
            take = source.use("accept", k).uniform()[0].to(theta) < rates[-1]
            theta = torch.where(take[:, None], ahead, theta)
        accepted[:, i] = torch.stack(rates).mean(0)
    if bool((beta == 0).any()):
        anew = first_parameters(priors, noise.use("anew")).to(theta)
        theta = _within(problem, priors, torch.where((beta == 0)[:, None], anew, theta), theta)
    return theta, accepted


def first_parameters(priors: Priors, noise: Noise) -> Tensor:
    """A draw of parameters from their priors for each measurement, (B, P), in double precision."""
    return torch.stack([prior.sample(noise.use(name))[0] for name, prior in priors.items()], -1)


def _replaced(theta: Tensor, place: int, values: Tensor) -> Tensor:
    return torch.cat([theta[:, :place], values[:, None], theta[:, place + 1 :]], 1)


def _within(problem: Posterior, priors: Priors, ahead: Tensor, theta: Tensor) -> Tensor:
    """Parameters ahead where these are possible, else as they were: a step that is refused outside the support."""
    sane = (ahead.isfinite() & (ahead > 0)).all(1, keepdim=True)  # of images that diverged they are not
    ahead = torch.where(sane, ahead, theta)
    return torch.where(reachable(at_parameters(problem, priors, ahead))[:, None], ahead, theta)
