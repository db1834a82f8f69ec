import torch
from torch import Tensor, nn

from posterior.batched import BatchedModule
from posterior.operators import Inpainting, Operator, Stack
from tests.operators.examples import EVENT, masks


class Weights(BatchedModule):
    def __init__(self, value: Tensor, *parts: nn.Module) -> None:
        super().__init__()
        self.register_batched("value", value, 1)
        self.register_buffer("other", value)
        self.parts = nn.ModuleList(parts)
        self.sums = []

    def total(self) -> Tensor:
        def compute() -> Tensor:
            self.sums.append(self.value.sum())
            return self.sums[-1]

        return self._cached("total", compute)


def test_entries_of_some_measurements():
    value = torch.arange(6.0).reshape(3, 2)
    whole = Weights(value)
    some = whole.select(torch.tensor([2, 2, 0]))
    assert type(some) is Weights and torch.equal(some.value, value[[2, 2, 0]])
    assert torch.equal(some.select(torch.tensor([1])).value, value[[2]])
    assert some.other is whole.other  # it is the same for all
    assert torch.equal(whole.value, value)
    assert some.select(torch.tensor([], dtype=torch.int64)).value.shape == (0, 2)


def test_one_value_serves_every_measurement():
    shared, single = Weights(torch.tensor([1.0, 2.0])), Weights(torch.tensor([[1.0, 2.0]]))
    assert shared.select(torch.tensor([4, 0])) is shared
    assert torch.equal(single.select(torch.tensor([4, 0])).value, single.value.expand(2, 2))


def test_modules_within_are_selected_too():
    own, shared = Weights(torch.arange(6.0).reshape(3, 2)), Weights(torch.tensor([1.0, 2.0]))
    whole = Weights(torch.zeros(2), own, nn.Sequential(shared, own))
    some = whole.select(torch.tensor([1]))
    assert some is not whole and some.value is whole.value
    for part in (some.parts[0], some.parts[1][1]):
        assert torch.equal(part.value, own.value[[1]])
    assert some.parts[1][0] is shared
    assert whole.parts[0] is own and whole.parts[1][1] is own


def test_what_was_cached_is_not_that_of_the_selection():
    whole = Weights(torch.arange(6.0).reshape(3, 2))
    assert whole.total() == 15
    some = whole.select(torch.tensor([0, 1]))
    assert some.total() == 6 and whole.total() == 15
    assert some.total() == 6 and whole.sums == [15, 6]  # each computed once; the copy shares the list
    outer = Stack([Inpainting(masks(2), EVENT)])
    assert outer.norm().shape == (2,) and outer.select(torch.tensor([1])).norm().shape == (1,)
    assert outer.norm().shape == (2,)


def test_a_function_s_own_operator_is_selected():
    operator = Operator.from_callable(
        Inpainting(masks(2), EVENT), event_shape=EVENT, measurement_shape=EVENT, device="cpu"
    )
    assert torch.equal(operator.select(torch.tensor([1])).function.mask, masks(2)[[1]])
