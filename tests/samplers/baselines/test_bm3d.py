import sys
import types

import numpy as np
import pytest
import torch

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Identity, Inpainting
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers.baselines import BM3D
from tests.samplers.case import Case


def noisy_images(batch: int = 1) -> Posterior:
    """Images of one channel in noise."""
    shape = (1, 32, 32)
    y = torch.linspace(-1, 1, 3 * 1024).reshape(3, *shape)
    return Posterior(GaussianMixturePrior(torch.zeros(1, *shape)), GaussianLikelihood(Identity(shape), 0.2), y[:batch])


SHARED_CASES = {
    "BM3D": Case(BM3D(), noisy_images, calls=(0, 0), seeded=False, package="bm3d"),
}


def problem_of(shape: tuple[int, ...]) -> tuple[Posterior, torch.Tensor]:
    """Discs in noise."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    image = torch.where((rows - 14) ** 2 + (columns - 17) ** 2 < 90, 0.7, -0.7).expand(shape)
    prior = GaussianMixturePrior(image[None].contiguous())
    likelihood = GaussianLikelihood(Identity(shape), torch.tensor([0.2, 0.4]))
    truth = image.expand(2, *shape).contiguous()
    return Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, 2))), truth


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_removed(channels: int) -> None:
    pytest.importorskip("bm3d")
    problem, truth = problem_of((channels, 32, 32))
    estimate = BM3D().solve(problem, progress=False)
    before, after = ((x - truth).square().flatten(1).mean(1) for x in (problem.y, estimate.x))
    assert (after < 0.25 * before).all()
    assert estimate.x.dtype == problem.y.dtype and estimate.loss.isnan().all()


def test_without_the_package_it_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(IncompatibleError, match="pip install bm3d"):
        BM3D().solve(problem_of((1, 32, 32))[0], progress=False)


def test_it_denoises_and_does_nothing_else() -> None:
    problem, truth = problem_of((1, 32, 32))
    likelihood = GaussianLikelihood(Inpainting(torch.ones(1, 32, 32, dtype=torch.bool)), 0.2)
    with pytest.raises(IncompatibleError, match="Identity"):
        BM3D().solve(Posterior(problem.prior, likelihood, truth), progress=False)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_package_is_given_channels_last(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # In place of the package, one that returns what it is given.
    package = types.ModuleType("bm3d")
    seen: list[tuple[tuple[int, ...], float]] = []

    def same(image: np.ndarray, level: float) -> np.ndarray:
        seen.append((image.shape, level))
        return image

    package.bm3d = package.bm3d_rgb = same  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bm3d", package)
    problem, _ = problem_of((channels, 32, 32))
    estimate = BM3D().solve(problem, progress=False)
    assert torch.equal(estimate.x, problem.y)
    shape = (32, 32) if channels == 1 else (32, 32, 3)
    assert seen == [(shape, pytest.approx(0.2)), (shape, pytest.approx(0.4))]
