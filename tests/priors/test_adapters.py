"""Other processes' networks as denoisers: of a Gaussian, whose every prediction is known."""

import pytest
import torch
from torch import Tensor

from posterior.errors import InvalidValueError, NoiseLevelError, ShapeError
from posterior.noise import Noise
from posterior.priors.adapters import FlowMatchingPrior, VariancePreservingPrior, linear_alphas_cumprod
from posterior.priors.score_prior import ScorePrior

DOUBLE = torch.float64
MEAN = torch.tensor([0.3, -0.2], dtype=DOUBLE)
ALPHAS = linear_alphas_cumprod()


def denoised(x: Tensor, sigma: Tensor | float) -> Tensor:
    """D of N(MEAN, 0.25)."""
    variance = torch.as_tensor(sigma, dtype=DOUBLE) ** 2
    variance = variance[:, None] if variance.ndim else variance
    return (0.25 * x + variance * MEAN) / (0.25 + variance)


def predicted(kind: str, x_t: Tensor, t: Tensor) -> Tensor:
    """What a perfect network says at integer t."""
    alpha = ALPHAS[t.round().long()][:, None]
    x, sigma = x_t / alpha.sqrt(), (1 / alpha - 1).sqrt()
    clean = denoised(x, sigma[:, 0])
    epsilon = (x - clean) / sigma
    return {"epsilon": epsilon, "sample": clean, "v_prediction": alpha.sqrt() * epsilon - (1 - alpha).sqrt() * clean}[
        kind
    ]


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_every_prediction_gives_the_denoiser(kind: str) -> None:
    prior = VariancePreservingPrior(lambda x, t: predicted(kind, x, t), (2,), ALPHAS, prediction=kind)  # type: ignore[arg-type]
    x = Noise.of(0, 1, 5, dtype=DOUBLE).normal((2,))
    for t in (0, 3, 500, 999):
        sigma = float((1 / ALPHAS[t] - 1).sqrt())
        assert torch.allclose(prior.denoise(sigma * x, sigma), denoised(sigma * x, sigma), rtol=1e-6, atol=1e-7)


def test_time_is_the_inverse_of_the_noise_level() -> None:
    prior = VariancePreservingPrior(lambda x, t: x, (2,), ALPHAS)
    sigma = (1 / ALPHAS - 1).sqrt()
    assert torch.allclose(prior.time(sigma), torch.arange(1000.0, dtype=DOUBLE), atol=1e-6)
    between = prior.time((sigma[10] * sigma[11]).sqrt()[None])
    assert torch.allclose(between, torch.tensor([10.5], dtype=DOUBLE))
    assert prior.sigma_min == pytest.approx(float(sigma[0])) and prior.sigma_max == pytest.approx(float(sigma[-1]))
    with pytest.raises(NoiseLevelError, match="valid for"):
        prior.denoise(torch.zeros(1, 2), 200.0)


def test_clipping() -> None:
    prior = VariancePreservingPrior(lambda x, t: 3 + 0 * x, (2,), ALPHAS, prediction="sample", clip=1.0)
    assert torch.equal(prior.denoise(torch.zeros(1, 2), 1.0), torch.ones(1, 2))


def test_a_flow_gives_the_denoiser() -> None:
    def velocity(x_s: Tensor, s: Tensor) -> Tensor:
        s = s[:, None]
        sigma = s / (1 - s)
        clean = denoised(x_s / (1 - s), sigma[:, 0])
        return (x_s - (1 - s) * clean) / s - clean

    prior = FlowMatchingPrior(velocity, (2,))
    x = Noise.of(0, 1, 5, dtype=DOUBLE).normal((2,))
    for sigma in (0.01, 1.0, 300.0):
        assert torch.allclose(prior.denoise(sigma * x, sigma), denoised(sigma * x, sigma), rtol=1e-7, atol=1e-8)


def test_a_denoiser_as_a_function() -> None:
    prior = ScorePrior.from_denoiser(denoised, (2,), sigma_max=50.0)
    draws = prior.sample(4000, Noise.of(0, 1, 4000, dtype=DOUBLE))[:, 0]
    assert torch.allclose(draws.mean(0), MEAN, atol=0.04)


def test_what_they_refuse() -> None:
    for alphas in (torch.tensor([0.5]), torch.tensor([0.9, 0.95]), torch.tensor([0.9, 0.0])):
        with pytest.raises(InvalidValueError, match="alphas_cumprod"):
            VariancePreservingPrior(lambda x, t: x, (2,), alphas)
    with pytest.raises(InvalidValueError, match="'epsilon' or 'sample' or 'v_prediction'"):
        VariancePreservingPrior(lambda x, t: x, (2,), ALPHAS, prediction="x0")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="s_min"):
        FlowMatchingPrior(lambda x, s: x, (2,), s_min=0.0)
    for prior in (
        VariancePreservingPrior(lambda x, t: x[:, :1], (2,), ALPHAS),
        FlowMatchingPrior(lambda x, s: x[:, :1], (2,)),
    ):
        with pytest.raises(ShapeError, match="the network returned shape"):
            prior.denoise(torch.zeros(3, 2), 1.0)
