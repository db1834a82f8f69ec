import pytest
import torch

from posterior.errors import InvalidValueError, ShapeError
from posterior.networks.refinenet import InstanceNormPlus, RefineNet


@pytest.mark.parametrize(("stages", "factor"), [(4, 2), (5, 4), (6, 8)])
def test_images_of_any_multiple_of_the_factor(stages: int, factor: int) -> None:
    network = RefineNet(2, 4, stages)
    assert network.factor == factor
    assert network(torch.zeros(1, 2, 3 * factor, factor)).shape == (1, 2, 3 * factor, factor)
    with pytest.raises(ShapeError, match=f"multiples of {factor}"):
        network(torch.zeros(1, 2, factor, factor + 1))


@pytest.mark.parametrize("arguments", [(1, 4, 3), (0, 4, 4), (1, 0, 6)])
def test_arguments_are_checked(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidValueError, match="RefineNet has 4, 5 or 6 stages"):
        RefineNet(*arguments)


def test_normalisation_keeps_what_channels_differ_by() -> None:
    x = torch.randn(2, 6, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm = InstanceNormPlus(6).double()
    means = x.mean((2, 3))
    expected = (means - means.mean(1, keepdim=True)) / (means.var(1, keepdim=True) + 1e-5).sqrt()
    out = norm(x)
    torch.testing.assert_close(out.mean((2, 3)), expected)
    torch.testing.assert_close(
        out.var((2, 3), unbiased=False), torch.ones(2, 6, dtype=torch.float64), rtol=1e-4, atol=0
    )
