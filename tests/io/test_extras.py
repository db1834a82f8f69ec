import os.path
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from posterior.data import (
    Geometry,
    read_dicom,
    read_fastmri,
    read_ismrmrd,
    read_nifti,
    write_dicom,
    write_fastmri,
    write_nifti,
)  # fmt: skip
from posterior.errors import IncompatibleError
from posterior.io.extras import require
from tests.data.scans import fastmri_arrays, write_hdf5, write_ismrmrd

VALUES, PLACE = torch.ones(1, 2, 2), Geometry((3, 2, 1))
NEEDS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "read_fastmri": ("h5py", read_fastmri),
    "read_fastmri, header": ("ismrmrd", read_fastmri),
    "write_fastmri": ("h5py", lambda path: write_fastmri(path, VALUES)),
    "read_ismrmrd": ("ismrmrd", lambda path: read_ismrmrd(path.with_suffix(".mrd"))),
    "read_nifti": ("nibabel", lambda path: read_nifti(path.with_suffix(".nii"))),
    "write_nifti": ("nibabel", lambda path: write_nifti(path.with_suffix(".nii"), VALUES, PLACE)),
    "read_dicom": ("pydicom", read_dicom),
    "write_dicom": ("pydicom", lambda path: write_dicom(path, VALUES, PLACE)),
}


@pytest.mark.parametrize(("package", "call"), NEEDS.values(), ids=list(NEEDS))
def test_packages_that_are_not_installed(
    package: str, call: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hdf5(tmp_path / "a.h5", fastmri_arrays())
    write_ismrmrd(tmp_path / "a.mrd")
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)  # as if there were none
    with pytest.raises(IncompatibleError, match=rf"needs the package {package}: .* the extra `mri`.*\[mri\]"):
        call(tmp_path / "a.h5")


def test_modules_that_are() -> None:
    assert require("os.path", "mri") is os.path
