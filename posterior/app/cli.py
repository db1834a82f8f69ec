"""The command line: `posterior demo | sample | solve | train | priors`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli

from posterior.app import specs
from posterior.app.compare import default_device, run, table
from posterior.app.demo import demo
from posterior.data import load_images
from posterior.errors import InvalidValueError, PosteriorError
from posterior.figures import posterior_figure, save_figure
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.priors.zoo import list_priors, load_prior, prior_card, save_prior
from posterior.problem import Posterior
from posterior.results import Samples


def sample(
    image: Path | None = None,
    measurement: Path | None = None,
    operator: str = "half:keep=top",
    noise_std: float = 0.1,
    prior: str = "digits",
    sampler: str = "TemperedSMC",
    num_samples: int = 64,
    batch_size: int | None = None,
    seed: int = 0,
    out: Path = Path("results/sample"),
    progress: bool = True,
) -> None:
    """Draw samples of p(x | y) with a score prior.

    Give an image, whose measurement is then simulated, or a measurement of your own.

    Args:
        image: Picture (png, jpg), array (npy, npz) or folder of pictures: true images to measure and recover.
        measurement: Array y (B, *measurement_shape), npy, instead of an image.
        operator: Forward operator, as name or name:key=value,key=value: identity, half:keep=top, box:top=…,left=…,
            height=…,width=…, random:fraction=0.3, mask:path=mask.npy, downsampling:factor=4, gaussian-blur:std=1.5,
            motion-blur:length=7,angle=45, gaussian:num_measurements=100, grayscale, matrix:path=A.npy.
        noise_std: Standard deviation of the measurement noise, in the units of images in [-1, 1].
        prior: A shipped prior's name (see `posterior priors list`), or a folder.
        sampler: Sampler, as name or name:key=value: TemperedSMC, AnnealedLangevin, AnnealedLangevin.jalal2021.
        num_samples: Draws of each posterior.
        batch_size: Images a network call at the most.
        seed: Seed of the simulated noise and of the sampler.
        out: Folder for samples.npz and a figure for each image.
        progress: Whether to show progress bars.
    """
    method = specs.build("sampler", specs.SAMPLERS, sampler)
    _answer(method, image, measurement, operator, noise_std, prior, num_samples, batch_size, seed, out, progress)


def solve(
    image: Path | None = None,
    measurement: Path | None = None,
    operator: str = "half:keep=top",
    noise_std: float = 0.1,
    prior: str = "digits-vae",
    solver: str = "CSGM",
    batch_size: int | None = None,
    seed: int = 0,
    out: Path = Path("results/solve"),
    progress: bool = True,
) -> None:
    """Find a point estimate with a generator prior.

    Arguments are those of `posterior sample`, but for the solver.

    Args:
        image: True images to measure and recover.
        measurement: Array y (B, *measurement_shape), npy, instead of an image.
        operator: Forward operator, see `posterior sample --help`.
        noise_std: Standard deviation of the measurement noise.
        prior: A shipped generator's name, or a folder.
        solver: Solver, as name or name:key=value: CSGM, CSGM:restarts=4.
        batch_size: Images a network call at the most.
        seed: Seed of the simulated noise and of the solver.
        out: Folder for estimate.npz and a figure for each image.
        progress: Whether to show progress bars.
    """
    method = specs.build("solver", specs.SOLVERS, solver)
    _answer(method, image, measurement, operator, noise_std, prior, 1, batch_size, seed, out, progress)


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
    """Train a score prior by denoising; a run that stopped goes on from its checkpoint in `out`.

    Args:
        data: Images: npz, npy or a folder of pictures.
        out: Folder for the prior, its checkpoint, log and sample sheets.
        held_out: How many of the last images to keep out of training, to measure the denoising error on.
        widths: Features at each resolution of the UNet.
        blocks: Residual blocks a resolution.
        patch: Side of the square of pixels that becomes one position of the network.
        dropout: Dropout rate.
        steps: Optimiser steps.
        batch_size: Images a step.
        learning_rate: Peak step size of Adam.
        seed: Seed.
        progress: Whether to show a progress bar.
    """
    from posterior.training import train_score as train

    images, rest = _split(data, held_out)
    model = train(
        images, out, held_out=rest, widths=widths, blocks=blocks, patch=patch, dropout=dropout, steps=steps,
        batch_size=batch_size, learning_rate=learning_rate, seed=seed, device=str(default_device()), progress=progress,
    )  # fmt: skip
    print(f"saved to {save_prior(model, out)}; use it with load_prior({str(out)!r}) or --prior {out}")


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
    """Train a variational autoencoder, whose decoder is a generator prior; resumes like `train score`.

    Args:
        data: Images: npz, npy or a folder of pictures.
        out: Folder for the prior, its checkpoint and log.
        held_out: How many of the last images to keep out of training, to measure the error on.
        latent: Length of the latent z.
        hidden: Width of the hidden layers.
        steps: Optimiser steps.
        batch_size: Images a step.
        learning_rate: Peak step size of Adam.
        seed: Seed.
        progress: Whether to show a progress bar.
    """
    from posterior.training import train_vae as train

    images, rest = _split(data, held_out)
    model = train(
        images, out, held_out=rest, latent=latent, hidden=(hidden, hidden), steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed, device=str(default_device()), progress=progress,
    )  # fmt: skip
    print(f"saved to {save_prior(model, out)}; use it with load_prior({str(out)!r}) or --prior {out}")


def priors_list() -> None:
    """List the shipped priors."""
    for name in list_priors():
        print(f"{name:14} {prior_card(name).splitlines()[2]}")


def priors_show(name: str) -> None:
    """Print the card of a shipped prior: data, licence, training, held-out error.

    Args:
        name: Its name.
    """
    print(prior_card(name))


COMMANDS: dict[str, Any] = {
    "demo": demo,
    "sample": sample,
    "solve": solve,
    "train": {"_help": "Train a prior of your own.", "score": train_score, "vae": train_vae},
    "priors": {"_help": "What the shipped priors are.", "list": priors_list, "show": priors_show},
}


def main() -> None:
    """Run the command line; the library's errors become one line, without a traceback."""
    try:
        auto_cli(COMMANDS, description=__doc__, as_positional=False, prog="posterior")
    except PosteriorError as error:
        sys.exit(f"posterior: {error}")


def _answer(
    method: Any, image: Path | None, measurement: Path | None, operator: str, noise_std: float, prior: str,
    num_samples: int, batch_size: int | None, seed: int, out: Path, progress: bool,
) -> None:  # fmt: skip
    device = default_device()
    model = load_prior(prior, device=device)
    forward = specs.build("operator", specs.OPERATORS, operator, event_shape=model.event_shape).to(device)
    likelihood = GaussianLikelihood(forward, noise_std)
    truth = None
    if (image is None) == (measurement is None):
        raise InvalidValueError("give either --image (its measurement is simulated) or --measurement, not both")
    if image is not None:
        truth = load_images(image, model.event_shape).to(device)
        y = likelihood.simulate(truth, Noise.of(seed, len(truth), device=device))
    else:
        y = specs.array(str(measurement)).to(device)
        y = y.to(torch.complex64 if y.is_complex() else torch.float32)
    problem = Posterior(model, likelihood, y)
    result, row = run(
        operator, problem, method, truth=truth, num_samples=num_samples, seed=seed, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    result.save(out / ("samples.npz" if isinstance(result, Samples) else "estimate.npz"))
    print(table([row]))
    for index in range(len(problem)):
        mask = getattr(forward, "mask", None)
        figure = posterior_figure(truth, y, result, value_range=model.value_range, index=index, mask=mask)
        print(save_figure(figure, out / f"{index:03d}.png"))


def _split(data: Path, held_out: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    images = load_images(data)
    if not 0 <= held_out < len(images):
        raise InvalidValueError(f"held_out must be from 0 to {len(images) - 1}, fewer than the images; got {held_out}")
    return images[: len(images) - held_out], images[len(images) - held_out :] if held_out else None


if __name__ == "__main__":
    main()
