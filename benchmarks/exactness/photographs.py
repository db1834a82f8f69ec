"""Photographs: samples of guided samplers where no posterior is known.

The prior is `photographs`, FFDNet at every scale; which images it was trained on is not known. Images are two crops of
96 × 96 pixels from scikit-image: the face of `astronaut` (blur, box) and an eye of the cat `chelsea` (pixels). Blur is
Gaussian, of 1.6 pixels, and circular in the truth as in the model; "pixels" hides 70 % of them at random; "box" hides
24 × 24 in the middle. σ_y = 0.04, five grey levels of 255. Seeds are 0. There are 19 samples, so that a truth
exchangeable with them lies between the least and the largest in 90 % of the entries. Where pixels are hidden, all
figures are of those alone. The error relative to the standard deviation is √(mean squared error of the mean / mean
variance), the factor by which the standard deviation is too small; 1.03 would be right for 19 samples. Correlation is
that of |error| with the standard deviation over entries. Settings other than defaults were chosen on a crop of
`coffee`. Cost: 17 minutes on one core; --quick: seconds.
"""

from __future__ import annotations

import time
import warnings

import torch
from torch import Tensor

from benchmarks.common.pages import DOCS, page, run
from benchmarks.exactness.photograph_sheet import Block, sheet
from posterior.errors import TrustWarning
from posterior.figures import save_figure
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Blur, Inpainting
from posterior.operators.base import LinearOperator
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.results import Samples
from posterior.tables import markdown_table
from samplers import DAPS, DDRM, DiffPIR, PnPDM, PnPLangevin, Sampler
from samplers.map import TotalVariation

FINDING = (
    "For one image after blur, take the mean of `DDRM` or `DiffPIR` in 50 network calls (29.0 and 29.1 dB); where "
    "pixels are missing, that of `PnPLangevin` (29.6 dB). Where 90 % would be right, the range of 19 samples of "
    "`PnPLangevin` holds 88 % (blur), 94 % (pixels) and 78 % (box) of the true values, and that of `DDRM` and "
    "`DiffPIR` 46 to 82 %."
)
SIDE, STD, SIZE = 96, 0.04, 19
CROPS = {"blur": ("astronaut", 60, 175), "pixels": ("chelsea", 75, 140), "box": ("astronaut", 60, 175)}
SAMPLERS: dict[str, Sampler] = {
    "DDRM": DDRM(steps=50),
    "DiffPIR": DiffPIR(steps=50, weight=1.0, zeta=1.0),
    "PnPDM": PnPDM(steps=16, burn_out=2, denoise_steps=4, rho_last=0.04),
    "DAPS": DAPS(steps=20, ode_steps=2, langevin_steps=30, sigma_last=0.03),
    "PnPLangevin": PnPLangevin(),
}
SHOWN = ("DDRM", "DiffPIR", "PnPLangevin")
TEXT = """
![Deblurring: three samplers](photographs-deblurring.png)

![Inpainting of 70 % of the pixels, and of a box: three samplers](photographs-inpainting.png)

Standard deviation and |error| are averages over the channels, on one scale in each row.

**Uncertainty.** The standard deviations of `DDRM`, `DiffPIR` and `PnPDM` are too small by factors of 1.6 to 3.3 where
the measurement says something about every place (blur, pixels). `PnPLangevin` pays for its coverage with noise: its
samples are of images with noise of σ = 0.04, which is a part of their standard deviation and tells little of where the
errors are. `DAPS` covers too, with far more noise and a worse mean. In the box, where only the prior speaks, all
standard deviations are large in the right place (correlation 0.4 to 0.7) and too small by factors of 1.1 to 1.6.

**Pyramid.** Alone, the network is a prior of σ up to 0.59 only, and reverse diffusion from there fills no hole.
Samplers that take gradients through the network, `PiGDM` and `MMPS`, failed in trials on a crop of `coffee`: its
Jacobian is not symmetric, as that of a density's denoiser would be. `DiffPIR` needs λ = 1 instead of its default.

**Limits.** No posterior is known here: this is the coverage of one truth for each task, three numbers, not a
calibration (entries of an image are far from independent). The network was made to remove noise of five to
seventy-five grey levels; it knows structures larger than a texture or an edge only from smaller copies of the image.
It does not know that noses are between eyes, and no sample has one in the box. `TotalVariation` has its default weight.
"""


def crop(task: str, side: int) -> Tensor:
    """A square of a photograph that comes with scikit-image, (1, 3, side, side) in [−1, 1]."""
    from skimage import data

    name, row, column = CROPS[task]
    picture = torch.as_tensor(getattr(data, name)()[row : row + side, column : column + side].copy())
    return (picture.permute(2, 0, 1)[None] / 127.5 - 1).float()


def operators(shape: tuple[int, int, int]) -> dict[str, LinearOperator]:
    """The forward operators, by task."""
    box = shape[-1] // 4
    start = (shape[-1] - box) // 2
    return {
        "blur": Blur.gaussian(shape, 1.6),
        "pixels": Inpainting.random(shape, 0.3),
        "box": Inpainting.box(shape, start, start, box, box),
    }


def decibels(image: Tensor, truth: Tensor, counts: Tensor) -> str:
    """PSNR of the entries that count."""
    return f"{float(10 * torch.log10(4 / (image - truth)[counts.expand(truth.shape)].square().mean())):.1f}"


def scores(samples: Samples, truth: Tensor, counts: Tensor) -> list[str]:
    """A row of the table but for its cost, of the entries that count."""
    entries = counts.expand(truth.shape)
    error, std = (samples.mean() - truth)[entries], samples.std()[entries]
    inside = ((truth >= samples.x.amin(0)) & (truth <= samples.x.amax(0)))[entries].float().mean()
    ratio = (error.square().mean() / std.square().mean()).sqrt()
    related = torch.corrcoef(torch.stack([error.abs(), std]))[0, 1]
    return [
        decibels(samples.mean(), truth, counts), decibels(samples.x[:1, 0], truth, counts), f"{float(std.mean()):.3f}",
        f"{100 * float(inside):.0f} %", f"{float(ratio):.2f}", f"{float(related):.2f}",
    ]  # fmt: skip


def measure(sampler: Sampler, problem: Posterior, size: int) -> tuple[Samples, list[str]]:
    """Samples, the network calls of each, and the seconds of all."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = sampler.sample(problem, size, progress=False)
    return samples, [f"{float(samples.nfe[0]):.0f}", f"{time.perf_counter() - start:.0f}"]


def main(quick: bool) -> str:
    """The tables and figures, as Markdown."""
    side, size = (16, 4) if quick else (SIDE, SIZE)
    prior = load_prior("photographs", event_shape=(3, side, side))
    chosen = {name: SAMPLERS[name] for name in (("DDRM", "DiffPIR") if quick else SAMPLERS)}
    rows, blocks = [], {}
    for task, operator in operators(prior.event_shape).items():
        counts = ~operator.mask if isinstance(operator, Inpainting) else torch.ones(1, dtype=torch.bool)
        truth = crop(task, side)
        likelihood = GaussianLikelihood(operator, STD)
        problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, 1)))
        tv = TotalVariation().solve(problem, progress=False).x
        rows.append([task, "(the measurement)", decibels(problem.y, truth, counts), *["–"] * 7])
        rows.append([task, "TotalVariation", decibels(tv, truth, counts), *["–"] * 7])
        found = {}
        for name, sampler in chosen.items():
            found[name], cost = measure(sampler, problem, size)
            rows.append([task, name, *scores(found[name], truth, counts), *cost])
            print(rows[-1], flush=True)
        given = {"truth": truth[0], "measurement": problem.y[0], "total variation": tv[0]}
        blocks[task] = Block(given, {name: found[name] for name in SHOWN if name in found})
    if not quick:
        save_figure(sheet([blocks["blur"]]), DOCS / "photographs-deblurring.png")
        save_figure(sheet([blocks["pixels"], blocks["box"]]), DOCS / "photographs-inpainting.png")
    head = [
        "task", "method", "PSNR of the mean (dB)", "of a sample", "mean std", "within 19 samples",
        "error relative to std", "correlation", "calls", "seconds",
    ]  # fmt: skip
    return page("Photographs", FINDING, [markdown_table(head, rows, "ll"), TEXT.strip()], __doc__)


if __name__ == "__main__":
    run(main, "photographs.md", __doc__)
