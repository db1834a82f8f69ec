r"""The check of a score prior: whether its draws of \(p(x_0 \mid x_0 + \rho\varepsilon = z)\) are exact.

All samplers that use a `ScorePrior` through these draws are as exact as the draws are. They may fail in two places: the
integrator (too few network calls), and the denoiser D, which is one network for all noise levels and may not be that of
the images, nor of any single prior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.diagnostics.agreement import agreement
from posterior.diagnostics.calibration import draw_truth, rank_of
from posterior.diagnostics.calibration_table import Check
from posterior.diagnostics.functionals import Functional, centre_pixel, log_likelihood, mean, total_variation
from posterior.diagnostics.prior_table import PriorCheck
from posterior.diagnostics.uniformity import holm, rank_band, rank_ecdf, rank_p_value
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError, check_finite
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior

_LEVELS = (0.1, 0.3, 1.0, 3.0)  # in units of sigma_data
_DOUBLED = 2  # draws of each image that are made with twice the steps as well
_MOST = 20  # levels, beyond which ranks, whose p-values have a least value, could find nothing
_ROWS = 50  # images a network call


def contrast(x: Tensor, problem: Posterior) -> Tensor:
    """Standard deviation of an image's entries."""
    return x.flatten(2).std(2, correction=0)


# Those of x alone come first; the last, that of the denoising problem itself, is −‖z − x‖²/2ρ² up to a constant.
FUNCTIONALS: Mapping[str, Functional] = {
    "centre pixel": centre_pixel,
    "image mean": mean,
    "contrast": contrast,
    "total variation": total_variation,
    "log-likelihood": log_likelihood,
}


@torch.no_grad()
def check_prior(
    prior: ScorePrior,
    *,
    images: Tensor | None = None,
    levels: Sequence[float] | None = None,
    steps: int = 6,
    num_images: int = 100,
    num_draws: int = 19,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = True,
) -> PriorCheck:
    r"""Check the draws \(x' \sim p(x_0 \mid x_0 + \rho\varepsilon = z)\) of a prior, z = x + ρε, at some noise levels.

    - Kernel calibration: if x is of the prior, it is one more draw given z, and its rank f(x) among f(x′) is uniform.
      Images of the prior's own model judge the integrator; given ones judge integrator and denoiser together.
    - Step doubling: how far twice the steps, from the same start, move a draw.
    - Agreement: a draw leaves the one prior of a true denoiser invariant, so that the mean of f(x′) − f(x) is zero at
      every ρ, and the same at any two. Levels that differ, from the same images, are not of one prior, or not of the
      prior of these images.

    P-values are adjusted after Holm, ranks and mean changes apart, and doubled since these are two families.

    Args:
        prior: The prior.
        images: Images (N, *event_shape) it has not seen. Unless given, its exact draws, or else reverse diffusion.
        levels: Noise levels ρ; 0.1, 0.3, 1 and 3 × sigma_data, as far as the prior is valid, unless given.
        steps: Network calls a draw.
        num_images: Images N, at most.
        num_draws: Draws L that each image is ranked among.
        seed: Of images, noise and draws.
        batch_size: Images a network call, at most; 50 unless given.
        progress: Whether to show a progress bar.

    Raises:
        IncompatibleError: The prior is not a `ScorePrior`.
        ShapeError: The images are not of the prior's shape.
        NoiseLevelError: A level is outside [sigma_min, sigma_max].
        InvalidValueError: A number is too small, or there are too many levels.
        NotFiniteError: Images or draws hold NaN or infinity.

    References:
        Talts, Betancourt, Simpson, Vehtari & Gelman 2018, Validating Bayesian inference algorithms with
        simulation-based calibration, arXiv:1804.06788.
    """
    chosen = _check(prior, images, levels, steps, num_images, num_draws, batch_size)
    count = num_images if images is None else min(num_images, len(images))
    rows = count * len(chosen) * (num_draws + 2 * _DOUBLED) * steps
    parts = []
    with tqdm(total=rows, desc="check prior", unit="call", unit_scale=True, disable=not progress) as bar:
        for part in torch.arange(count).split(batch_size or _ROWS):
            noise = Noise.of(
                seed, part.tolist(), device=prior.device, dtype=prior.dtype if images is None else images.dtype
            ).use("prior check")
            bar.set_postfix_str("images of the prior" if images is None else "")
            x = draw_truth(prior, noise.use("image")) if images is None else images[part].to(prior.device)
            bar.set_postfix_str("")
            source = "images drawn from the prior" if images is None else "images"
            check_finite(source, x, "find out where they arose")
            found = [_level(prior, x, rho, noise.use(f"{rho:g}"), num_draws, steps, bar) for rho in chosen]
            parts.append([torch.stack(values) for values in zip(*found, strict=True)])
    ranks, change, variance, doubled = (torch.cat(values, -1).cpu() for values in zip(*parts, strict=True))
    names = list(FUNCTIONALS)[:-1]  # the log-likelihood is another functional at every level
    drift, drift_p, disagreements = agreement(change.double(), chosen, names)
    return PriorCheck(
        prior=type(prior).__name__,
        judged="model" if images is None else "images",
        levels=tuple(chosen),
        steps=steps,
        num_images=count,
        num_draws=num_draws,
        checks=_checks(ranks, num_draws),
        drift=drift,
        drift_p=drift_p,
        disagreements=disagreements,
        spread=variance.mean(1).sqrt(),
        doubling=(doubled.mean(1) / variance.mean(1)).sqrt(),
    )


def _level(
    prior: ScorePrior, x: Tensor, rho: float, noise: Noise, num_draws: int, steps: int, bar: tqdm
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of images x (B, *event): rank and mean change (F, B), variance and mean squared doubling of draws (B,)."""
    event = prior.event_shape
    z = x + rho * noise.use("noise").normal(event)[0].to(x)

    def draw(index: int, calls: int) -> Tensor:
        bar.update(len(x) * calls)
        return prior.sample_denoised(z[None], rho, noise.use("draw", index), steps=calls)[0]

    draws = torch.stack([draw(i, steps) for i in range(num_draws)])
    finer = torch.stack([draw(i, 2 * steps) for i in range(_DOUBLED)])
    problem = Posterior(prior, GaussianLikelihood(Identity(event), rho).to(z.device), z)
    together = torch.cat([x[None], draws])
    values = {name: function(together, problem) for name, function in FUNCTIONALS.items()}
    keys = noise.use("ties").for_draws(num_draws + 1).uniform()
    return (
        torch.stack([rank_of(name, value, keys) for name, value in values.items()]),
        torch.stack([value[1:].mean(0) - value[0] for value in values.values()]),
        draws.var(0).flatten(1).mean(1),
        (finer - draws[:_DOUBLED]).square().mean(0).flatten(1).mean(1),
    )


def _checks(ranks: Tensor, num_draws: int) -> tuple[tuple[Check, ...], ...]:
    """Checks of uniform ranks (K, F, N), adjusted for each other and, by a factor of two, for the mean changes."""
    curves, p_values = rank_ecdf(ranks, num_draws), rank_p_value(ranks, num_draws)
    adjusted = (2 * holm(p_values.flatten())).clamp_max(1).reshape(p_values.shape)
    uniform = torch.arange(1, num_draws + 1, dtype=torch.float64) / (num_draws + 1)
    band = rank_band(ranks.shape[-1], num_draws)
    return tuple(
        tuple(
            Check(name, "rank", uniform, curves[k, f], *band, float(p_values[k, f]), float(adjusted[k, f]))
            for f, name in enumerate(FUNCTIONALS)
        )
        for k in range(len(ranks))
    )


def _check(
    prior: ScorePrior,
    images: Tensor | None,
    levels: Sequence[float] | None,
    steps: int,
    num_images: int,
    num_draws: int,
    batch_size: int | None,
) -> list[float]:
    """Check the arguments; the levels, from small to large."""
    if not isinstance(prior, ScorePrior):
        raise IncompatibleError(f"{type(prior).__name__} has no denoiser to check; give a ScorePrior")
    if levels is None:
        levels = [min(max(u * prior.sigma_data, prior.sigma_min), prior.sigma_max) for u in _LEVELS]
    chosen = sorted({float(rho) for rho in levels})
    if not 0 < len(chosen) <= _MOST:
        raise InvalidValueError(f"give from 1 to {_MOST} noise levels, got {len(chosen)}")
    prior.check_sigma(torch.tensor(chosen, dtype=torch.float64))
    if images is not None and (tuple(images.shape[1:]) != tuple(prior.event_shape) or len(images) < 2):
        expected = ", ".join(map(str, prior.event_shape))
        raise ShapeError(f"images have shape {tuple(images.shape)}; expected (N, {expected}), N ≥ 2")
    if images is not None and not images.is_floating_point():
        raise InvalidValueError(f"images hold {images.dtype}; give floating-point numbers")
    if steps < 3 or min(num_images, num_draws) < 2 or (batch_size is not None and batch_size < 1):
        raise InvalidValueError(
            "steps is at least 3, num_images and num_draws are at least 2, batch_size at least 1; got "
            f"{steps}, {num_images}, {num_draws} and {batch_size}"
        )
    return chosen
