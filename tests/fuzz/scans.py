"""Files of scanners: what is written to them, and what is read, as `tests.fuzz.calls` has the rest."""

import shutil
from collections.abc import Callable
from typing import Any

import torch

from posterior.data import (
    Geometry,
    RawSlice,
    Volume,
    read_cfl,
    read_dicom,
    read_nifti,
    write_cfl,
    write_dicom,
    write_fastmri,
    write_kspace,
    write_nifti,
)  # fmt: skip
from posterior.mri import random_maps, simulate
from posterior.reconstruction import prepare
from tests.fuzz.oracle import Allowed, Call, either, numbers, real, several
from tests.fuzz.settings import COUNT

VALUES = torch.rand(1, 2, 3, generator=torch.Generator().manual_seed(0))
AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
PLACE = Geometry((3.0, 2.0, 1.0), (0.0, 1.0, 2.0), AXES)
SCAN_MAPS = random_maps(3, 12, 12)
SCAN = simulate(torch.ones(1, 12, 12), SCAN_MAPS, 30.0)
COMPLEX = torch.complex64, torch.complex128
FLOATING = torch.float16, torch.bfloat16, torch.float32, torch.float64


def _volumes(*dims: int) -> Allowed:
    return numbers(lambda shape: len(shape) in dims and 0 not in shape, *FLOATING)


def _three(each: Allowed) -> Allowed:
    return lambda value: several(each)(value) and len(value) == 3


def _place(value: Any) -> bool:
    return value is None or isinstance(value, Geometry)


def _cfl(value: Any) -> bool:
    """Finite numbers, real or complex."""
    return numbers(lambda shape: 0 not in shape, *FLOATING, torch.complex64)(value)


def _written(
    write: Callable[..., None], path: str, read: Callable[[str], Any] = lambda path: None
) -> Callable[..., Any]:
    """Writes, and reads what was written."""

    def run(**arguments: Any) -> Any:
        write(path, **arguments)
        return read(path)

    return run


def _series(**arguments: Any) -> Any:
    shutil.rmtree("written", ignore_errors=True)
    write_dicom("written", **arguments)
    return read_dicom("written/mean").values


SCANS: dict[str, Call] = {
    "Geometry": Call(
        Geometry, lambda: {"spacing": (3.0, 2.0, 1.0), "origin": (0.0, 1.0, 2.0), "axes": AXES},
        {"spacing": _three(real(0, open_low=True)), "origin": _three(real()), "axes": lambda value: False,
         "thickness": either(None, real(0, open_low=True))},
        lambda geometry: torch.from_numpy(geometry.affine()), ("both an origin",),
    ),
    "Volume": Call(
        Volume, lambda: {"values": VALUES, "geometry": PLACE}, {"values": _volumes(3), "geometry": _place},
        lambda volume: volume.values, ("a volume",),
    ),
    "RawSlice": Call(
        RawSlice, lambda: {"source": "a scan", "kspace": VALUES * 1j, "mask": torch.ones(3) == 1},
        {
            "source": lambda value: isinstance(value, str), "kspace": lambda value: False, "mask": lambda value: False,
            "noise": either(None, numbers((1, 2), torch.complex64)), "maps": lambda value: value is None,
            "reference": either(None, _volumes(2)), "geometry": _place,
            "calibration": lambda value: value is None, "facts": lambda value: isinstance(value, dict),
            "notes": several(lambda value: isinstance(value, str)),
        },
        lambda raw: torch.view_as_real(raw.kspace), ("k-space",),
    ),
    "write_fastmri": Call(
        _written(write_fastmri, "written.h5"), lambda: {"mean": VALUES},
        {"mean": _volumes(3), "std": lambda value: value is None, "draws": lambda value: value is None},
    ),
    "write_kspace": Call(
        _written(write_kspace, "written.h5"), lambda: {"kspace": SCAN.kspace, "mask": torch.ones(12, 12)},
        {
            "kspace": numbers(lambda shape: len(shape) == 4 and shape[-2:] == (12, 12) and 0 not in shape, *COMPLEX),
            "mask": numbers(lambda shape: tuple(shape) == (12, 12)), "reference": lambda value: value is None,
            "geometry": lambda value: value is None,
        },
        names=("k-space",),
    ),
    "prepare": Call(
        prepare, lambda: {"raw": RawSlice("a scan", SCAN.kspace[0], torch.ones(12) == 1, maps=SCAN_MAPS)},
        {
            "raw": lambda value: False, "shape": either(None, several(COUNT, 2)),
            "window": either(None, lambda value: several(COUNT, 2)(value) and max(value) <= 12),
        },
        lambda prepared: torch.view_as_real(prepared.y), ("a slice is reconstructed on", "a scan"),
    ),
    "write_nifti": Call(
        _written(write_nifti, "written.nii", lambda path: read_nifti(path).values),
        lambda: {"values": VALUES, "geometry": PLACE}, {"values": _volumes(3, 4), "geometry": _place},
        names=("what a NIfTI file is to hold", "a NIfTI file holds"),
    ),
    "write_cfl": Call(
        _written(write_cfl, "written.cfl", lambda path: torch.view_as_real(read_cfl(path))),
        lambda: {"values": VALUES}, {"values": _cfl}, names=("BART has",),
    ),
    "write_dicom": Call(
        _series, lambda: {"mean": VALUES, "geometry": PLACE},
        {
            "mean": _volumes(3), "geometry": _place,
            "std": lambda value: value is None, "draws": lambda value: value is None,
        },
    ),
}  # fmt: skip
