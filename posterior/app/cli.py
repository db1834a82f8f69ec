"""The command line: `posterior demo | sample | solve | calibrate | train | priors`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from posterior import training
from posterior.app import specs
from posterior.app.compare import default_device, report, run
from posterior.app.demo import demo
from posterior.app.parsing import one_line_errors, parse
from posterior.data import load_images
from posterior.diagnostics import Calibration, PriorCheck, calibrate, check_prior
from posterior.errors import InvalidValueError
from posterior.figures import calibration_figure, posterior_figure, save_figure
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.priors.base import ScorePrior
from posterior.priors.zoo import list_priors, load_prior, prior_card, save_prior
from posterior.problem import Posterior
from posterior.results import Samples

_DESCRIPTION = "Draw posterior samples in imaging inverse problems, say how far they can be trusted, compare with MAP."
_FIGURES = 20  # drawn of a batch at the most


def sample(
    prior: str = "digits",
    sampler: str = "TemperedSMC",
    num_samples: int = 64,
    out: Path = Path("results/sample"),
    **question: Any,
) -> None:
    """Draw samples of p(x | y) with a score prior, from images to be measured or from measurements of your own.

    Args:
        prior: Name of a shipped score prior (see `posterior priors list`), or a folder.
        sampler: TemperedSMC, AuxiliaryGibbs, AuxiliaryMH, ReplicaExchange, AnnealedLangevin or
            AnnealedLangevin.jalal2021, with settings of your own as in TemperedSMC:accuracy=high,population=2048.
        num_samples: Draws of each posterior.
        out: Folder for samples.npz and for figures of the first 20 images.
    """
    method = specs.build("sampler", specs.SAMPLERS, sampler)
    _answer(method=method, prior=prior, num_samples=num_samples, file=out / "samples.npz", **question)


def solve(prior: str = "digits-vae", solver: str = "CSGM", out: Path = Path("results/solve"), **question: Any) -> None:
    """Find the point estimate (MAP) of a generator prior, from images to be measured or measurements of your own.

    Args:
        prior: Name of a shipped generator (see `posterior priors list`), or a folder.
        solver: CSGM, with settings of your own as in CSGM:restarts=4,steps=500.
        out: Folder for estimate.npz and for figures of the first 20 images.
    """
    method = specs.build("solver", specs.SOLVERS, solver)
    _answer(method=method, prior=prior, num_samples=1, file=out / "estimate.npz", **question)


def train_score(
    data: Path,
    out: Path,
    held_out: int = 0,
    widths: list[int] = [64, 64, 128],  # noqa: B006
    blocks: int = 1,
    patch: int = 2,
    dropout: float = 0.1,
    steps: int = 10_000,
    batch_size: int = 96,
    learning_rate: float = 1e-3,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Train a score prior by denoising; a run that stopped goes on from its checkpoint.

    Args:
        data: Images of one size: a folder of pictures (png, jpg) or an array in [-1, 1] (npy, npz).
        out: Folder for the prior, its checkpoint, log and sample sheets.
        held_out: How many of the last images to keep out of training, to log the denoising error on.
        widths: Features of the UNet at each resolution, finest first.
        blocks: Residual blocks at each resolution.
        patch: Side of the square of pixels that becomes one position of the finest resolution.
        dropout: Dropout rate, from 0 to 1.
        steps: Optimiser steps in all.
        batch_size: Images in each step.
        learning_rate: Peak step size of Adam.
        seed: Seed of first weights, batches and noise.
        progress: Whether to show a progress bar.
    """
    _train(
        training.train_score, data, out, held_out, widths=widths, blocks=blocks, patch=patch, dropout=dropout,
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, progress=progress,
    )  # fmt: skip


def train_vae(
    data: Path,
    out: Path,
    held_out: int = 0,
    latent: int = 20,
    hidden: int = 500,
    steps: int = 10_000,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Train a generator prior, the decoder of a VAE; a run that stopped goes on from its checkpoint.

    Args:
        data: Images of one size: a folder of pictures (png, jpg) or an array in [-1, 1] (npy, npz).
        out: Folder for the prior, its checkpoint, log and sample sheets.
        held_out: How many of the last images to keep out of training, to log the reconstruction error on.
        latent: Length of the latent z.
        hidden: Width of the two hidden layers.
        steps: Optimiser steps in all.
        batch_size: Images in each step.
        learning_rate: Peak step size of Adam.
        seed: Seed of first weights, batches and noise.
        progress: Whether to show a progress bar.
    """
    _train(
        training.train_vae, data, out, held_out, latent=latent, hidden=(hidden, hidden), steps=steps,
        batch_size=batch_size, learning_rate=learning_rate, seed=seed, progress=progress,
    )  # fmt: skip


def priors_list() -> None:
    """List the shipped priors."""
    names = list_priors()
    for name in names:
        print(f"{name:{max(map(len, names))}}  {prior_card(name).splitlines()[2]}")


def priors_show(name: str) -> None:
    """Print the card of a shipped prior: data, licence, training, held-out error.

    Args:
        name: Its name.
    """
    print(prior_card(name))


def priors_check(
    name: str,
    *,
    images: Path | None = None,
    levels: list[float] | None = None,
    steps: int = 6,
    num_images: int = 100,
    num_draws: int = 19,
    out: Path | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Check the draws of p(x0 | x0 + ρε = z) that samplers take of a score prior, shipped or your own.

    Args:
        name: Name of a shipped score prior, or a folder.
        images: Images that the prior has not seen, to judge its network too: a folder of pictures (png, jpg) or an
            array in [-1, 1] (npy, npz). Unless given, images are drawn from the prior, which takes 200 calls each.
        levels: Noise levels ρ, as in [0.1,1]; 0.1, 0.3, 1 and 3 times the images' standard deviation unless given.
        steps: Network calls a draw.
        num_images: Images, at most.
        num_draws: Draws that each image is ranked among at each level.
        out: Folder for prior_check.md.
        batch_size: Images in one network call at the most; 50 unless given.
        seed: Seed of images, noise and draws.
        progress: Whether to show a progress bar.
    """
    model = load_prior(name, device=default_device())
    given = None if images is None else load_images(images, model.event_shape)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written is known before the work
    result = check_prior(
        cast(ScorePrior, model), images=given, levels=levels, steps=steps, num_images=num_images, num_draws=num_draws,
        seed=seed, batch_size=batch_size, progress=progress,
    )  # fmt: skip
    _report(result, None if out is None else out / "prior_check.md")


def calibration(
    prior: str = "digits",
    operator: str = "half:keep=top",
    noise_std: float = 0.1,
    sampler: str = "TemperedSMC",
    images: Path | None = None,
    num_problems: int = 200,
    num_samples: int = 39,
    thin: int = 1,
    batch: int = 50,
    out: Path = Path("results/calibrate"),
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Judge whether a sampler's draws are draws of the posterior, by many problems with known truth.

    Args:
        prior: Name of a shipped score prior (see `posterior priors list`), or a folder.
        operator: Forward operator, as in `posterior sample`.
        noise_std: Standard deviation of the measurement noise; images lie in [-1, 1].
        sampler: What is judged, as in `posterior sample`, with settings of your own as in
            TemperedSMC:accuracy=fast,population=64.
        images: Images that the prior has not seen, as truths, to judge the prior too: a folder of pictures (png, jpg)
            or an array in [-1, 1] (npy, npz). Unless given, truths are drawn from the prior and judge the sampler.
        num_problems: Problems, at most as many as images.
        num_samples: Draws that each truth is ranked among; two more are drawn.
        thin: Use one of so many draws. Those of a chain must be as far apart as it takes to forget.
        batch: Problems answered at a time.
        out: Folder for calibration.md and calibration.png.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of truths, measurements and draws.
        progress: Whether to show a progress bar.
    """
    device = default_device()
    model = load_prior(prior, device=device)
    forward = specs.build("operator", specs.OPERATORS, operator, event_shape=model.event_shape).to(device)
    method = specs.build("sampler", specs.SAMPLERS, sampler)
    truth = None if images is None else load_images(images, model.event_shape)
    out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written is known before the work
    result = calibrate(
        method, model, GaussianLikelihood(forward, noise_std).to(device), truth=truth, num_problems=num_problems,
        num_samples=num_samples, thin=thin, seed=seed, batch=batch, batch_size=batch_size, progress=progress,
    )  # fmt: skip
    _report(result, out / "calibration.md")
    save_figure(calibration_figure(result), out / "calibration.png")
    print(f"figure: {out / 'calibration.png'}")


COMMANDS: dict[str, Any] = {
    "demo": demo,
    "sample": sample,
    "solve": solve,
    "train": {"_help": "Train a prior of your own.", "score": train_score, "vae": train_vae},
    "priors": {
        "_help": "See what the shipped priors are, and check one.",
        "list": priors_list,
        "show": priors_show,
        "check": priors_check,
    },
    "calibrate": calibration,
}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends in one line on stderr, without a traceback."""
    with one_line_errors():
        parse(args, COMMANDS, _DESCRIPTION)()


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
        method: What answers.
        prior: Name or folder of its prior.
        num_samples: How many draws to ask of it.
        file: Where the answer goes, figures beside it.
        image: True images, whose measurement is simulated: a picture (png, jpg), an array in [-1, 1] (npy, npz) or a
            folder of pictures.
        measurement: Measurements y of your own, (B, *measurement_shape), npy, in place of an image.
        operator: Forward operator: identity, half:keep=top, box:top=4,left=4,height=8,width=8, random:fraction=0.3,
            mask:path=mask.npy, downsampling:factor=4, gaussian-blur:std=1.5, motion-blur:length=7,angle=45,
            gaussian:num_measurements=100, grayscale, matrix:path=A.npy.
        noise_std: Standard deviation of the measurement noise; images lie in [-1, 1].
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of the simulated noise and of the method.
        progress: Whether to show progress bars.
    """
    if (image is None) == (measurement is None):
        raise InvalidValueError("give either --image (its measurement is simulated) or --measurement")
    device = default_device()
    model = load_prior(prior, device=device)
    forward = specs.build("operator", specs.OPERATORS, operator, event_shape=model.event_shape).to(device)
    likelihood = GaussianLikelihood(forward, noise_std)
    truth = None
    if image is not None:
        truth = load_images(image, model.event_shape).to(device)
        y = likelihood.simulate(truth, Noise.of(seed, len(truth), device=device))
    elif measurement is not None:
        y = specs.array(measurement).to(device)
        y = y.to(torch.complex64 if y.is_complex() else torch.float32)
    problem = Posterior(model, likelihood, y)
    file.parent.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written is known before the work
    result, row = run(
        operator, problem, method, truth=truth, num_samples=num_samples, seed=seed, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    print(report([row]))
    print(f"saved to {result.save(file)}")
    draws, estimate = (result, None) if isinstance(result, Samples) else (None, result)
    title, mask = f"{method.name} · {operator}, noise {noise_std:g}", getattr(forward, "mask", None)
    paths = [file.with_name(f"{index:03d}.png") for index in range(min(len(problem), _FIGURES))]
    for index, path in enumerate(paths):
        figure = posterior_figure(truth, y, draws, estimate, model.value_range, title, mask=mask, index=index)
        save_figure(figure, path)
    print(f"figures: {paths[0]}" + (f" … {paths[-1].name}" if len(paths) > 1 else ""))


def _report(result: Calibration | PriorCheck, file: Path | None) -> None:
    """Print what a study found, and keep it."""
    text = f"{result.table()}\n\n{result.summary()}\n"
    print(text)
    if file is not None:
        file.write_text(text, encoding="utf-8")
        print(f"saved to {file}")


def _train(train: Callable[..., Any], data: Path, out: Path, held_out: int, **options: Any) -> None:
    images = load_images(data)
    size = len(images) - held_out
    if not 0 < size <= len(images):
        raise InvalidValueError(f"held_out must be from 0 to {len(images) - 1}, fewer than the images; got {held_out}")
    rest = images[size:] if held_out else None
    model = train(images[:size], out, held_out=rest, device=str(default_device()), **options)
    print(f"saved to {save_prior(model, out)}; use it with load_prior({str(out)!r}) or --prior {out}")


if __name__ == "__main__":
    main()
