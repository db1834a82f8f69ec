"""Checks of any likelihood against sums, finite differences and simulated measurements, in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, Magnitude, Matrix
from tests.problems import DOUBLE

VALUES = torch.linspace(-2.0, 2.0, 9, dtype=DOUBLE)  # of u, each tried as a measurement of its own


def on_values(likelihood: Likelihood, u: Tensor = VALUES) -> Tensor:
    """u as B measurements of one entry."""
    return u[:, None].expand(-1, *likelihood.operator.measurement_shape)


def check_law(likelihood: Likelihood, support: Tensor, weights: Tensor) -> None:
    """Total probability 1, mean, variance and Fisher information, by a sum over a grid of y.

    Args:
        likelihood: Of one measured entry.
        support: Values of y, (G,).
        weights: What their densities count, (G,): 1 for a mass.
    """
    u = on_values(likelihood)
    density = likelihood.log_density(u.expand(len(support), *u.shape), support[:, None, None]).exp()
    probability = density * weights[:, None, None]
    mean, variance = likelihood.mean_and_variance(u)
    expected = (probability * support[:, None, None]).sum(0)
    assert torch.allclose(probability.sum(0), torch.ones_like(u), atol=1e-6)
    assert torch.allclose(mean, expected, atol=1e-6)
    assert torch.allclose(variance, (probability * (support[:, None, None] - expected) ** 2).sum(0), atol=1e-5)
    slope = likelihood.slope(u.expand(len(support), *u.shape), support[:, None, None])
    smooth = VALUES.abs() > 1e-9  # where the Poisson rate has its kink, and the information two values
    assert torch.allclose(likelihood.fisher(u)[smooth], (probability * slope**2).sum(0)[smooth], rtol=1e-4)


def check_slope(likelihood: Likelihood, y: Tensor) -> None:
    """The slope is the derivative of log_density, and what autograd makes of it: y (B, 1)."""
    u, step = on_values(likelihood, VALUES[:8] + 0.07), 1e-5
    for value in y.unbind(0):
        at = value.expand_as(u)
        numeric = (likelihood.log_density(u + step, at) - likelihood.log_density(u - step, at)) / (2 * step)
        assert torch.allclose(likelihood.slope(u, at), numeric, rtol=1e-6, atol=1e-6)
        assert torch.allclose(Likelihood.slope(likelihood, u, at), likelihood.slope(u, at), rtol=1e-9, atol=1e-12)


def check_tails(likelihood: Likelihood, y: Tensor) -> None:
    """Density, slope and information are finite 10⁴ away in float32: y (B, 1)."""
    u = torch.tensor([[-1e4], [-30.0], [30.0], [1e4]])
    for value in y.float():
        density, slope = likelihood.log_density(u, value), likelihood.slope(u, value)
        assert density.dtype == slope.dtype == torch.float32
        assert density.isfinite().all() and slope.isfinite().all()
    assert likelihood.fisher(u).isfinite().all() and (likelihood.fisher(u) >= 0).all()
    mean, variance = likelihood.mean_and_variance(u)
    assert mean.isfinite().all() and (variance >= 0).all()


def check_draws(likelihood: Likelihood, count: int = 40_000) -> None:
    """Mean and mean squared residual of draws are those of the law: images of one pixel, all measured."""
    x = on_values(likelihood)
    y = likelihood.simulate(x.expand(count, *x.shape), Noise.of(0, len(x), count, dtype=DOUBLE))
    likelihood.check(y[0])
    mean, variance = likelihood.mean_and_variance(likelihood.noiseless(x))
    # 4 standard errors, the second from the draws' own fourth moment
    assert ((y.mean(0) - mean).abs() <= 4 * (variance / count).sqrt()).all()
    squares = (y - mean).square()
    assert ((squares.mean(0) - variance).abs() <= 4 * squares.std(0) / math.sqrt(count)).all()
    misfit = likelihood.misfit(x.expand_as(y), y).square()
    assert ((misfit.mean(0) - 1).abs() <= 4 * misfit.std(0) / math.sqrt(count)).all()


def check_problem(make: type[Likelihood] | object, name: str, values: list[float]) -> None:
    """Masks, selection, leading shapes and gradients of a likelihood of three measurements.

    Args:
        make: Builds the likelihood from an operator and the parameter `name`.
        name: A parameter.
        values: Three values of it.
    """
    parameter = torch.tensor(values, dtype=DOUBLE)
    mask = torch.tensor([True, False, True, True])
    images = Noise.of(0, 3, 2, dtype=DOUBLE).normal((4,))
    for operator in (Inpainting(mask), Magnitude(Inpainting(mask))):
        likelihood = make(operator, **{name: parameter})  # type: ignore[operator]
        y = likelihood.simulate(images[0], Noise.of(1, 3, dtype=DOUBLE))
        likelihood.check(y)
        assert y.shape == (3, 4) and not y[:, 1].any()
        both = likelihood.simulate(images, Noise.of(1, 3, 2, dtype=DOUBLE))
        assert torch.equal(both[0], y) and both.shape == (2, 3, 4)
        # what was not measured plays no part, whatever u and y are there
        u = likelihood.noiseless(images)
        expected = likelihood.log_density(u, y)[..., mask].sum(-1)
        assert torch.allclose(likelihood.log_prob(images, y), expected)
        assert likelihood.misfit(images, y).shape == (2, 3)
        for b, value in enumerate(values):
            one = likelihood.select(torch.tensor([b]))
            assert torch.allclose(one.log_prob(images[:, [b]], y[[b]]), expected[:, [b]])
            alone = make(operator, **{name: value})  # type: ignore[operator]
            assert torch.allclose(alone.log_prob(images[:, [b]], y[[b]]), expected[:, [b]])
            assert torch.allclose(alone.simulate(images[0, [b]], Noise.of(1, [b], dtype=DOUBLE)), y[[b]])
        x = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(likelihood.log_prob(x, y).sum(), x)
        assert torch.allclose(likelihood.grad(images, y), gradient, rtol=1e-9, atol=1e-12)
        assert not likelihood.grad(images, y)[..., 1].any()


def one_pixel() -> Matrix:
    """The image itself, of one pixel."""
    return Matrix(torch.eye(1, dtype=DOUBLE))
