from typing import Any

import numpy as np
import pytest
import torch

from posterior.data import Geometry, Volume
from posterior.data.geometry import check_estimates
from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError, PosteriorError, ShapeError

ORIGIN = (10.0, -20.0, 30.0)
AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
PLACED = Geometry((3.0, 2.0, 1.0), ORIGIN, AXES)


def test_affine() -> None:
    np.testing.assert_allclose(PLACED.affine() @ [1, 2, 3, 1], [10 + 3, -20 + 4, 30 + 3, 1])
    assert Geometry.from_affine(PLACED.affine()) == PLACED
    assert PLACED.at(2).origin == (10, -20, 36) and PLACED.at(2).spacing == PLACED.spacing
    assert Geometry((3, 2, 1)).at(2) == Geometry((3, 2, 1))
    np.testing.assert_array_equal(Geometry((3, 2, 1)).affine(), np.diag([3, 2, 1, 1]))


def test_orientation_is_that_of_the_nearest_axes() -> None:
    assert PLACED.orientation == "rows go to the back, columns to the left"
    slanted = Geometry((3.0, 2.0, 1.0), ORIGIN, ((-0.6, 0.0, 0.8), (-0.8, 0.0, -0.6), (0.0, -1.0, 0.0)))
    assert slanted.orientation == "rows go to the right, columns to the front"
    assert Geometry((3.0, 2.0, 1.0)).orientation is None


def test_stacks() -> None:
    assert Geometry.stacked([PLACED.at(k) for k in range(4)]) == PLACED
    with_gaps = Geometry.stacked([PLACED.at(k) for k in (4, 2, 0)])
    assert with_gaps.spacing == (6, 2, 1) and with_gaps.origin == (10, -20, 42)
    assert with_gaps.axes == ((0, 0, -1), *AXES[1:])
    assert Geometry.stacked([PLACED]) == PLACED
    assert Geometry.stacked([Geometry((3, 2, 1))] * 2) == Geometry((3, 2, 1))


TURNED = Geometry(PLACED.spacing, ORIGIN, (AXES[0], AXES[2], AXES[1]))


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ([PLACED, PLACED.at(1), PLACED.at(3)], "not evenly spaced"),
        ([PLACED, PLACED], "not evenly spaced"),
        ([PLACED, TURNED.at(1)], "turned against each other"),
        ([PLACED, Geometry(PLACED.spacing)], "turned against each other"),
        ([Geometry(PLACED.spacing), PLACED], "some have a place"),
        ([Geometry((3, 2, 1)), Geometry((3, 2, 2))], "differ in spacing"),
    ],
)
def test_slices_that_are_no_stack(slices: list[Geometry], message: str) -> None:
    with pytest.raises(IncompatibleError, match=message):
        Geometry.stacked(slices)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 0, 1),), "spacing to be a sequence of finite numbers > 0"),
        (((3, np.nan, 1),), "spacing to be a sequence of finite numbers > 0"),
        (((3, 1),), "spacing to be a sequence of finite numbers > 0"),
        (((3, 2, 1), ORIGIN), "both an origin and axes"),
        (((3, 2, 1), ORIGIN, (AXES[0], AXES[0], AXES[2])), "in one plane"),
        (((3, 2, 1), ORIGIN, ((0, 0, 2), *AXES[1:])), "unit vectors"),
        (((3, 2, 1), (np.inf, 0, 0), AXES), "origin to be a sequence of finite numbers"),
    ],
)
def test_no_geometry(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Geometry(*arguments)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (torch.ones(2, 2), ShapeError),
        (torch.ones(0, 2, 2), ShapeError),
        (torch.ones(1, 2, 2, dtype=torch.int32), InvalidValueError),
        (torch.full((1, 2, 2), torch.nan), NotFiniteError),
    ],
)
def test_no_volume(values: torch.Tensor, error: type[PosteriorError]) -> None:
    with pytest.raises(error):
        Volume(values, PLACED)


def test_draws_are_checked_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be larger than memory."""
    sizes = []
    monkeypatch.setattr("posterior.data.geometry.check_finite", lambda what, values, advice: sizes.append(values.shape))
    check_estimates(torch.ones(3, 4, 5), None, torch.ones(2, 3, 4, 5))
    assert sizes == 9 * [(4, 5)]
    monkeypatch.undo()
    draws = torch.ones(2, 3, 4, 5)
    draws[1, 2, 0, 0] = torch.nan
    with pytest.raises(NotFiniteError, match="draws, slice 2: NaN or infinity in 1 of 20 values"):
        check_estimates(torch.ones(3, 4, 5), None, draws)
