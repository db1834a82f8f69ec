"""Shared by the tests of commands: small priors, two commands on them, and the line that a mistake ends with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from posterior.app.cli import main
from posterior.networks.unet import UNet
from posterior.networks.vae import VAEDecoder
from posterior.noise import Noise
from posterior.priors.edm import EDMPrior
from posterior.priors.generators import NetworkGenerator
from posterior.priors.zoo import save_prior

SHAPE = (1, 8, 8)
QUIET = "--progress=false"
SAMPLER = "TemperedSMC:accuracy=fast,population=8"
SOLVER = "CSGM:restarts=2,steps=5"


def save_priors() -> None:
    """Write priors of random weights to the folders score and generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_prior(EDMPrior(UNet(1, (8,), 1), SHAPE, sigma_data=0.5), "score")
        save_prior(NetworkGenerator(VAEDecoder(2, (8,), SHAPE)), "generator")


def sample(*args: str) -> None:
    """Run `posterior sample` on the prior score, with a small sampler and much noise unless told otherwise."""
    usual = [f"--sampler={SAMPLER}"] * (not any(word.startswith("--sampler") for word in args))
    usual += ["--noise_std=1"] * (not any(word.startswith(("--likelihood", "--noise_std")) for word in args))
    main(["sample", "--prior=./score", "--num_samples=3", QUIET, *usual, *args])


def solve(*args: str) -> None:
    """Run `posterior solve` on the prior generator."""
    main(["solve", "--prior=./generator", f"--solver={SOLVER}", QUIET, *args])


def mistake(capsys: pytest.CaptureFixture[str], call: Callable[..., object], *args: Any, **options: Any) -> str:
    """The one line on stderr that a command ends with."""
    with pytest.raises(SystemExit) as stop:
        call(*args, **options)
    assert stop.value.code not in (0, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("posterior: ")
    return str(line)


def fill_folder() -> None:
    """Priors of random weights, pictures and measurements in the working folder."""
    save_priors()
    values = Noise.of(0).uniform((3, *SHAPE))[0, 0]
    Path("pictures").mkdir()
    for i, picture in enumerate((255 * values).byte().numpy()):
        Image.fromarray(picture[0]).save(f"pictures/{i}.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("large.png")
    x = (2 * values - 1).numpy()
    np.savez("x.npz", x=x)
    y = x[:2].copy()
    np.save("everywhere.npy", y)
    y[:, :, 4:] = 0
    np.save("y.npy", y.astype(np.float64))
    np.save("one.npy", y[0])
    y[1, 0, 0, 0] = np.nan
    np.save("nan.npy", y)
    np.save("bytes.npy", np.full((2, *SHAPE), 200, np.uint8))
    np.save("counts.npy", np.full((2, *SHAPE), 3))
    np.save("complex.npy", (y[:1] * 1j).astype(np.complex64))
    np.save("grey.npy", np.full(SHAPE, 0.5))
