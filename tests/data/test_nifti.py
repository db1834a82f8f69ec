import gzip
import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from posterior.data import Geometry, read_nifti, write_nifti
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, PosteriorError, ShapeError
from posterior.noise import Noise

VALUES = Noise.of(0).uniform((3, 5, 4))[0, 0]  # slices, rows, columns
SPACING = (5.0, 2.0, 1.5)
SLANTED = ((0.0, -0.6, 0.8), (0.0, 0.8, 0.6), (1.0, 0.0, 0.0))
PLACED = Geometry(SPACING, (10.0, -20.0, 30.0), SLANTED)
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nibabel_reads_what_is_written(tmp_path: Path, name: str) -> None:
    write_nifti(tmp_path / "new" / name, VALUES, PLACED)
    image = nibabel.load(tmp_path / "new" / name)
    data = np.asarray(image.dataobj)
    assert data.dtype == np.float32 and image.header.get_xyzt_units()[0] == "mm"
    assert image.header.get_zooms() == pytest.approx((1.5, 2.0, 5.0))
    for k, i, j in [(0, 0, 0), (2, 1, 3), (1, 4, 2)]:
        assert data[j, i, k] == VALUES[k, i, j]
        place = np.array([10, -20, 30]) + sum(
            n * s * np.array(u) for n, s, u in zip((k, i, j), SPACING, SLANTED, strict=True)
        )
        np.testing.assert_allclose(image.affine @ [j, i, k, 1], TO_RAS @ [*place, 1], atol=1e-4)
    assert image.header["sform_code"] > 0
    volume = read_nifti(tmp_path / "new" / name)
    torch.testing.assert_close(volume.values, VALUES, atol=0, rtol=0)
    np.testing.assert_allclose(volume.geometry.affine(), PLACED.affine(), atol=1e-4)


def test_draws_and_no_place(tmp_path: Path) -> None:
    draws = torch.stack([VALUES, 2 * VALUES])
    write_nifti(tmp_path / "a.nii", draws, Geometry(SPACING))
    image = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 1], 2 * VALUES.numpy().T)
    assert image.header["sform_code"] == image.header["qform_code"] == 0
    assert image.header.get_zooms()[:3] == pytest.approx((1.5, 2.0, 5.0))
    with pytest.raises(FileFormatError, match=r"holds an array of shape \(4, 5, 3, 2\); expected one volume"):
        read_nifti(tmp_path / "a.nii")
    write_nifti(tmp_path / "b.nii", VALUES, Geometry(SPACING))
    assert read_nifti(tmp_path / "b.nii").geometry == Geometry(SPACING)


def test_voxels_of_a_size_that_is_not_known(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", VALUES, None)
    header = nibabel.load(tmp_path / "a.nii").header
    assert header.get_xyzt_units()[0] == "unknown" and header["sform_code"] == header["qform_code"] == 0
    volume = read_nifti(tmp_path / "a.nii")
    torch.testing.assert_close(volume.values, VALUES, atol=0, rtol=0)
    assert volume.geometry is None


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", VALUES, PLACED)
    write_nifti(tmp_path / "b.nii.gz", VALUES, PLACED)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", [np.uint8, ">i2", np.float64])
def test_what_nibabel_writes_is_read(tmp_path: Path, kind: Any, dtype: Any) -> None:
    data = np.arange(60).reshape(4, 5, 3)
    affine = np.array([[0, 3.0, 0, 1], [-2.0, 0, 0, 2], [0, 0, 4.0, 3], [0, 0, 0, 1]])
    image = kind(data.astype(dtype), affine, dtype=np.dtype(dtype))
    if np.dtype(dtype).byteorder == ">":
        image = kind(data.astype(dtype), affine, image.header.as_byteswapped(">"))
    image.header.set_slope_inter(0.5, 7)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = read_nifti(tmp_path / "a.nii.gz")
    expected = np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    np.testing.assert_allclose(volume.values.numpy(), expected.T, rtol=1e-6)
    assert volume.geometry.spacing == pytest.approx((4, 3, 2))
    first, second = volume.geometry.affine() @ [2, 1, 3, 1], TO_RAS @ affine @ [3, 1, 2, 1]
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize(("unit", "length"), [("mm", 1.0), ("meter", 1000.0), ("micron", 0.001), ("unknown", 1.0)])
def test_lengths_in_other_units(tmp_path: Path, unit: str, length: float) -> None:
    image = nibabel.Nifti1Image(DATA, np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    assert read_nifti(tmp_path / "a.nii").geometry.spacing == pytest.approx((4 * length, 3 * length, 2 * length))


def _saved(path: Path, data: Any, **changes: Any) -> Path:
    content = nibabel.Nifti1Image(data, np.diag([2.0, 2.0, 3.0, 1.0])).to_bytes()
    header = nibabel.Nifti1Header.from_fileobj(io.BytesIO(content), check=False)
    for key, value in changes.items():
        header[key] = value
    path.write_bytes(header.binaryblock + content[len(header.binaryblock) :])
    return path


DATA = np.ones((4, 5, 3), np.float32)
RGB = np.zeros((4, 5, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("data", "changes", "error", "message"),
    [
        (DATA[..., 0], {}, FileFormatError, r"holds an array of shape \(4, 5\); expected one volume"),
        (DATA * 1j, {}, FileFormatError, "holds complex64; expected real numbers, of complex ones the magnitudes"),
        (RGB, {}, FileFormatError, "expected real numbers"),
        (DATA * np.nan, {}, NotFiniteError, "a.nii, slice 0: NaN or infinity in 20 of 20 values"),
        (DATA, {"xyzt_units": 7}, FileFormatError, "corrupt or cut off|has lengths in"),
        (DATA, {"sform_code": 77}, FileFormatError, "sform_code 77 not valid"),
        (DATA, {"pixdim": [1, 2, -2, 3, 1, 1, 1, 1]}, FileFormatError, "pixdim.* should be positive"),
        (DATA, {"dim": [3, 4, 0, 3, 1, 1, 1, 1]}, FileFormatError, r"holds an array of shape \(4, 0, 3\)"),
        (DATA, {"datatype": 77}, FileFormatError, "corrupt or cut off"),
        (DATA, {"magic": b"ni1"}, FileFormatError, "is the header of a pair of files"),
        (DATA, {"vox_offset": 100}, FileFormatError, "corrupt or cut off|is cut off"),
        (
            DATA,
            {"dim": [3, 4, 5, 30000, 1, 1, 1, 1]},
            FileFormatError,
            r"is cut off: 592 bytes \(unpacked\) of 2400352",
        ),
        (DATA, {"srow_x": [0, 0, 0, 0]}, FileFormatError, "maps voxels to no volume|lie in one plane"),
    ],
)
def test_faults_are_named(
    tmp_path: Path, data: Any, changes: dict[str, Any], error: type[PosteriorError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        read_nifti(_saved(tmp_path / "a.nii", data, **changes))
    assert "a.nii" in str(raised.value) and "\n" not in str(raised.value)


def test_other_names_and_contents(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"a.img is not called .nii or .nii.gz"):
        read_nifti(_saved(tmp_path / "a.img", DATA))
    with pytest.raises(FileFormatError, match=r"not called .nii"):
        write_nifti(tmp_path / "a.png", VALUES, PLACED)
    (tmp_path / "b.nii").write_bytes(bytes(1000))
    with pytest.raises(FileFormatError, match="b.nii is no NIfTI file: its 1000 bytes do not begin with its header"):
        read_nifti(tmp_path / "b.nii")
    _saved(tmp_path / "c.nii.gz", DATA)
    with pytest.raises(FileFormatError, match="c.nii.gz is corrupt or cut off, .* Not a gzipped file"):
        read_nifti(tmp_path / "c.nii.gz")
    content = bytearray(gzip.compress(_saved(tmp_path / "d.nii", DATA).read_bytes()))
    content[-5] ^= 1  # in the check sum
    (tmp_path / "d.nii.gz").write_bytes(content)
    with pytest.raises(FileFormatError, match="CRC check failed|Incorrect length"):
        read_nifti(tmp_path / "d.nii.gz")


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (VALUES[0], ShapeError),
        (VALUES * 1j, InvalidValueError),
        (VALUES * torch.inf, NotFiniteError),
        (VALUES[:0], ShapeError),
    ],
)
def test_what_is_not_written(tmp_path: Path, values: torch.Tensor, error: type[PosteriorError]) -> None:
    with pytest.raises(error):
        write_nifti(tmp_path / "a.nii", values, PLACED)
    assert not list(tmp_path.iterdir())


def test_a_comment(tmp_path: Path) -> None:
    text = "slice 0: sound\nslice 1: doubtful … " + "x" * 500
    write_nifti(tmp_path / "a.nii.gz", VALUES, PLACED, text)
    (extension,) = nibabel.load(tmp_path / "a.nii.gz").header.extensions
    assert extension.get_content().decode() == text
    torch.testing.assert_close(read_nifti(tmp_path / "a.nii.gz").values, VALUES, atol=0, rtol=0)
