import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
import torch

from posterior.data import Geometry, read_nifti
from posterior.errors import FileWriteError, InvalidValueError, NotFiniteError, ShapeError
from posterior.noise import Noise
from posterior.reconstruction import Reconstruction, facts_of, prepare, write_volumes
from posterior.verdict import Verdict
from tests.reconstruction.scans import GEOMETRY, HEIGHT, STD, WIDTH, scan

DRAWS = 5
FILES = ["draws.nii.gz", "mean.nii.gz", "reconstruction.h5", "std.nii.gz"]


def slices(geometries: tuple[Geometry | None, ...] | None = None) -> Iterator[Reconstruction]:
    for number, raw in enumerate(scan()):
        if geometries is not None:
            raw = replace(raw, geometry=geometries[number])
        x = 10 + 5 * Noise.of(number).normal((DRAWS, 2, HEIGHT, WIDTH))[0, 0]
        verdict = Verdict("doubtful", ("it is too smooth",), "look again") if number == 1 else Verdict()
        yield Reconstruction(number, prepare(raw), x, 1.25, 56.0, verdict)


def test_files_hold_magnitudes_verdicts_and_places(tmp_path: Path) -> None:
    paths = write_volumes(slices(), 3, tmp_path, {"prior": "mine", "seed": 0})
    assert sorted(path.name for path in paths) == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES  # and nothing that waited
    size = torch.stack([one.x.square().sum(1).sqrt() for one in slices()], 1)  # (S, N, H, W)
    with h5py.File(tmp_path / "reconstruction.h5") as file:
        np.testing.assert_allclose(file["reconstruction"], size.mean(0), rtol=1e-5)
        np.testing.assert_allclose(file["std"], size.std(0), rtol=1e-4)
        np.testing.assert_allclose(file["draws"], size, rtol=1e-6)
        said = dict(file.attrs)
    assert (said["prior"], said["seed"]) == ("mine", 0)
    assert list(said["verdict"]) == ["sound", "doubtful: it is too smooth. Look again", "sound"]
    assert list(said["source"]) == [f"a scan, slice {i}" for i in range(3)]
    assert list(said["noise_from"]) == ["noise scan"] * 3
    assert list(said["maps_from"]) == ["file"] * 3
    np.testing.assert_allclose(said["noise_std"], STD, rtol=0.03)
    np.testing.assert_allclose(said["true_acceleration"], 2)
    np.testing.assert_allclose(said["misfit"], 1.25)
    mean = read_nifti(tmp_path / "mean.nii.gz")
    np.testing.assert_allclose(mean.values, size.mean(0), rtol=1e-5)
    np.testing.assert_allclose(mean.geometry.affine(), GEOMETRY.affine(), atol=1e-5)
    np.testing.assert_allclose(read_nifti(tmp_path / "std.nii.gz").values, size.std(0), rtol=1e-4)
    draws = nibabel.load(tmp_path / "draws.nii.gz")
    np.testing.assert_allclose(draws.get_fdata().transpose(3, 2, 1, 0), size, rtol=1e-5)
    (comment,) = draws.header.extensions
    assert comment.get_content().decode().splitlines()[1] == "a scan, slice 1: doubtful: it is too smooth. Look again"


@pytest.mark.parametrize("places", [(None, None, None), (GEOMETRY, None, GEOMETRY.at(2))])
def test_pixels_of_a_size_that_is_not_known(tmp_path: Path, places: tuple[Geometry | None, ...]) -> None:
    write_volumes(slices(places), 3, tmp_path, dicom=True)
    assert read_nifti(tmp_path / "mean.nii.gz").geometry is None
    assert nibabel.load(tmp_path / "draws.nii.gz").header.get_xyzt_units()[0] == "unknown"
    dataset = pydicom.dcmread(tmp_path / "dicom" / "mean" / "0001.dcm")
    assert dataset.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert not {"PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "ImagePositionPatient"} & set(dataset.dir())


@pytest.mark.parametrize("places", [(GEOMETRY, GEOMETRY.at(1), GEOMETRY.at(5))])
def test_slices_that_are_not_evenly_spaced_are_said(tmp_path: Path, places: tuple[Geometry, ...]) -> None:
    with pytest.warns(UserWarning, match="written without a place.*: slices are not evenly spaced on a line"):
        write_volumes(slices(places), 3, tmp_path)
    assert read_nifti(tmp_path / "mean.nii.gz").geometry == Geometry(GEOMETRY.spacing)


def test_facts_are_what_tables_say() -> None:
    one = next(slices())
    facts = facts_of(one)
    assert facts["verdict"] == "sound"
    assert facts["orientation"] == "rows go to the back, columns to the left"
    assert facts["network_calls"] == 56
    assert facts["noise_std"] == pytest.approx(one.prepared.noise_std * one.prepared.scale)


def _with(**changes: Any) -> list[Reconstruction]:
    first, *rest = slices()
    return [first, *(replace(one, **changes) for one in rest)]


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        (lambda: list(slices())[:2], InvalidValueError, "there are 2 slices, and 3 were announced"),
        (lambda: [*slices(), *slices()], ShapeError, "of 3 slices"),
        (lambda: _with(x=torch.ones(2, 2, HEIGHT, WIDTH)), ShapeError, r"draws \(2, 8, 6\); expected \(5, 8, 6\)"),
        (
            lambda: _with(x=torch.full((DRAWS, 2, HEIGHT, WIDTH), math.nan)), NotFiniteError,
            "samples of a scan, slice 1: NaN or infinity .*leave the slice out",
        ),
        (list, InvalidValueError, "there are 0 slices"),
    ],
    ids=["fewer", "more", "other draws", "NaN", "none"],
)  # fmt: skip
def test_slices_that_do_not_fit(tmp_path: Path, found: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        write_volumes(found(), 3, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_named_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "mean.nii.gz").mkdir()
    with pytest.raises(FileWriteError, match=r"mean\.nii\.gz cannot be written"):
        write_volumes(slices(), 3, tmp_path)
