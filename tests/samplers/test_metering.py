import pytest
import torch

from posterior.errors import NoiseLevelError
from posterior.noise import Noise
from posterior.priors import ScorePrior
from posterior.problem import LatentPosterior
from samplers.metering import Meter, metered
from samplers.stopwatch import CountedBytes
from tests.problems import mixture
from tests.samplers.flows.flows import BentFlow
from tests.samplers.latent.generators import DOUBLE, Linear, linear_problem
from tests.samplers.map.generators import Small


def test_a_call_has_at_most_so_many_rows() -> None:
    seen = []
    prior = Linear()
    prior.layers[0].register_forward_hook(lambda layer, inputs, output: seen.append(len(inputs[0])))
    problem, meter = linear_problem(count=3), Meter(4)
    view = metered(prior, meter)
    latent = LatentPosterior(problem.with_prior(view), 4)
    z = Noise.of(0, 3, 5, dtype=DOUBLE).normal((3,))
    latent.log_likelihood_grad(z)
    assert max(seen) <= 4 and sum(seen) == 15
    assert meter.rows == meter.grad_rows == 15
    view(z)
    assert max(seen) <= 4 and sum(seen) == 30
    prior(z)  # the prior itself stays as it was
    assert meter.rows == 30


def test_padded_calls_have_one_shape_and_the_same_results() -> None:
    shapes = []

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(x.shape))
        assert sigma.shape == x.shape[:1]
        return x / (1 + sigma[:, None] ** 2)

    prior = ScorePrior.from_denoiser(denoise, (2,), sigma_max=10.0, probe=False)
    x, meter = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0)), Meter(4, pad=True)
    leaf = x.clone().requires_grad_()
    found = metered(prior, meter).denoise(leaf, 0.5)
    assert set(shapes) == {(4, 2)}
    assert torch.equal(found, prior.denoise(x, 0.5))
    found.sum().backward()
    assert (meter.rows, meter.grad_rows) == (15, 15)
    assert leaf.grad is not None and torch.allclose(leaf.grad, torch.full_like(x, 0.8))


def test_a_metered_prior_is_one_of_its_class_and_its_errors_say_so() -> None:
    prior, meter = mixture(), Meter()
    view = metered(prior, meter)
    assert type(view) is type(prior)
    with pytest.raises(NoiseLevelError, match=type(prior).__name__):
        view.denoise(torch.zeros(1, 2, dtype=DOUBLE), 1e9)
    assert torch.equal(view.mean(), prior.mean())
    assert meter.rows == 0  # the mean image is no cost of any draw


def test_a_flow_is_metered_on_its_way_back_too() -> None:
    prior, meter = BentFlow(), Meter(2)
    x = prior.sample(3, Noise.of(0, 1, dtype=DOUBLE))[:, 0]
    view = metered(prior, meter)
    assert all(
        torch.equal(a, b) for a, b in zip(view.inverse_and_log_det(x), prior.inverse_and_log_det(x), strict=True)
    )
    assert meter.rows == 3
    assert torch.equal(view.log_prob(x), prior.log_prob(x))
    assert meter.rows == 6


def test_a_generator_that_is_entered_at_a_layer_is_metered_where_it_gives_images() -> None:
    prior, meter = Small(), Meter(2)
    prior.layers.append(Pair())
    view = metered(prior, meter)
    z = Noise.of(0, 1, 5, dtype=DOUBLE).normal((6,))[:, 0].requires_grad_()
    pair = view.run(z, 0, 1), view.run(z, 0, 1)
    assert meter.rows == 0  # a part of a call is none
    x = view.run(z, 0)
    assert torch.allclose(x, prior.run(z)) and torch.allclose(x, view.run(pair[0], 1)) and meter.rows == 10
    x.sum().backward()
    assert meter.grad_rows == 5
    assert torch.equal(view.run(pair, 3), pair[0] + pair[1]) and meter.rows == 15


class Pair(torch.nn.Module):
    """Adds two features, and leaves an image as it is."""

    def forward(self, h):
        return h[0] + h[1] if isinstance(h, tuple) else h


@pytest.mark.parametrize("batch_size", [8, 3, 1])
def test_conditional_draws_are_made_in_parts_that_take_little_memory(batch_size: int) -> None:
    shape = (48, 48)
    prior = ScorePrior.from_denoiser(lambda x, s: x / (1 + s[:, None, None] ** 2), shape, sigma_max=10.0, probe=False)
    noise, rho = Noise.of(0, 2, 96, dtype=DOUBLE), torch.tensor([0.5, 2.0], dtype=DOUBLE)
    z = noise.use("z").normal(shape)
    whole, highest = prior.sample_denoised(z, rho, noise, steps=6, denoised=z / 2), {}
    for view in (prior, metered(prior, Meter(batch_size))):
        with CountedBytes() as counter:
            found = view.sample_denoised(z, rho, noise, steps=6, denoised=z / 2)
        highest[view] = counter.highest / z.nbytes
        assert torch.allclose(found, whole, atol=1e-12)
    assert highest[view] < 4 < 8 < highest[prior]
