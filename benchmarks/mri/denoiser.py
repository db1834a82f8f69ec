"""How good a denoiser the prior `brain` is, beside linear ones that were fitted on the same slices.

Test images are the 14 slices of the test slab, with two random phases each, on 96 × 112 pixels; errors are mean squares
of an entry, in the unit in which the 0.99-quantile of the magnitude is 1, with one noise an image (seed 0). The linear
denoisers are fitted to 4,000 augmented training slices, as the network saw them: a Wiener filter for each frequency,
and one for each principal component. Cost: three minutes on two cores; --quick: seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.common.pages import page, run
from benchmarks.mri.train_brain import still_images
from posterior.data import load_brain
from posterior.mri import augmented
from posterior.noise import Noise
from posterior.operators.fourier import centred_fft, centred_ifft
from posterior.priors.zoo import load_prior
from posterior.tables import markdown_table

FINDING = "(not yet run at full size)"
SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
FITTED, AT_ONCE = 4000, 200

Denoiser = Callable[[Tensor, float], Tensor]


def training_images(count: int) -> Tensor:
    """Augmented slices of the training slabs, (count, 2, 96, 112)."""
    slices, parts = load_brain("training"), torch.arange(count).split(AT_ONCE)
    return torch.cat([augmented(slices[part % len(slices)], Noise.of(1, part.tolist())) for part in parts])


def by_frequency(images: Tensor) -> Denoiser:
    """The Wiener filter of complex images: each frequency times p/(p + 2σ²), p its mean square."""
    power = centred_fft(torch.complex(*images.unbind(1))).abs().square().mean(0)

    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        spectrum = centred_fft(torch.complex(*noisy.unbind(1)))
        clean = centred_ifft(spectrum * power / (power + 2 * sigma**2))
        return torch.stack([clean.real, clean.imag], 1)

    return denoise


def by_component(images: Tensor) -> Denoiser:
    """The Wiener filter of principal components, each times λ/(λ + σ²) with λ its mean square."""
    flat = images.flatten(1)
    squares, vectors = torch.linalg.eigh(flat @ flat.T / len(flat))
    kept = squares > 1e-6 * squares[-1]
    power, basis = squares[kept], vectors[:, kept].T @ flat / (len(flat) * squares[kept, None]).sqrt()

    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        return ((noisy.flatten(1) @ basis.T * (power / (power + sigma**2))) @ basis).reshape(noisy.shape)

    return denoise


def main(quick: bool) -> str:
    """The table, as Markdown."""
    images = training_images(50 if quick else FITTED)
    denoisers: dict[str, Denoiser] = {
        "network": load_prior("brain").denoise,
        "Wiener filter of frequencies": by_frequency(images),
        "Wiener filter of principal components": by_component(images),
    }
    clean, rows = still_images("test")[: 2 if quick else None], []
    for name, denoise in denoisers.items():
        errors = []
        for number, sigma in enumerate(SIGMAS):
            noisy = clean + sigma * Noise.of(0, len(clean)).at(number).normal(clean.shape[1:])[0]
            errors.append(1000 * float((denoise(noisy, sigma) - clean).square().mean()))
        rows.append([name, *(f"{error:.2f}" for error in errors)])
    header = ["1000 × mean squared error at σ =", *(f"{sigma:g}" for sigma in SIGMAS)]
    return page("The denoiser of `brain`", FINDING, [markdown_table(header, rows)], __doc__)


if __name__ == "__main__":
    run(main, "brain_denoiser.md", __doc__)
