"""Compression: bits a pixel against error, where the code is a few rounded random projections.

The first three held-out digits are coded in about 100, 200 and 400 bits, as m projections of two, four or sixteen
levels: `GaussianMeasurement`, a quantiser from −75/√m to 75/√m (three standard deviations of a projection, a digit's
norm being about 25), in dither of σ = 2/√m. They are decoded as the mean of the posterior, `TemperedSMC("fast",
population=64)` on the prior `digits`, and as the latent MAP of `digits-vae`, `CSGM(restarts=4, steps=300)`. Beside them
stand block means rounded to as many bits, 7 × 7 of them of four or sixteen levels, or 14 × 14 of four, enlarged again
as they are. The error is the root mean square over pixels in [−1, 1], with the standard error over digits. Seeds are 0.
Cost: 18 minutes on one core; --quick: seconds.
"""

from __future__ import annotations

import math
import warnings

from torch import Tensor

from benchmarks.common.pages import page, run
from posterior.data import load_digits
from posterior.errors import TrustWarning
from posterior.likelihoods import QuantisedLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, GaussianMeasurement
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import TemperedSMC
from samplers.map import CSGM

FINDING = (
    "In 100 bits, an eighth of a bit a pixel, a generator's latent MAP decodes random projections of a digit to "
    "an error of 0.241 ± 0.041, and as many bits of block means leave 0.453 ± 0.035. With half a bit a pixel the "
    "posterior mean is better: 0.133 ± 0.018, against 0.190 ± 0.038 of the MAP and 0.344 ± 0.021 of block means. "
    "With few bits the samples are too sure of themselves: their standard deviation of 0.043 to 0.082 is far "
    "below their errors."
)
SHAPE, PIXELS, COUNT, REACH, DITHER = (1, 28, 28), 784, 3, 75.0, 2.0
CODES = [(100, 2), (50, 4), (25, 16), (200, 2), (100, 4), (50, 16), (400, 2), (200, 4), (100, 16)]
BLOCKS = [(4, 4), (4, 16), (2, 4)]  # factor and levels


def rounded_blocks(x: Tensor, factor: int, levels: int) -> Tensor:
    """Block means of images, rounded to centres of cells and enlarged again."""
    means = Downsampling(SHAPE, factor)(x)
    cells = ((means + 1) * levels / 2).floor().clamp(0, levels - 1)
    return ((cells + 0.5) * 2 / levels - 1).repeat_interleave(factor, -1).repeat_interleave(factor, -2)


def error(estimate: Tensor, truth: Tensor) -> str:
    """Root mean square over pixels, mean ± standard error over images."""
    each = (estimate - truth).square().flatten(1).mean(1).sqrt()
    return f"{float(each.mean()):.3f} ± {float(each.std()) / math.sqrt(len(each)):.3f}"


def main(quick: bool) -> str:
    """The table, as Markdown."""
    count = 2 if quick else COUNT
    truth, rows = load_digits()[0][:count], []
    priors = load_prior("digits"), load_prior("digits-vae")
    sampler = TemperedSMC("fast", population=8 if quick else 64)
    for m, levels in CODES[:1] if quick else CODES:
        reach = REACH / math.sqrt(m)
        operator = GaussianMeasurement(SHAPE, m)
        likelihood = QuantisedLikelihood(operator, DITHER / math.sqrt(m), -reach, reach, levels)
        y = likelihood.simulate(truth, Noise.of(0, [f"compression {m} {levels} {b}" for b in range(count)]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)
            samples = sampler.sample(Posterior(priors[0], likelihood, y), 8 if quick else 64, seed=0, progress=False)
            latent = CSGM(restarts=2 if quick else 4, steps=10 if quick else 300).solve(
                Posterior(priors[1], likelihood, y), seed=0, progress=False
            )
        bits = m * math.log2(levels)
        rows.append([
            f"{m} projections of {levels} levels", f"{bits:.0f}", f"{bits / PIXELS:.2f}",
            error(samples.mean(), truth), error(latent.x, truth), f"{float(samples.std().mean()):.3f}",
        ])  # fmt: skip
        print(rows[-1], flush=True)
    for factor, levels in BLOCKS:
        bits = PIXELS / factor**2 * math.log2(levels)
        name = f"{28 // factor} × {28 // factor} block means of {levels} levels"
        rows.append([name, f"{bits:.0f}", f"{bits / PIXELS:.2f}", error(rounded_blocks(truth, factor, levels), truth)])
        rows[-1] += ["–", "–"]
    head = ["code", "bits", "bits a pixel", "error of the mean", "error of the latent MAP", "posterior std"]
    return page("Compression", FINDING, [markdown_table(head, rows)], __doc__)


if __name__ == "__main__":
    run(main, "compression.md", __doc__)
