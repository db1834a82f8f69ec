"""Priors of the variance-exploding and the variance-preserving SDE, on networks that are exact for Gaussians."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from posterior.errors import FileFormatError, InvalidValueError, ShapeError
from posterior.networks.mlp_mixer import MLPMixer
from posterior.networks.refinenet import RefineNet
from posterior.noise import Noise
from posterior.priors.sde import OrnsteinUhlenbeckPrior, VESDEPrior, VPSDEPrior
from posterior.priors.zoo import load_prior, save_prior

SHAPE = (1, 4, 4)


class Double(nn.Module):
    """A network of float64."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("one", torch.ones((), dtype=torch.float64))


class ExactVE(Double):
    """σ times the score of N(0, ½²) + noise, from the label: the level of images in [0, 1]."""

    def forward(self, h: Tensor, label: Tensor) -> Tensor:
        sigma = 2 * label.exp()[:, None, None, None]
        return -sigma * h / (0.25 + sigma**2)


class ExactVP(Double):
    """The mean of ε given x_t, for N(0, ½²), from the label 999 t."""

    def forward(self, x_t: Tensor, label: Tensor) -> Tensor:
        t = label[:, None, None, None] / 999
        signal = torch.exp(-0.5 * 19.9 * t**2 - 0.1 * t)  # ᾱ, of the paper's β(t) = 0.1 + 19.9 t
        return (1 - signal).sqrt() * x_t / (0.25 * signal + 1 - signal)


def expected(x: Tensor, sigma: Tensor) -> Tensor:
    return x * 0.25 / (0.25 + sigma**2)[:, None, None, None]


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0), (-3.0, 5.0)])
def test_variance_exploding(value_range: tuple[float, float]) -> None:
    low, high = value_range
    half = (high - low) / 2
    prior = VESDEPrior(
        ExactVE(), SHAPE, sigma_data=0.5 * half, sigma_min=0.02 * half, sigma_max=50 * half, value_range=value_range,
    )  # fmt: skip
    sigma = torch.tensor([0.02, 0.7, 50.0], dtype=torch.float64)
    x = Noise.of(0, 3).normal(SHAPE)[0].double()
    denoised = prior.denoise(low + half * (1 + x), half * sigma)
    torch.testing.assert_close((denoised - low) / half - 1, expected(x, sigma))


def test_variance_preserving() -> None:
    prior = VPSDEPrior(ExactVP(), SHAPE, sigma_data=0.5)
    assert prior.sigma_min == pytest.approx(0.001, rel=1e-3)
    assert prior.sigma_max == pytest.approx(152.17, rel=1e-3)
    sigma = torch.tensor([prior.sigma_min, 0.02, 0.7, 50.0, prior.sigma_max], dtype=torch.float64)
    x = Noise.of(0, 5).normal(SHAPE)[0].double()
    torch.testing.assert_close(prior.denoise(x, sigma), expected(x, sigma))
    assert [prior.sigma(float(t)) for t in prior.time(sigma)] == pytest.approx(sigma.tolist())


class ExactScore(Double):
    """The score of u_t = e^{−t/2} x0 + (1 − e^{−t})^{1/2} ε for x0 ~ N(0, ½²)."""

    def forward(self, u: Tensor, time: Tensor) -> Tensor:
        signal = (-time).exp()[:, None, None, None]
        return -u / (0.25 * signal + 1 - signal)


def test_ornstein_uhlenbeck(tmp_path: Path) -> None:
    prior = OrnsteinUhlenbeckPrior(ExactScore(), SHAPE, sigma_data=0.5, sigma_min=0.03, sigma_max=148.0)
    sigma = torch.tensor([0.03, 0.7, 5.0, 148.0], dtype=torch.float64)
    x = Noise.of(0, 4).normal(SHAPE)[0].double()
    torch.testing.assert_close(prior.denoise(x, sigma), expected(x, sigma))
    torch.manual_seed(0)
    saved = OrnsteinUhlenbeckPrior(
        MLPMixer(4, 1, 2, 3, 4, 5, 1), SHAPE, sigma_data=0.6, sigma_min=0.03, sigma_max=148.0, value_range=(0.0, 9.0)
    )  # fmt: skip
    loaded = load_prior(save_prior(saved, tmp_path))
    assert isinstance(loaded, OrnsteinUhlenbeckPrior)
    assert all(getattr(loaded, name) == getattr(saved, name) for name in saved.settings)
    assert torch.equal(loaded.denoise(x.float(), 2.0), saved.denoise(x.float(), 2.0))


def test_range_and_shape_are_checked() -> None:
    for value_range in ((1.0, 1.0), (2.0, -1.0), (0.0, float("inf"))):
        with pytest.raises(InvalidValueError, match="value_range"):
            VESDEPrior(ExactVE(), SHAPE, sigma_data=0.5, sigma_min=0.1, sigma_max=1, value_range=value_range)
    prior = VESDEPrior(nn.Flatten(), SHAPE, sigma_data=0.5, sigma_min=0.1, sigma_max=1)  # type: ignore[arg-type]
    prior.network.forward = lambda h, label: h.flatten(1)  # type: ignore[method-assign]
    with pytest.raises(ShapeError, match="network returned shape"):
        prior.denoise(torch.zeros(2, *SHAPE), 0.5)


def test_the_range_of_values_is_kept_in_a_folder(tmp_path: Path) -> None:
    network = RefineNet(1, 4, 4)
    prior = VESDEPrior(network, SHAPE, sigma_data=0.25, sigma_min=0.01, sigma_max=50, value_range=(-2.0, 0.0))
    loaded = load_prior(save_prior(prior, tmp_path))
    assert isinstance(loaded, VESDEPrior)
    assert (loaded.value_range, loaded.event_shape) == ((-2.0, 0.0), SHAPE)
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(loaded.denoise(x, 0.3), prior.denoise(x, 0.3))
    config = json.loads((tmp_path / "config.json").read_text())
    for value, message in (
        ([0, 0], "cannot build a VESDEPrior"),
        ([0], "cannot build a VESDEPrior"),
        (1, "cannot build"),
        (["a", 1], "'value_range' is"),
        ([0, float("inf")], "'value_range' is"),
    ):
        config["settings"]["value_range"] = value
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(FileFormatError, match=message):
            load_prior(tmp_path)
