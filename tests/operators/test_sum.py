import pytest
import torch

from posterior.errors import ShapeError
from posterior.operators import Sum
from tests.operators.case import Case
from tests.operators.checks import check_operator

SHARED_CASES = {"Sum": Case("sum", lambda x: x[0] + x[1], event_shape=(2, 3, 4))}


def test_pairs_of_any_shape():
    check_operator(Sum((2, 5)))
    assert torch.equal(Sum((2, 1))(torch.tensor([[1.0], [2.5]])), torch.tensor([3.5]))


@pytest.mark.parametrize("shape", [(2,), (3, 4), (1, 2, 2)])
def test_what_is_no_pair_is_refused(shape):
    with pytest.raises(ShapeError, match="pairs"):
        Sum(shape)
