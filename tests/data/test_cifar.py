from pathlib import Path

import pytest
import torch

from posterior.data import cifar, load_cifar10
from posterior.errors import FileFormatError, UnknownNameError
from tests.data.packages import COUNT, save_package


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "_IMAGES", COUNT)


def test_images_and_labels(tmp_path: Path) -> None:
    pixels = save_package(tmp_path / "it.tgz")
    x, labels = load_cifar10(tmp_path / "it.tgz")
    test, shown = load_cifar10(tmp_path / "it.tgz", "test")
    assert x.shape == (5 * COUNT, 3, 32, 32) and test.shape == (COUNT, 3, 32, 32)
    expected = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    assert torch.allclose(torch.cat([x, test]), expected, atol=1e-6)
    assert labels.tolist() == [n % 10 for n in range(5 * COUNT)] and shown.tolist() == [9, 8, 7, 6, 5, 4]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("data_batch_3.png", None, "data_batch_3.png"),
        ("data_batch_3.png", b"text", "cannot identify"),
        ("train_lables.json", b"[1, 2]", "does not hold 30 numbers"),
        ("train_lables.json", b"{", "Expecting"),
    ],
)
def test_packages_that_are_another(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    save_package(tmp_path / "it.tgz", **{name: content})
    with pytest.raises(FileFormatError, match=f"it.tgz is corrupt or cut off.*{reason}"):
        load_cifar10(tmp_path / "it.tgz")


def test_files_that_are_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_package(tmp_path / "it.tgz")
    whole = (tmp_path / "it.tgz").read_bytes()
    (tmp_path / "half.tgz").write_bytes(whole[: len(whole) // 2])
    for name, reason in (("half.tgz", "corrupt or cut off"), ("none.tgz", "there is no file")):
        with pytest.raises(FileFormatError, match=reason):
            load_cifar10(tmp_path / name)
    with pytest.raises(UnknownNameError, match="'training' and 'test'"):
        load_cifar10(tmp_path / "it.tgz", "train")  # type: ignore[arg-type]
    monkeypatch.setattr(cifar, "_IMAGES", COUNT - 1)
    with pytest.raises(FileFormatError, match=r"RGB of \(1024, 6\), not RGB of \(1024, 5\)"):
        load_cifar10(tmp_path / "it.tgz")
