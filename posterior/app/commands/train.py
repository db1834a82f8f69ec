"""The commands `posterior train …`: priors of one's own, and networks that reconstruct."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from posterior import training
from posterior.app.datasets import read_labels
from posterior.app.running import default_device
from posterior.data import load_images
from posterior.errors import InvalidValueError
from posterior.mri import augmented, complex_images, save_network
from posterior.mri.scans import MaskKind
from posterior.noise import Noise
from posterior.priors.zoo import list_priors, load_prior, save_prior


def train_score(
    data: Path,
    out: Path,
    labels: Path | None = None,
    held_out: int = 0,
    mirror: bool = False,
    start: str | None = None,
    widths: list[int] = [64, 64, 128],  # noqa: B006
    blocks: int = 1,
    patch: int = 2,
    dropout: float = 0.1,
    steps: int = 10_000,
    batch_size: int = 96,
    learning_rate: float = 1e-3,
    autocast: bool | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Train a score prior by denoising; a run that stopped goes on from its checkpoint.

    Args:
        data: Images of one size: a folder of pictures (png, jpg) or an array in [-1, 1] (npy, npz).
        out: Folder for the prior, its checkpoint, log and sample sheets.
        labels: What the images show, one a line of a text file: the prior is then also one of each class.
        held_out: How many of the last images to keep out of training, to log the denoising error on.
        mirror: Whether every other image is mirrored, left for right, anew in each step.
        start: Prior whose weights are the first ones, of the same network: a name or a folder.
        widths: Features of the UNet at each resolution, finest first.
        blocks: Residual blocks at each resolution.
        patch: Side of the square of pixels that becomes one position of the finest resolution.
        dropout: Dropout rate, from 0 to 1.
        steps: Optimiser steps in all.
        batch_size: Images in each step.
        learning_rate: Peak step size of Adam.
        autocast: Whether to train in bfloat16; on a GPU alone unless given.
        seed: Seed of first weights, batches and noise.
        progress: Whether to show a progress bar.
    """
    first = None if start is None else load_prior(start)
    _train(
        training.train_score, data, out, held_out, labels, augment=training.mirrored if mirror else None, start=first,
        widths=widths, blocks=blocks, patch=patch, dropout=dropout, steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, autocast=autocast, seed=seed, progress=progress,
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


def train_flow(
    data: Path,
    out: Path,
    held_out: int = 0,
    levels: list[int] = [8, 8],  # noqa: B006
    widths: list[int] = [64, 96],  # noqa: B006
    dense: int = 4,
    dense_width: int = 384,
    dropout: float = 0.2,
    steps: int = 10_000,
    batch_size: int = 96,
    learning_rate: float = 1e-3,
    autocast: bool | None = None,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Train a flow prior by maximum likelihood; a run that stopped goes on from its checkpoint.

    Args:
        data: Images of one size, whose sides are multiples of 2 for each level: a folder of pictures (png, jpg) or an
            array in [-1, 1] (npy, npz).
        out: Folder for the prior, its checkpoint, log and sample sheets.
        held_out: How many of the last images to keep out of training, to log bits a dimension on.
        levels: Steps at each level, finest first.
        widths: Features of the couplings at each level.
        dense: Steps after the last level whose couplings see the whole image.
        dense_width: Their features.
        dropout: Dropout rate, from 0 to 1.
        steps: Optimiser steps in all.
        batch_size: Images in each step.
        learning_rate: Peak step size of Adam.
        autocast: Whether to train in bfloat16; on a GPU alone unless given.
        seed: Seed of first weights, batches and noise.
        progress: Whether to show a progress bar.
    """
    network = dict(steps=levels, widths=widths, dense=dense, dense_width=dense_width, dropout=dropout)
    _train(
        training.train_flow, data, out, held_out, network=network, steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, autocast=autocast,
        seed=seed, progress=progress,
    )  # fmt: skip


def train_mri(
    data: Path,
    validation: Path,
    out: Path,
    network: Literal["unet", "modl", "varnet"] = "varnet",
    mask: MaskKind = "random",
    acceleration: float = 4.0,
    calibration: int | None = None,
    snr: float = 20.0,
    num_coils: int = 8,
    steps: int = 8000,
    batch_size: int = 1,
    learning_rate: float = 1e-3,
    evaluate_every: int = 500,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Train a network that reconstructs MRI scans, of slices scanned anew in each step; a stopped run goes on.

    Args:
        data: Magnitudes of one size, twice that of the reconstruction, with sides that are multiples of 4: a folder of
            pictures (png, jpg) or an array (npy, npz) of integers from 0 to 255.
        validation: The same, of other slices: the weights that reconstruct them best are kept.
        out: Folder for the network, its checkpoint and log.
        network: unet, modl or varnet.
        mask: Family of masks.
        acceleration: Nominal acceleration.
        calibration: Columns of the middle that are measured, or rows and columns; a share of all unless given.
        snr: Mean magnitude in the object, relative to the noise in each real component.
        num_coils: Coils.
        steps: Optimiser steps in all.
        batch_size: Slices in each step.
        learning_rate: Peak step size of Adam.
        evaluate_every: Steps between two looks at the validation slices.
        seed: Seed of first weights, slices, coils, masks and noise.
        progress: Whether to show a progress bar.
    """
    slices, held_out = ((load_images(path) + 1) / 2 for path in (data, validation))
    model = training.train_reconstruction(
        slices, out, validation=complex_images(held_out, Noise.of(0, len(held_out))), augment=augmented,
        network=network, mask=mask, acceleration=acceleration, calibration=calibration, snr=snr, num_coils=num_coils,
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, evaluate_every=evaluate_every, seed=seed,
        device=str(default_device()), progress=progress,
    )  # fmt: skip
    save_network(model, out)
    log = out / "log.jsonl"
    best = min(json.loads(line)["validation nmse"] for line in log.read_text(encoding="utf-8").splitlines())
    print(f"validation nmse {best:.4g}\nthe network is in {out}, its log in {log}")
    solver = {"unet": "UNet", "modl": "MoDL", "varnet": "VarNet"}[network]
    print(f"use it as samplers.baselines.{solver}({str(out)!r})")


def _train(
    train: Callable[..., Any], data: Path, out: Path, held_out: int, labels: Path | None = None, **options: Any
) -> None:
    images = load_images(data)
    size = len(images) - held_out
    if not 0 < size <= len(images):
        raise InvalidValueError(f"held_out must be from 0 to {len(images) - 1}, fewer than the images; got {held_out}")
    rest = images[size:] if held_out else None
    if labels is not None:
        shown = read_labels(labels, len(images))
        names = sorted(set(shown), key=lambda name: (name.isdigit(), name.zfill(len(max(shown, key=len)))))
        options["labels"] = torch.tensor([names.index(one) for one in shown[:size]])
        print("classes: " + ", ".join(f"{number} {name}" for number, name in enumerate(names)))
    model = train(images[:size], out, held_out=rest, device=str(default_device()), **options)
    save_prior(model, out)
    log, sheet = out / "log.jsonl", out / f"samples-{options['steps']}.png"
    name = f"./{out}" if str(out) in list_priors() else str(out)  # or a shipped prior would be meant
    figures = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    print(", ".join(f"{what} {value:.4g}" for what, value in figures.items()))
    print(f"the prior is in {out}, its log in {log}" + (f", samples of it in {sheet}" if sheet.exists() else ""))
    print(f"use it with posterior sample --prior {name} --image FILE, or load_prior({name!r})")
