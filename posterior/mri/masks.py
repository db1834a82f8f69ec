"""Which frequencies are measured: masks of Cartesian MRI.

Masks are bool, (H, W), with the zero frequency at (⌊H/2⌋, ⌊W/2⌋), as `MultiCoilMRI` takes them. Each function takes the
nominal acceleration R; `true_acceleration` says what came of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from posterior.checks import Count, Range, Size, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.mri.poisson import poisson_points
from posterior.noise import Noise

Acceleration = Annotated[float, Range(1)]
_GOLDEN = math.pi * (math.sqrt(5) - 1) / 2  # between spokes


@checked
def random_mask(
    shape: Sequence[Count], acceleration: Acceleration, calibration: Size | None = None, seed: int = 0
) -> Tensor:
    """Columns drawn at random, all alike, beside those of the middle: W/R columns in all.

    Args:
        shape: (H, W).
        acceleration: R.
        calibration: How many columns of the middle are measured; 8 % of all unless given, 4 % where R > 6.
        seed: Of the draw.

    Raises:
        ShapeError: The shape is not (H, W).
        InvalidValueError: There are fewer columns in all than in the middle, or none.
    """
    height, width = _sides(shape)
    middle = _middle((width,), calibration, acceleration)
    return _drawn(torch.zeros(width), middle, acceleration, seed).expand(height, width).clone()


@checked
def gaussian_columns_mask(
    shape: Sequence[Count], acceleration: Acceleration, calibration: Size | None = None, seed: int = 0
) -> Tensor:
    """Columns drawn without replacement in proportion to a Gaussian of standard deviation W/6: W/R columns in all.

    Arguments and errors are those of `random_mask`.
    """
    height, width = _sides(shape)
    middle = _middle((width,), calibration, acceleration)
    columns = _drawn(-0.5 * (6 * _offsets(width) / width).square(), middle, acceleration, seed)
    return columns.expand(height, width).clone()


@checked
def equispaced_mask(
    shape: Sequence[Count], acceleration: Acceleration, calibration: Size | None = None, seed: int = 0
) -> Tensor:
    """Every R-th column from one drawn at random, and those of the middle, which lower the true acceleration.

    Arguments and errors are those of `random_mask`; there are about W/R columns beside the middle.
    """
    height, width = _sides(shape)
    columns = _middle((width,), calibration, acceleration)
    _budget(torch.zeros_like(columns), acceleration)
    places = acceleration * (float(_uniform((1,), seed)) + torch.arange(width, dtype=torch.float64))
    columns[places[places < width].long()] = True
    return columns.expand(height, width).clone()


@checked
def gaussian_mask(
    shape: Sequence[Count], acceleration: Acceleration, calibration: Size | None = None, seed: int = 0
) -> Tensor:
    """Points drawn without replacement in proportion to a Gaussian of standard deviations (H, W)/6: HW/R in all.

    Args:
        shape: (H, W).
        acceleration: R.
        calibration: Rows and columns of the middle in which all is measured; 8 % of the shorter side unless given, 4 %
            where R > 6.
        seed: Of the draw.

    Raises:
        ShapeError: The shape is not (H, W).
        InvalidValueError: There are fewer points in all than in the middle, or none.
    """
    height, width = _sides(shape)
    rows, columns = (6 * _offsets(n) / n for n in (height, width))
    log_weights = -0.5 * (rows[:, None].square() + columns.square())
    return _drawn(log_weights, _middle((height, width), calibration, acceleration), acceleration, seed)


@checked
def poisson_mask(
    shape: Sequence[Count], acceleration: Acceleration, calibration: Size | None = None, seed: int = 0
) -> Tensor:
    r"""Points at random of which none is too near another, sparser away from the middle: HW/R in all.

    The points are visited in random order, and each is taken unless one that was taken lies nearer than its distance
    \(1 + s|k|\), with |k| = 1 at the ends of the axes and s such that there are enough; the last ones are left out.

    Arguments and errors are those of `gaussian_mask`.

    References:
        Lustig, Alley, Vasanawala, Donoho & Pauly 2009, L1 SPIR-iT, Proc. ISMRM 17 (Poisson discs for parallel imaging).
    """
    height, width = _sides(shape)
    middle = _middle((height, width), calibration, acceleration)
    wanted = _budget(middle, acceleration)
    rows, columns = (2 * _offsets(n) / n for n in (height, width))
    radius = (rows[:, None].square() + columns.square()).sqrt()
    order = _uniform((height * width,), seed).argsort()
    mask = middle.flatten().clone()
    mask[poisson_points(radius.numpy(), middle.numpy(), order.numpy(), wanted - int(middle.sum()))] = True
    return mask.reshape(height, width)


@checked
def radial_mask(
    shape: Sequence[Count], acceleration: Acceleration, calibration: Size | None = None, seed: int = 0
) -> Tensor:
    """The grid points next to spokes through the zero frequency, a golden angle apart, until there are HW/R.

    Arguments and errors are those of `gaussian_mask`; the first angle is drawn, and the last spoke is in full.
    """
    height, width = _sides(shape)
    mask = _middle((height, width), calibration, acceleration)
    wanted, first = _budget(mask, acceleration), float(_uniform((1,), seed)) * math.pi
    along = torch.linspace(-1, 1, 4 * max(height, width) + 1, dtype=torch.float64) * math.sqrt(0.5)
    for spoke in itertools.count():  # they come to every point in the end
        if int(mask.sum()) >= wanted:
            break
        angle = first + spoke * _GOLDEN
        row = torch.round(height // 2 + height * along * math.sin(angle)).long()
        column = torch.round(width // 2 + width * along * math.cos(angle)).long()
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        mask[row[inside], column[inside]] = True
    return mask


MASKS = {
    "random": random_mask,
    "equispaced": equispaced_mask,
    "gaussian-columns": gaussian_columns_mask,
    "gaussian": gaussian_mask,
    "poisson": poisson_mask,
    "radial": radial_mask,
}
"""Functions that make masks, by name."""


@checked
def true_acceleration(mask: Tensor) -> float:
    """How many frequencies there are for each that is measured, the middle included.

    Raises:
        InvalidValueError: Nothing is measured.
    """
    if not bool((mask != 0).any()):
        raise InvalidValueError("true_acceleration got a mask that measures nothing")
    return mask.numel() / int((mask != 0).sum())


@checked
def calibration_region(mask: Tensor) -> tuple[int, int]:
    """Rows and columns of the largest middle in which all is measured, for `espirit_maps`.

    Args:
        mask: (H, W).

    Raises:
        ShapeError: It is not (H, W).
        InvalidValueError: The zero frequency is not measured.
    """
    if mask.ndim != 2 or mask.numel() == 0:
        raise ShapeError(f"calibration_region needs a mask (H, W), got {tuple(mask.shape)}")
    # In the order in which a growing middle takes them: 0, −1, 1, −2, …
    rows, columns = (_offsets(n).to(mask.device) for n in mask.shape)
    grown = (mask != 0)[(2 * rows + 0.5).abs().argsort()][:, (2 * columns + 0.5).abs().argsort()]
    whole = grown.int().cumprod(0).cumprod(1)
    if not bool(whole[0, 0]):
        raise InvalidValueError("calibration_region: the zero frequency, (⌊H/2⌋, ⌊W/2⌋), is not measured")
    area = whole * torch.arange(1, len(rows) + 1, device=mask.device)[:, None]
    area = area * torch.arange(1, len(columns) + 1, device=mask.device)
    row, column = divmod(int(area.argmax()), len(columns))
    return row + 1, column + 1


def _sides(shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ShapeError(f"the shape of a mask must be (H, W), got {tuple(shape)}")
    return shape[0], shape[1]


def _offsets(n: int) -> Tensor:
    """Frequencies along an axis, in order."""
    return torch.arange(n, dtype=torch.float64) - n // 2


def _uniform(shape: Sequence[int], seed: int) -> Tensor:
    return Noise.of(seed, dtype=torch.float64).use("mask").uniform(shape)[0, 0]


def _middle(shape: tuple[int, ...], calibration: int | None, acceleration: float) -> Tensor:
    """Which points are in the middle, of (W,) or (H, W)."""
    share = 0.08 if acceleration <= 6 else 0.04
    size = round(share * min(shape)) if calibration is None else calibration
    if size > min(shape):
        raise InvalidValueError(f"a mask of {' × '.join(map(str, shape))} has no middle of {size}")
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[tuple(slice(n // 2 - size // 2, n // 2 - size // 2 + size) for n in shape)] = True
    return mask


def _budget(middle: Tensor, acceleration: float) -> int:
    """How many points are measured in all."""
    count, least = round(middle.numel() / acceleration), int(middle.sum())
    if count < max(1, least):
        raise InvalidValueError(
            f"acceleration {acceleration:g} leaves {count} of {middle.numel()}, with {least} in the middle: lower "
            "acceleration or calibration"
        )
    return count


def _drawn(log_weights: Tensor, middle: Tensor, acceleration: float, seed: int) -> Tensor:
    """The middle, and as many points as are left drawn by weight without replacement (the Gumbel trick)."""
    keys = log_weights - (-_uniform(middle.shape, seed).log()).log()
    keys[middle] = math.inf
    mask = torch.zeros(middle.numel(), dtype=torch.bool)
    mask[keys.flatten().topk(_budget(middle, acceleration)).indices] = True
    return mask.reshape(middle.shape)
