import torch

from posterior.noise import Noise
from posterior.problem import LatentPosterior
from samplers.metering import Meter, metered
from tests.samplers.latent.generators import DOUBLE, bent_problem, linear_problem


def test_the_likelihood_is_that_of_the_image() -> None:
    problem = linear_problem()
    latent = LatentPosterior(problem)
    z = Noise.of(0, 2, 5, dtype=DOUBLE).normal((3,))
    assert latent.event_shape == (3,)
    assert torch.equal(latent.log_likelihood(z), problem.log_likelihood(problem.prior(z)))
    assert torch.equal(latent.select([1]).log_likelihood(z[:, 1:]), latent.log_likelihood(z)[:, 1:])


def test_the_gradient_is_that_of_the_latent_in_calls_of_any_size() -> None:
    problem = bent_problem()
    z = Noise.of(0, 2, 5, dtype=DOUBLE).normal((2,))
    y = problem.y[:, 1]
    by_hand = (y - (z[..., 1] + z[..., 0] ** 2 - 1)) / 0.2**2
    expected = torch.stack([by_hand * 2 * z[..., 0], by_hand], -1)
    for size in (None, 1, 3, 4, 100):
        meter = Meter(size)
        seen = problem.with_prior(metered(problem.prior, meter))
        found = LatentPosterior(seen, size).log_likelihood_grad(z)
        assert torch.allclose(found, expected, atol=1e-10)
        assert not found.requires_grad
        assert meter.rows == meter.grad_rows == 10


def test_rows_are_given_to_a_function_in_parts() -> None:
    problem, calls = bent_problem(), []
    z = Noise.of(0, 2, 5, dtype=DOUBLE).normal((2,))
    assert len(problem) == 2

    def both(part, z, offset):
        calls.append(z.shape[0] * z.shape[1])
        assert len(part) == z.shape[1] == offset.shape[1]
        return z.sum(-1) + part.y[:, 0], z + offset[..., None]

    for size, rows in ((None, [10]), (10, [10]), (5, [4, 4, 2]), (3, [2] * 5), (1, [1] * 10)):
        calls.clear()
        first, second = LatentPosterior(problem, size).in_parts(both, z, z[..., 0])
        assert torch.equal(first, z.sum(-1) + problem.y[:, 0]) and torch.equal(second, z + z[..., :1])
        assert calls == rows
    (single,) = LatentPosterior(problem, 3).in_parts(lambda part, z: z[..., 1], z)
    assert torch.equal(single, z[..., 1])
