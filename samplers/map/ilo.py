"""Intermediate layer optimisation: beyond a generator's range, a little, layer by layer (ILO)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Count, NonNegative, Positive
from posterior.errors import InvalidValueError
from posterior.metrics.perceptual import Network
from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.map.descent import by_adam, lower, value_and_grad
from samplers.map.layered import LayeredPosterior
from samplers.map.perceptual import perceptual_misfit, shared_distance
from samplers.map.restarts import Restarted, Search, at_rest, begin, best, losses_of
from samplers.plan import Calls
from samplers.solver import Found
from samplers.state import Info, per_draw

_WARM_UP, _DECAY = 0.05, 0.75  # parts of a round in which step sizes rise and fall


@dataclass(kw_only=True)
class ILOState(Search):
    """Where the restarts are in their round; points are what enters its layer, (restarts, B, P), P by the round.

    Attributes:
        z: Latents that round 0 found, until it has ended those that it began with, (restarts, B, *latent_shape).
    """

    z: Tensor = per_draw()


@dataclass(frozen=True)
class ILO(Restarted[ILOState]):
    r"""Optimise the latent, and then, round by round, what enters deeper layers of the generator.

    $$ \min_z -\log p(y \mid G(z)) - \log N(z; 0, I), \quad\text{then}\quad
       \min_{h} -\log p(y \mid G_{k \ldots}(h)), \quad \|h - h_0\|_1 \le r\,\|h_0\|_1 $$

    Round 0 is `CSGM`. Each later round enters at a deeper layer k: \(h_0\) is what the rounds before gave as its input,
    and after each step the deviation from it is projected on an l1 ball. Deeper rounds fit more images and soon any
    image, natural or not: radii and the number of rounds are the trade-off. The answer is a point estimate. A callback
    stops all measurements or none: what a state holds changes its shape with the round.

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

    state_type: ClassVar = ILOState
    layers: tuple[Count, ...] = (1, 2)
    radii: tuple[NonNegative, ...] = (0.2, 0.1)
    steps: tuple[Count, ...] = (300, 200, 100)
    learning_rate: Positive = 0.1
    tolerance: Positive = 1e-3
    perceptual: NonNegative = 0.0
    network: Network = "vgg"
    temperature: NonNegative = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        rounds = len(self.layers)
        if len(self.radii) != rounds or len(self.steps) != rounds + 1:
            raise InvalidValueError(
                f"{self.name} needs {rounds} radii and {rounds + 1} numbers of steps for {rounds} layers; got radii "
                f"{self.radii} and steps {self.steps}"
            )
        if any(b <= a for a, b in pairwise(self.layers)):
            raise InvalidValueError(f"{self.name} enters layers in increasing order, not {self.layers}")

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        count = len(problem.prior.layers)
        if self.layers and self.layers[-1] >= count:
            raise InvalidValueError(
                f"{self.name} is to enter layer {self.layers[-1]}; {type(problem.prior).__name__} has layers 0 … "
                f"{count - 1}"
            )
        if self.perceptual > 0 and len(problem) > 0:  # what the term does not take is named before the search
            self.misfit(problem.select([0]), problem.y.new_zeros((1, *problem.event_shape), dtype=problem.dtype))

    def target(self, problem: Posterior, batch_size: int | None) -> LayeredPosterior:
        return LayeredPosterior(problem, batch_size)

    def misfit(self, problem: Posterior, x: Tensor) -> Tensor:
        """The part of the loss that images (..., B, *event_shape) decide: (..., B)."""
        value = -problem.likelihood.log_prob(x, problem.y)
        if self.perceptual > 0:
            distance = shared_distance(self.network, x.device)
            value = value + self.perceptual * perceptual_misfit(distance, problem, x)
        return value

    def calls(self, problem: Posterior) -> Calls:
        return Calls(self.restarts * (self._total + 1), self.restarts * sum(self.steps))

    def init(self, problem: LayeredPosterior, noise: Noise) -> ILOState:
        z = self.latents(problem, noise)
        return _begin_round(z.flatten(2), z)

    def step(self, problem: LayeredPosterior, state: ILOState, noise: Noise) -> tuple[ILOState, Info]:
        number, at = self._place(state.step)
        layer, steps = (0, *self.layers)[number], self.steps[number]

        def loss(problem: LayeredPosterior, h: Tensor, z: Tensor) -> Tensor:
            z = h.view_as(z) if layer == 0 else z  # a constant in later rounds, so that all losses can be compared
            return self.misfit(problem, problem.image(h, layer)) - problem.prior.latent_log_prob(z)

        if at == steps:  # the last iterate has a loss, and takes no step
            (value,) = problem.in_parts(loss, state.h, state.z)
            x, _ = lower(state.h, value, state.x, state.lowest)
            z = x.view_as(state.z) if layer == 0 else state.z
            if number < len(self.layers):
                (x,) = problem.in_parts(lambda part, h: part.deeper(h, layer, self.layers[number]), x)
            return replace(_begin_round(x, z), step=state.step).after(self._total), {"loss": value.mT}
        value, slope = value_and_grad(loss, problem, state.h, state.z)
        x, lowest = lower(state.h, value, state.x, state.lowest)
        rate = self.learning_rate * ramp(at, steps)
        h, memory = by_adam(state.h, slope, state.memory, at, rate)
        if self.temperature > 0:
            own = noise.at(at).use(f"layer {layer}", "langevin")
            h = h + (2 * rate * self.temperature) ** 0.5 * _normal(own, problem.sizes(layer))
        if layer > 0:
            h = _in_balls(h, state.start, self.radii[number - 1], problem.sizes(layer))
        return state.after(self._total, x=x, lowest=lowest, h=h, memory=memory), {"loss": value.mT}

    def finish(self, problem: LayeredPosterior, state: ILOState, trace: Info) -> Found:
        number, at = self._place(min(len(trace["loss"]), self._total - 1))
        layer = (0, *self.layers)[number]
        (x,) = problem.in_parts(lambda part, h: part.image(h, layer), state.x)
        (misfit,) = problem.in_parts(self.misfit, x)
        losses = losses_of(trace, misfit - problem.prior.latent_log_prob(state.z))
        return best(x, state.z, losses, at_rest(losses[-at - 2 :], self.tolerance))

    @property
    def _total(self) -> int:
        return sum(self.steps) + len(self.steps)

    def _place(self, step: int) -> tuple[int, int]:
        """The round that a step is in, and how many of that round's came before; each ends with one more than given."""
        number = 0
        while step > self.steps[number]:
            step -= self.steps[number] + 1
            number += 1
        return number, step


def _begin_round(h: Tensor, z: Tensor) -> ILOState:
    return ILOState(**vars(begin(h)), z=z.clone())


def ramp(step: int, steps: int) -> float:
    """Step sizes that rise over the first 5 % of the steps, and fall along a cosine over the last 75 %."""
    rise = min(1.0, (step + 1) / max(1.0, _WARM_UP * steps))
    fall = max(0.0, (step - (1 - _DECAY) * steps) / (_DECAY * steps))
    return rise * 0.5 * (1 + math.cos(math.pi * fall))


def _normal(noise: Noise, sizes: list[int]) -> Tensor:
    """Standard Gaussian rows (restarts, B, P) of tensors that have so many entries."""
    restarts = len(noise.draws)
    own = noise.for_draws(1).split(restarts)
    rows = torch.cat([own.use(i).normal((size,)) for i, size in enumerate(sizes)], -1)
    return rows.unflatten(1, (-1, restarts))[0].transpose(0, 1)


def _in_balls(h: Tensor, start: Tensor, radius: float, sizes: list[int]) -> Tensor:
    """Rows whose every tensor deviates from the start's by at most `radius` × its l1 norm."""
    parts = zip(h.split(sizes, -1), start.split(sizes, -1), strict=True)
    return torch.cat([centre + project_l1(v - centre, radius * centre.abs().sum(-1)) for v, centre in parts], -1)


def project_l1(x: Tensor, radius: Tensor) -> Tensor:
    """The nearest point of each row's l1 ball: rows (..., P) and radii (...).

    References:
        Duchi, Shalev-Shwartz, Singer & Chandra 2008, Efficient projections onto the l1-ball for learning in high
        dimensions, ICML.
    """
    size = x.abs()
    ordered = size.sort(-1, descending=True).values
    ranks = torch.arange(1, size.shape[-1] + 1, device=x.device)
    thresholds = (ordered.cumsum(-1) - radius[..., None]) / ranks
    count = (ordered > thresholds).sum(-1, keepdim=True).clamp_min(1)
    outside = size.sum(-1, keepdim=True) > radius[..., None]
    threshold = torch.where(outside, thresholds.gather(-1, count - 1), 0.0)
    return x.sign() * (size - threshold).clamp_min(0)
