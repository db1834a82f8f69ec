import numpy as np
import pytest
import torch
from torch import Tensor, nn

from posterior.batched import BatchedModule
from posterior.errors import InvalidValueError
from posterior.likelihoods import GaussianLikelihood, SaturatedLikelihood
from posterior.noise import Noise
from posterior.operators import Blur, Inpainting, Matrix, Operator, Stack
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


def test_parameters_have_other_values_in_a_copy():
    shape = (1, 6, 6)
    likelihood = GaussianLikelihood(Inpainting.half_image(shape, "top") @ Blur.gaussian(shape, 0.8), 0.1)
    x = Noise.of(0, 3).normal(shape)
    before = likelihood.noiseless(x)
    std, widths = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.8, 1.5])
    other = likelihood.with_parameters(noise_std=std, std=widths)
    assert type(other) is GaussianLikelihood and other.operator.outer is likelihood.operator.outer
    assert torch.allclose(other.noise_std, std.double()) and other.select(torch.tensor([2])).operator.inner.std == 1.5
    assert torch.equal(likelihood.noiseless(x), before) and float(likelihood.noise_std) == 0.1
    for b in range(3):
        alone = GaussianLikelihood(
            Inpainting.half_image(shape, "top") @ Blur.gaussian(shape, float(widths[b])), float(std[b])
        )
        y = before[0, [b]]
        assert torch.allclose(other.select(torch.tensor([b])).log_prob(x[:, [b]], y), alone.log_prob(x[:, [b]], y))


def test_an_array_that_must_not_be_written_to_is_a_parameter():
    stds = np.broadcast_to(np.float64(0.1), (3,))
    likelihood = GaussianLikelihood(Inpainting.half_image((1, 6, 6), "top"), stds)
    assert torch.equal(likelihood.noise_std, torch.full((3,), 0.1, dtype=torch.float64))


def test_parameters_that_there_are_not_or_that_are_several_are_named():
    shape = (1, 6, 6)
    blur = Blur.gaussian(shape, 0.8)
    likelihood = GaussianLikelihood(blur @ Blur.gaussian(shape, 1.2), 0.1)
    with pytest.raises(InvalidValueError, match=r"no one parameter 'noise_sd' \(did you mean 'noise_std'\?\)"):
        likelihood.with_parameters(noise_sd=0.2)
    with pytest.raises(InvalidValueError, match="'std'.*several of them"):
        likelihood.with_parameters(std=0.2)
    with pytest.raises(InvalidValueError, match="noise_std must be positive"):
        likelihood.with_parameters(noise_std=torch.tensor([0.2, -0.1]))
    with pytest.raises(InvalidValueError, match="low must be less than high"):
        SaturatedLikelihood(Matrix(torch.eye(2)), 0.1, -1.0, 1.0).with_parameters(low=2.0)
    with pytest.raises(InvalidValueError, match="has none"):
        Matrix(torch.eye(2)).with_parameters(std=1.0)
