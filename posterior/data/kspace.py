"""Raw data of magnetic resonance imaging, one slice at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from posterior.checks import Values, check_fields
from posterior.data.geometry import Geometry
from posterior.errors import FileFormatError, InvalidValueError, ShapeError, check_finite


@dataclass(frozen=True, eq=False)
class RawSlice:
    """What the coils measured of one image.

    H runs along the readout and W along the phase encoding, but where a file says otherwise; the zero frequency is at
    (⌊H/2⌋, ⌊W/2⌋). The image is the inverse of the orthonormal Fourier transform, as `MultiCoilMRI` has it, and covers
    the field of view that was encoded: along W, that of the scan may have been larger than that of its image.

    Attributes:
        source: The file and the image in it, for messages.
        kspace: (C, H, W), complex, zero where nothing was measured.
        mask: True where something was: (W,) for whole columns, or (H, W).
        noise: (C, samples), complex: the coils' noise alone, as strong as in `kspace`; None if it was not scanned.
        maps: Coil sensitivities (C, H, W), complex, if the file has them; kept in the precision of k-space.
        reference: The image (H', W') that the file holds as the true one, real, if it does.
        geometry: Spacing, and place if known, of the image's pixels; None if not even the spacing is known.
        facts: What else the file says, by name.
        notes: What the reader did beyond what the file says in so many words: inferred, averaged, or left out.
        calibration: k-space (C, H, W) that was measured apart, for coil maps: complex, zero where nothing was measured.

    Raises:
        FileFormatError: k-space is zero.
        ShapeError: Shapes do not agree.
        InvalidValueError: k-space, noise, maps or calibration are not complex, or the reference is.
        NotFiniteError: NaN or infinity.
    """

    source: str
    kspace: Values
    mask: Values
    noise: Values | None = None
    maps: Values | None = None
    reference: Values | None = None
    geometry: Geometry | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    calibration: Values | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self._check("k-space", self.kspace, ("C", "H", "W"))
        coils, *image = self.kspace.shape
        self._check("noise", self.noise, (coils, "samples"))
        self._check("maps", self.maps, (coils, *image))
        self._check("calibration", self.calibration, (coils, *image))
        self._check("reference", self.reference, ("H", "W"), is_complex=False)
        if self.maps is not None:  # files may hold k-space in double precision, and maps of another program in single
            object.__setattr__(self, "maps", self.maps.to(self.kspace.dtype))
        if tuple(self.mask.shape) not in ((image[1],), tuple(image)) or self.mask.dtype is not torch.bool:
            raise ShapeError(
                f"{self.source}: the mask is {self.mask.dtype} of shape {tuple(self.mask.shape)}; expected bools "
                f"of shape ({image[1]},) or {tuple(image)}"
            )
        if not bool(self.kspace.any()):
            raise FileFormatError(f"{self.source}: k-space is zero; nothing was measured, or nothing written")
        if bool((self.kspace * ~self.mask).any()):
            raise InvalidValueError(f"{self.source}: k-space is not zero where the mask says that nothing was measured")

    @property
    def pixel_spacing(self) -> tuple[float, float] | None:
        """From one row to the next, and from one column to the next, in mm."""
        return None if self.geometry is None else self.geometry.pixel_spacing

    def _check(self, what: str, values: Tensor | None, shape: Sequence[int | str], is_complex: bool = True) -> None:
        """Check numbers, if there are any; a size with a name may be any but 0."""
        if values is None:
            return
        sizes = zip(values.shape, shape, strict=False)
        if values.ndim != len(shape) or not all(n == size or (isinstance(size, str) and n) for n, size in sizes):
            expected = ", ".join(map(str, shape))
            raise ShapeError(f"{self.source}: {what} of shape {tuple(values.shape)}; expected ({expected})")
        if not (values.is_complex() if is_complex else values.is_floating_point()):
            expected = "complex" if is_complex else "real"
            raise InvalidValueError(f"{self.source}: {what} holds {values.dtype}; expected {expected} numbers")
        check_finite(f"{self.source}: {what}", values, "measure it again, or convert the file anew")


class RawFile(Sequence[RawSlice]):
    """The slices of a file, each of which is read when it is asked for.

    Args:
        path: The file.
        length: How many there are.
        read: Reads one by its number, 0 … length − 1; raises what `RawSlice` and the reader of its format raise.
        volumes: The name of the volume that each is a slice of, as in "contrast 1"; "" for all unless given.
    """

    def __init__(
        self, path: Path, length: int, read: Callable[[int], RawSlice], volumes: Sequence[str] | None = None
    ) -> None:
        self.path, self._length, self._read = path, length, read
        self.volumes = [""] * length if volumes is None else list(volumes)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> RawSlice: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RawSlice]: ...
    def __getitem__(self, index: int | slice) -> RawSlice | Sequence[RawSlice]:
        numbers = range(self._length)[index]
        if isinstance(numbers, int):
            return self._read(numbers)
        volumes = [self.volumes[number] for number in numbers]
        return RawFile(self.path, len(numbers), lambda i: self._read(numbers[i]), volumes)


def crop_readout(values: Tensor, length: int) -> Tensor:
    """Keep the middle rows of images (..., H, W): their field of view along the readout, without its oversampling."""
    start = values.shape[-2] // 2 - length // 2
    return values[..., start : start + length, :]


def crop_oversampling(kspace: Tensor, length: int) -> Tensor:
    """k-space (..., H, W) of the middle rows of its image; whole columns stay what they were, measured or not."""
    if length == kspace.shape[-2]:
        return kspace
    shifted = torch.fft.ifftshift(kspace, dim=-2)
    image = torch.fft.fftshift(torch.fft.ifft(shifted, dim=-2, norm="ortho"), dim=-2)
    shifted = torch.fft.ifftshift(crop_readout(image, length), dim=-2)
    return torch.fft.fftshift(torch.fft.fft(shifted, dim=-2, norm="ortho"), dim=-2)
