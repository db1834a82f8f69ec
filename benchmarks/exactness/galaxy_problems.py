"""Galaxies and lensed quasars behind a point spread function: priors, measurements, and the rule that counts images."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import max_pool2d, unfold

from benchmarks.exactness.settled import settled_truths
from posterior.likelihoods import GaussianLikelihood
from posterior.networks.mlp_mixer import MLPMixer
from posterior.noise import Noise
from posterior.operators import Blur, Operator
from posterior.priors import OrnsteinUhlenbeckPrior, ScorePrior
from posterior.priors.checkpoints import convert_galaxygrad
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.tempering import BUDGETS

FILES = {
    "galaxies": "eqx_hsc_ScoreNet32.eqx",
    "quasars": "eqx_quasar_lens72.eqx",
    "Roman": "eqx_roman_Scorenet120.eqx",
}
LEAST = {"galaxies": 0.03, "quasars": 0.1, "Roman": 0.03}  # noise level of the prior
STD = {"galaxies": 0.05, "quasars": 0.1, "Roman": 0.1}  # of the noise, in flux
RHO = {"galaxies": 0.4, "quasars": 0.6}  # of the sampler's moves at β = 1
PSF, STRETCH = 2.0, 10.0  # standard deviation of the PSF in pixels; u = 10 log(1 + x)
SIGNIFICANT, RADIUS = 5, 2  # of a local maximum: its least flux in σ, and pixels to each side that are not brighter
WIDTH = 1.7  # pixels: standard deviation of an image of a quasar in draws of the network


def folder() -> Path:
    """Where the files of galaxygrad are looked for."""
    return Path(os.environ.get("GALAXYGRAD", "results/galaxygrad")).expanduser()


def load(name: str) -> ScorePrior:
    """The prior of one of galaxygrad's networks."""
    with TemporaryDirectory() as made:
        prior = cast(ScorePrior, load_prior(convert_galaxygrad(folder() / FILES[name], made)))
    prior.sigma_min = LEAST[name]
    return prior


def stand_in(side: int) -> ScorePrior:
    """A small network of the same layout with random weights, near the score of a standard Gaussian."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MLPMixer(side, patch_width=16, feature_width=16, blocks=1, last_time=3.0)
        patches = torch.linalg.qr(torch.randn(64, 16)).Q.reshape(64, 1, 4, 4)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("mixer.2.weight"):  # the last of each mixer
                weight.mul_(0.1)
        network.conv_in.weight.copy_(torch.cat([patches, 0 * patches], 1))
        network.conv_out.weight.copy_(-patches / 2)  # the layer norm before it has doubled its inputs
    return OrnsteinUhlenbeckPrior(
        network.eval().requires_grad_(False),
        network.event_shape,
        sigma_data=0.6,
        sigma_min=0.03,
        sigma_max=4.3,
        value_range=(0.0, 10.0),
    )


def flux(u: Tensor) -> Tensor:
    """x = e^{u/10} − 1 of stretched images u."""
    return torch.expm1(u / STRETCH)


def likelihood(name: str, shape: tuple[int, ...]) -> GaussianLikelihood[Operator]:
    """Gaussian noise on the flux behind a Gaussian point spread function: y = k * (e^{u/10} − 1) + σn."""
    stretched = Operator.from_callable(flux, event_shape=shape, measurement_shape=shape)
    return GaussianLikelihood(Blur.gaussian(shape, PSF) @ stretched, STD[name])


def truths(prior: ScorePrior, name: str, count: int, sweeps: int) -> tuple[Tensor, Tensor]:
    """Draws of reverse diffusion, and the same after moves of the sampler's cost: (N, *event) each."""
    noise, calls = Noise.of(0, [f"{name} {n}" for n in range(count)]), BUDGETS["fast"].steps
    made = settled_truths(prior, RHO[name], noise, sweeps, calls, calls)
    return made.raw, made.settled


def maxima(x: Tensor, std: float) -> Tensor:
    """Where fluxes (..., 1, H, W) are above 5 σ and the largest of the 5 × 5 pixels around: a mask of that shape."""
    rows = x.reshape(-1, *x.shape[-3:])
    highest = max_pool2d(rows, 2 * RADIUS + 1, 1, RADIUS).reshape(x.shape)
    return (x == highest) & (x > SIGNIFICANT * std)


def total_flux(u: Tensor, problem: Posterior) -> Tensor:
    """The sum of x over all pixels: (S, B, *event) → (S, B)."""
    return flux(u).flatten(2).sum(2)


def number_of_images(u: Tensor, problem: Posterior) -> Tensor:
    """How many local maxima there are: (S, B, *event) → (S, B)."""
    return maxima(flux(u), float(problem.likelihood.noise_std)).flatten(2).sum(2).to(u)


def sources(x: Tensor, std: float) -> Tensor:
    """Column, row and flux of each local maximum of one image (1, H, W): centroid and sum of 5 × 5 pixels, (K, 3).

    Negative fluxes count as none.
    """
    side = 2 * RADIUS + 1
    windows = unfold(x[None].clamp_min(0), side, padding=RADIUS)[0].T  # (H W, 25)
    found = maxima(x, std).flatten().nonzero()[:, 0]
    offset = (torch.arange(side) - RADIUS).to(x)
    window = windows[found].reshape(-1, side, side)
    total = window.sum((1, 2))
    column = found % x.shape[-1] + (window.sum(1) * offset).sum(1) / total
    row = found // x.shape[-1] + (window.sum(2) * offset).sum(1) / total
    return torch.stack([column, row, total], 1)


def matched(found: Tensor, reference: Tensor) -> Tensor:
    """The sources (K, 3) in the order of the reference's, such that the sum of squared distances is the smallest."""
    distance = torch.cdist(reference[:, :2].double(), found[:, :2].double()) ** 2
    return found[torch.as_tensor(linear_sum_assignment(distance.numpy())[1])]


class Planted(NamedTuple):
    """Images with a known number of point sources.

    Attributes:
        u: Stretched images (N, 1, 72, 72).
        number: Point sources of each.
        nearest: Distance of the two that are nearest, in pixels; infinite where there is one.
    """

    u: Tensor
    number: Tensor
    nearest: Tensor


def planted(noise: Noise, side: int = 72, most: int = 5) -> Planted:
    """Point sources as wide as a quasar's images, on a smooth halo of peak flux 0.1 and width 8 pixels.

    One to five of them, equally often, lie anywhere in a disc of 12 pixels and have peak fluxes of 0.75 to 2; grain of
    0.04 in u is that of the network's images.
    """
    total = len(noise.keys)
    count = 1 + torch.arange(total) % most
    draw = noise.use("sources").uniform((most, 3))[0]
    radius, angle = 12 * draw[..., 0].sqrt(), 2 * torch.pi * draw[..., 1]
    middle = (side - 1) / 2
    place = torch.stack([middle + radius * angle.cos(), middle + radius * angle.sin()], -1)
    there = torch.arange(most) < count[:, None]
    peak = torch.where(there, 0.75 + 1.25 * draw[..., 2], 0.0)
    pixel = torch.arange(side).to(place)

    def bumps(place: Tensor, width: float) -> Tensor:  # (N, K, 2) → (N, K, H, W)
        column, row = (torch.exp(-((pixel - place[..., [i]]) ** 2) / (2 * width**2)) for i in (0, 1))
        return row[..., :, None] * column[..., None, :]

    halo = 0.1 * bumps(place.new_full((total, 1, 2), middle), 8.0)[:, 0]
    x = halo + (expand_right(peak, 2) * bumps(place, WIDTH)).sum(1)
    apart = torch.cdist(place, place)
    pairs = there[:, :, None] & there[:, None, :] & ~torch.eye(most, dtype=torch.bool)
    nearest = apart.masked_fill(~pairs, torch.inf).flatten(1).amin(1)
    grain = 0.04 * noise.use("grain").normal((1, side, side))[0]
    return Planted(STRETCH * torch.log1p(x[:, None]) + grain, count, nearest)
