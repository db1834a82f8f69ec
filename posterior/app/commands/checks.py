"""The commands that say how far results can be trusted: `posterior priors check`, `calibrate` and `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from posterior.app.config import build_prior
from posterior.app.question import noise_of, pose
from posterior.app.running import answer, default_device
from posterior.app.specification import build
from posterior.data import load_images
from posterior.diagnostics import Calibration, PriorCheck, calibrate, check_model, check_prior, sound_problems
from posterior.figures import calibration_figure, save_figure
from posterior.io.writing import check_writable, write_text
from posterior.priors.score_prior import ScorePrior
from posterior.priors.zoo import load_prior
from posterior.results import Samples


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
    """Check the samples of p(x0 | x0 + ρε = z) that samplers take from a score prior, shipped or your own.

    Args:
        name: Name of a shipped score prior, or a folder.
        images: Images that the prior has not seen, to judge its network too: a folder of pictures (png, jpg) or an
            array in [-1, 1] (npy, npz). Unless given, images are drawn from the prior, which takes 200 calls each.
        levels: Noise levels ρ, as in [0.1,1]; 0.1, 0.3, 1 and 3 times the images' standard deviation unless given.
        steps: Network calls a sample.
        num_images: Images, at most.
        num_draws: Samples that each image is ranked among at each level.
        out: Folder for prior_check.md.
        batch_size: Images in one network call at the most; 50 unless given.
        seed: Seed of images, noise and samples.
        progress: Whether to show a progress bar.
    """
    model = load_prior(name, device=default_device())
    given = None if images is None else load_images(images, model.event_shape)
    if out is not None:
        check_writable(out / "prior_check.md")  # before the work
    result = check_prior(
        cast(ScorePrior, model), images=given, levels=levels, steps=steps, num_images=num_images, num_draws=num_draws,
        seed=seed, batch_size=batch_size, progress=progress,
    )  # fmt: skip
    _report(result, None if out is None else out / "prior_check.md")


def calibration(
    prior: str = "digits",
    operator: str = "half:keep=top",
    noise_std: float | None = None,
    likelihood: str | None = None,
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
    """Judge whether a sampler's samples are samples of the posterior; a study that stopped goes on from its checkpoint.

    Args:
        prior: Name of a shipped prior, or a folder.
        operator: Forward operator.
        noise_std: Standard deviation of Gaussian noise, 0.1 unless given; images lie in [-1, 1]. Short for --likelihood
            gaussian:noise_std=….
        likelihood: Noise of another kind, as in poisson:gain=50,background=1.
        sampler: The sampler that is judged, with settings of your own as in
            TemperedSMC:accuracy=fast,population=64.
        images: Images that the prior has not seen, as truths, to judge the prior too: a folder of pictures (png, jpg)
            or an array in [-1, 1] (npy, npz). Unless given, truths are drawn from the prior and judge the sampler.
        num_problems: Problems, at most as many as images.
        num_samples: Samples that each truth is ranked among; two more are drawn.
        thin: Use one of so many samples: those of a chain must be nearly independent.
        batch: Problems answered at a time.
        out: Folder for calibration.md, calibration.png and the checkpoint.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of truths, measurements and samples.
        progress: Whether to show a progress bar.
    """
    device = default_device()
    model = build_prior(prior, device)
    noise, _ = noise_of(build("operator", operator, event_shape=model.event_shape), likelihood, noise_std)
    method = build("sampler", sampler)
    truth = None if images is None else load_images(images, model.event_shape)
    check_writable(out / "calibration.md")  # before the work
    result = calibrate(
        method, model, noise.to(device), truth=truth, num_problems=num_problems,
        num_samples=num_samples, thin=thin, seed=seed, batch=batch, batch_size=batch_size,
        checkpoint=out / "checkpoint.pt", progress=progress,
    )  # fmt: skip
    _report(result, out / "calibration.md")
    save_figure(calibration_figure(result), out / "calibration.png")
    print(f"figure: {out / 'calibration.png'}")


def model_check(
    measurement: Path,
    *,
    prior: str = "digits",
    operator: str = "half:keep=top",
    noise_std: float | None = None,
    likelihood: str | None = None,
    sampler: str = "TemperedSMC:accuracy=fast,population=64",
    images: Path | None = None,
    num_problems: int = 99,
    num_samples: int = 16,
    out: Path | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Test whether prior, operator and noise are those of measurements, by problems where they are.

    Args:
        measurement: Measurements y of your own, (B, *measurement_shape), npy.
        prior: Name of a shipped prior, or a folder.
        operator: Forward operator.
        noise_std: Standard deviation of Gaussian noise, 0.1 unless given; images lie in [-1, 1]. Short for --likelihood
            gaussian:noise_std=….
        likelihood: Noise of another kind, as in poisson:gain=50,background=1.
        sampler: What answers all problems; the test is right whether or not it is exact.
        images: Images that the prior has not seen, for sound problems that allow for its own faults: a folder of
            pictures (png, jpg) or an array in [-1, 1] (npy, npz). Unless given, they are drawn from the prior.
        num_problems: Sound problems, 19 or more, and at most as many as images.
        num_samples: Samples of each problem.
        out: Folder for model_check.md.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of truths, noise and samples.
        progress: Whether to show progress bars.
    """
    question: dict[str, Any] = {"operator": operator, "noise_std": noise_std, "likelihood": likelihood, "seed": seed}
    problem = pose(prior, measurement=measurement, **question).problem
    method = build("sampler", sampler)
    method.check(problem)
    truth = None if images is None else load_images(images, problem.event_shape)
    if out is not None:
        check_writable(out / "model_check.md")  # before the work
    sound = sound_problems(
        method, problem.prior, problem.likelihood, truth=truth, num_problems=num_problems, num_samples=num_samples,
        seed=seed, batch_size=batch_size, progress=progress,
    )  # fmt: skip
    samples = answer(problem, method, num_samples=num_samples, seed=seed, batch_size=batch_size, progress=progress)
    text = f"{check_model(cast(Samples, samples), problem, sound, seed)}\n"
    print(text)
    if out is not None:
        write_text(out / "model_check.md", text)
        print(f"saved to {out / 'model_check.md'}")


def _report(result: Calibration | PriorCheck, file: Path | None) -> None:
    """Print the result of a study, and save it."""
    text = f"{result.table()}\n\n{result.summary()}\n"
    print(text)
    if file is not None:
        write_text(file, text)
        print(f"saved to {file}")
