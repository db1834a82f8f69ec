import re

import pytest
import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import (
    MASKS,
    calibration_region,
    equispaced_mask,
    gaussian_columns_mask,
    gaussian_mask,
    poisson_mask,
    radial_mask,
    random_mask,
    true_acceleration,
)

SHAPE = (24, 50)
COLUMNS = ("random", "equispaced", "gaussian-columns")
each = pytest.mark.parametrize("kind", list(MASKS))


def points(mask: Tensor) -> Tensor:
    """Frequencies of what is measured, (N, 2)."""
    return mask.nonzero() - torch.tensor([n // 2 for n in mask.shape])


@each
def test_the_middle_is_measured_and_the_seed_draws_the_rest(kind: str) -> None:
    make = MASKS[kind]
    mask = make(SHAPE, 4, calibration=5, seed=3)
    assert mask.shape == SHAPE and mask.dtype == torch.bool
    rows = slice(None) if kind in COLUMNS else slice(10, 15)  # 24 // 2 − 5 // 2 = 10, and 50 // 2 − 2 = 23
    assert bool(mask[rows, 23:28].all())
    assert torch.equal(mask, make(SHAPE, 4, calibration=5, seed=3))
    assert not all(torch.equal(mask, make(SHAPE, 4, calibration=5, seed=seed)) for seed in range(4, 10))
    if kind in COLUMNS:
        assert torch.equal(mask, mask[:1].expand(SHAPE))


@each
@pytest.mark.parametrize("acceleration", [3.0, 5.5])
def test_acceleration_is_as_nominal_or_what_the_pattern_makes_of_it(kind: str, acceleration: float) -> None:
    mask = MASKS[kind](SHAPE, acceleration, calibration=4, seed=1)
    found = int(mask.sum())
    if kind in COLUMNS:
        wanted, found = SHAPE[1] / acceleration, found // SHAPE[0]
    else:
        wanted = mask.numel() / acceleration
    if kind == "equispaced":
        assert wanted - 1 < found <= wanted + 5
        assert true_acceleration(mask) < acceleration
    elif kind == "radial":
        assert round(wanted) <= found < wanted + 2 * sum(SHAPE)
    else:
        assert found == round(wanted)


def test_acceleration_four_with_eight_percent_in_the_middle_is_three_point_two() -> None:
    mask = equispaced_mask((4, 400), 4)
    # 100 columns every fourth, and the three in four of the 32 in the middle that are not among them: 124.
    assert true_acceleration(mask) == pytest.approx(400 / 124)


def test_the_middle_is_eight_percent_or_four() -> None:
    assert calibration_region(poisson_mask((50, 100), 6))[0] == 4
    for acceleration, size in ((6, 8), (6.1, 4)):
        mask = random_mask((2, 100), acceleration, seed=2)
        assert bool(mask[:, 50 - size // 2 : 50 + size // 2].all())
        assert calibration_region(mask) in ((2, size), (2, size + 1))


def test_equispaced_columns_are_a_step_apart() -> None:
    firsts = set()
    for seed in range(20):
        columns = equispaced_mask((2, 41), 4, calibration=0, seed=seed)[0].nonzero().flatten()
        assert columns.diff().unique().tolist() == [4]
        firsts.add(int(columns[0]))
    assert firsts == {0, 1, 2, 3}


def test_random_columns_are_as_likely_everywhere() -> None:
    counts = sum(random_mask((1, 20), 2, calibration=4, seed=seed)[0].double() for seed in range(400))
    assert torch.equal(counts[8:12], torch.full((4,), 400.0, dtype=torch.float64))
    others = torch.cat([counts[:8], counts[12:]])
    # 6 of 16: 150 of 400, standard deviation √(400 · 3/8 · 5/8) = 9.7; 3.5 of them for each of 16.
    assert float(others.sum()) == 2400 and float((others - 150).abs().max()) < 34


def test_gaussian_draws_have_a_sixth_of_the_size_as_standard_deviation() -> None:
    # One in 50: hardly any point is wanted twice, so that drawing without replacement is drawing.
    found = points(gaussian_mask((120, 240), 50, calibration=0)).double()
    # of 576 draws: 1/√(2 · 576) = 3 % Monte Carlo error of a standard deviation, four times that
    assert torch.allclose(found.std(0), torch.tensor([20.0, 40.0], dtype=torch.float64), rtol=0.12)
    columns = torch.cat([points(gaussian_columns_mask((1, 600), 60, 0, seed))[:, 1] for seed in range(40)]).double()
    assert float(columns.std()) == pytest.approx(100, rel=0.15)


def test_poisson_points_keep_their_distance_and_thin_out() -> None:
    mask = poisson_mask((64, 64), 8, calibration=0)
    found = points(mask).double()
    apart = torch.cdist(found, found).fill_diagonal_(torch.inf).amin(0)
    radius = (found / 32).norm(dim=1)
    inner, outer = apart[radius < 0.25], apart[(radius > 0.75) & (radius < 1)]
    assert float(inner.mean()) < 0.75 * float(outer.mean())
    # A lattice of one point in ten has them 3.4 apart; at random half of them would have another within 1.5.
    assert float(outer.min()) > 2.5
    assert float(apart.min()) >= 1


def test_radial_spokes_go_through_the_zero_frequency() -> None:
    mask = radial_mask((65, 65), 12, calibration=0, seed=5)
    assert torch.equal(mask, mask.flip(0, 1))  # of odd sizes
    assert bool(mask[32, 32]) and float(mask[26:39, 26:39].double().mean()) > 3 * float(mask.double().mean())
    assert bool(mask[:, [0, -1]].any()) and bool(mask[[0, -1]].any())  # they reach the ends


def test_the_region_of_a_mask_grows_about_the_zero_frequency() -> None:
    mask = torch.zeros(6, 7)
    mask[2:4, 1:5] = 1  # about (3, 3): rows −1 and 0, columns −2 … 1
    assert calibration_region(mask) == (2, 4)
    mask[:, 3] = 1
    assert calibration_region(mask) == (2, 4)
    mask[:, 2] = 1
    assert calibration_region(mask) == (6, 2)
    with pytest.raises(InvalidValueError, match="zero frequency"):
        calibration_region(1 - mask)
    with pytest.raises(ShapeError, match=r"\(H, W\)"):
        calibration_region(mask[0])


@each
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"shape": (24,)}, ShapeError, "shape of a mask"),
        ({"acceleration": 0.5}, InvalidValueError, "acceleration to be a finite number ≥ 1"),
        ({"calibration": 60}, InvalidValueError, "no middle of 60"),
        ({"calibration": -1}, InvalidValueError, "calibration"),
        ({"seed": "one"}, InvalidValueError, "seed"),
    ],
)
def test_what_does_not_fit_is_refused(kind: str, arguments: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        MASKS[kind](**({"shape": SHAPE, "acceleration": 4} | arguments))


def test_a_budget_that_the_middle_exceeds_is_refused() -> None:
    for kind in ("random", "gaussian-columns", "gaussian", "poisson", "radial"):
        with pytest.raises(InvalidValueError, match=r"leaves \d+ of \d+, with \d+ in the middle: lower"):
            MASKS[kind]((24, 24), 20, calibration=8)
    assert bool(radial_mask((24, 50), 1).all())
    with pytest.raises(InvalidValueError, match="measures nothing"):
        true_acceleration(torch.zeros(3, 3))
