"""The pre-generator f̂ of a composed flow: one small flow for each measurement, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional

from posterior.noise import Noise

_STEEPEST = 2.0  # logarithm of the largest factor of a coupling


@dataclass(frozen=True)
class PreGenerator:
    r"""Flows of d numbers, ε → z, whose parameters are a row for each measurement, (B, P).

    Affine couplings, each of a random half of the entries given the others; then a scale and a shift of each entry. A
    coupling's network has one hidden layer, whose inputs go on beside its activations, so that couplings hold linear
    maps of up to `hidden` dimensions exactly. All begin as the identity.

    Args:
        size: d, at least 2.
        couplings: Number of couplings.
        hidden: Width of the hidden layer.
    """

    size: int
    couplings: int
    hidden: int

    @property
    def count(self) -> int:
        """P."""
        return sum(rows * columns for rows, columns in self._shapes)

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        given = self.size - self.size // 2
        coupling = [(given + 1, self.hidden), (2 * self.hidden + 1, 2 * (self.size // 2))]
        return coupling * self.couplings + [(2, self.size)]

    def init(self, noise: Noise) -> Tensor:
        """First parameters (B, P): random hidden layers, zeros elsewhere."""
        parts = []
        for number, (rows, columns) in enumerate(self._shapes):
            random = noise.for_draws(1).use("weight", number).normal((rows, columns))[0]
            inner = number % 2 == 0 and number < 2 * self.couplings
            parts.append((random if inner else torch.zeros_like(random)).flatten(1))
        return torch.cat(parts, 1)

    def __call__(self, parameters: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        r"""Map ε to z, (S, B, d), and \(\log|\det \partial z/\partial\varepsilon|\), (S, B)."""
        matrices = self._matrices(parameters)
        h, log_det = epsilon, epsilon.new_zeros(epsilon.shape[:2])
        for number in range(self.couplings):
            first, second, back = _halves(self.size, number, h.device)
            given, moved = h[..., first], h[..., second]
            inner = _affine(given, matrices[2 * number])
            shift, raw = _affine(torch.cat([inner, functional.silu(inner)], -1), matrices[2 * number + 1]).chunk(2, -1)
            log_scale = _STEEPEST * torch.tanh(raw / _STEEPEST)
            h = torch.cat([given, moved * log_scale.exp() + shift], -1)[..., back]
            log_det = log_det + log_scale.sum(-1)
        log_scale, shift = matrices[-1].unbind(1)
        return h * log_scale.exp() + shift, log_det + log_scale.sum(-1)

    def _matrices(self, parameters: Tensor) -> list[Tensor]:
        ends = list(accumulate(rows * columns for rows, columns in self._shapes))
        parts = parameters.tensor_split(ends[:-1], 1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self._shapes, strict=True)]


@lru_cache(maxsize=256)
def _halves(size: int, number: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Entries that a coupling is given, those that it moves, and where each is of these: random halves, in turns."""
    order = Noise.of(0, ["couplings"], device=device).at(number // 2).uniform((size,))[0, 0].argsort()
    order = order if number % 2 == 0 else order.flip(0)
    given = size - size // 2
    return order[:given], order[given:], order.argsort()


def _affine(x: Tensor, matrix: Tensor) -> Tensor:
    """Rows x (S, B, n) by a matrix for each measurement, (B, n + 1, m), the last row a bias: (S, B, m).

    Divided by √n, so that a step of one learning rate moves large layers no further than small ones.
    """
    return torch.einsum("sbn,bnm->sbm", x, matrix[:, :-1]) / x.shape[-1] ** 0.5 + matrix[:, -1]
