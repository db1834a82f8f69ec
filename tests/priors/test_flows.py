import math
from pathlib import Path

import pytest
import torch
import zuko
from torch import Tensor, nn

from posterior.errors import FileFormatError, IncompatibleError, InvalidValueError, ShapeError
from posterior.networks.image_flow import ImageFlow
from posterior.networks.vae import VAEDecoder
from posterior.networks.vector_flow import VectorFlow
from posterior.noise import Noise
from posterior.priors import FlowPrior, GeneratorPrior
from posterior.priors.flows import NetworkFlow
from posterior.priors.zoo import load_prior, save_prior

DOUBLE = torch.float64


def flow(kind: str) -> FlowPrior:
    """A small flow with weights of some size, for networks start as the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "image":
            network: nn.Module = ImageFlow((2, 8, 4), steps=(2, 1), widths=(6, 5), dense=1, dense_width=7)
        elif kind == "vector":
            network = VectorFlow(3, transforms=2, hidden=(8,))
        else:
            spline = zuko.flows.NSF(3, transforms=2, passes=2, hidden_features=(8,))
            return FlowPrior.from_zuko(spline.double().requires_grad_(False))
        for parameter in network.parameters():
            parameter.data += (0.05 if kind == "image" else 0.2) * torch.randn_like(parameter)
    return NetworkFlow(network).double().requires_grad_(False)


KINDS = pytest.mark.parametrize("kind", ["image", "vector", "zuko"])


def latents(prior: FlowPrior, *lead: int) -> Tensor:
    return Noise.of(1, math.prod(lead), dtype=DOUBLE).normal(prior.latent_shape)[0].reshape(*lead, *prior.latent_shape)


@KINDS
def test_the_inverse_is_the_inverse_both_ways(kind: str) -> None:
    prior = flow(kind)
    assert math.prod(prior.latent_shape) == math.prod(prior.event_shape)
    z = latents(prior, 2, 3)
    x = prior(z)
    assert x.shape == (2, 3, *prior.event_shape)
    assert torch.allclose(prior.inverse(x), z, atol=1e-9)
    assert torch.allclose(prior(prior.inverse(x)), x, atol=1e-9)
    assert not torch.allclose(x.flatten(2).sort(-1).values, z.flatten(2).sort(-1).values, atol=0.01)


@KINDS
def test_the_determinant_is_that_of_automatic_differentiation(kind: str) -> None:
    prior = flow(kind)
    z = latents(prior, 2)
    x = prior(z)
    _, log_det = prior.inverse_and_log_det(x)
    for one, found in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: prior.inverse(v).flatten(), one).flatten(1)
        assert float(found) == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-8)
    assert torch.allclose(prior.log_prob(x), prior.latent_log_prob(z) + log_det)


def test_the_density_sums_to_one() -> None:
    prior = NetworkFlow(VectorFlow(2, transforms=2, hidden=(8,))).double().requires_grad_(False)
    axis = torch.linspace(-8, 8, 401, dtype=DOUBLE)
    cell = float(axis[1] - axis[0])
    total = prior.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * cell**2
    assert float(total) == pytest.approx(1, abs=1e-3)  # splines have kinks: the sum errs by cell²


@KINDS
def test_a_flow_is_a_generator_that_can_be_entered_anywhere(kind: str) -> None:
    prior = flow(kind)
    assert isinstance(prior, GeneratorPrior)
    z = latents(prior, 3)
    for k in range(len(prior.layers) + 1):
        assert torch.equal(prior.run(prior.run(z, stop=k), start=k), prior(z))
    assert prior.sample(2, Noise.of(0, 3, dtype=DOUBLE)).shape == (2, 3, *prior.event_shape)


@KINDS
def test_one_image_does_not_depend_on_the_others(kind: str) -> None:
    prior = flow(kind)
    z = latents(prior, 5)
    x = prior(z)
    assert torch.allclose(prior(z[2:3]), x[2:3], atol=1e-12)
    assert torch.allclose(prior.log_prob(x[2:3]), prior.log_prob(x)[2:3], atol=1e-10)


def test_images_beyond_the_margin_have_no_density() -> None:
    prior = flow("image")
    x = prior(latents(prior, 2))
    low, high = prior.support
    assert low < -1 and high > 1
    assert x.min() > low and x.max() < high
    x[1, 0, 3, 2] = high + 0.01
    assert prior.log_prob(x)[0].isfinite()
    assert prior.log_prob(x)[1] == -torch.inf


def test_actnorms_are_fitted_to_images() -> None:
    prior = flow("image")
    images = 0.3 * Noise.of(0, 200, dtype=DOUBLE).normal(prior.event_shape)[0] - 0.4
    images = images.clamp(-0.99, 0.99)
    prior.network.fit_scales(images)
    step = prior.layers[-2].steps[0]
    h, _ = prior.layers[-1].inverse(images)
    seen, _ = step.actnorm.inverse(torch.nn.functional.pixel_unshuffle(h[0], 2))
    assert torch.allclose(seen.mean((0, 2, 3)), torch.zeros(8, dtype=DOUBLE), atol=1e-12)
    assert torch.allclose(seen.std((0, 2, 3)), torch.ones(8, dtype=DOUBLE))


@pytest.mark.parametrize("kind", ["image", "vector"])
def test_a_saved_flow_is_the_same(kind: str, tmp_path: Path) -> None:
    prior = flow(kind)
    x = prior(latents(prior, 4))
    back = load_prior(save_prior(prior, tmp_path))
    assert isinstance(back, FlowPrior)
    assert torch.allclose(back.log_prob(x), prior.log_prob(x), rtol=1e-12)  # convolutions may sum in another order


@pytest.mark.parametrize("name", ["NSF", "MAF", "RealNVP", "SOSPF"])
def test_a_flow_that_zuko_saved_has_its_density(name: str, tmp_path: Path) -> None:
    def fresh(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return getattr(zuko.flows, name)(4, transforms=2, hidden_features=(8,)).double().requires_grad_(False)

    original, copy = fresh(0), fresh(1)
    torch.save(original.state_dict(), tmp_path / "flow.pt")
    copy.load_state_dict(torch.load(tmp_path / "flow.pt", weights_only=True))
    prior = FlowPrior.from_zuko(copy)
    x = Noise.of(2, 5, dtype=DOUBLE).normal((4,))[0]
    torch.testing.assert_close(prior.log_prob(x), original().log_prob(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(prior(x), original().transform.inv(x), rtol=1e-9, atol=1e-9)


def test_precisions_are_converted_on_the_way() -> None:
    prior = flow("image").float()
    z = latents(prior, 2)
    x = prior(z)
    back, log_det = prior.inverse_and_log_det(x)
    assert x.dtype == back.dtype == log_det.dtype == DOUBLE
    assert torch.allclose(back, z, atol=1e-3)


def test_what_is_no_flow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="have no inverse"):
        NetworkFlow(VAEDecoder(4, (8, 6), (1, 5, 5)))
    with pytest.raises(IncompatibleError, match="without context"):
        FlowPrior.from_zuko(zuko.flows.NSF(3, context=2))
    wide = zuko.flows.Flow(
        zuko.flows.NSF(3).transform,
        zuko.lazy.UnconditionalDistribution(zuko.distributions.DiagNormal, torch.zeros(3), 2 * torch.ones(3)),
    )
    with pytest.raises(IncompatibleError, match=r"N\(0, I\)"):
        FlowPrior.from_zuko(wide)
    with pytest.raises(IncompatibleError, match="cannot save"):
        save_prior(flow("zuko"), tmp_path)
    with pytest.raises(ShapeError, match="multiples of 4"):
        ImageFlow((1, 6, 8))
    with pytest.raises(InvalidValueError, match="a width"):
        ImageFlow((1, 8, 8), steps=(2, 2), widths=(4,))
    with pytest.raises(InvalidValueError, match="margin"):
        ImageFlow((1, 8, 8), margin=0.0)
    with pytest.raises(InvalidValueError, match="features ≥ 2"):
        VectorFlow(1)
    with pytest.raises(ShapeError):
        flow("image").log_prob(torch.zeros(3, 2, 8, 8))
    folder = save_prior(flow("vector"), tmp_path)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"features": 3', '"features": "many"'))
    with pytest.raises(FileFormatError, match="VectorFlow"):
        load_prior(folder)
