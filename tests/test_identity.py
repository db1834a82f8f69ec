"""What tells problems apart: settings and data exactly, functions by their values."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posterior.errors import CheckpointMismatchError
from posterior.identity import problem_identity, trial
from posterior.io.checkpoint import open_checkpoint
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.operators import Inpainting, Operator
from posterior.priors import GaussianMixturePrior, GeneratorPrior, ScorePrior
from posterior.problem import Posterior
from tests.problems import DOUBLE, gaussian, gaussian_problem, mixture_problem

SHAPE = (1, 4, 4)


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    return x / (1 + sigma[:, None, None, None] ** 2)


def measure(x: Tensor) -> Tensor:
    return x.flatten(1)[:, ::2].exp()


def prior_of(function: Callable[..., Tensor] = denoise, **options: float) -> ScorePrior:
    return ScorePrior.from_denoiser(function, SHAPE, **{"sigma_max": 50.0, "sigma_data": 1.0, **options})


def operator_of(function: Callable[[Tensor], Tensor] = measure) -> Operator:
    return Operator.from_callable(function, event_shape=SHAPE, measurement_shape=(8,))


class Sharper(GaussianLikelihood):
    """A likelihood of the user's own: of the same settings, and of another density."""

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        return 2 * super().log_density(u, y)


class Decoded(ScorePrior):
    event_shape, sigma_data, sigma_min, sigma_max = SHAPE, 1.0, 0.01, 50.0

    def __init__(self, scale: float) -> None:
        super().__init__()
        self._scale = scale

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return denoise(x, sigma)

    def decode(self, state: Tensor) -> Tensor:
        return self._scale * state


class Generated(GeneratorPrior):
    event_shape, latent_shape = SHAPE, (16,)

    def __init__(self, scale: float) -> None:
        super().__init__()
        self._scale = scale
        self.layers = nn.ModuleList([nn.Unflatten(1, SHAPE)])

    def run(self, h: Any, start: int = 0, stop: int | None = None) -> Any:
        return self._scale * super().run(h, start, stop)


def problem(
    prior: Any = None, operator: Any = None, kind: Any = GaussianLikelihood, std: Any = 0.1, **data: Any
) -> Any:
    y = torch.linspace(1, 2, 16).reshape(2, 8)
    likelihood = kind(operator or operator_of(), std)
    return Posterior(prior or prior_of(), likelihood, **{"y": y, "ids": ["a", "b"], **data})


def other_parts(then: Posterior, now: Posterior, folder: Path) -> set[str]:
    """Which parts a checkpoint of one problem finds to be others in another."""
    with open_checkpoint(folder / "run.pt", lambda: problem_identity(then)) as file:
        file.save({})
    try:
        with open_checkpoint(folder / "run.pt", lambda: problem_identity(now)) as file:
            file.load()
    except CheckpointMismatchError as error:
        return set(str(error).partition("different ")[2].partition(";")[0].split(", "))
    return set()


@pytest.mark.parametrize(
    ("then", "now", "parts"),
    [
        (problem(), problem(operator=operator_of(lambda x: measure(x) ** 1.01)), {"values of the operator"}),
        (problem(), problem(operator=operator_of(lambda x: measure(0.999 * x))), {"values of the operator"}),
        (problem(), problem(prior_of(lambda x, s: 0.999 * denoise(x, s))), {"values of the prior"}),
        (problem(), problem(prior_of(lambda x, s: denoise(x, 1.01 * s))), {"values of the prior"}),
        (problem(), problem(prior_of(sigma_max=80.0)), {"values of the prior's highest noise level"}),
        (problem(), problem(prior_of(sigma_min=0.02)), {"values of the prior's lowest noise level"}),
        (problem(), problem(std=0.1 + 1e-6), {"likelihood"}),
        (problem(), problem(std=torch.tensor([0.1, 0.1])), {"likelihood"}),
        (problem(std=torch.tensor([0.1, 0.2])), problem(std=torch.tensor([0.1, 0.3])), {"likelihood"}),
        (problem(kind=Sharper), problem(), {"likelihood", "values of the likelihood"}),
        (problem(), problem(ids=["a", "c"]), {"ids"}),
        (problem(), problem(ids=[0, 1]), {"ids"}),
        (problem(ids=[1, 2]), problem(ids=["1", "2"]), {"ids"}),
        (problem(Decoded(1.0)), problem(Decoded(1.1)), {"values of the prior's decoder"}),
        (problem(Generated(1.0)), problem(Generated(1.1)), {"values of the prior"}),
    ],
)
def test_the_part_that_is_another_is_named(then: Posterior, now: Posterior, parts: set[str], tmp_path: Path) -> None:
    assert other_parts(then, copy.deepcopy(then), tmp_path) == set()
    found = {part for part in other_parts(then, now, tmp_path) if part != "values of the likelihood"}
    assert found == parts - {"values of the likelihood"}  # it measures what the operator does, and with its noise


def test_a_density_of_the_user_s_own_is_seen_by_its_values(tmp_path: Path) -> None:
    class Same(Sharper):
        def log_density(self, u: Tensor, y: Tensor) -> Tensor:
            return 3 * GaussianLikelihood.log_density(self, u, y)

    Same.__name__ = "Sharper"
    assert other_parts(problem(kind=Sharper), problem(kind=Same), tmp_path) == {"values of the likelihood"}


def test_measurements_and_weights_are_seen_to_the_last_bit(tmp_path: Path) -> None:
    first = mixture_problem(2)
    for name, what in (("y", first.y), ("operator", first.operator.matrix), ("prior", first.prior.log_weights)):
        other = copy.deepcopy(first)
        tensor = {"y": other.y, "operator": other.operator.matrix, "prior": other.prior.log_weights}[name]
        tensor.copy_(what + torch.finfo(DOUBLE).eps * what.abs())
        assert other_parts(first, other, tmp_path) == {name}


def test_masks_of_each_measurement_count(tmp_path: Path) -> None:
    mask = torch.zeros(2, *SHAPE, dtype=torch.bool)
    mask[:, :, :2] = True
    later = mask.clone()
    later[1, 0, 3, 3] = True
    zero = torch.zeros(2, *SHAPE)
    problems = [problem(operator=Inpainting(m, SHAPE), y=zero) for m in (mask, later)]
    assert other_parts(*problems, tmp_path) == {"operator"}


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 5e-5), (torch.bfloat16, 1e-2)])
def test_rounding_refuses_nobody(dtype: torch.dtype, rounding: float, tmp_path: Path) -> None:
    class Network(nn.Module):
        def __init__(self, error: float) -> None:
            super().__init__()
            self.error = error
            self.one = nn.Parameter(torch.ones((), dtype=dtype))

        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            noise = torch.sin(1e3 * x)  # as good as random
            return ((1 + self.error * noise) * denoise(x, sigma)).to(dtype) * self.one

    there, here = (problem(prior_of(Network(error))) for error in (0.0, rounding))
    assert other_parts(there, here, tmp_path) == set()
    here = problem(prior_of(Network(10 * rounding)))
    assert other_parts(there, here, tmp_path) == {"values of the prior"}


def test_signs_of_eigenvectors_do_not_count(tmp_path: Path) -> None:
    first = gaussian_problem()
    turned = copy.deepcopy(first)
    for name in ("means", "basis"):
        getattr(turned.prior, name)[:, 0] *= -1
    assert other_parts(first, turned, tmp_path) == set()
    wider = GaussianMixturePrior(gaussian(4).means @ gaussian(4).basis.T, covariance=1.1 * torch.eye(4, dtype=DOUBLE))
    assert "values of the prior" in other_parts(first, first.with_prior(wider), tmp_path)


def test_networks_are_asked_once_for_two_images_and_random_states_are_left_alone(tmp_path: Path) -> None:
    rows: list[int] = []

    def counted(x: Tensor, sigma: Tensor) -> Tensor:
        rows.append(len(x))
        return denoise(x, sigma) + torch.randn_like(x)

    def noisy(x: Tensor) -> Tensor:
        return measure(x) + torch.randn(len(x), 8)

    operator = Operator.from_callable(noisy, event_shape=SHAPE, measurement_shape=(8,), probe=False)
    question = problem(prior_of(counted, probe=False), operator)
    before = torch.get_rng_state()
    first = problem_identity(question)
    assert rows == [2] and torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert other_parts(question, question, tmp_path) == set()  # the same random numbers each time
    assert set(first) >= {"ids", "y", "prior", "operator", "likelihood", "values of the prior"}


def test_a_problem_for_functions_to_be_tried_on() -> None:
    operator = operator_of(lambda x: x.flatten(1)[:, ::2])
    tried, images = trial(prior_of(), PoissonLikelihood(operator, 5.0, 0.1), torch.float32)
    again, _ = trial(prior_of(), PoissonLikelihood(operator, 5.0, 0.1), torch.float32)
    assert images.shape == (2, 2, *SHAPE) and images.min() >= -1 and images.max() <= 1 and images.std() > 0.4
    assert len(tried) == 2 and torch.equal(tried.y, again.y)
    assert tried.log_likelihood(images).isfinite().all()
