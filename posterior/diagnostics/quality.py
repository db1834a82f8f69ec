"""How good a result is for one measurement, in a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.likelihoods import Likelihood
from posterior.metrics import psnr
from posterior.results import PointEstimate, Samples
from posterior.verdict import Level

_FEWEST = 19  # samples that a 90 % interval needs


@dataclass(frozen=True)
class Quality:
    """How good the samples or the estimate of one measurement are, and what they cost.

    Attributes:
        psnr: PSNR of the posterior mean or of the point estimate, dB; None without a truth.
        coverage: Among the pixels in doubt, whose 90 % credible interval is wider than 1 % of the value range, the
            fraction whose true value lies in it; None for point estimates, few samples, or without a truth.
        misfit: Root mean squared residual of the samples or of the estimate, in units of the noise; None without a
            likelihood, or where it is of latents that the images were decoded from.
        effective_samples: How many independent samples they are worth; None where that is unknown.
        calls: Network evaluations a sample, backward ones counted too.
        verdict: The level of the verdict; None where there is none.
    """

    psnr: float | None
    coverage: float | None
    misfit: float | None
    effective_samples: float | None
    calls: float
    verdict: Level | None

    def parts(self) -> list[str]:
        """What is known of PSNR, misfit, effective samples and calls, in words."""
        known = (
            (self.psnr, "PSNR {:.1f} dB"),
            (self.misfit, "misfit {:.2f} σ"),
            (self.effective_samples, "effective samples {:,.0f}"),
            (self.calls, "network calls {:,.0f}"),
        )
        return [form.format(value) for value, form in known if value is not None]

    def __str__(self) -> str:
        return " · ".join([*self.parts(), *([self.verdict] if self.verdict else [])])


@torch.no_grad()
def quality(
    result: Samples | PointEstimate,
    index: int,
    y: Tensor,
    *,
    truth: Tensor | None = None,
    likelihood: Likelihood | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
) -> Quality:
    """How good a result is for one measurement.

    Args:
        result: Samples (S, B, *event_shape) or estimates (B, *event_shape).
        index: Which of the B measurements.
        y: Measurements (B, *measurement_shape).
        truth: True images (B, *event_shape).
        likelihood: What y was measured by.
        value_range: Smallest and largest value of an image.
    """
    x = result.x[:, index : index + 1] if isinstance(result, Samples) else result.x[None, index : index + 1]
    misfit = None
    if likelihood is not None and x.shape[2:] == likelihood.operator.event_shape:
        one = likelihood.select(torch.tensor([index], device=y.device))
        misfit = float(one.misfit(x.to(y.device), y[index : index + 1]).mean())
    effective = None
    if isinstance(result, Samples):
        known = result.info.get("effective_samples")
        effective = float(known[index]) if known is not None else math.nan if result.chains > 1 else float(len(x))
    return Quality(
        psnr=None if truth is None else float(psnr(_planes(x.mean(0)[0]), _planes(truth[index].to(x)), value_range)),
        coverage=None if truth is None else _coverage(x[:, 0], truth[index].to(x.device), value_range),
        misfit=misfit,
        effective_samples=None if effective is None or math.isnan(effective) else effective,
        calls=float(result.nfe[index] + result.nfe_grad[index]),
        verdict=result.verdict[index].level if result.verdict else None,
    )


def _planes(event: Tensor) -> Tensor:
    """A trace, an image, or several, as one image (C, H, W), so that all have one PSNR."""
    return event.reshape(-1, *(event.shape[-2:] if event.ndim > 1 else (1, len(event))))


def _coverage(x: Tensor, truth: Tensor, value_range: tuple[float, float]) -> float | None:
    """The share of the pixels in doubt whose 90 % interval holds the truth: x (S, *event), truth (*event)."""
    if len(x) < _FEWEST:
        return None
    one = Samples(x[:, None], torch.zeros(1), torch.zeros(1))
    low, high = (end[0] for end in one.credible_interval(0.9))
    doubt = high - low > 0.01 * (value_range[1] - value_range[0])
    return float(((truth >= low) & (truth <= high))[doubt].double().mean()) if bool(doubt.any()) else None
