import pytest
import torch

from posterior.noise import Noise
from samplers.flows.pre_generator import PreGenerator, _affine

DOUBLE = torch.float64


@pytest.mark.parametrize("size", [2, 5])
def test_it_begins_as_the_identity(size: int) -> None:
    pre, noise = PreGenerator(size, couplings=3, hidden=4), Noise.of(0, 2, 6, dtype=DOUBLE)
    parameters = pre.init(noise)
    assert parameters.shape == (2, pre.count)
    epsilon = noise.normal((size,))
    z, log_det = pre(parameters, epsilon)
    assert torch.equal(z, epsilon) and (log_det == 0).all()


@pytest.mark.parametrize("size", [2, 5])
def test_the_determinant_is_that_of_automatic_differentiation(size: int) -> None:
    pre, noise = PreGenerator(size, couplings=3, hidden=4), Noise.of(0, 2, 3, dtype=DOUBLE)
    parameters = 0.4 * noise.for_draws(1).use("parameters").normal((pre.count,))[0]
    epsilon = noise.normal((size,))
    _, log_det = pre(parameters, epsilon)
    for s in range(3):
        for b in range(2):
            jacobian = torch.autograd.functional.jacobian(
                lambda e, b=b: pre(parameters[b : b + 1], e[None, None])[0][0, 0], epsilon[s, b]
            )
            assert float(log_det[s, b]) == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-10)


def test_every_entry_is_moved_and_measurements_do_not_meet() -> None:
    pre, noise = PreGenerator(6, couplings=2, hidden=4), Noise.of(0, 3, 4, dtype=DOUBLE)
    parameters = 0.4 * noise.for_draws(1).use("parameters").normal((pre.count,))[0]
    parameters[:, -12:] = 0  # the scale and shift that end it
    epsilon = noise.normal((6,))
    z, log_det = pre(parameters, epsilon)
    assert ((z - epsilon).abs() > 1e-6).all()
    alone, its = pre(parameters[1:2], epsilon[:, 1:2])
    assert torch.allclose(alone, z[:, 1:2], atol=1e-12) and torch.allclose(its, log_det[:, 1:2], atol=1e-12)


def test_layers_are_as_wide_as_their_inputs_are_many() -> None:
    # divided by √n, so that entries of order one make outputs of order one
    noise = Noise.of(0, 2, 6, dtype=DOUBLE)
    x, matrix = noise.normal((9,)), noise.for_draws(1).use("matrix").normal((10, 4))[0]
    found = _affine(x, matrix)
    for b in range(2):
        assert torch.allclose(found[:, b], x[:, b] @ matrix[b, :9] / 3 + matrix[b, 9])
