"""The command line: `posterior demo | sample | solve | train | priors`."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter

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

_DESCRIPTION = "Draw posterior samples in imaging inverse problems, say how far they can be trusted, compare with MAP."
_FIGURES = 20  # drawn of a batch at the most


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
    """Draw samples of p(x | y) with a score prior, from images to be measured or from measurements of your own.

    Args:
        image: True images, whose measurement is simulated: a picture (png, jpg), an array in [-1, 1] (npy, npz) or a
            folder of pictures.
        measurement: Measurements y of your own, (B, *measurement_shape), npy, in place of an image.
        operator: Forward operator: identity, half:keep=top, box:top=4,left=4,height=8,width=8, random:fraction=0.3,
            mask:path=mask.npy, downsampling:factor=4, gaussian-blur:std=1.5, motion-blur:length=7,angle=45,
            gaussian:num_measurements=100, grayscale, matrix:path=A.npy.
        noise_std: Standard deviation of the measurement noise; images lie in [-1, 1].
        prior: Name of a shipped score prior (see `posterior priors list`), or a folder.
        sampler: TemperedSMC, AnnealedLangevin or AnnealedLangevin.jalal2021, with settings of your own as in
            TemperedSMC:population=512,steps=8.
        num_samples: Draws of each posterior.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of the simulated noise and of the sampler.
        out: Folder for samples.npz and for figures of the first 20 images.
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
    """Find the point estimate (MAP) of a generator prior, from images to be measured or measurements of your own.

    Args:
        image: True images, whose measurement is simulated: a picture (png, jpg), an array in [-1, 1] (npy, npz) or a
            folder of pictures.
        measurement: Measurements y of your own, (B, *measurement_shape), npy, in place of an image.
        operator: Forward operator; `posterior sample --help` lists them.
        noise_std: Standard deviation of the measurement noise; images lie in [-1, 1].
        prior: Name of a shipped generator (see `posterior priors list`), or a folder.
        solver: CSGM, with settings of your own as in CSGM:restarts=4,steps=500.
        batch_size: Images in one network call at the most; lower it if memory runs out.
        seed: Seed of the simulated noise and of the solver.
        out: Folder for estimate.npz and for figures of the first 20 images.
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
    from posterior.training import train_vae as train

    images, rest = _split(data, held_out)
    model = train(
        images, out, held_out=rest, latent=latent, hidden=(hidden, hidden), steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed, device=str(default_device()), progress=progress,
    )  # fmt: skip
    print(f"saved to {save_prior(model, out)}; use it with load_prior({str(out)!r}) or --prior {out}")


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


COMMANDS: dict[str, Any] = {
    "demo": demo,
    "sample": sample,
    "solve": solve,
    "train": {"_help": "Train a prior of your own.", "score": train_score, "vae": train_vae},
    "priors": {"_help": "See what the shipped priors are.", "list": priors_list, "show": priors_show},
}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake ends in one line on stderr, without a traceback."""
    parser, command = _Parser(prog="posterior", description=_DESCRIPTION), COMMANDS
    _add_commands(parser, command)
    try:
        values = parser.parse_args(args)
    except UnicodeDecodeError as error:
        parser.error(f"the config file is not text: {error}")
    while isinstance(command, dict) and (word := values.command) is not None:
        parser, command, values = parser.commands[word], command[word], values[word]
    if isinstance(command, dict):
        parser.print_help()
        return
    values.pop("config", None)
    try:
        command(**values)
    except OSError as error:
        _quit(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except (PosteriorError, torch.cuda.OutOfMemoryError) as error:
        _quit(str(error), 1)
    except KeyboardInterrupt:
        _quit("interrupted", 130)


class _Help(DefaultHelpFormatter):
    """Help with defaults, without types."""

    def _get_help_string(self, action: argparse.Action) -> str:
        plain = {"--help": "Print this help.", "--print_config": "Print all arguments as YAML, for --config."}
        text = plain.get((action.option_strings or [""])[-1], action.help or "")
        if action.required and action.option_strings:
            return f"{text} (required)"
        if action.option_strings and action.default not in (None, argparse.SUPPRESS):
            return f"{text} (default: %(default)s)"
        return text


class _Parser(ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, **options)
        self.commands: dict[str, _Parser] = {}

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if wrong := re.search(r'Parser key "([\w.]+)":.*(?:Got|Given) value: (.*)', message, re.DOTALL):
            message = f"{wrong[1].split('.')[-1]} cannot be {wrong[2]!r}"
        elif message.startswith("the following arguments are required"):
            message = re.sub(r"(\w+\.)+", "", message)  # of train.score.data
        message = re.sub(r'Parser key "([\w.]+)"', r"\1", message)
        parser = getattr(ex, "subcommand_parser", None) or self
        _quit(f"{message}; see {parser.prog} --help", 2)


def _add_commands(parser: _Parser, commands: dict[str, Any]) -> None:
    choices = parser.add_subcommands(required=False, dest="command", title="commands", description=None)
    for name, target in commands.items():
        if name == "_help":
            continue
        text = target["_help"] if isinstance(target, dict) else (inspect.getdoc(target) or name).splitlines()[0]
        sub = parser.commands[name] = _Parser(description=text)
        choices.add_subcommand(name, sub, help=text)
        sub.prog = f"{parser.prog} {name}"
        if isinstance(target, dict):
            _add_commands(sub, target)
        elif target in (priors_list, priors_show):
            sub.add_function_arguments(target, as_group=False, as_positional=True)
        else:
            sub.usage = "%(prog)s [options]"
            sub.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these arguments.")
            sub.add_function_arguments(target, as_group=False)


def _quit(message: str, code: int) -> NoReturn:
    print("posterior: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


def _answer(
    method: Any, image: Path | None, measurement: Path | None, operator: str, noise_std: float, prior: str,
    num_samples: int, batch_size: int | None, seed: int, out: Path, progress: bool,
) -> None:  # fmt: skip
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
    out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written is known before the work
    result, row = run(
        operator, problem, method, truth=truth, num_samples=num_samples, seed=seed, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    draws, estimate = (result, None) if isinstance(result, Samples) else (None, result)
    print(table([row]))
    print(f"saved to {result.save(out / ('estimate.npz' if draws is None else 'samples.npz'))}")
    for index in range(min(len(problem), _FIGURES)):
        figure = posterior_figure(
            truth, y, draws, estimate, model.value_range, f"{method.name} · {operator}, noise {noise_std:g}",
            mask=getattr(forward, "mask", None), index=index,
        )  # fmt: skip
        save_figure(figure, out / f"{index:03d}.png")
    print(f"figures: {out / '000.png'}" + (f" … {index:03d}.png" if index else ""))


def _split(data: Path, held_out: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    images = load_images(data)
    if not 0 <= held_out < len(images):
        raise InvalidValueError(f"held_out must be from 0 to {len(images) - 1}, fewer than the images; got {held_out}")
    return images[: len(images) - held_out], images[len(images) - held_out :] if held_out else None


if __name__ == "__main__":
    main()
