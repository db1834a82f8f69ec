import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from posterior.data import load_brain, load_digits, load_fashion, load_images
from posterior.data.shipped import BrainSlices
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, ShapeError, UnknownNameError

ASSETS = Path(__file__).resolve().parents[2] / "posterior/assets"
RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def bytes_(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path / "images.npy", array)
    return path / "images.npy"


def expected(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32) / 127.5 - 1)


@pytest.mark.parametrize("load", [load_digits, load_fashion])
def test_shipped(load) -> None:
    images, labels = load()
    assert images.shape == (100, 1, 28, 28)
    assert images.dtype == torch.float32
    assert images.min() == -1
    assert images.max() == 1
    assert labels.tolist() == 10 * list(range(10))
    assert len(torch.unique(images, dim=0)) == 100
    more, classes = load("training")
    assert more.shape == (2000, 1, 28, 28)
    assert classes.bincount().tolist() == 10 * [200]
    unseen, kinds = load("test")
    assert unseen.shape == (200, 1, 28, 28)
    assert kinds.tolist() == 20 * list(range(10))
    assert len(torch.unique(torch.cat([images, more, unseen]), dim=0)) == len(torch.unique(more, dim=0)) + 300
    with pytest.raises(UnknownNameError, match="'held_out', 'training', 'test'"):
        load("validation")


def test_slabs_of_the_brain() -> None:
    counts = {"training": 72, "validation": 10, "test": 14}
    slices = {}
    for slab, count in counts.items():
        images = load_brain(slab)
        assert images.shape == (count, 1, 192, 224)
        assert images.dtype == torch.float32
        assert images.min() == 0
        assert 0.5 < images.max() <= 1
        slices[slab] = np.load(ASSETS / f"brain_{slab}.npz")["z"].astype(int)
        assert len(slices[slab]) == count
    for one, other in itertools.combinations(slices.values(), 2):  # 10 mm lie between slices 11 mm apart
        assert np.abs(one[:, None] - other).min() >= 11
    with pytest.raises(UnknownNameError, match="training, validation, test, mni152, macaque"):
        load_brain("held_out")


@pytest.mark.parametrize("which", ["mni152", "macaque"])
def test_other_brains(which: BrainSlices) -> None:
    images = load_brain(which)
    assert images.shape == (8, 1, 192, 224)
    inside = images[:, 0] > 0
    assert (inside.flatten(1).float().mean(1) > 0.1).all()
    assert not inside[:, :8].any() and not inside[:, -8:].any()  # neither is cut off
    assert not inside[..., :8].any() and not inside[..., -8:].any()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_png(tmp_path: Path, channels: tuple[int, ...]) -> None:
    pixels = bytes_(6, 9, *channels)
    Image.fromarray(pixels).save(tmp_path / "a.PNG")
    images = load_images(tmp_path / "a.PNG")
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    torch.testing.assert_close(images, expected(pixels.reshape(6, 9, -1).transpose(2, 0, 1)[None]))


def test_ends_of_the_range_are_exact(tmp_path: Path) -> None:
    pixels = np.array([[0, 255] * 2] * 4, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", saved(tmp_path, pixels)):
        assert load_images(path)[0, 0, 0, :2].tolist() == [-1, 1]


def test_jpeg_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, :12] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = load_images(tmp_path / "a.jpg")[0]
    assert image.shape == (3, 24, 16)
    assert image[:, :8].mean() > 0.9
    assert image[:, -8:].mean() < -0.9


def test_sixteen_bits(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65536, (5, 5)).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    torch.testing.assert_close(
        load_images(tmp_path / "a.png")[0, 0], torch.from_numpy((pixels / 32767.5 - 1).astype(np.float32))
    )


def test_palette_and_black_and_white(tmp_path: Path) -> None:
    pixels = bytes_(8, 8, 3) // 128 * 255
    Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    torch.testing.assert_close(load_images(tmp_path / "p.png")[0], expected(pixels.transpose(2, 0, 1)))
    Image.fromarray(pixels[..., 0]).convert("1").save(tmp_path / "1.png")
    torch.testing.assert_close(load_images(tmp_path / "1.png")[0, 0], expected(pixels[..., 0]))


def test_transparency(tmp_path: Path) -> None:
    pixels = bytes_(8, 8, 4)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    torch.testing.assert_close(load_images(tmp_path / "a.png")[0], expected(pixels[..., :3].transpose(2, 0, 1)))
    pixels[2, 3, 3] = 100
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(FileFormatError, match="transparent"):
        load_images(tmp_path / "a.png")


def test_cmyk_is_refused(tmp_path: Path) -> None:
    Image.fromarray(bytes_(8, 8, 3)).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(FileFormatError, match="CMYK"):
        load_images(tmp_path / "a.jpg")


def test_folder_in_the_order_of_names(tmp_path: Path) -> None:
    pixels = bytes_(3, 7, 5)
    for name, image in zip(("c", "a", "b"), pixels, strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    (tmp_path / "README.txt").write_text("not a picture")
    torch.testing.assert_close(load_images(tmp_path)[:, 0], expected(pixels[[1, 2, 0]]))


def test_folder_with_several_sizes_names_the_offenders(tmp_path: Path) -> None:
    for name, shape in {"a": (6, 6), "b": (6, 6), "odd": (6, 7), "colour": (6, 6, 3)}.items():
        Image.fromarray(bytes_(*shape)).save(tmp_path / f"{name}.png")
    with pytest.raises(ShapeError, match=r"colour\.png \(3, 6, 6\), odd\.png \(1, 6, 7\)"):
        load_images(tmp_path)


def test_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="without pictures"):
        load_images(tmp_path)


@pytest.mark.parametrize(
    ("shape", "order", "result"),
    [
        ((6, 7), None, (1, 1, 6, 7)),
        ((5, 6, 7), None, (5, 1, 6, 7)),
        ((1, 6, 7), None, (1, 1, 6, 7)),
        ((6, 7, 3), (2, 0, 1), (1, 3, 6, 7)),
        ((6, 7, 1), (2, 0, 1), (1, 1, 6, 7)),
        ((5, 6, 7, 3), (0, 3, 1, 2), (5, 3, 6, 7)),
        ((5, 3, 6, 7), None, (5, 3, 6, 7)),
        ((3, 2, 6, 7), None, (3, 2, 6, 7)),
    ],
)
def test_layouts(
    tmp_path: Path, shape: tuple[int, ...], order: tuple[int, ...] | None, result: tuple[int, ...]
) -> None:
    array = floats(*shape)
    images = load_images(saved(tmp_path, array))
    torch.testing.assert_close(
        images, torch.from_numpy((array if order is None else array.transpose(order)).reshape(result))
    )


def test_three_planes_are_three_images_or_one_in_colour(tmp_path: Path) -> None:
    array = floats(3, 6, 7)
    path = saved(tmp_path, array)
    with pytest.raises(ShapeError, match="N×H×W or C×H×W"):
        load_images(path)
    assert load_images(path, (1, 6, 7)).shape == (3, 1, 6, 7)
    assert load_images(path, (3, 6, 7)).shape == (1, 3, 6, 7)


def test_shape_decides_only_where_it_can(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="transpose"):
        load_images(saved(tmp_path, floats(5, 3, 3, 3)), (3, 3, 3))
    with pytest.raises(ShapeError, match=r"\(5, 6, 7\).*\(1, 6, 8\)"):
        load_images(saved(tmp_path, floats(5, 6, 7)), (1, 6, 8))
    with pytest.raises(ShapeError, match=r"C, H, W"):
        load_images(saved(tmp_path, floats(5, 6, 7)), (6, 7))
    Image.fromarray(bytes_(6, 6)).save(tmp_path / "a.png")
    with pytest.raises(ShapeError, match=r"\(1, 6, 6\).*\(3, 6, 6\)"):
        load_images(tmp_path / "a.png", (3, 6, 6))


@pytest.mark.parametrize("shape", [(5,), (5, 4, 6, 7), (2, 5, 1, 6, 7), (2, 2)])
def test_arrays_that_are_no_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="cannot be read"):
        load_images(saved(tmp_path, floats(*shape)))


def test_an_array_without_images(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"is empty: it holds an array of shape \(0, 6, 7\)"):
        load_images(saved(tmp_path, floats(0, 6, 7)))


def test_npz(tmp_path: Path) -> None:
    x = floats(5, 6, 7)
    np.savez(tmp_path / "a.npz", x=x, label=np.arange(5))
    np.savez(tmp_path / "b.npz", only=x)
    np.savez(tmp_path / "c.npz", train=x, test=x)
    np.savez(tmp_path / "d.npz")
    for name in "ab":
        torch.testing.assert_close(load_images(tmp_path / f"{name}.npz")[:, 0], torch.from_numpy(x))
    with pytest.raises(FileFormatError, match="train, test"):
        load_images(tmp_path / "c.npz")
    with pytest.raises(FileFormatError, match="none"):
        load_images(tmp_path / "d.npz")


def test_values_must_lie_in_range(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"\[-1, 1\].*127\.5"):
        load_images(saved(tmp_path, 255 * floats(5, 6, 7)))
    with pytest.raises(InvalidValueError, match="int64"):
        load_images(saved(tmp_path, np.zeros((5, 6, 7), np.int64)))
    with pytest.raises(InvalidValueError, match="complex64"):
        load_images(saved(tmp_path, np.zeros((5, 6, 7), np.complex64)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(tmp_path: Path, value: float) -> None:
    array = floats(5, 6, 7)
    array[1, 2, 3] = value
    with pytest.raises(NotFiniteError, match=r"images\.npy.* 1 of 210 values"):
        load_images(saved(tmp_path, array))


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([{"x": 1}], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(FileFormatError, match="allow_pickle"):
            load_images(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".npy", ".npz"])
def test_corrupt_files_are_named(tmp_path: Path, suffix: str) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"broken{suffix}"
    if suffix in (".png", ".jpg"):
        Image.fromarray(bytes_(32, 32, 3)).save(whole)
    elif suffix == ".npy":
        np.save(whole, floats(5, 8, 8))
    else:
        np.savez_compressed(whole, x=floats(5, 8, 8))
    content = whole.read_bytes()
    broken = [b"", b"not what it says", content[:5], content[: len(content) // 2]]
    if suffix in (".png", ".npz"):  # their check sums notice a changed byte
        broken.append(content[: len(content) // 2] + b"\x00\x01\x02" + content[len(content) // 2 + 3 :])
    for text in broken:
        path.write_bytes(text)
        with pytest.raises(FileFormatError, match=f"broken{suffix}"):
            load_images(path)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(FileFormatError, match="not a kind"):
        load_images(tmp_path / "a.gif")
    with pytest.raises(FileFormatError, match="does not exist"):
        load_images(str(tmp_path / "missing.png"))
    (tmp_path / "npz.npy").write_bytes(b"\x80\x04N.")  # a pickle under another name
    with pytest.raises(FileFormatError, match=r"npz\.npy"):
        load_images(tmp_path / "npz.npy")
