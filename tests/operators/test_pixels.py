import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posterior.errors import InvalidValueError, ShapeError
from posterior.operators import Grayscale, Identity, Inpainting
from tests.operators.case import MASK, Case
from tests.operators.checks import check_operator, materialise, random_images

SHARED_CASES = {
    "Grayscale": Case("grayscale", lambda x: torch.einsum("c,chw->hw", x.new_tensor([0.299, 0.587, 0.114]), x)[None]),
    "Identity": Case("identity", lambda x: x),
    "Inpainting": Case("inpainting:mask={mask}", lambda x: x * torch.from_numpy(MASK), {"mask": MASK}),
    "box": Case(
        "box:top=1,left=2,height=2,width=3", lambda x: x - torch.nn.functional.pad(x[:, 1:3, 2:5], (2, 1, 1, 1))
    ),
    "half": Case("half:keep=top", lambda x: torch.cat([x[:, :2], 0 * x[:, 2:]], dim=1)),
    "mask": Case("mask:path={mask}", lambda x: x * torch.from_numpy(MASK), {"mask": MASK}),
    "random": Case("random:fraction=0.3,seed=4"),
}

sides = st.integers(2, 7)


@settings(max_examples=10, deadline=None)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_identity(shape):
    check_operator(Identity(shape))


@settings(max_examples=15, deadline=None)
@given(channels=st.integers(1, 3), height=sides, width=sides, data=st.data())
def test_inpainting(channels, height, width, data):
    event = (channels, height, width)
    batch = data.draw(st.sampled_from([(), (1,), (3,)]))
    shape = data.draw(st.sampled_from([event, (1, height, width)] + ([(height, width)] if not batch else [])))
    mask = torch.rand(batch + shape, generator=torch.Generator().manual_seed(height * width)) < 0.6
    mask[..., 0, 0] = True
    check_operator(Inpainting(mask, event))


def test_inpainting_takes_its_shape_from_the_mask():
    mask = torch.tensor([[True, False], [True, True]])
    assert Inpainting(mask).event_shape == (2, 2)
    assert Inpainting(mask).num_measured == 3
    assert Inpainting(mask, (3, 2, 2)).num_measured == 9


def test_a_mask_for_each_measurement():
    mask = torch.tensor([[[True, False]], [[True, True]]])
    operator = Inpainting(mask[:, None], (3, 1, 2))
    assert operator.num_measured.tolist() == [3, 6]
    assert operator.select(torch.tensor([1])).num_measured.tolist() == [6]
    with pytest.raises(ShapeError, match="2 masks.*3 images"):
        operator(torch.zeros(3, 3, 1, 2))


def test_the_count_follows_the_mask():
    operator = Inpainting(torch.tensor([True, True, False]))
    assert operator.num_measured == 2
    operator.mask[0] = False
    assert operator.num_measured == 1


def test_hidden_values_play_no_part():
    operator = Inpainting(torch.tensor([True, False]))
    assert operator(torch.tensor([2.0, torch.nan])).tolist() == [2.0, 0.0]


def test_half_precision():
    operator = Inpainting(torch.tensor([True, False])).half()
    assert operator(torch.ones(2).half()).dtype == operator.adjoint(torch.ones(2).half()).dtype == torch.float16


def test_box_hides_the_box():
    mask = Inpainting.box((3, 5, 6), top=1, left=2, height=3, width=4).mask
    assert mask.sum() == 30 - 12
    assert not mask[1:4, 2:6].any()


@pytest.mark.parametrize(("keep", "rows"), [("top", [0, 1]), ("bottom", [3, 4])])
def test_half_of_rows(keep, rows):
    assert Inpainting.half_image((5, 4), keep).mask.all(1).nonzero().flatten().tolist() == rows


@pytest.mark.parametrize(("keep", "columns"), [("left", [0, 1]), ("right", [3, 4])])
def test_half_of_columns(keep, columns):
    assert Inpainting.half_image((1, 4, 5), keep).mask.all(0).nonzero().flatten().tolist() == columns


def test_random_keeps_the_fraction_and_follows_the_seed():
    operator = Inpainting.random((3, 10, 10), 0.25, seed=0)
    assert operator.num_measured == 75
    assert torch.equal(operator.mask, Inpainting.random((3, 10, 10), 0.25).mask)
    assert not torch.equal(operator.mask, Inpainting.random((3, 10, 10), 0.25, seed=1).mask)
    assert Inpainting.random((12,), 0.5).num_measured == 6


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64])
def test_masks_of_zeros_and_ones_are_masks(dtype):
    mask = torch.tensor([[True, False, True], [False, False, True]])
    operator = Inpainting(mask.to(dtype))
    assert operator.mask.dtype == torch.bool and torch.equal(operator.mask, mask)
    assert operator.num_measured == 3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Inpainting(torch.tensor([0.0, 0.5, 1.0])),
            InvalidValueError,
            "other than 0 and 1 .*float32.*mask > 0",
        ),
        (
            lambda: Inpainting(torch.tensor([0.0, torch.nan])),
            InvalidValueError,
            "mask to be a tensor of finite numbers",
        ),
        (
            lambda: Inpainting(torch.tensor([0, 255], dtype=torch.uint8)),
            InvalidValueError,
            "other than 0 and 1 .*uint8",
        ),
        (lambda: Inpainting(torch.tensor([-1, 1])), InvalidValueError, "other than 0 and 1"),
        (lambda: Inpainting(torch.zeros(2, 2, dtype=torch.bool)), InvalidValueError, "measures nothing"),
        (lambda: Inpainting(torch.ones(2, 3, dtype=torch.bool), (1, 3, 2)), ShapeError, "broadcasts"),
        (lambda: Inpainting(torch.ones(2, 1, 1, 3, 2, dtype=torch.bool), (1, 3, 2)), ShapeError, "broadcasts"),
        (lambda: Inpainting.box((4, 4), 2, 2, 3, 1), InvalidValueError, "inside the 4 × 4"),
        (lambda: Inpainting.box((4, 4), 2, 2, 0, 1), InvalidValueError, "non-empty"),
        (lambda: Inpainting.box((4,), 2, 2, 1, 1), ShapeError, "rows and columns"),
        (lambda: Inpainting.half_image((4, 4), "middle"), InvalidValueError, "middle"),
        (lambda: Inpainting.random((4, 4), 0.0), InvalidValueError, "fraction"),
        (lambda: Inpainting.random((4, 4), 1.5), InvalidValueError, "fraction"),
        (lambda: Inpainting.random((4, 4), 0.01), InvalidValueError, "measures nothing"),
        (lambda: Grayscale((1, 4, 4)), ShapeError, "colour images"),
        (lambda: Identity((2, 3))(torch.zeros(3, 2)), ShapeError, "Identity"),
        (lambda: Identity((2, 3)).adjoint(torch.zeros(3, 2)), ShapeError, "Identity.adjoint"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_grayscale():
    operator = Grayscale((3, 4, 5))
    check_operator(operator)
    x = random_images(operator)
    torch.testing.assert_close(operator(x)[0], 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2])


@pytest.mark.parametrize(
    "operator", [Identity((1, 2, 3)), Inpainting.half_image((1, 4, 3), "top"), Grayscale((3, 2, 2))]
)
def test_tight(operator):
    gram = materialise(operator).T @ materialise(operator)
    torch.testing.assert_close(gram @ gram, operator.scale * gram)


def test_a_box_may_touch_the_borders() -> None:
    hidden = ~Inpainting.box((1, 4, 5), top=2, left=3, height=2, width=2).mask
    assert hidden.nonzero().tolist() == [[2, 3], [2, 4], [3, 3], [3, 4]]
