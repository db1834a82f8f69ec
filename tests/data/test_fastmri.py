import re
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from ismrmrd import xsd
from skimage.metrics import peak_signal_noise_ratio

from posterior.data import Geometry, read_fastmri, write_fastmri, write_kspace
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, ShapeError
from posterior.operators.fourier import centred_fft, centred_ifft
from tests.data.scans import (
    COILS,
    COLUMNS,
    MAPS,
    ROWS,
    SLICES,
    SPACING,
    edit,
    fastmri_arrays,
    header,
    images,
    kspace,
    write_hdf5,
)  # fmt: skip

CLOSE = {"atol": 1e-6, "rtol": 1e-5}


def test_slices_without_oversampling(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", fastmri_arrays(), acquisition="AXT2", max=0.7, norm=3.0)
    file = read_fastmri(path)
    assert len(file) == SLICES
    for index, raw in enumerate(file):
        torch.testing.assert_close(raw.kspace, kspace()[index], **CLOSE)
        torch.testing.assert_close(centred_ifft(raw.kspace), MAPS * images()[index], **CLOSE)
        torch.testing.assert_close(raw.reference, images()[index].abs())
        assert raw.mask.shape == (COLUMNS,) and bool(raw.mask.all())
        assert raw.geometry is not None and raw.geometry.spacing == pytest.approx(SPACING)
        assert raw.pixel_spacing == pytest.approx(SPACING[1:]) and raw.geometry.origin is None
        assert raw.noise is None and raw.maps is None
        assert raw.facts["slice"] == index and raw.facts["acquisition"] == "AXT2" and raw.facts["max"] == 0.7
        assert raw.facts["field_strength_tesla"] == 1.5 and raw.facts["TE_ms"] == [12.0]
        assert raw.source == f"{path}, slice {index}"
    assert [raw.facts["slice"] for raw in file[::2]] == [0, 2]
    assert file[-1].facts["slice"] == SLICES - 1
    with pytest.raises(IndexError):
        file[SLICES]


@pytest.mark.parametrize("oversampling", [1, 3])
def test_oversampling_by_the_header(tmp_path: Path, oversampling: int) -> None:
    raw = read_fastmri(write_hdf5(tmp_path / "a.h5", fastmri_arrays(oversampling)))[1]
    torch.testing.assert_close(raw.kspace, kspace()[1], **CLOSE)


def test_without_header_as_it_stands(tmp_path: Path) -> None:
    raw = read_fastmri(write_hdf5(tmp_path / "a.h5", {"kspace": kspace(2).numpy()}))[2]
    torch.testing.assert_close(raw.kspace, kspace(2)[2], atol=0, rtol=0)
    assert raw.geometry is None and raw.pixel_spacing is None and raw.reference is None


def test_cropped_before_with_the_header_of_the_scan(tmp_path: Path) -> None:
    arrays = fastmri_arrays() | {"kspace": kspace().numpy()}
    torch.testing.assert_close(read_fastmri(write_hdf5(tmp_path / "a.h5", arrays))[0].kspace, kspace()[0])


def test_header_of_other_lines_and_odd_facts(tmp_path: Path) -> None:
    """Lines have the distance of the field of view, and what is not used need not be right."""
    text = xsd.ToXML(header()).replace("<y>10</y>", "<y>12</y>")
    text = text.replace("<TR>500.0</TR>", "<TR>long</TR>")
    raw = read_fastmri(write_hdf5(tmp_path / "a.h5", fastmri_arrays() | {"ismrmrd_header": text}))[0]
    assert raw.pixel_spacing == pytest.approx(SPACING[1:]) and raw.facts["TR_ms"] == ["long"]


def test_mask_and_partial_fourier(tmp_path: Path) -> None:
    """What the mask leaves out, and columns that were padded with zeros, are not measured."""
    arrays = fastmri_arrays()
    arrays["kspace"][..., :2] = 0
    arrays["mask"] = np.arange(COLUMNS) % 3 != 0
    expected = torch.arange(COLUMNS) % 3 != 0
    expected[:2] = False
    for raw in read_fastmri(write_hdf5(tmp_path / "a.h5", arrays)):
        assert torch.equal(raw.mask, expected)
        index = raw.facts["slice"]
        torch.testing.assert_close(raw.kspace, torch.where(expected, kspace()[index], 0), **CLOSE)
        assert not bool(raw.kspace[..., ~expected].any())


@pytest.mark.parametrize("given", [True, False], ids=["mask", "no mask"])
def test_zeros_are_not_measured_without_a_mask(tmp_path: Path, given: bool) -> None:
    """Of whole columns, and of single frequencies; a mask that is there says what was measured."""
    pattern = torch.ones(ROWS, COLUMNS).tril() == 1
    for measured, words in (
        (pattern, "45 of 120 frequencies"),
        (pattern[-1] & (torch.arange(COLUMNS) > 2), "3 of 10 columns"),
    ):
        arrays = {"kspace": (kspace() * measured).numpy()} | ({"mask": np.ones((ROWS, COLUMNS))} if given else {})
        for raw in read_fastmri(write_hdf5(tmp_path / "a.h5", arrays)):
            if given:
                columns = measured.expand(ROWS, COLUMNS).any(0)
                assert torch.equal(raw.mask, columns.expand(ROWS, COLUMNS))
                assert raw.notes == ()
            else:
                assert torch.equal(raw.mask, measured)
                assert raw.notes == (f"without `mask`, {words}, zero in all coils, count as not measured",)


def test_zeros_of_an_oversampled_readout(tmp_path: Path) -> None:
    arrays = fastmri_arrays()
    arrays["kspace"][1, :, 3:5, 2] = 0
    file = read_fastmri(write_hdf5(tmp_path / "a.h5", arrays))
    assert bool(file[0].mask.all())
    with pytest.raises(FileFormatError, match="a.h5, slice 1: without `mask`, zeros .* crop the image to 12 rows"):
        file[1]


def test_one_coil_and_two_dimensional_mask(tmp_path: Path) -> None:
    mask = np.ones((ROWS, COLUMNS), np.float32)
    mask[3, 4] = 0
    arrays = {"kspace": kspace()[:, 0].numpy(), "mask": mask, "reconstruction_esc": images().abs().numpy()}
    arrays["s_maps"] = MAPS[None, :1].expand(SLICES, -1, -1, -1).numpy()
    raw = read_fastmri(write_hdf5(tmp_path / "a.h5", arrays))[0]
    assert raw.kspace.shape == (1, ROWS, COLUMNS) and raw.kspace[0, 3, 4] == 0
    assert torch.equal(raw.mask, torch.from_numpy(mask) == 1)
    assert raw.reference is not None
    assert raw.maps is not None and torch.equal(raw.maps, MAPS[:1])


@pytest.mark.parametrize("oversampling", [1, 2])
def test_maps_of_either_size(tmp_path: Path, oversampling: int) -> None:
    maps = torch.zeros(SLICES, COILS, oversampling * ROWS, COLUMNS, dtype=torch.complex64)
    start = oversampling * ROWS // 2 - ROWS // 2
    maps[..., start : start + ROWS, :] = MAPS
    raw = read_fastmri(write_hdf5(tmp_path / "a.h5", fastmri_arrays() | {"s_maps": maps.numpy()}))[0]
    assert raw.maps is not None
    torch.testing.assert_close(raw.maps, MAPS)
    torch.testing.assert_close(centred_fft(raw.maps * images()[0]), raw.kspace, **CLOSE)


def _scaled(key: str, factor: complex) -> Any:
    def change(arrays: dict[str, Any]) -> None:
        arrays[key] = arrays[key] * factor

    return change


def _set(key: str, value: Any) -> Any:
    return lambda arrays: arrays.update({key: value})


def _poke(key: str, value: float) -> Any:
    def change(arrays: dict[str, Any]) -> None:
        arrays[key] = np.array(arrays[key])
        arrays[key][1, ..., 2, 3] = value

    return change


TALL = xsd.ToXML(header()).replace("<x>24</x>", "<x>26</x>")
WORD = xsd.ToXML(header()).replace("<x>480.0</x>", "<x>wide</x>")
FAULTS: dict[str, tuple[Any, type[Exception], str]] = {
    "no kspace": (lambda arrays: arrays.pop("kspace"), FileFormatError, "has no dataset `kspace`; it has ismrmrd_head"),
    "real": (_set("kspace", np.ones((3, 4, 24, 10))), FileFormatError, "`kspace` holds float64; expected complex"),
    "text": (_set("kspace", b"none"), FileFormatError, "`kspace` holds object|`kspace` holds |S4"),
    "flat": (_set("kspace", np.ones((3, 4), complex)), FileFormatError, r"has shape \(3, 4\); expected 3 or 4"),
    "empty": (_set("kspace", np.ones((0, 4, 24, 10), complex)), FileFormatError, r"`kspace` is empty, of shape \(0,"),
    "nan": (_poke("kspace", np.nan), NotFiniteError, "slice 1: k-space: NaN or infinity in"),
    "zero": (_scaled("kspace", 0), FileFormatError, "slice 0: k-space is zero"),
    "mask": (_set("mask", np.ones(9)), FileFormatError, r"`mask` is of shape \(9,\), .*; expected \(10,\) or"),
    "half": (_set("mask", np.full(10, 0.5)), FileFormatError, "`mask` holds other numbers than 0 and 1"),
    "complex": (_set("mask", np.ones(10, complex)), FileFormatError, "`mask` holds complex128; expected numbers 0"),
    "partial": (_set("mask", np.ones((24, 10))), FileFormatError, "`mask` leaves out parts of the readout"),
    "maps": (_set("s_maps", np.ones((3, 4, 9, 10), complex)), FileFormatError, r"`s_maps` is of shape \(3, 4, 9, 10\)"),
    "count": (_set("reconstruction_rss", np.ones((2, 12, 10))), FileFormatError, "`reconstruction_rss` is of shape"),
    "reference": (_poke("reconstruction_rss", np.inf), NotFiniteError, "slice 1: reference: NaN or infinity"),
    "header": (_set("ismrmrd_header", b"<ismrmrdHeader>"), FileFormatError, "`ismrmrd_header` is no ISMRMRD header"),
    "number": (_set("ismrmrd_header", 3.0), FileFormatError, "`ismrmrd_header` holds a float64, not the text"),
    "height": (_set("ismrmrd_header", TALL), FileFormatError, r"not fit `ismrmrd_header`; expected \(26, 10\) or \(13"),
    "word": (_set("ismrmrd_header", WORD), FileFormatError, "`ismrmrd_header` has 'wide' in the place of a number"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), FAULTS.values(), ids=list(FAULTS))
def test_faults_are_named(tmp_path: Path, change: Any, error: type[Exception], message: str) -> None:
    arrays = fastmri_arrays()
    change(arrays)
    with pytest.raises(error, match=message) as raised:
        list(read_fastmri(write_hdf5(tmp_path / "a.h5", arrays)))
    assert "a.h5" in str(raised.value) and "\n" not in str(raised.value)


def test_header_that_is_cut_off(tmp_path: Path) -> None:
    text = xsd.ToXML(header())
    for end in range(0, len(text) - 20, 97):
        path = write_hdf5(tmp_path / "a.h5", fastmri_arrays() | {"ismrmrd_header": text[:end] or " "})
        with pytest.raises(FileFormatError, match="`ismrmrd_header` is no ISMRMRD header: .+") as raised:
            read_fastmri(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "without",
    ["encodedSpace", "reconSpace", "encodingLimits", "trajectory", "matrixSize", "fieldOfView_mm", "encoding"],
)
def test_header_that_lacks_something(tmp_path: Path, without: str) -> None:
    text = xsd.ToXML(header())
    cut = re.sub(rf"<{without}>.*?</{without}>", "", text, flags=re.DOTALL)
    assert cut != text
    path = write_hdf5(tmp_path / "a.h5", fastmri_arrays() | {"ismrmrd_header": cut})
    with pytest.raises(FileFormatError, match=f"`ismrmrd_header`.*{without}"):
        read_fastmri(path)


@pytest.mark.parametrize("chunks", [(1, COILS, 2 * ROWS, COLUMNS), None])
def test_half_written(tmp_path: Path, chunks: tuple[int, ...] | None) -> None:
    """Space that was set aside and never filled reads as zeros, and is told from them."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("kspace", (SLICES, COILS, 2 * ROWS, COLUMNS), np.complex64, chunks=chunks)
        if chunks:
            dataset[0] = kspace(2)[0].numpy()
    missing = "2 of 3" if chunks else "1 of 1"
    with pytest.raises(FileFormatError, match=f"of `kspace` {missing} parts were never written; .* half written"):
        read_fastmri(path)


@pytest.mark.parametrize("how", ["bytes", "link", "virtual dataset"])
def test_numbers_in_another_file(tmp_path: Path, how: str) -> None:
    path, values = tmp_path / "a.h5", kspace(2).numpy()
    values.tofile(tmp_path / "numbers")
    write_hdf5(tmp_path / "b.h5", {"kspace": values})
    with h5py.File(path, "w") as file:
        if how == "bytes":
            place = [(str(tmp_path / "numbers"), 0, values.nbytes)]
            file.create_dataset("kspace", values.shape, values.dtype, external=place)
        elif how == "link":
            file["kspace"] = h5py.ExternalLink("b.h5", "kspace")
        else:
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            layout[:] = h5py.VirtualSource("b.h5", "kspace", values.shape)
            file.create_virtual_dataset("kspace", layout)
    with pytest.raises(FileFormatError, match="a.h5: the numbers of `kspace` are in another file"):
        read_fastmri(path)


def test_group_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="a.h5: `kspace` is a group, not a dataset"):
        read_fastmri(write_hdf5(tmp_path / "a.h5", {"kspace/0": np.ones(3)}))


def test_memory_of_a_slice(tmp_path: Path) -> None:
    many = {"kspace": np.ones((50, 4, 64, 64), np.complex64)}  # 6.5 MB
    path = write_hdf5(tmp_path / "a.h5", many)
    tracemalloc.start()
    try:
        for raw in read_fastmri(path):
            assert raw.kspace.shape == (4, 64, 64)
        assert tracemalloc.get_traced_memory()[1] < many["kspace"].nbytes / 5
    finally:
        tracemalloc.stop()


def test_written_as_the_evaluation_reads_them(tmp_path: Path) -> None:
    """The lines of fastmri/evaluate.py that read: both crops are those of whole images here."""
    target = write_hdf5(tmp_path / "target.h5", fastmri_arrays())
    mean = images().abs() + 0.01
    write_fastmri(tmp_path / "new" / "target.h5", mean, std=0.1 * mean, draws=torch.stack([mean, mean + 1]))
    with h5py.File(target) as one, h5py.File(tmp_path / "new" / "target.h5") as other:
        truth, found = one["reconstruction_rss"][()], other["reconstruction"][()]
        assert found.dtype == np.float32 and found.shape == truth.shape
        assert peak_signal_noise_ratio(truth, found, data_range=truth.max()) == pytest.approx(
            20 * np.log10(truth.max() / 0.01), abs=1e-3
        )
        np.testing.assert_array_equal(other["std"][()], (0.1 * mean).numpy())
        np.testing.assert_array_equal(other["draws"][1], (mean + 1).numpy())


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        ({"mean": torch.ones(3, 4)}, ShapeError),
        ({"mean": torch.ones(0, 3, 4)}, ShapeError),
        ({"mean": torch.ones(1, 3, 4, dtype=torch.complex64)}, InvalidValueError),
        ({"mean": torch.full((1, 3, 4), torch.nan)}, NotFiniteError),
        ({"mean": torch.ones(1, 3, 4), "std": torch.ones(1, 4, 4)}, ShapeError),
        ({"mean": torch.ones(1, 3, 4), "draws": torch.ones(1, 3, 4)}, ShapeError),
    ],
)
def test_what_is_not_written(tmp_path: Path, arrays: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        write_fastmri(tmp_path / "a.h5", **arrays)
    assert not list(tmp_path.iterdir())


def test_attributes_of_what_is_written(tmp_path: Path) -> None:
    write_fastmri(tmp_path / "a.h5", torch.ones(2, 3, 4), attributes={"seed": 3, "verdict": ["sound", "doubtful: …"]})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["seed"] == 3
        assert list(file.attrs["verdict"]) == ["sound", "doubtful: …"]


@pytest.mark.parametrize("mask", [torch.arange(COLUMNS) % 2 == 1, torch.ones(ROWS, COLUMNS).tril() == 1])
def test_k_space_that_is_written_is_read(tmp_path: Path, mask: torch.Tensor) -> None:
    values, whole = kspace() * mask, mask.expand(ROWS, COLUMNS)
    write_kspace(tmp_path / "a.h5", values, whole, reference=images().abs(), attributes={"snr": 30.0, "kind": ["x"]})
    file = read_fastmri(tmp_path / "a.h5")
    assert len(file) == SLICES
    for index, raw in enumerate(file):
        torch.testing.assert_close(raw.kspace, values[index], rtol=0, atol=0)
        assert torch.equal(raw.mask, mask)
        torch.testing.assert_close(raw.reference, images()[index].abs())
        assert (raw.facts["snr"], raw.facts["slice"]) == (30.0, index)


AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
PLACED = Geometry((5.0, 2.0, 1.5), (10.0, -20.0, 30.0), AXES, thickness=4.0)


@pytest.mark.parametrize("one", [PLACED, Geometry((5.0, 2.0, 1.5))], ids=["placed", "spacing alone"])
def test_places_that_are_written_are_read(tmp_path: Path, one: Geometry) -> None:
    places = [one.at(index) for index in (0, 1, 5)]
    write_kspace(tmp_path / "a.h5", kspace(), torch.ones(ROWS, COLUMNS), geometry=places)
    assert [raw.geometry for raw in read_fastmri(tmp_path / "a.h5")] == places


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.__delitem__("geometry/spacing"), "has no dataset `geometry/spacing`"),
        (lambda file: file.__delitem__("geometry/origin"), "`geometry` makes no sense: .* both an origin and axes"),
        (lambda file: file["geometry/spacing"].write_direct(np.zeros((3, 3))), "`geometry` makes no sense: .* spacing"),
        (
            lambda file: (file.__delitem__("geometry/axes"), file.update({"geometry/axes": np.ones((2, 3, 3))})),
            r"`geometry/axes` is of shape \(2, 3, 3\); expected \(3, 3, 3\)",
        ),
    ],
    ids=["spacing", "origin", "zero", "shape"],
)
def test_faults_of_places_are_named(tmp_path: Path, change: Any, message: str) -> None:
    write_kspace(tmp_path / "a.h5", kspace(), torch.ones(ROWS, COLUMNS), geometry=[PLACED.at(i) for i in range(3)])
    with pytest.raises(FileFormatError, match=f"a.h5.*{message}"):
        read_fastmri(edit(tmp_path / "a.h5", change))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kspace": kspace()[0]}, ShapeError),
        ({"geometry": [PLACED]}, ShapeError),
        ({"kspace": kspace().real}, InvalidValueError),
        ({"kspace": kspace() * torch.nan}, NotFiniteError),
        ({"mask": torch.ones(COLUMNS)}, ShapeError),
        ({"reference": torch.ones(1, ROWS, COLUMNS)}, ShapeError),
    ],
    ids=["a slice", "a place", "real", "NaN", "columns", "a reference"],
)
def test_k_space_that_is_not_written(tmp_path: Path, change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        write_kspace(tmp_path / "a.h5", **{"kspace": kspace(), "mask": torch.ones(ROWS, COLUMNS)} | change)
    assert not list(tmp_path.iterdir())
