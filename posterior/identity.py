"""What tells a problem from any other, for checkpoints: its settings and data, and what its functions compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import torch
from torch import Tensor

from posterior.io.checkpoint import Identity
from posterior.io.fingerprint import fingerprint
from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.priors.base import Prior
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right

_ROWS = 2  # images that functions are tried on
_LEVELS = (0.3, 3.0)  # noise levels of the two, in units of sigma_data


def problem_identity(problem: Posterior) -> Identity:
    """Digests of the measurements and their ids, and `model_identity`."""
    data = {"ids": fingerprint(problem.ids), "y": fingerprint(problem.y)}
    return data | dict(model_identity(problem.prior, problem.likelihood, problem.y))


@torch.no_grad()
def model_identity(prior: Prior, likelihood: Likelihood, y: Tensor) -> Identity:
    """Digests of a prior and a likelihood, and what they compute of two test images.

    Code has no digest that survives another process, so functions of the user's own are told apart by their values.

    Args:
        prior, likelihood: The model.
        y: Measurements (B, *measurement_shape), of which the first is used, with their precision and device.
    """
    noise = Noise.of(0, _ROWS, device=y.device, dtype=y.real.dtype).use("identity")
    first = likelihood.select(torch.zeros(1, dtype=torch.int64, device=y.device))
    with _reproducible(y.device):
        u = first.noiseless(_images(prior, noise).transpose(0, 1))
        density = first.measured(first.log_density(u, y[:1]))
        values = {"values of the operator": u, "values of the likelihood": density}
        values |= {f"values of the prior{part}": _rounded(v, prior) for part, v in _values_of(prior, noise).items()}
    return {
        "prior": fingerprint(prior),
        "operator": fingerprint(likelihood.operator),
        "likelihood": fingerprint(likelihood, without=likelihood.operator),
        **values,
    }


def trial(prior: Prior, likelihood: Likelihood, dtype: torch.dtype) -> tuple[Posterior, Tensor]:
    """A problem of two simulated measurements and images (2, 2, *event_shape), for functions of both to be tried on."""
    noise = Noise.of(0, _ROWS, _ROWS, device=prior.device, dtype=dtype).use("trial")
    images = _images(prior, noise)
    return Posterior(prior, likelihood, likelihood.simulate(images[0], noise)), images


def _images(prior: Prior, noise: Noise) -> Tensor:
    """Images (S, B, *event_shape) of independent values in the prior's range."""
    low, high = prior.value_range
    return low + (high - low) * noise.use("images").uniform(prior.event_shape)


def _values_of(prior: Prior, noise: Noise) -> dict[str, Tensor]:
    """What a prior computes, for each of its functions that samplers call."""
    if isinstance(prior, GeneratorPrior):
        return {"": prior(noise.normal(prior.latent_shape)[0])}
    if not isinstance(prior, ScorePrior):
        return {}
    levels = torch.tensor(_LEVELS, dtype=noise.dtype, device=noise.keys.device) * prior.sigma_data
    levels = levels.clamp(prior.sigma_min, prior.sigma_max)
    spread = expand_right((prior.sigma_data**2 + levels**2).sqrt(), len(prior.event_shape))
    denoised = prior.denoise(spread * noise.normal(prior.event_shape)[0], levels)
    ends = levels.new_tensor([prior.sigma_min, prior.sigma_max])
    found = {"": denoised, "'s lowest noise level": ends[0], "'s highest noise level": ends[1]}
    if type(prior).decode is not Prior.decode:
        found["'s decoder"] = prior.decode(denoised[:1])
    return found


def _rounded(values: Tensor, prior: Prior) -> Tensor:
    """Values in the precision in which they were computed, which says how closely they will come out again."""
    return values.to(prior.dtype) if prior.dtype in (torch.float16, torch.bfloat16) else values


@contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Full precision, and the same random numbers each time for functions that draw them; afterwards all as before."""
    cudnn = torch.backends.cudnn
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        torch.manual_seed(0)
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            with suppress(RuntimeError):  # where TF32 was set by another interface
                flags = cudnn.flags(cudnn.enabled, cudnn.benchmark, deterministic=True, allow_tf32=False)
                stack.enter_context(flags)
        yield
