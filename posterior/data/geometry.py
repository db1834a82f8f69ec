"""Where in the patient pixels lie, and stacks of slices that know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from posterior.checks import Positive, Real, check_fields
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError, check_finite

Vector = tuple[float, float, float]

_WAYS = (("right", "left"), ("front", "back"), ("feet", "head"))  # of coordinates that fall, and that grow
_TOLERANCE = 1e-2  # of a spacing or a unit vector: scanners write positions to a hundredth of a millimetre


@dataclass(frozen=True)
class Geometry:
    r"""Spacing and place of voxels (slice, row, column) in millimetres, \(p = o + k s_0 u_0 + i s_1 u_1 + j s_2 u_2\).

    Coordinates are DICOM's, which grow to the patient's left, back and head.

    Attributes:
        spacing: s, from one slice, row and column to the next.
        origin: o, the centre of the first voxel; None if it is not known where the patient lies.
        axes: u, unit vectors along which the numbers of slices, rows and columns grow; None as well.
        thickness: Of a slice, which is less than their spacing where there are gaps between them; None if not known.
            A spacing of slices that is equal to it, without a place, is no more than a guess.

    Raises:
        InvalidValueError: A spacing is not positive, axes are no unit vectors, parallel, or given without an origin.
    """

    spacing: tuple[Positive, Positive, Positive]
    origin: Vector | None = None
    axes: tuple[Vector, Vector, Vector] | None = None
    thickness: Positive | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.origin is None) != (self.axes is None):
            raise InvalidValueError("a Geometry has both an origin and axes, or neither")
        if self.axes is not None and self.origin is not None:
            axes = np.array(self.axes)
            if np.abs(np.linalg.norm(axes, axis=1) - 1).max() > _TOLERANCE:
                raise InvalidValueError(f"axes of a Geometry are unit vectors; got {self.axes}")
            if abs(np.linalg.det(axes)) < _TOLERANCE:
                raise InvalidValueError(f"axes of slices, rows and columns lie in one plane: {self.axes}")

    @property
    def pixel_spacing(self) -> tuple[float, float]:
        """From one row to the next, and from one column to the next, in mm."""
        return self.spacing[1:]

    @property
    def orientation(self) -> str | None:
        """Where in the patient rows and columns go, to the nearest axis, in words; None if it is not known."""
        if self.axes is None:
            return None
        words = []
        for axis in self.axes[1:]:
            nearest = int(np.abs(axis).argmax())
            words.append(_WAYS[nearest][int(axis[nearest] > 0)])
        return f"rows go to the {words[0]}, columns to the {words[1]}"

    def affine(self) -> NDArray[np.float64]:
        """The matrix (4, 4) that maps (slice, row, column, 1) to a place; the spacings on its diagonal if unplaced."""
        matrix = np.diag([*self.spacing, 1.0])
        if self.axes is not None and self.origin is not None:
            matrix[:3, :3] = np.array(self.axes).T * self.spacing
            matrix[:3, 3] = self.origin
        return matrix

    @classmethod
    def from_affine(cls, affine: NDArray[np.float64]) -> Geometry:
        """The geometry of a matrix as `affine` gives it.

        Raises:
            InvalidValueError: It maps to no volume.
        """
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if not (np.isfinite(affine).all() and (spacing > 0).all()):
            raise InvalidValueError(f"the affine maps voxels to no volume: {affine.tolist()}")
        return cls.placed(_vector(spacing), affine[:3, 3], (affine[:3, :3] / spacing).T)

    @classmethod
    def placed(
        cls, spacing: Vector, origin: NDArray[np.float64], axes: NDArray[np.float64], thickness: float | None = None
    ) -> Geometry:
        """The geometry of arrays: an origin (3,) and axes (3, 3), one a row.

        Raises:
            InvalidValueError: As for the constructor.
        """
        first, second, third = map(_vector, axes)
        return cls(spacing, _vector(origin), (first, second, third), thickness)

    def at(self, index: int) -> Geometry:
        """The geometry that begins with another slice."""
        if self.axes is None or self.origin is None:
            return self
        origin = np.array(self.origin) + index * self.spacing[0] * np.array(self.axes[0])
        return replace(self, origin=_vector(origin))

    @classmethod
    def stacked(cls, slices: Sequence[Geometry]) -> Geometry:
        """The geometry of slices, each with its own, in their order.

        Raises:
            IncompatibleError: They are turned against each other, of different spacing, or not evenly spaced on a line.
        """
        first = slices[0]
        if len(slices) == 1 or first.origin is None or first.axes is None:
            if any(one != first for one in slices):
                raise IncompatibleError("slices differ in spacing, or some have a place and others have none")
            return first
        if any(one.origin is None or not np.allclose(_frame(one), _frame(first), atol=_TOLERANCE) for one in slices):
            raise IncompatibleError("slices are turned against each other, or differ in spacing")
        origins = np.array([one.origin for one in slices])
        step = (origins[-1] - origins[0]) / (len(slices) - 1)
        spacing = float(np.linalg.norm(step))
        if not spacing > 0 or np.abs(np.diff(origins, axis=0) - step).max() > _TOLERANCE * spacing:
            raise IncompatibleError("slices are not evenly spaced on a line; write them apart, or in their order")
        axes = (_vector(step / spacing), *first.axes[1:])
        return cls((spacing, *first.pixel_spacing), first.origin, axes, first.thickness)


@dataclass(frozen=True, eq=False)
class Volume:
    """A stack of magnitude images and its place.

    Attributes:
        values: (N, H, W), real and finite.
        geometry: Of its voxels; None if not even their size is known.

    Raises:
        ShapeError: There are no such values.
        InvalidValueError: They are not real numbers.
        NotFiniteError: NaN or infinity.
    """

    values: Real
    geometry: Geometry | None

    def __post_init__(self) -> None:
        check_fields(self)
        check_magnitudes("a volume", self.values)


def check_magnitudes(what: str, values: Tensor, shape: Sequence[int] | None = None) -> None:
    """Check that values are (N, H, W), or of another shape, of real and finite numbers.

    Raises:
        ShapeError, InvalidValueError, NotFiniteError: They are not.
    """
    if values.ndim != 3 if shape is None else tuple(values.shape) != tuple(shape):
        expected = "(N, H, W)" if shape is None else tuple(shape)
        raise ShapeError(f"{what} has shape {tuple(values.shape)}; expected {expected}")
    if 0 in values.shape:
        raise ShapeError(f"{what} is empty: its shape is {tuple(values.shape)}")
    if not values.is_floating_point():
        raise InvalidValueError(f"{what} holds {values.dtype}; expected real numbers, of complex ones the magnitudes")
    for index in np.ndindex(*values.shape[:-2]):  # a slice at a time, since draws of a volume may be on the disk
        check_finite(f"{what}, slice {index[-1]}", values[index], "repair them")


def check_estimates(mean: Tensor, std: Tensor | None, draws: Tensor | None) -> None:
    """Check a mean (N, H, W), and what goes with it: standard deviations of its shape, and draws (S, N, H, W).

    Raises:
        ShapeError, InvalidValueError, NotFiniteError: They are of other shapes, not real, or not finite.
    """
    check_magnitudes("mean", mean)
    if std is not None:
        check_magnitudes("std", std, mean.shape)
    if draws is not None:
        check_magnitudes("draws", draws, (*draws.shape[:1], *mean.shape))


def _frame(geometry: Geometry) -> NDArray[np.float64]:
    return np.vstack([geometry.axes or np.zeros((3, 3)), geometry.spacing])


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = values.tolist()
    return float(x), float(y), float(z)
