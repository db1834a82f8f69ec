from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from posterior.data import read_bart, read_cfl, write_cfl
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, ShapeError
from posterior.noise import Noise
from tests.data.scans import COILS, COLUMNS, MAPS, ROWS, SLICES, bart_values, kspace, write_bart

VALUES = torch.complex(*Noise.of(0).normal((2, 4, 3, 1, 2))[0, 0])


def test_slices(tmp_path: Path) -> None:
    values, dims = bart_values()
    values[:, 7:] = 0
    path = write_bart(tmp_path / "ksp", values, dims)
    for name in ("ksp", "ksp.cfl", "ksp.hdr"):
        file = read_bart(tmp_path / name)
        assert len(file) == SLICES
        for index, raw in enumerate(file):
            expected = torch.arange(COLUMNS) < 7
            torch.testing.assert_close(raw.kspace, kspace()[index] * expected, atol=0, rtol=0)
            assert torch.equal(raw.mask, expected)
            assert raw.geometry is None and raw.maps is None and raw.facts == {"slice": index}
    sens = write_bart(tmp_path / "sens", MAPS.numpy().transpose(1, 2, 0), [ROWS, COLUMNS, 1, COILS])
    with pytest.raises(
        FileFormatError, match=r"sens.cfl has the dimensions \(12, 10, 4, 1\) .* and .*ksp.cfl \(12, 10, 4, 3\)"
    ):
        read_bart(path, sens)
    single = write_bart(tmp_path / "one", values[..., 1], [ROWS, COLUMNS, 1, COILS])
    torch.testing.assert_close(read_bart(single, sens)[0].maps, MAPS)


def test_two_phase_encodings_and_a_pattern(tmp_path: Path) -> None:
    values = kspace()[0].numpy().transpose(1, 2, 0).copy()
    values[3, 4] = 0
    raw = read_bart(write_bart(tmp_path / "a", values, [1, ROWS, COLUMNS, COILS]))[0]
    expected = torch.ones(ROWS, COLUMNS, dtype=torch.bool)
    expected[3, 4] = False
    assert torch.equal(raw.mask, expected)
    torch.testing.assert_close(raw.kspace, torch.where(expected, kspace()[0], 0))


def test_header_with_the_command_before_the_dimensions(tmp_path: Path) -> None:
    """Sections stand in any order; points that were not measured do not make their column unmeasured."""
    values = kspace()[0].numpy().transpose(1, 2, 0).copy()
    values[3, :] = 0
    path = write_bart(tmp_path / "a", values, [ROWS, COLUMNS, 1, COILS])
    title, sizes, *others = path.with_suffix(".hdr").read_text().splitlines()
    path.with_suffix(".hdr").write_text("\n".join([*others, title, sizes]))
    raw = read_bart(path)[0]
    assert torch.equal(raw.mask, (torch.arange(ROWS) != 3)[:, None].expand(-1, COLUMNS))
    torch.testing.assert_close(raw.kspace, kspace()[0] * raw.mask)


def test_arrays_are_written_columns_first(tmp_path: Path) -> None:
    """What numpy reads of it, by the header that BART's own scripts split at spaces."""
    write_cfl(tmp_path / "new" / "a.cfl", VALUES)
    title, sizes = (tmp_path / "new" / "a.hdr").read_text().splitlines()
    dims = list(map(int, sizes.split()))
    assert title == "# Dimensions" and dims == [4, 3, 1, 2, *[1] * 12]
    numbers = np.fromfile(tmp_path / "new" / "a.cfl", np.complex64).reshape(dims[:4], order="F")
    np.testing.assert_array_equal(numbers, VALUES.numpy())
    torch.testing.assert_close(read_cfl(tmp_path / "new" / "a"), VALUES, atol=0, rtol=0)
    write_cfl(tmp_path / "number", VALUES[0, 0, 0, 0])
    assert torch.equal(read_cfl(tmp_path / "number"), VALUES[:1, 0, 0, 0])
    write_cfl(tmp_path / "b.v2", VALUES.real)
    torch.testing.assert_close(read_cfl(tmp_path / "b.v2"), VALUES.real.to(torch.complex64))


@pytest.mark.parametrize("values", [torch.ones(2, 2, dtype=torch.int64), torch.ones(2, 0), torch.ones([1] * 17)])
def test_what_is_not_written(tmp_path: Path, values: torch.Tensor) -> None:
    with pytest.raises((ShapeError, InvalidValueError)):
        write_cfl(tmp_path / "a", values)
    assert not list(tmp_path.iterdir())


def _header(text: str) -> Callable[[Path], object]:
    return lambda base: base.with_suffix(".hdr").write_text(text)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda base: _cut(base, 8 * 100), r"ksp.cfl is cut off: it has 800 bytes, .* 11520, .* 10720 are m"),
    "odd byte": (lambda base: _cut(base, 11519), "11519 bytes, .* 1 are missing"),
    "empty": (lambda base: _cut(base, 0), "it has 0 bytes"),
    "long": (lambda base: _cut(base, 11520, b"x"), "has 11521 bytes, more than the 11520 that .*ksp.hdr ann"),
    "no numbers": (lambda base: base.with_suffix(".cfl").unlink(), "there is no file .*ksp.cfl"),
    "no header": (lambda base: base.with_suffix(".hdr").unlink(), "there is no file .*ksp.hdr"),
    "empty header": (_header(""), "ksp.hdr has no line `# Dimensions`"),
    "title alone": (_header("# Dimensions"), "ksp.hdr has no line `# Dimensions` with sizes"),
    "no sizes": (_header("# Dimensions\n\n"), "`# Dimensions` are ''; expected"),
    "words": (_header("# Dimensions\n12 ten\n"), "`# Dimensions` are '12 ten'"),
    "zero": (_header("# Dimensions\n12 0\n"), "`# Dimensions` are '12 0'"),
    "many": (_header("# Dimensions\n" + "1 " * 17), "expected up to 16 sizes"),
    "large": (_header("# Dimensions\n99999999999 99999999999\n"), "is cut off"),
    "volume": (_header("# Dimensions\n6 5 4 12\n"), r"spatial dimensions \(6, 5, 4\); expected one of them to be 1"),
    "line": (_header("# Dimensions\n120 1 1 12\n"), r"spatial dimensions \(120, 1, 1\)"),
    "echoes": (_header("# Dimensions\n12 10 1 4 1 3\n"), r"has 3 values along TE_DIM \(dimension 5\)"),
    "bytes": (lambda base: base.with_suffix(".hdr").write_bytes(b"\xff\xfe# Dimensions\n12\n"), "as a header of BART"),
}  # fmt: skip


def _cut(base: Path, size: int, then: bytes = b"") -> None:
    path = base.with_suffix(".cfl")
    path.write_bytes(path.read_bytes()[:size] + then)


@pytest.mark.parametrize(("damage", "message"), FAULTS.values(), ids=list(FAULTS))
def test_faults_are_named(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    path = write_bart(tmp_path / "ksp", *bart_values())
    damage(tmp_path / "ksp")
    with pytest.raises(FileFormatError, match=message) as raised:
        list(read_bart(path))
    assert "\n" not in str(raised.value)


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    values, dims = bart_values()
    values[2, 3, 1, 1] = np.nan
    file = read_bart(write_bart(tmp_path / "ksp", values, dims))
    assert file[0].kspace.isfinite().all()
    with pytest.raises(NotFiniteError, match="ksp.cfl, slice 1: k-space: NaN"):
        file[1]
