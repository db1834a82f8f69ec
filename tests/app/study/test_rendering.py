"""What readers see of an image: its window, its kinds, and nothing beside the pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from posterior.app.study.rendering import read_values, render
from posterior.errors import NotFiniteError, PosteriorError


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_window_is_fixed() -> None:
    levels = pixels(render(np.array([[-5.0, 1.0, 2.0, 2.999, 3.0, 9.0]]), (1.0, 3.0)))
    assert levels.tolist() == [[0, 0, 128, 255, 255, 255]]


@pytest.mark.parametrize(
    ("array", "shape", "first"),
    [
        (np.full((4, 6), 7, np.int16), (4, 6), 7),
        (np.full((1, 4, 6), 0.5), (4, 6), 0.5),
        (np.full((4, 6), 3 + 4j), (4, 6), 5),
        (np.stack([np.full((4, 6), 3.0), np.full((4, 6), -4.0)]), (4, 6), 5),
        (np.stack([np.full((4, 6), level) for level in (0.1, 0.2, 0.3)]), (4, 6, 3), [0.1, 0.2, 0.3]),
        (np.full((4, 6, 3), [0.1, 0.2, 0.3]), (4, 6, 3), [0.1, 0.2, 0.3]),
    ],
)
def test_arrays(tmp_path: Path, array: np.ndarray, shape: tuple[int, ...], first: object) -> None:
    np.save(tmp_path / "one.npy", array)
    np.savez(tmp_path / "one.npz", x=array, other=np.zeros(3))
    for name in ("one.npy", "one.npz"):
        values = read_values(tmp_path / name)
        assert values.shape == shape
        assert values[0, 0].tolist() == first
        assert pixels(render(values, (0, 10))).shape == shape


def test_pictures_are_from_minus_one_to_one(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 51, 255]], np.uint8)).save(tmp_path / "one.png")
    assert np.allclose(read_values(tmp_path / "one.png"), [[-1, -0.6, 1]])
    assert pixels(render(read_values(tmp_path / "one.png"), (-1, 1))).tolist() == [[0, 51, 255]]


def test_a_picture_s_texts_are_left_behind(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Zubmethod")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "one.png", pnginfo=info)
    assert b"Zubmethod" in (tmp_path / "one.png").read_bytes()
    png = render(read_values(tmp_path / "one.png"), (-1, 1))
    assert chunks(png) == ["IHDR", "IDAT", "IEND"]


def chunks(png: bytes) -> list[str]:
    """The kinds of chunks of a PNG."""
    kinds, place = [], 8
    while place < len(png):
        kinds.append(png[place + 4 : place + 8].decode())
        place += 12 + int.from_bytes(png[place : place + 4], "big")
    return kinds


@pytest.mark.parametrize(
    "array", [np.zeros(5), np.zeros((4, 4, 4)), np.zeros((0, 4)), np.zeros((2, 1, 4, 4)), np.array([["a"]])]
)
def test_what_is_no_image_is_named(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "one.npy", array)
    with pytest.raises(PosteriorError, match=r"one\.npy"):
        read_values(tmp_path / "one.npy")


def test_holes_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.array([[0, np.nan]]))
    with pytest.raises(NotFiniteError, match=r"one\.npy"):
        read_values(tmp_path / "one.npy")
