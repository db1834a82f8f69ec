"""The latent of a network of ReLU layers, from its output back, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood, LaplaceLikelihood
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.problem import Posterior
from samplers.map.layer_program import Norm, entered, layers_of
from samplers.plan import Calls
from samplers.solver import Found, IterativeSolver
from samplers.state import Info, State, per_draw


@dataclass(kw_only=True)
class LayerwiseState(State):
    """What left the layer that comes next, as x (1, B, n), n by the layer.

    Attributes:
        epsilon: The bound ε of the error in an entry of x, (1, B).
    """

    epsilon: Tensor = per_draw()


@dataclass(frozen=True)
class LayerwiseInversion(IterativeSolver[LayerwiseState]):
    r"""Invert a generator one layer at a time: from the last to the first, each by a linear program (`entered`).

    $$ y = \phi_d(W_d \cdots \phi_1(W_1 z)) + n: \qquad
       h_{j-1} = \arg\min_h \|\phi_j(W_j h + b_j) - h_j\|, \quad h_d = y $$

    The activations are ReLU, LeakyReLU or none, and the norm is that of the largest entry or the sum. A layer of n
    Gaussian rows and k columns is inverted as soon as n ≥ 2.3 k (ReLU, half of whose outputs are 0) or 1.2 k
    (LeakyReLU). It is exact for outputs of the generator, and stable for small noise; an image that the generator
    cannot make is a large noise, for which nothing is promised. The weights are read, and no network is called.

    ε begins as the largest of n Gaussian values of the likelihood's standard deviation, σ_y √(2 log n), and is divided
    by ‖W‖_F/√k from a layer to the one before it.

    Reports (in `PointEstimate.info`): epsilon (layers, B), what ε had to grow to, last layer first. The loss is the
    norm of y − G(z), and `converged` says whether no layer made ε grow by more than ten.

    Args:
        norm: "linf" for noise that is bounded in every entry, "l1" for noise that is large in few.

    References:
        Lei, Jalal, Dhillon & Dimakis 2019, Inverting Deep Generative Models, One Layer at a Time, NeurIPS,
        arXiv:1906.07437.
    """

    state_type: ClassVar = LayerwiseState
    remedy: ClassVar = "no bound of the noise makes a layer's output possible; check that its weights are finite"
    norm: Norm = "linf"

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        layers_of(problem.prior)
        likelihood, operator = problem.likelihood, problem.operator
        known = isinstance(likelihood, GaussianLikelihood | LaplaceLikelihood)
        if not (known and isinstance(operator, Identity)):
            raise IncompatibleError(
                f"{self.name} takes Gaussian or Laplace noise on Identity, not {type(likelihood).__name__} on "
                f"{type(operator).__name__}; CSGM takes any"
            )

    def calls(self, problem: Posterior) -> Calls:
        return Calls(0)

    def init(self, problem: Posterior, noise: Noise) -> LayerwiseState:
        x, zero = problem.y.flatten(1)[None], problem.y.new_zeros(len(problem))
        return LayerwiseState(x=x, epsilon=_bound(problem)[None], done=zero.bool(), progress=zero)

    def step(self, problem: Posterior, state: LayerwiseState, noise: Noise) -> tuple[LayerwiseState, Info]:
        layers = layers_of(problem.prior)
        number = len(layers) - 1 - state.step
        layer, nonnegative = layers[number], number > 0 and layers[number - 1].slope == 0
        outputs = zip(state.x[0].cpu().double().numpy(), state.epsilon[0].tolist(), strict=True)
        found = [entered(layer, x, epsilon, self.norm, nonnegative) for x, epsilon in outputs]
        z = torch.as_tensor(np.stack([one.z for one in found])).to(problem.y)
        epsilon = problem.y.new_tensor([one.epsilon for one in found])
        new = state.after(len(layers), x=z[None], epsilon=(epsilon / layer.gain)[None])
        return new, {"epsilon": epsilon}

    def finish(self, problem: Posterior, state: LayerwiseState, trace: Info) -> Found:
        h = state.x[0].cpu().double().numpy()
        grown = torch.ones_like(trace["epsilon"][0], dtype=torch.bool)
        before = _bound(problem)
        for layer, epsilon in zip(reversed(layers_of(problem.prior)), trace["epsilon"], strict=True):
            grown &= epsilon <= 10 * before
            before = epsilon / layer.gain
        for layer in layers_of(problem.prior):
            h = layer(h)
        x = torch.as_tensor(h).to(problem.y).view_as(problem.y)
        order = math.inf if self.norm == "linf" else 1
        loss = torch.linalg.vector_norm((problem.y - x).flatten(1), order, dim=1)
        z = state.x[0].unflatten(1, problem.prior.latent_shape)
        return Found(x, loss, grown, {"epsilon": trace["epsilon"]}, z)


def _bound(problem: Posterior) -> Tensor:
    """What the noise in an entry is at the most: (B,)."""
    _, variance = problem.likelihood.mean_and_variance(problem.y)
    n = math.prod(problem.event_shape)
    return variance.flatten(1)[:, 0].sqrt() * math.sqrt(2 * math.log(max(n, 2)))
