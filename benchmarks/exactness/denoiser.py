"""How good a denoiser the prior `photographs` is, and how sure of itself.

Images are the middle squares of four photographs that come with scikit-image, with one noise each (seed 0). The PSNR of
D(x, σ) is on 256 × 256 pixels. For an exact denoiser E‖D − x0‖² = σ² tr ∂D/∂x; the ratio of the two, median over the
photographs (128 × 128 pixels), is of one noise and eight random directions of the trace, by central differences. The
change of the mean grey value is the mean of D less that of the image, in units of [−1, 1], the largest over the
photographs. Cost: two minutes on one core; --quick: seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from benchmarks.common.pages import page, run
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.priors.zoo import load_prior
from posterior.tables import markdown_table

FINDING = (
    "The network of `photographs`, which was made for 5 to 75 grey levels of noise, fails well beyond them: at 300 it "
    "reaches 13.0 dB alone, and the pyramid of pooled images 22.3 dB. Its squared errors are 1.1 to 2.4 times what "
    "its own derivative implies, so that the prior it stands for is narrower than photographs are, and posteriors are "
    "too sure."
)
NAMES, GREY_LEVEL, PROBES, STEP = ("astronaut", "chelsea", "coffee", "rocket"), 2 / 255, 8, 1e-3
LEVELS = (5, 10, 15, 25, 50, 75, 100, 120, 240, 480, 960)  # in grey levels of 255
SIGMAS = (0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8, 0.94, 1.2, 3.0, 6.0, 20.0)
NETWORK_ALONE = (100, 120, 150, 200, 300)  # grey levels


@dataclass(frozen=True)
class Denoised:
    """Images x0, x0 + σε, and D of it."""

    prior: ScorePrior
    clean: Tensor
    noisy: Tensor
    sigma: float

    @classmethod
    def of(cls, prior: ScorePrior, clean: Tensor, sigma: float) -> Denoised:
        """Noise is the same at every σ."""
        return cls(prior, clean, clean + sigma * Noise.of(0, len(clean)).normal(clean.shape[1:])[0], sigma)

    @cached_property
    def mean(self) -> Tensor:
        """D(x, σ)."""
        return self.prior.denoise(self.noisy, self.sigma)

    def psnr(self) -> Tensor:
        """In dB, of each image."""
        return 10 * torch.log10(4 / (self.mean - self.clean).square().mean((1, 2, 3)))

    def error_ratio(self) -> float:
        """Median of ‖D − x0‖² ÷ σ² tr ∂D/∂x."""
        trace = torch.zeros(len(self.clean))
        for probe in range(PROBES):
            v = Noise.of(0, len(self.clean)).use(f"probe {probe}").normal(self.clean.shape[1:])[0]
            ahead, behind = (self.prior.denoise(self.noisy + s * STEP * v, self.sigma) for s in (1, -1))
            trace += ((ahead - behind) / (2 * STEP) * v).sum((1, 2, 3)) / PROBES
        return float(((self.mean - self.clean).square().sum((1, 2, 3)) / (self.sigma**2 * trace)).median())

    def grey_value(self) -> float:
        """The largest change of the mean of an image."""
        return float((self.mean - self.clean).mean((1, 2, 3)).abs().max())


def middles(side: int) -> Tensor:
    """The middle squares of the photographs, (4, 3, side, side) in [−1, 1]."""
    from skimage import data

    pictures = []
    for name in NAMES:
        picture = torch.as_tensor(getattr(data, name)().copy())
        top, left = ((n - side) // 2 for n in picture.shape[:2])
        pictures.append(picture[top : top + side, left : left + side].permute(2, 0, 1).float() / 127.5 - 1)
    return torch.stack(pictures)


def cells(values: Sequence[float], digits: int) -> list[str]:
    """Numbers as text."""
    return [f"{value:.{digits}f}" for value in values]


@torch.no_grad()
def main(quick: bool) -> str:
    """The tables, as Markdown."""
    large, small = (32, 16) if quick else (256, 128)
    levels, sigmas = (LEVELS[:2], SIGMAS[:2]) if quick else (LEVELS, SIGMAS)
    prior = load_prior("photographs", event_shape=(3, large, large))
    psnr = torch.stack([Denoised.of(prior, middles(large), level * GREY_LEVEL).psnr() for level in levels], 1).tolist()
    prior = load_prior("photographs", event_shape=(3, small, small))
    at = [Denoised.of(prior, middles(small), sigma) for sigma in sigmas]
    alone = load_prior("photographs", event_shape=(3, small, small))
    alone.sigma_network = alone.sigma_max  # and so never pools
    compared = [
        (level, *(float(Denoised.of(p, middles(small), level * GREY_LEVEL).psnr().mean()) for p in (alone, prior)))
        for level in NETWORK_ALONE
    ]
    return page("The denoiser of `photographs`", FINDING, [
        markdown_table(
            ["PSNR (dB) of D at σ, in grey levels of 255", *map(str, levels)],
            [[name, *cells(row, 1)] for name, row in zip(NAMES, psnr, strict=True)],
        ),
        "The squared error relative to what D implies, σ² tr ∂D/∂x, would be 1 for an exact denoiser:",
        markdown_table(["σ", *map(str, sigmas)], [
            ["squared error relative to what D implies", *cells([one.error_ratio() for one in at], 1)],
            ["change of the mean grey value", *cells([one.grey_value() for one in at], 3)],
        ]),
        "The prior pools images above 120 grey levels:",
        markdown_table(
            ["grey levels", "network alone, PSNR (dB)", "the pyramid, PSNR (dB)"],
            [[str(level), *cells(pair, 1)] for level, *pair in compared], "r",
        ),
    ], __doc__)  # fmt: skip


if __name__ == "__main__":
    run(main, "denoiser.md", __doc__)
