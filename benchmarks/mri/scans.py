"""Simulated scans of heads and brains, and what a reconstruction is given of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from posterior.data import RawSlice, load_brain
from posterior.data.shipped import BrainSlices
from posterior.mri import MASKS, espirit_maps, random_maps, simulate
from posterior.mri.scans import MaskKind
from posterior.noise import Noise
from posterior.reconstruction import Prepared, prepare

SHAPE, COILS, SNR, SEED = (96, 112), 8, 20.0, 22
NOISE_SAMPLES = 4096  # of a coil, in the scan of noise


@dataclass(frozen=True)
class Cell:
    """A kind of scan.

    Attributes:
        title: Its name in tables.
        brain: Which slices are scanned.
        mask: Family of masks.
        acceleration: Nominal R.
        calibration: Columns of the middle that are measured, or rows and columns.
        wrong: What the reconstruction is told wrongly: coil maps of a head 8 mm further to the front, or half of the
            noise level.
    """

    title: str
    brain: BrainSlices = "test"
    mask: MaskKind = "random"
    acceleration: float = 4.0
    calibration: int = 9
    wrong: Literal["", "maps", "noise"] = ""


@dataclass(frozen=True)
class Scans:
    """Slices of a cell, prepared, and what their magnitudes are."""

    prepared: list[Prepared]
    truth: Tensor

    @property
    def acceleration(self) -> float:
        """True acceleration, on average."""
        return sum(one.acceleration for one in self.prepared) / len(self.prepared)

    @property
    def scale(self) -> float:
        """What images are divided by, over the 0.99-quantile of the truth, on average."""
        quantiles = self.truth.flatten(1).quantile(0.99, dim=1)
        return float((torch.tensor([one.scale for one in self.prepared]) / quantiles).mean())


def scans_of(cell: Cell, count: int) -> Scans:
    """Slices spread evenly over those of the cell, each with coils, phase, mask and noise of its own."""
    slices = load_brain(cell.brain)[:, 0]
    magnitudes = slices[torch.linspace(0, len(slices) - 1, count).round().long()]
    seeds = [100 * SEED + number for number in range(count)]
    fine = torch.stack([random_maps(COILS, *magnitudes.shape[-2:], seed=seed) for seed in seeds])
    made = simulate(magnitudes, fine, SNR, seed=SEED, shape=SHAPE)
    noise = Noise.of(SEED, count).use("noise scan").normal((COILS, NOISE_SAMPLES, 2))[0]
    prepared = []
    for number, seed in enumerate(seeds):
        mask = MASKS[cell.mask](SHAPE, cell.acceleration, cell.calibration, seed=seed)
        std = float(made.noise_std[number]) * (0.5 if cell.wrong == "noise" else 1)
        raw = RawSlice(
            f"{cell.title}, slice {number}", made.kspace[number] * mask, mask,
            noise=std * torch.view_as_complex(noise[number]),
        )  # fmt: skip
        if cell.wrong == "maps":
            raw = replace(raw, maps=_moved(made.kspace[number], std))
        prepared.append(prepare(raw))
    return Scans(prepared, torch.linalg.vector_norm(made.image, dim=1))


def _moved(kspace: Tensor, std: float) -> Tensor:
    """Maps of a scan before which the head lay 8 mm, 4 pixels, further to the front, and the coils with it."""
    return espirit_maps(kspace, (24, 24), noise_std=std).roll(4, -1)
