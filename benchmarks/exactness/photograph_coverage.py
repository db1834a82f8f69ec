"""Photographs: how often intervals of samples hold the truth, on ten crops, and on a whole image.

The prior is `photographs`, FFDNet at every scale. Crops of 96 × 96 pixels are of `astronaut`, `chelsea`, `coffee` and
`rocket`, which come with scikit-image, at places fixed before the first run. "blur" is Gaussian, of 1.6 pixels,
circular in the truth as in the model; "pixels" hides 70 % of them at random; "box" hides 24 × 24 in the middle. σ_y =
0.04. Of 19 samples the least and the largest hold the truth in 90 % of the entries, where it is one more sample of the
same law. Where pixels are hidden all figures are of those alone. Figures are means over crops, ± standard errors; the
error relative to the standard deviation is √(mean squared error of the mean / mean variance), 1.03 for 19 samples of
the right law.

`AuxiliaryGibbs` takes the network at noise of 0.95 σ_y, its own law there without the pyramid. "by a map" gives hidden
pixels noise of 14 times that, by a map of noise levels that the network takes: only where it is the same in each block
of 2 × 2 pixels, as the network's map has one level for each. The law of x/r, r the map, is sampled, and multiplied by
r. Each chain is one sample, after 30 moves of 5 network calls.

A denoiser of a density has a symmetric Jacobian J. The asymmetry is ‖J − Jᵀ‖/‖J + Jᵀ‖ in the norm of Frobenius, by 8
probes at each of the crops with noise of the level.

Cost: some 60 minutes on two cores; --quick: seconds, at 16².
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.autograd import functional

from benchmarks.common.pages import DOCS, met_or_missed, page, run
from benchmarks.exactness.photograph_sheet import Block, sheet
from benchmarks.exactness.photographs import SIZE, STD, decibels, operators
from posterior.errors import TrustWarning
from posterior.figures import save_figure
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, LinearOperator
from posterior.priors import PyramidPrior
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from posterior.tables import markdown_table
from samplers import AuxiliaryGibbs, KineticLangevin, Sampler

FINDING = "(not yet run at full size)"
SIDE, MOVES, CALLS, HIDDEN = 96, 30, 5, 14.0
PLACES = (
    ("astronaut", 60, 175), ("astronaut", 300, 60), ("astronaut", 200, 330), ("chelsea", 75, 140), ("chelsea", 10, 300),
    ("coffee", 40, 60), ("coffee", 250, 420), ("rocket", 120, 280), ("rocket", 300, 40), ("rocket", 20, 500),
)  # fmt: skip
LEVELS = (0.04, 0.2, 0.55)
Drawn = tuple[Tensor, float]  # samples (S, B, *event), and network calls of each


class MappedPrior(PyramidPrior):
    r"""The law of x/r, r a length for each pixel: \(\tilde D(\tilde z, s) = D(r\tilde z, sr)/r\).

    White noise of level s in x/r is noise of level sr in x. So a sampler that takes noise of one level, and moves as
    far as that, moves by sr at each pixel.

    Args:
        prior: A pyramid of a network that takes maps.
        lengths: r, (H, W).
    """

    lengths: Tensor

    def __init__(self, prior: PyramidPrior, lengths: Tensor) -> None:
        levels = dict(sigma_min=prior.sigma_min, sigma_network=prior.sigma_network)
        super().__init__(prior.network, prior.event_shape, sigma_data=prior.sigma_data, **levels)
        self.sigma_max = prior.sigma_max / float(lengths.max())
        self.register_buffer("lengths", lengths)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return super()._denoise(x * self.lengths, expand_right(sigma, 3) * self.lengths) / self.lengths


def picture(name: str) -> Tensor:
    """A photograph of scikit-image, (1, 3, H, W) in [−1, 1]."""
    from skimage import data

    return torch.as_tensor(getattr(data, name)().copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def crops(side: int) -> Tensor:
    """The crops, (N, 3, side, side)."""
    return torch.cat([picture(name)[..., row : row + side, column : column + side] for name, row, column in PLACES])


def by(sampler: Sampler, size: int, problem: Posterior) -> Drawn:
    """Samples, one a chain."""
    samples = sampler.sample(problem, size, progress=False, batch_size=64)
    return samples.x, float(samples.nfe.mean())


def by_map(sampler: Sampler, size: int, hidden: float, problem: Posterior) -> Drawn:
    """Samples, with noise at hidden pixels that many times larger."""
    mask = cast(Inpainting, problem.operator).mask.reshape(problem.event_shape[-2:])
    lengths = torch.where(mask, 1.0, hidden)
    mapped = problem.with_prior(MappedPrior(cast(PyramidPrior, problem.prior), lengths))
    x, calls = by(sampler, size, mapped)
    return x * lengths, calls


def methods(operator: LinearOperator, quick: bool) -> dict[str, Callable[[Posterior], Drawn]]:
    """What is measured, by name: by a map where hidden pixels fill its blocks."""
    size, moves, hidden = (5, 3, 3.0) if quick else (SIZE, MOVES, HIDDEN)
    gibbs = AuxiliaryGibbs(chains=size, burn_in=moves - 1, thinning=1, steps=CALLS)
    found = {
        "KineticLangevin": partial(by, KineticLangevin("fast" if quick else "standard"), size),
        "AuxiliaryGibbs": partial(by, gibbs, size),
    }
    mask = operator.mask if isinstance(operator, Inpainting) else None
    if mask is not None and bool((mask[..., ::2, ::2] == mask[..., 1::2, 1::2]).all()):
        found["AuxiliaryGibbs, by a map"] = partial(by_map, gibbs, size, hidden)
    return found


def scores(x: Tensor, truth: Tensor, counts: Tensor) -> list[str]:
    """Coverage, error relative to std, PSNR of the mean and std, averaged over crops."""
    within, ratios, decibel, spread = list[float](), list[float](), list[float](), list[float]()
    for b in range(len(truth)):
        entries = counts.expand(truth[b].shape)
        own, true = x[:, b][:, entries], truth[b][entries]
        within.append(100 * float(((true >= own.amin(0)) & (true <= own.amax(0))).float().mean()))
        ratios.append(float(((own.mean(0) - true).square().mean() / own.var(0).mean()).sqrt()))
        decibel.append(float(decibels(x[:, b].mean(0), truth[b], counts)))
        spread.append(float(own.std(0).mean()))

    def shown(values: list[float], digits: int) -> str:
        found = torch.tensor(values)
        error = f" ± {found.std() / len(found) ** 0.5:.{digits}f}" if len(found) > 1 else ""
        return f"{found.mean():.{digits}f}{error}"

    average = sum(within) / len(within)
    verdict = met_or_missed(85 <= average <= 95)
    return [shown(within, 0) + f" % ({verdict})", shown(ratios, 2), shown(decibel, 1), shown(spread, 3)]


@torch.enable_grad()
def asymmetry(prior: PyramidPrior, images: Tensor, level: float) -> list[float]:
    """‖J − Jᵀ‖/‖J + Jᵀ‖ at each image with noise."""
    found = []
    for b, image in enumerate(images):
        noise = Noise.of(0, [b]).for_draws(1)
        z = image + level * noise.use("z").normal(tuple(image.shape))[0]
        apart, together = 0.0, 0.0
        for k in range(8):
            v = noise.use("probe", k).normal(tuple(image.shape))[0]
            denoise = partial(prior.denoise, sigma=level)
            forward, back = (product(denoise, z, v)[1] for product in (functional.jvp, functional.vjp))
            apart += float((forward - back).square().sum())
            together += float((forward + back).square().sum())
        found.append((apart / together) ** 0.5)
    return found


def whole(quick: bool) -> tuple[list[str], Block]:
    """A row of the table for a whole photograph, of which 70 % of the pixels are hidden, and its pictures."""
    truth = picture("astronaut")[..., :16, :16] if quick else picture("astronaut")
    operator = Inpainting.random(tuple(truth.shape[1:]), 0.3)
    likelihood = GaussianLikelihood(operator, STD)
    prior = load_prior("photographs", event_shape=truth.shape[1:])
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, 1)))
    samples = KineticLangevin("fast").sample(problem, 5 if quick else SIZE, progress=not quick, batch_size=4)
    figures = scores(samples.x, truth, ~operator.mask)
    row = [f"pixels, {truth.shape[-1]}²", "KineticLangevin('fast')", *figures, f"{float(samples.nfe.mean()):.0f}"]
    given = {"truth": truth[0], "measurement": problem.y[0]}
    return row, Block(given, {"KineticLangevin": samples})


@torch.no_grad()
def main(quick: bool) -> str:
    """The tables, as Markdown."""
    side = 16 if quick else SIDE
    truth = crops(side)[: 2 if quick else None]
    prior = cast(PyramidPrior, load_prior("photographs", event_shape=(3, side, side)))
    rows = []
    for task, operator in operators(prior.event_shape).items():
        counts = ~operator.mask if isinstance(operator, Inpainting) else torch.ones(1, dtype=torch.bool)
        likelihood = GaussianLikelihood(operator, STD)
        problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, len(truth))))
        for name, draw in methods(operator, quick).items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TrustWarning)
                x, calls = draw(problem)
            rows.append([task, name, *scores(x, truth, counts), f"{calls:.0f}"])
            print(rows[-1], f"{(time.perf_counter() - start) / len(truth):.0f} s a crop", flush=True)
    row, block = whole(quick)
    rows.append(row)
    if not quick:
        save_figure(sheet([block]), DOCS / "photograph-coverage.png")
    head = ["task", "method", "within 19 samples", "error relative to std", "PSNR of the mean (dB)", "std", "calls"]
    told = [[f"{level:g}", f"{torch.tensor(asymmetry(prior, truth, level)).mean():.3f}"] for level in LEVELS]
    parts = [
        markdown_table(head, rows, "ll"),
        "Target: 85 to 95 % within 19 samples.",
        "![A photograph, 70 % of its pixels hidden](photograph-coverage.png)",
        markdown_table(["σ", "asymmetry of the Jacobian"], told),
    ]
    return page("Coverage on photographs", FINDING, parts, __doc__)


if __name__ == "__main__":
    run(main, "photograph_coverage.md", __doc__)
