"""Arrays of BART, the Berkeley Advanced Reconstruction Toolbox: numbers in `.cfl`, dimensions in `.hdr`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.checks import checked
from posterior.data.kspace import RawFile, RawSlice
from posterior.errors import FileFormatError, InvalidValueError, ShapeError
from posterior.io.readers import reading
from posterior.io.writing import atomic_write

_NUM_DIMS = 16
_SPATIAL, _COIL, _SLICE = (0, 1, 2), 3, 13
_NAMES = (
    "READ_DIM", "PHS1_DIM", "PHS2_DIM", "COIL_DIM", "MAPS_DIM", "TE_DIM", "COEFF_DIM", "COEFF2_DIM", "ITER_DIM",
    "CSHIFT_DIM", "TIME_DIM", "TIME2_DIM", "LEVEL_DIM", "SLICE_DIM", "AVG_DIM", "BATCH_DIM",
)  # fmt: skip
_NUMBER = np.dtype("<c8")


@checked
def read_cfl(path: str | Path) -> Tensor:
    """The array of a pair of files, complex64, in BART's order of dimensions, without those of size 1 at the end.

    Args:
        path: Either file, or what their names have in common.

    Raises:
        FileFormatError: A file is missing, cut off, too long, or its header has no dimensions.
    """
    numbers, sizes = _sizes(Path(path))
    dims = max((d + 1 for d, n in enumerate(sizes) if n > 1), default=1)
    return torch.from_numpy(_read(numbers, sizes[:dims]))


@checked
def write_cfl(path: str | Path, values: Tensor) -> None:
    """Write an array as BART reads it, complex64, both files or neither.

    Args:
        path: Either file, or what their names have in common.
        values: Of at most 16 dimensions, in BART's order: readout, two phase encodings, coils, sets of maps, echoes, …

    Raises:
        ShapeError: There are more dimensions, or no numbers.
        InvalidValueError: They are not real or complex numbers, or not finite.
        FileWriteError: The files cannot be written.
    """
    if values.ndim > _NUM_DIMS or not values.numel():
        raise ShapeError(f"BART has arrays of up to {_NUM_DIMS} dimensions; got one of shape {tuple(values.shape)}")
    if not (values.is_complex() or values.is_floating_point()):
        raise InvalidValueError(f"BART has complex numbers; got {values.dtype}")
    numbers, header = _pair(Path(path))
    dims = [*values.shape, *[1] * (_NUM_DIMS - values.ndim)]
    last = max((d for d, n in enumerate(values.shape) if n > 1), default=0)
    with atomic_write(numbers) as stream, atomic_write(header) as text:
        # one after another, since an array on the disk may be larger than memory
        for part in torch.atleast_1d(values).movedim(last, 0):
            single = part.detach().cpu().to(torch.complex64).resolve_conj().numpy()
            stream.write(single.astype(_NUMBER).tobytes(order="F"))
        text.write(f"# Dimensions\n{' '.join(map(str, dims))}\n".encode())


@checked
def read_bart(path: str | Path, maps: str | Path | None = None) -> RawFile:
    """Slices of k-space, of dimensions READ, PHS1, PHS2 (one of the three of size 1), COIL and SLICE, one at a time.

    Where all coils are exactly zero nothing was measured, as BART has it. Rows and columns are the first and second of
    the spatial dimensions that are not 1. There is no header: oversampling stays, and pixels have no spacing.

    Args:
        path: Either file, or what their names have in common.
        maps: Likewise, of coil maps with the same dimensions; one set (MAPS) of them.

    Raises:
        FileFormatError: A file is missing, cut off or too long, or has other dimensions.
    """
    kspace, shape = _stack(Path(path))
    sensitivities, maps_shape = (None, shape) if maps is None else _stack(Path(maps))
    if maps_shape != shape:
        raise FileFormatError(
            f"{maps} has the dimensions {maps_shape} (rows, columns, coils, slices), and {path} {shape}"
        )

    def read(index: int) -> RawSlice:
        values = _slice(kspace, shape, index)
        pattern = (values != 0).any(0)
        columns = pattern.any(0)
        return RawSlice(
            source=f"{path}, slice {index}",
            kspace=values,
            mask=columns if bool((pattern == columns).all()) else pattern,
            maps=None if sensitivities is None else _slice(sensitivities, shape, index),
            facts={"slice": index},
        )

    return RawFile(Path(path), shape[-1], read)


def _pair(path: Path) -> tuple[Path, Path]:
    """The files of numbers and of dimensions."""
    base = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    return base.with_name(base.name + ".cfl"), base.with_name(base.name + ".hdr")


def _sizes(path: Path) -> tuple[Path, tuple[int, ...]]:
    """The file of numbers, and the sizes of all dimensions, which it fills."""
    numbers, header = _pair(path)
    with reading(header, "a header of BART"):
        lines = header.read_text(encoding="ascii").splitlines()
        if "# Dimensions" not in lines[:-1]:
            raise FileFormatError(f"{header} has no line `# Dimensions` with sizes below it")
        words = lines[lines.index("# Dimensions") + 1].split()
        if not 1 <= len(words) <= _NUM_DIMS or not all(word.isdigit() and int(word) > 0 for word in words):
            raise FileFormatError(f"{header}: `# Dimensions` are {' '.join(words)!r}; expected up to 16 sizes, from 1")
        sizes = tuple(map(int, words))
    with reading(numbers, "numbers of BART"):
        found, expected = numbers.stat().st_size, _NUMBER.itemsize * math.prod(sizes)
    if found < expected:
        raise FileFormatError(
            f"{numbers} is cut off: it has {found} bytes, and {header} announces {expected}, for {sizes}; "
            f"{expected - found} are missing"
        )
    if found > expected:
        raise FileFormatError(f"{numbers} has {found} bytes, more than the {expected} that {header} announces")
    return numbers, sizes


def _stack(path: Path) -> tuple[Path, tuple[int, ...]]:
    """The file of numbers, and how many rows, columns, coils and slices it has, in this order."""
    numbers, sizes = _sizes(path)
    sizes = (*sizes, *[1] * (_NUM_DIMS - len(sizes)))
    for d, size in enumerate(sizes):
        if size > 1 and d not in (*_SPATIAL, _COIL, _SLICE):
            raise FileFormatError(f"{path} has {size} values along {_NAMES[d]} (dimension {d}); take one of them")
    image = [sizes[d] for d in _SPATIAL if sizes[d] > 1]
    if len(image) != 2:
        raise FileFormatError(f"{path} has the spatial dimensions {sizes[:3]}; expected one of them to be 1")
    return numbers, (*image, sizes[_COIL], sizes[_SLICE])


def _slice(numbers: Path, shape: tuple[int, ...], index: int) -> Tensor:
    """One slice, (C, H, W)."""
    return torch.from_numpy(_read(numbers, shape[:-1], index)).permute(2, 0, 1).contiguous()


def _read(numbers: Path, shape: tuple[int, ...], index: int = 0) -> NDArray[np.complex64]:
    """The array of this shape that follows `index` others."""
    count = math.prod(shape)
    with reading(numbers, "numbers of BART"):
        values = np.fromfile(numbers, _NUMBER, count, offset=index * count * _NUMBER.itemsize)
        return values.astype(np.complex64).reshape(shape, order="F")
