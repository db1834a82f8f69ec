import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import birdcage_maps
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from tests.operators.case import Case
from tests.operators.checks import assert_close, check_operator, random_images
from tests.operators.test_fourier import MASK, transform

MAPS = birdcage_maps(3, 4, 6)
WIDE = np.arange(45).reshape(5, 9) % 4 == 0


def measured(x: Tensor) -> Tensor:
    image = torch.complex(x[..., 0, :, :], x[..., 1, :, :])
    return transform(MAPS.to(torch.complex128) * image.unsqueeze(-3)) * torch.as_tensor(MASK)


def measured_within(x: Tensor) -> Tensor:
    """The image in a field of view of 5 × 9 pixels, whose pixel (2, 4) is its pixel (2, 3)."""
    image = torch.complex(x[..., 0, :, :], x[..., 1, :, :])
    whole = functional.pad(MAPS.to(torch.complex128) * image.unsqueeze(-3), (1, 2, 0, 1))
    return transform(whole) * torch.as_tensor(WIDE)


SHARED_CASES = {
    "simulated-mri": Case("simulated-mri:num_coils=3,acceleration=2,seed=1", event_shape=(2, 6, 8)),
    "MultiCoilMRI, in a larger field of view": Case(
        "MultiCoilMRI:maps={maps},mask={mask},grid=[5,9]",
        measured_within,
        {"maps": MAPS.numpy(), "mask": WIDE},
        event_shape=(2, 4, 6),
    ),
    "MultiCoilMRI, columns in a larger field of view": Case(
        "MultiCoilMRI:maps={maps},mask={mask},grid=[5,9]",
        None,
        {"maps": MAPS.numpy(), "mask": WIDE[0]},
        event_shape=(2, 4, 6),
    ),
    "MultiCoilMRI": Case(
        "MultiCoilMRI:maps={maps},mask={mask}", measured, {"maps": MAPS.numpy(), "mask": MASK}, event_shape=(2, 4, 6)
    ),
}


@pytest.mark.parametrize("shape", [(4, 5), (5, 6)])
def test_maps_and_masks_of_each_measurement(shape: tuple[int, int]) -> None:
    noise = Noise.of(0, 1, dtype=torch.float64)
    maps = torch.view_as_complex(noise.normal((3, 2, *shape, 2))[0, 0])
    masks = noise.use("masks").uniform((3, 1, *shape))[0, 0] < 0.5
    operator = MultiCoilMRI(maps, masks)
    check_operator(operator)
    x = random_images(operator, 3)
    for b in range(3):
        alone = MultiCoilMRI(maps[b], masks[b])
        assert_close(operator(x)[b], alone(x[b]), 1e-12)
    assert operator.num_measured.tolist() == [2 * int(mask.sum()) for mask in masks]


def test_all_of_k_space_through_normalised_maps_keeps_lengths() -> None:
    operator = MultiCoilMRI(birdcage_maps(4, 5, 7, dtype=torch.float64))
    x = random_images(operator, 2)
    assert float(operator.norm()) == pytest.approx(1.0, abs=1e-12)
    assert_close(operator.gram(x), x, 1e-12)


@pytest.mark.parametrize("columns", [None, torch.tensor([1, 0, 1, 1, 0])])
def test_where_no_coil_sees_anything_noise_stays_as_it_is(columns: Tensor | None) -> None:
    maps = birdcage_maps(3, 4, 5, dtype=torch.float64)
    head = Noise.of(2, dtype=torch.float64).uniform((4, 5))[0, 0] < 0.6
    mask = Noise.of(0, 1).use("mask").uniform((4, 5))[0, 0] < 0.5 if columns is None else columns
    operator = MultiCoilMRI(maps * head, mask)
    check_operator(operator)
    assert operator.knows_spectrum == (columns is not None)
    x = random_images(operator)
    assert_close(operator.gram_function(lambda v: (1 - 0.9 * v).sqrt(), x)[:, ~head], x[:, ~head], 1e-12)
    assert float(operator.norm()) <= 1 + 1e-12


@pytest.mark.parametrize("batch", ["maps", "masks", "both"])
def test_whole_columns_of_each_measurement(batch: str) -> None:
    maps = torch.view_as_complex(Noise.of(0, 1, dtype=torch.float64).normal((3, 2, 3, 4, 2))[0, 0])
    masks = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 1], [1, 0, 0, 0]])[:, None, None].expand(3, 1, 3, 4)
    operator = MultiCoilMRI(maps if batch != "masks" else maps[0], masks if batch != "maps" else masks[0, 0])
    assert operator.knows_spectrum
    check_operator(operator)


def test_images_too_large_for_a_matrix_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = torch.tensor([1, 0, 1, 1, 0, 0])
    exact = MultiCoilMRI(MAPS, columns).double()
    monkeypatch.setattr("posterior.operators.mri._LARGEST", 4 * 6**2 - 1)
    expanded = MultiCoilMRI(MAPS, columns).double()
    assert exact.knows_spectrum and not expanded.knows_spectrum
    x = random_images(exact, 2)
    assert_close(exact.gram_function(torch.exp, x), expanded.gram_function(torch.exp, x), 1e-11)


@pytest.mark.parametrize("batch", ["maps", "masks"])
def test_matrices_of_all_measurements_count(batch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    columns, maps = torch.tensor([1, 0, 1, 1, 0, 0]), MAPS
    if batch == "maps":
        maps = MAPS.expand(9, 3, 4, 6)
    else:
        columns = columns.expand(9, 1, 4, 6)
    monkeypatch.setattr("posterior.operators.mri._LARGEST", 4 * 6**2)
    assert not MultiCoilMRI(maps, columns).knows_spectrum
    eight = MultiCoilMRI(maps[:8] if batch == "maps" else maps, columns[:8] if batch == "masks" else columns)
    assert eight.knows_spectrum
    check_operator(eight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_eigenvectors_are_kept_in_the_precision_of_the_maps(dtype: torch.dtype) -> None:
    columns = torch.tensor([1, 0, 1, 1, 0, 0])
    operator, precise = MultiCoilMRI(MAPS, columns).to(dtype), MultiCoilMRI(MAPS, columns).double()
    x = random_images(operator, 2)
    found = operator.gram_function(torch.exp, x.to(dtype))
    assert_close(found, precise.gram_function(torch.exp, x).to(dtype), 1e-5)
    assert operator._cache["rows"][1][1].dtype == operator.maps.dtype


def test_one_coil_of_whole_columns() -> None:
    columns = torch.tensor([1, 0, 1, 1, 0])
    operator = MultiCoilMRI(torch.ones(1, 4, 5, dtype=torch.complex128), columns)
    x = random_images(operator)
    assert_close(operator(x)[..., 0, :, :], transform(torch.complex(x[..., 0, :, :], x[..., 1, :, :])) * columns, 1e-12)
    assert operator.num_measured == 12


@pytest.mark.parametrize(
    ("maps", "mask", "error", "words"),
    [
        (torch.ones(4, 4, dtype=torch.complex64), None, ShapeError, r"\(\[B,\] C, H, W\)"),
        (torch.ones(2, 4, 4), None, InvalidValueError, "complex"),
        (torch.zeros(2, 4, 4, dtype=torch.complex64), None, InvalidValueError, "not all zero"),
        (MAPS, torch.ones(5, 6), ShapeError, "mask of MultiCoilMRI has shape"),
        (MAPS, torch.zeros(4, 6), InvalidValueError, "measures nothing"),
        (MAPS, torch.ones(3, 4, 6), ShapeError, r"expected \(W,\), \(H, W\) or \(B, 1, H, W\)"),
    ],
)
def test_what_does_not_fit_is_refused(maps: Tensor, mask: Tensor | None, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        MultiCoilMRI(maps, mask)


@pytest.mark.parametrize("mask", [torch.as_tensor(WIDE), torch.arange(9) % 2 == 0])
def test_a_larger_field_of_view_is_an_image_with_nothing_around_it(mask: Tensor) -> None:
    maps = birdcage_maps(3, 5, 9, dtype=torch.float64)
    whole, part = MultiCoilMRI(maps, mask), MultiCoilMRI(maps[:, :4, 1:7], mask, (5, 9))
    x = random_images(part, 2)
    assert_close(part(x), whole(functional.pad(x, (1, 2, 0, 1))), 1e-12)
    assert_close(part.adjoint(part(x)), whole.adjoint(part(x))[..., :4, 1:7], 1e-12)
    assert part.knows_spectrum == (mask.ndim == 1)
    everything, k = MultiCoilMRI(maps[:, :4, 1:7], grid=(5, 9)), part.transform(x)
    assert_close(k, everything(x), 1e-12)
    assert_close(part.transform_adjoint(k), everything.adjoint(k), 1e-12)


@pytest.mark.parametrize("grid", [(4, 5), (3, 6), (6,), (4, 6, 1)])
def test_a_grid_that_does_not_hold_the_image(grid: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"the grid of MultiCoilMRI is .*no smaller than the image's \(4, 6\)"):
        MultiCoilMRI(MAPS, grid=grid)
