"""Priors of images of a class: one for all measurements, or one for each."""

from typing import Any

import pytest
import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from tests.problems import mixture_problem
from tests.samplers.cases import CASES

SHAPE = (1, 2, 3)


class Classes(ScorePrior):
    """N(2c, 1) in every pixel, of class c = 0, 1 or 2."""

    event_shape, sigma_data, sigma_min, sigma_max, num_classes = SHAPE, 1.0, 0.001, 50.0, 3

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        variance = (sigma**2)[:, None, None, None]
        return (x + variance * 2 * labels[0][:, None, None, None]) / (1 + variance)


def x(*lead: int) -> Tensor:
    return Noise.of(0, dtype=torch.float64).normal((*lead, *SHAPE))[0, 0]


def test_each_row_has_the_class_of_its_measurement() -> None:
    prior = Classes().with_class([2, 0, 1])
    sigma = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    images = x(4, 3)
    for b, label in enumerate((2, 0, 1)):
        one = Classes().with_class(label)
        assert torch.equal(prior.denoise(images, sigma)[:, b], one.denoise(images[:, b], sigma[b]))
    assert torch.equal(prior.denoise(images[0], sigma), prior.denoise(images, sigma)[0])
    torch.testing.assert_close(prior.mean()[:, 0, 0, 0], torch.tensor([4.0, 0.0, 2.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(Classes().with_class(2).mean(), torch.full(SHAPE, 4.0), atol=0.01, rtol=0)
    drawn = prior.sample(400, Noise.of(0, 3)).mean((0, 2, 3, 4))
    torch.testing.assert_close(drawn, torch.tensor([4.0, 0.0, 2.0]), atol=0.08, rtol=0)  # 4 errors of 2400 values


def test_classes_are_selected_with_the_measurements() -> None:
    prior = Classes().with_class([2, 0, 1])
    assert torch.equal(prior.select(torch.tensor([1, 1, 0])).labels, torch.tensor([0, 0, 2]))
    assert torch.equal(prior.labels, torch.tensor([2, 0, 1]))
    one = prior.with_class(1)
    assert one.select(torch.tensor([1, 0])) is one
    assert torch.equal(prior.with_class([1]).denoise(x(4, 3), 1.0), one.denoise(x(4, 3), 1.0))
    assert "labels" not in prior.state_dict()


def test_what_is_refused() -> None:
    prior = Classes().with_class([2, 0, 1])
    for lead in ((2,), (3, 2), ()):
        with pytest.raises(ShapeError, match="3 classes, one for each measurement, but was given images of leading"):
            prior.denoise(x(*lead), 1.0)
    for labels in ([0, 3], -1, [[0, 1]], 0.5, [True], []):
        with pytest.raises(InvalidValueError, match="class_label in 0 … 2, one for all measurements or one for each"):
            prior.with_class(labels)
    likelihood = GaussianLikelihood(Inpainting.half_image(SHAPE, "left"), 0.5)
    with pytest.raises(ShapeError, match="3 classes for 2 measurements"):
        Posterior(prior, likelihood, torch.zeros(2, *SHAPE))
    with pytest.raises(InvalidValueError, match="has no classes"):
        ScorePrior.from_denoiser(lambda x, sigma: x, SHAPE, sigma_max=1.0).with_class(0)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.problem is mixture_problem])
@pytest.mark.filterwarnings("ignore::posterior.errors.TrustWarning")
def test_samplers_keep_the_class_of_each_measurement(name: str) -> None:
    likelihood = GaussianLikelihood(Inpainting.half_image(SHAPE, "left"), 0.5)
    y = likelihood.simulate(x(2) + 1, Noise.of(0, 2, dtype=torch.float64))

    def draws(label: Any, some: slice) -> Tensor:
        problem = Posterior(Classes().with_class(label), likelihood, y[some], ids=[0, 1][some])
        result = CASES[name].method(problem, num_samples=4, progress=False, batch_size=3)
        return result.x.reshape(-1, len(problem), *SHAPE)  # one or four

    both = draws([0, 2], slice(0, 2))
    for b, label in enumerate((0, 2)):
        torch.testing.assert_close(both[:, b], draws(label, slice(b, b + 1))[:, 0], atol=1e-9, rtol=0)
    assert (both[:, 1] - draws(0, slice(1, 2))[:, 0]).abs().max() > 0.5
