"""Pictures of every kind have the right values, or are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from posterior.data import load_images
from posterior.errors import FileFormatError
from tests.data.pngs import GREY, GREY_ALPHA, PALETTE, RGB, RGB_ALPHA, save_png

RNG = np.random.default_rng(0)
KINDS = [(GREY, depth) for depth in (1, 2, 4, 8, 16)] + [
    (kind, d) for kind in (RGB, GREY_ALPHA, RGB_ALPHA) for d in (8, 16)
]
CHANNELS = {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGB_ALPHA: 4}
every_kind = pytest.mark.parametrize(("colour", "depth"), KINDS)


def pixels(colour: int, depth: int) -> np.ndarray:
    """Values without the last, which tests let stand for transparent; opaque where there is alpha."""
    values = RNG.integers(0, 2**depth - (depth > 1), (7, 9, CHANNELS[colour]))
    if colour in (GREY_ALPHA, RGB_ALPHA):
        values[..., -1] = 2**depth - 1
    return values


def expected(values: np.ndarray, colour: int, depth: int) -> torch.Tensor:
    colours = values[..., :-1] if colour in (GREY_ALPHA, RGB_ALPHA) else values
    return torch.from_numpy((colours / (2**depth - 1) * 2 - 1).transpose(2, 0, 1)[None].astype(np.float32))


@every_kind
def test_values_are_those_of_the_file(colour: int, depth: int, tmp_path: Path) -> None:
    values = pixels(colour, depth)
    images = load_images(save_png(tmp_path / "a.png", values, colour, depth))
    assert images.dtype == torch.float32 and images.is_contiguous()
    torch.testing.assert_close(images, expected(values, colour, depth), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("colour", "depth"), [kind for kind in KINDS if kind[0] in (GREY, RGB) and kind != (GREY, 1)])
def test_a_transparent_colour_matters_only_where_it_is(colour: int, depth: int, tmp_path: Path) -> None:
    values, last = pixels(colour, depth), 2**depth - 1
    key = last.to_bytes(2, "big") * CHANNELS[colour]
    path = save_png(tmp_path / "a.png", values, colour, depth, tRNS=key)
    torch.testing.assert_close(load_images(path), expected(values, colour, depth), atol=1e-6, rtol=0)
    values[2, 3] = last
    save_png(path, values, colour, depth, tRNS=key)
    with pytest.raises(FileFormatError, match="transparent in places"):
        load_images(path)


@pytest.mark.parametrize(("colour", "depth"), [kind for kind in KINDS if kind[0] in (GREY_ALPHA, RGB_ALPHA)])
def test_what_is_not_opaque_is_refused(colour: int, depth: int, tmp_path: Path) -> None:
    values = pixels(colour, depth)
    values[2, 3, -1] -= 1
    with pytest.raises(FileFormatError, match="transparent in places"):
        load_images(save_png(tmp_path / "a.png", values, colour, depth))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes(depth: int, tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (2**depth, 3)).astype(np.uint8)
    places = RNG.integers(0, 2**depth - 1, (7, 9, 1))
    path = save_png(
        tmp_path / "a.png", places, PALETTE, depth, PLTE=colours.tobytes(), tRNS=b"\xff" * (2**depth - 1) + b"\0"
    )
    torch.testing.assert_close(load_images(path), expected(colours[places[..., 0]], RGB, 8), atol=1e-6, rtol=0)
    places[2, 3] = 2**depth - 1
    save_png(path, places, PALETTE, depth, PLTE=colours.tobytes(), tRNS=b"\xff" * (2**depth - 1) + b"\0")
    with pytest.raises(FileFormatError, match="transparent in places"):
        load_images(path)


def test_animations_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(RNG.integers(0, 256, (7, 9, 3)).astype(np.uint8)) for _ in range(2)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(FileFormatError, match="animated"):
        load_images(tmp_path / "a.png")


def test_sixteen_bits_are_not_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    values = pixels(RGB, 16)
    path = save_png(tmp_path / "a.png", values, RGB, 16, eXIf=exif.tobytes().removeprefix(b"Exif\0\0"))
    with pytest.raises(FileFormatError, match="EXIF orientation; save it upright"):
        load_images(path)
    exif[0x0112] = 1
    save_png(path, values, RGB, 16, eXIf=exif.tobytes().removeprefix(b"Exif\0\0"))
    torch.testing.assert_close(load_images(path), expected(values, RGB, 16), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_colours_of_jpegs(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(np.full((16, 16, 3), (200, 100, 50), np.uint8))
    picture.convert(mode).save(tmp_path / "a.jpg", quality=100)
    if mode == "CMYK":
        with pytest.raises(FileFormatError, match="colour mode CMYK; save it as grey or RGB"):
            load_images(tmp_path / "a.jpg")
    else:
        mean = load_images(tmp_path / "a.jpg").mean((0, 2, 3))
        torch.testing.assert_close(mean, torch.tensor([200, 100, 50]) / 127.5 - 1, atol=0.02, rtol=0)
