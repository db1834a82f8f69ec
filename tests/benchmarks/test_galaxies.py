"""The rule that counts images of a quasar, and the stand-in for networks that are not here."""

import pytest
import torch

from benchmarks.exactness import galaxy_problems as sky
from posterior.noise import Noise
from posterior.problem import Posterior


def points(places: list[tuple[float, float]], peaks: list[float], side: int = 40) -> torch.Tensor:
    """Fluxes (1, side, side) of round images at (column, row)."""
    pixel = torch.arange(side, dtype=torch.float64)
    x = torch.zeros(1, side, side, dtype=torch.float64)
    for (column, row), peak in zip(places, peaks, strict=True):
        squared = (pixel - column) ** 2 + (pixel[:, None] - row) ** 2
        x += peak * torch.exp(-squared / (2 * sky.WIDTH**2))
    return x


def test_images_are_found_where_they_are_with_their_flux() -> None:
    places, peaks = [(8.3, 12.0), (22.0, 30.6), (33.0, 5.0)], [1.0, 2.0, 0.4]
    found = sky.sources(points(places, peaks), std=0.1)  # the last is below 5 σ
    reference = torch.tensor([[22.0, 30.6, 0.0], [8.3, 12.0, 0.0]], dtype=torch.float64)
    ordered = sky.matched(found, reference)
    # centroids of 5 × 5 pixels are drawn to the window's middle, by half of the offset at the most
    assert float((ordered[:, :2] - reference[:, :2]).abs().max()) < 0.2
    assert float(ordered[0, 2] / ordered[1, 2]) == pytest.approx(2, rel=0.05)


def test_images_that_are_near_count_as_one() -> None:
    shape = (1, 40, 40)
    problem = Posterior(sky.stand_in(40), sky.likelihood("quasars", shape), torch.zeros(1, *shape))
    pairs = torch.stack([points([(15, 20), (15 + apart, 20)], [1.0, 1.0]) for apart in (2.0, 6.0)])
    u = sky.STRETCH * torch.log1p(pairs).float()[:, None]
    assert sky.number_of_images(u, problem)[:, 0].tolist() == [1, 2]
    flux = pairs.sum((1, 2, 3)).tolist()
    assert sky.total_flux(u, problem)[:, 0].tolist() == pytest.approx(flux, rel=1e-4)


def test_planted_sources_that_are_apart_are_all_counted() -> None:
    planted = sky.planted(Noise.of(0, list(range(200))))
    assert planted.number[:6].tolist() == [1, 2, 3, 4, 5, 1]
    found = sky.maxima(sky.flux(planted.u), sky.STD["quasars"]).flatten(1).sum(1)
    apart = planted.nearest > 7
    assert bool((found == planted.number)[apart].all()) and int(apart.sum()) > 40
    assert bool((found <= planted.number).all())


def test_blur_acts_on_the_flux() -> None:
    likelihood = sky.likelihood("galaxies", (1, 40, 40))
    u = sky.STRETCH * torch.log1p(points([(20, 20)], [1.0])).float()
    y = likelihood.operator(u)
    assert float(y.sum()) == pytest.approx(float(sky.flux(u).sum()), rel=1e-4)
    wide = (sky.WIDTH**2 + sky.PSF**2) ** 0.5  # of two Gaussians in turn
    assert float(y.max()) == pytest.approx((sky.WIDTH / wide) ** 2, rel=0.02)


def test_stand_in_is_near_a_standard_gaussian() -> None:
    prior, state = sky.stand_in(16), torch.random.get_rng_state()
    x = prior.sample(40, Noise.of(0), steps=20)[:, 0]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert 0.7 < float(x.std()) < 2  # where it is no denoiser at all draws are as wide as the largest noise
