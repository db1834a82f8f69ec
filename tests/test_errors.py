import pytest
import torch

from posterior.errors import NotFiniteError, check_finite

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("values", [torch.ones(2, 3), torch.empty(0, 3), torch.ones(4, dtype=torch.complex64)])
def test_finite_values_pass(values):
    check_finite("y", values, "repair them")
    check_finite("y", values, "repair them", ids=["a", "b", "c", "d"])


def test_the_message_counts_the_values():
    with pytest.raises(NotFiniteError, match=r"^y: NaN or infinity in 2 of 6 values; repair them$"):
        check_finite("y", torch.tensor([[0.0, NAN, 1.0], [-INF, 0.0, 2.0]]), "repair them")


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2)])
def test_the_message_names_the_measurements(shape):
    values = torch.zeros(shape)
    values[1:] = torch.tensor([NAN, INF]).reshape(-1, *[1] * (len(shape) - 1))
    with pytest.raises(NotFiniteError, match=r"^DPS: NaN or infinity in measurement\(s\) \['b', 7\]; take more steps$"):
        check_finite("DPS", values, "take more steps", ids=["a", "b", 7])
