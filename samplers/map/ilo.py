"""Intermediate layer optimisation: beyond a generator's range, a little, layer by layer (ILO)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.metrics.perceptual import Network
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.map.descent import Variables, descend
from samplers.map.perceptual import perceptual_misfit, shared_distance
from samplers.map.restarts import Ended, Restarted, at_rest


@dataclass(frozen=True)
class ILO(Restarted):
    r"""Optimise the latent, and then, round by round, what enters deeper layers of the generator.

    $$ \min_z -\log p(y \mid G(z)) - \log N(z; 0, I), \quad\text{then}\quad
       \min_{h} -\log p(y \mid G_{k \ldots}(h)), \quad \|h - h_0\|_1 \le r\,\|h_0\|_1 $$

    Round 0 is `CSGM`. Each later round enters at a deeper layer k: \(h_0\) is what the rounds before gave as its input,
    and after each step the deviation from it is projected on an l1 ball. Deeper rounds fit more images and soon any
    image, natural or not: radii and the number of rounds are the trade-off. The answer is a point estimate.

    With `perceptual` the loss of every round has a further term, `perceptual_misfit`, for measurements that are images.
    The source minimises MSE + LPIPS, the first a mean over m measured entries; with Gaussian noise
    \(-\log p(y \mid x)\) is \(m/(2\sigma_y^2)\) times the MSE, and `perceptual` of that value keeps the balance.

    Args:
        restarts: Starting points for each measurement, draws of z; that with the smallest final loss is kept.
        layers: Layer entered in each round after the first, increasing, counted from 0 in `prior.layers`.
        radii: r of each of these rounds, as a fraction of the l1 norm of what the round begins with.
        steps: Gradients of round 0 and of each of these.
        learning_rate: Adam's step size at its largest; it rises over 5 % of a round, and falls along a cosine over the
            last 75 %.
        tolerance: `converged` says whether the loss changed by less than this, relative to where it ended, over the
            second half of the last round.
        perceptual: Weight of the perceptual term in the loss; 0 leaves it out.
        network: That of its `PerceptualDistance`: "vgg" as in the source, "alex", "st-vgg" or "st-alex".
        temperature: T: Langevin noise N(0, 2ηT) is added to z and h after each step of size η, as in SGILO but for its
            score network; the best iterate is returned as ever. 0 leaves it out.

    References:
        Daras, Dean, Jalal & Dimakis 2021, Intermediate Layer Optimization for Inverse Problems using Deep Generative
        Models, ICML, arXiv:2102.07364.
        Daras, Dagan, Dimakis & Daskalakis 2022, Score-Guided Intermediate Layer Optimization: Fast Langevin Mixing for
        Inverse Problems, ICML, arXiv:2206.09104.
    """

    layers: tuple[int, ...] = (1, 2)
    radii: tuple[float, ...] = (0.2, 0.1)
    steps: tuple[int, ...] = (300, 200, 100)
    learning_rate: float = 0.1
    tolerance: float = 1e-3
    perceptual: float = 0.0
    network: Network = "vgg"
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.restarts < 1 or not (self.learning_rate > 0 and self.tolerance > 0):
            raise InvalidValueError(
                "restarts is at least 1, learning_rate and tolerance are positive, got "
                f"{self.restarts}, {self.learning_rate} and {self.tolerance}"
            )
        if not (0 <= self.perceptual < math.inf and 0 <= self.temperature < math.inf):
            raise InvalidValueError(
                f"perceptual and temperature are finite and not negative, got {self.perceptual} and {self.temperature}"
            )
        rounds = len(self.layers)
        if len(self.radii) != rounds or len(self.steps) != rounds + 1 or min(self.steps) < 1:
            raise InvalidValueError(
                f"{rounds} layers take as many radii and {rounds + 1} numbers of steps, each at least 1; got radii "
                f"{self.radii} and steps {self.steps}"
            )
        if any(b <= a for a, b in zip((0, *self.layers), self.layers, strict=False)) or not all(
            radius >= 0 for radius in self.radii
        ):
            raise InvalidValueError(
                f"layers are entered in increasing order from 1 on and radii are not negative, got {self.layers} and "
                f"{self.radii}"
            )

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        assert isinstance(problem.prior, GeneratorPrior)
        count = len(problem.prior.layers)
        if self.layers and self.layers[-1] >= count:
            raise InvalidValueError(
                f"{self.name} is to enter layer {self.layers[-1]}; {type(problem.prior).__name__} has layers 0 … "
                f"{count - 1}"
            )
        if self.perceptual > 0 and len(problem) > 0:  # what the term does not take is named before the search
            self.misfit(problem.select([0]), problem.y.new_zeros((1, *problem.event_shape), dtype=problem.dtype))

    def misfit(self, problem: Posterior, x: Tensor) -> Tensor:
        """The part of the loss that images (B, *event_shape) decide: (B,)."""
        value = -problem.log_likelihood(x)
        if self.perceptual > 0:
            distance = shared_distance(self.network, x.device)
            value = value + self.perceptual * perceptual_misfit(distance, problem, x)
        return value

    @property
    def steps_in_all(self) -> int:
        return sum(self.steps)

    def search(self, problem: Posterior, z: Tensor, noise: Noise, update: Callable[[], object]) -> Ended:
        prior = problem.prior
        assert isinstance(prior, GeneratorPrior)
        state: Variables = (z,)
        entered, penalty, project = 0, None, None
        traces, losses = [], 0
        for layer, radius, steps in zip((0, *self.layers), (0.0, *self.radii), self.steps, strict=True):
            if layer > 0:
                state = _tuple(prior.run(_state(state), entered, layer))
                project = _l1_balls(state, radius)
            entered = layer

            def loss(variables: Variables, at: int = layer, constant: Tensor | None = penalty) -> Tensor:
                x = prior.run(_state(variables), at)
                return self.misfit(problem, x) - (prior.latent_log_prob(variables[0]) if constant is None else constant)

            found = descend(
                loss, state, steps, self.learning_rate, schedule="ramp", project=project, best=True,
                temperature=self.temperature, noise=noise.use(f"layer {layer}"), update=update,
            )  # fmt: skip
            state = found.variables
            if layer == 0:
                (z,) = state
                # a constant from now on, so that losses of all rounds can be compared
                penalty = prior.latent_log_prob(z)
            traces.append(found.trace)
            losses += found.losses
        x = prior.run(_state(state), entered)
        last = self.misfit(problem, x) - prior.latent_log_prob(z)
        return Ended(
            x=x,
            latent=z,
            trace=torch.cat([*traces, last[None]]),
            converged=at_rest(torch.cat([traces[-1], last[None]]), self.tolerance),
            nfe=losses + 1,
            nfe_grad=self.steps_in_all,
        )


def _tuple(state: Tensor | Variables) -> Variables:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _state(variables: Variables) -> Tensor | Variables:
    return variables[0] if len(variables) == 1 else variables


def _l1_balls(centre: Variables, radius: float) -> Callable[[Variables], Variables]:
    def project(variables: Variables) -> Variables:
        return tuple(
            c + project_l1(v - c, radius * c.flatten(1).abs().sum(1)) for v, c in zip(variables, centre, strict=True)
        )

    return project


def project_l1(x: Tensor, radius: Tensor) -> Tensor:
    """The nearest point of each row's l1 ball: rows (N, …) and radii (N,).

    References:
        Duchi, Shalev-Shwartz, Singer & Chandra 2008, Efficient projections onto the l1-ball for learning in high
        dimensions, ICML.
    """
    size = x.flatten(1).abs()
    ordered = size.sort(1, descending=True).values
    ranks = torch.arange(1, size.shape[1] + 1, device=x.device)
    thresholds = (ordered.cumsum(1) - radius[:, None]) / ranks
    count = (ordered > thresholds).sum(1).clamp_min(1)
    threshold = thresholds.gather(1, count[:, None] - 1)[:, 0]
    outside = size.sum(1) > radius
    threshold = expand_right(torch.where(outside, threshold, 0.0), x.ndim - 1)
    return x.sign() * (x.abs() - threshold).clamp_min(0)
