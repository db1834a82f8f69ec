"""Pictures of other sizes and colours, as images of a prior."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from posterior.app.pictures import load_pictures
from posterior.errors import FileFormatError, ShapeError
from posterior.noise import Noise


def save(path: Path, *shape: int, seed: int = 0) -> np.ndarray:
    """A smooth picture, and its values 0 … 255."""
    rows, columns = np.meshgrid(np.linspace(0, 1, shape[0]), np.linspace(0, 1, shape[1]), indexing="ij")
    values = 255 * (rows + 2 * columns) / 3
    pixels = np.round(values if len(shape) == 2 else np.stack([values, 255 - values, values**2 / 255], -1))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return pixels


def test_pictures_are_converted_by_request_only(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 8, 8, 3)
    with pytest.raises(ShapeError, match=r"\(1, 8, 8\).*resize scales and crops pictures, gray takes"):
        load_pictures(tmp_path / "a.png", (1, 8, 8))
    with pytest.raises(ShapeError, match=r"converted to shape \(3, 8, 8\); expected \(1, 8, 8\)"):
        load_pictures(tmp_path / "a.png", (1, 8, 8), resize=True)
    assert load_pictures(tmp_path / "a.png", (3, 8, 8)).shape == (1, 3, 8, 8)


def test_brightness(tmp_path: Path) -> None:
    pixels = save(tmp_path / "a.png", 8, 8, 3)
    image = load_pictures(tmp_path / "a.png", (1, 8, 8), gray=True)
    grey = np.asarray(Image.open(tmp_path / "a.png").convert("L"))  # the same weights, rounded
    np.testing.assert_allclose((image[0, 0] + 1) * 127.5, grey, atol=0.51)
    assert pixels.shape == (8, 8, 3)
    save(tmp_path / "b.png", 8, 8)
    torch.testing.assert_close(
        load_pictures(tmp_path / "b.png", (1, 8, 8), gray=True), load_pictures(tmp_path / "b.png", (1, 8, 8))
    )


@pytest.mark.parametrize("shape", [(16, 24), (24, 16), (16, 16), (5, 4)])
def test_the_middle_is_scaled(shape: tuple[int, int], tmp_path: Path) -> None:
    save(tmp_path / "a.png", *shape)
    image = load_pictures(tmp_path / "a.png", (1, 8, 8), resize=True)[0, 0]
    # the picture is linear in its rows and columns, and so is what is cut from its middle
    centres = (np.arange(8) - 3.5) * min(shape) / 8
    rows = (centres + (shape[0] - 1) / 2) / (shape[0] - 1)
    columns = (centres + (shape[1] - 1) / 2) / (shape[1] - 1)
    expected = 2 * (rows[:, None] + 2 * columns) / 3 - 1
    inner = slice(2, -2)  # at the border the filter is cut off
    np.testing.assert_allclose(image[inner, inner], expected[inner, inner], atol=0.06)


def test_a_folder_of_pictures_of_many_sizes_and_an_array(tmp_path: Path) -> None:
    save(tmp_path / "b.png", 16, 24)
    save(tmp_path / "a.png", 8, 8, 3)
    images = load_pictures(tmp_path, (1, 8, 8), resize=True, gray=True)
    assert images.shape == (2, 1, 8, 8)
    torch.testing.assert_close(images[:1], load_pictures(tmp_path / "a.png", (1, 8, 8), gray=True))
    np.save(tmp_path / "x.npy", Noise.of(0).uniform((5, 3, 12, 12))[0, 0].numpy())
    assert load_pictures(tmp_path / "x.npy", (1, 8, 8), resize=True, gray=True).shape == (5, 1, 8, 8)
    (tmp_path / "empty").mkdir()
    for nothing in ("empty", "nowhere.png"):
        with pytest.raises(FileFormatError):
            load_pictures(tmp_path / nothing, (1, 8, 8), resize=True)
