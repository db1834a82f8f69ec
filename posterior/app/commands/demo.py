"""The demonstration: three held-out digits, each measured another way."""

from __future__ import annotations

import time
from pathlib import Path

from posterior.app.running import answer, default_device
from posterior.app.table import Row, rows, table
from posterior.data import load_digits
from posterior.fairness import Groups, load_classifier
from posterior.figures import posterior_figure, save_figure, uncertainty_figure
from posterior.io.writing import write_text
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, Inpainting
from posterior.operators.base import Operator
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from samplers import AnnealedLangevin, TemperedSMC
from samplers.map import CSGM

_SHAPE = (1, 28, 28)
NOISE_STD = 0.25


def problems() -> dict[str, tuple[int, Operator]]:
    """The demonstration's problems by name: which of the shipped digits, and its forward operator."""
    return {
        "top half": (4, Inpainting.half_image(_SHAPE, keep="top")),
        "4x downsampled": (2, Downsampling(_SHAPE, 4)),
        "hidden box": (8, Inpainting.box(_SHAPE, top=8, left=8, height=12, width=12)),
    }


def demo(out: Path = Path("results/demo"), num_samples: int = 64, seed: int = 0, progress: bool = True) -> None:
    """Draw posterior samples of three real digits, and compare them with MAP.

    Args:
        out: Folder for the figures, the table and the samples.
        num_samples: Samples of each posterior.
        seed: Seed of the measurement noise and of all methods.
        progress: Whether to show progress bars.
    """
    device = default_device()
    score, generator = load_prior("digits", device=device), load_prior("digits-vae", device=device)
    classifier = load_classifier("digits", device=device)
    digits = Groups(classifier.names, classifier)
    images, _ = load_digits()
    found, warnings = list[Row](), list[str]()
    start = time.perf_counter()
    for name, (which, operator) in problems().items():
        operator = operator.to(device)
        truth = images[which : which + 1].to(device)
        likelihood = GaussianLikelihood(operator, NOISE_STD)
        y = likelihood.simulate(truth, Noise.of(seed, [name], device=device))
        problem = Posterior(score, likelihood, y, ids=[name])
        mask = operator.mask if isinstance(operator, Inpainting) else None
        path = out / f"{name.replace(' ', '-')}.png"
        print(f"\n{name}: digit {which}, {int(operator.num_measured)} values measured, noise {NOISE_STD}")

        estimate = answer(problem.with_prior(generator), CSGM(), seed=seed, progress=progress)
        assert isinstance(estimate, PointEstimate)
        found += rows(problem, CSGM().name, estimate, truth)
        warnings += estimate.warnings
        samples: dict[str, Samples] = {}
        for sampler in (TemperedSMC(accuracy="fast", population=192), AnnealedLangevin()):
            result = answer(problem, sampler, num_samples=num_samples, seed=seed, progress=progress)
            assert isinstance(result, Samples)
            found += rows(problem, sampler.name, result, truth)
            warnings += result.warnings
            samples[sampler.name] = result
            result.save(out / f"{path.stem}-{sampler.name}.npz")
            # The first sampler's picture is there to look at while the second runs.
            figure = posterior_figure(
                truth, y, samples, estimate, score.value_range, name, mask=mask, likelihood=likelihood
            )
            save_figure(figure, path)
            heading = f"{name}, {sampler.name}"
            figure = uncertainty_figure(result, truth, groups=digits, value_range=score.value_range, title=heading)
            save_figure(figure, out / f"{path.stem}-{sampler.name}-uncertainty.png")
            print(f"  {path}: {', '.join(samples)}  ({time.perf_counter() - start:.0f} s since the start)")
    report = "\n".join(
        [table(found), *(["", "Warnings:", "", *(f"- {text}" for text in warnings)] if warnings else [])]
    )
    print(f"\n{report}")
    print("\nPSNR is that of the posterior mean or of MAP; coverage that of the 90 % intervals of pixels in doubt.")
    write_text(out / "table.md", report + "\n")
