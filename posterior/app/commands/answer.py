"""The commands that answer a question: `posterior sample` and `posterior solve`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from posterior.app.arrays import load_measurement
from posterior.app.compare import default_device, report, run
from posterior.app.specification import build
from posterior.data import load_images
from posterior.errors import InvalidValueError
from posterior.figures import posterior_figure, save_figure, save_gif, uncertainty_figure
from posterior.figures.parts import evenly
from posterior.io.writing import check_writable
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples

_FIGURES = 20  # of a batch at the most
_FRAMES = 64  # of a gif


def sample(
    prior: str = "digits",
    sampler: str = "TemperedSMC",
    num_samples: int = 64,
    out: Path = Path("results/sample"),
    **question: Any,
) -> None:
    """Draw samples of p(x | y), from images to be measured or from measurements of your own.

    Args:
        prior: Name of a shipped prior, or a folder; a diffusers pipeline's too.
        sampler: Name of a sampler, with settings of your own as in TemperedSMC:accuracy=high,population=2048.
        num_samples: Samples of each posterior.
        out: Folder for samples.npz, and for figures and a gif of the samples of each of the first 20 images.
    """
    _answer(
        method=build("sampler", sampler), prior=prior, num_samples=num_samples, file=out / "samples.npz", **question
    )


def solve(prior: str = "digits-vae", solver: str = "CSGM", out: Path = Path("results/solve"), **question: Any) -> None:
    """Find a point estimate, one image for each, from images to be measured or measurements of your own.

    Args:
        prior: Name of a shipped prior, or a folder.
        solver: Name of a solver, with settings of your own as in
            ILO:restarts=4,layers=[1,2],radii=[0.2,0.1],steps=[300,200,100].
        out: Folder for estimate.npz and for figures of the first 20 images.
    """
    _answer(method=build("solver", solver), prior=prior, num_samples=1, file=out / "estimate.npz", **question)


def _answer(
    *,
    method: Method,
    prior: str,
    num_samples: int,
    file: Path,
    image: Path | None = None,
    measurement: Path | None = None,
    operator: str = "half:keep=top",
    noise_std: float = 0.1,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Answer a question with a method; arguments with a default are options of `sample` and of `solve`.

    Args:
        method: A sampler or a solver.
        prior: Name or folder of its prior.
        num_samples: How many samples to ask of it.
        file: Where the answer goes, figures beside it.
        image: True images, whose measurement is simulated: a picture (png, jpg), an array in [-1, 1] (npy, npz) or a
            folder of pictures.
        measurement: Measurements y of your own, (B, *measurement_shape), npy, in place of an image.
        operator: Forward operator, as in random:fraction=0.3.
        noise_std: Standard deviation of the measurement noise; images lie in [-1, 1].
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of the simulated noise and of the method.
        progress: Whether to show progress bars.
    """
    if (image is None) == (measurement is None):
        raise InvalidValueError("give either --image (its measurement is simulated) or --measurement")
    device = default_device()
    model = load_prior(prior, device=device)
    likelihood = GaussianLikelihood(build("operator", operator, event_shape=model.event_shape).to(device), noise_std)
    truth = None
    if image is not None:
        truth = load_images(image, model.event_shape).to(device)
        y = likelihood.simulate(truth, Noise.of(seed, len(truth), device=device))
    elif measurement is not None:
        y = load_measurement(measurement).to(device)
    problem = Posterior(model, likelihood, y)
    check_writable(file)  # before the work
    again = file.exists()
    result, row = run(
        operator, problem, method, truth=truth, num_samples=num_samples, seed=seed, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    print(report([row]))
    print(f"saved to {result.save(file)}")
    if again:
        _remove_figures(file.parent)
    paths = [file.with_name(f"{index:03d}.png") for index in range(min(len(problem), _FIGURES))]
    title = f"{method.name} · {operator}, noise {noise_std:g}"
    for index, path in enumerate(paths):
        _draw_figures(path, problem, result, truth, title, index)
    print(f"figures: {paths[0]}" + (f" … {paths[-1].name}" if len(paths) > 1 else ""))


def _remove_figures(folder: Path) -> None:
    """Remove the figures of an earlier answer, which may be of more measurements."""
    for path in folder.iterdir():
        if re.fullmatch(r"\d{3}(-uncertainty\.png|\.png|\.gif)", path.name):
            path.unlink()


def _draw_figures(
    path: Path,
    problem: Posterior,
    result: Samples | PointEstimate,
    truth: Tensor | None,
    title: str,
    index: int,
) -> None:
    """The answer for one measurement of the batch, as a figure; samples also as maps of their spread and as a gif."""
    samples, estimate = (result, None) if isinstance(result, Samples) else (None, result)
    value_range, mask = problem.prior.value_range, getattr(problem.operator, "mask", None)
    save_figure(posterior_figure(truth, problem.y, samples, estimate, value_range, title, mask=mask, index=index), path)
    if samples is not None and len(samples) > 1:
        figure = uncertainty_figure(samples, truth, value_range=value_range, title=title, index=index)
        save_figure(figure, path.with_stem(f"{path.stem}-uncertainty"))
        save_gif(samples.x[evenly(len(samples), _FRAMES), index], path.with_suffix(".gif"), value_range)
