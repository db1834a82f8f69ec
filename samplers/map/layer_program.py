"""What entered one layer of a network, from what left it: a linear program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import nn

from posterior.errors import IncompatibleError
from posterior.priors.generators import GeneratorPrior

Array = NDArray[np.float64]
Norm = Literal["linf", "l1"]

_GROWTH, _GROWTHS = 1.2, 400
_OPTIONS = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}


class Layer(NamedTuple):
    r"""A layer \(z \mapsto \phi(Wz + b)\) with \(\phi(v) = \max(v, av)\).

    Attributes:
        weight: W (n, k).
        bias: b (n,).
        slope: a: 0 of ReLU, 1 where no activation follows.
    """

    weight: Array
    bias: Array
    slope: float

    def __call__(self, z: Array) -> Array:
        """Outputs (..., n) of inputs (..., k)."""
        v = z @ self.weight.T + self.bias
        return np.maximum(v, self.slope * v)

    @property
    def gain(self) -> float:
        """By how much noise in an output is larger than the error of an input that it makes: ‖W‖_F/√k."""
        return float(np.linalg.norm(self.weight) / self.weight.shape[1] ** 0.5)


class Entered(NamedTuple):
    """An input z (k,) of a layer, and the bound ε of the noise that allowed it; NaN where none did."""

    z: Array
    epsilon: float


def layers_of(prior: GeneratorPrior) -> list[Layer]:
    """The layers of a generator, first to last.

    Raises:
        IncompatibleError: It is made of other modules than `Linear`, each followed by `ReLU` or `LeakyReLU` or nothing.
    """
    found: list[Layer] = []
    for module in prior.layers.modules():
        if isinstance(module, nn.Linear):
            weight = module.weight.detach().cpu().double().numpy()
            bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().cpu().double().numpy()
            found.append(Layer(weight, bias, 1.0))
        elif isinstance(module, nn.ReLU | nn.LeakyReLU) and found and found[-1].slope == 1:
            found[-1] = found[-1]._replace(slope=getattr(module, "negative_slope", 0.0))
        elif not isinstance(module, nn.ModuleList | nn.Sequential):
            raise IncompatibleError(
                f"a linear program inverts Linear layers, each followed by ReLU, LeakyReLU or nothing, not the "
                f"{type(module).__name__} of {type(prior).__name__}; CSGM takes any generator"
            )
    return found


def entered(layer: Layer, x: Array, epsilon: float, norm: Norm, nonnegative: bool) -> Entered:
    r"""The input of a layer whose output is nearest to x, among those that a bound of the noise leaves.

    $$ \min_{z, s} \|s\| \quad\text{such that}\quad |\phi(v_i) - x_i| \le s_i, \qquad v = Wz + b $$

    Outputs above ε are taken for v, and those below −ε for av (a > 0). What is in between may be of either sign: there
    \(v_i \le x_i + s_i\) and \(av_i \le x_i + s_i\), which together say φ(v_i) ≤ x_i + s_i, and
    \(av_i \ge x_i - \epsilon - s_i\), which φ(v_i) ≥ x_i − s_i implies. With "linf" all s_i are one δ ≤ ε, and ε
    grows by a fifth until there is a solution; with "l1" their sum is minimised.

    Args:
        layer: W, b and a.
        x: Noisy outputs (n,).
        epsilon: ε, a bound of the noise in an entry.
        norm: "linf" or "l1", of the noise.
        nonnegative: Whether z ≥ 0, as after a layer with ReLU.
    """
    k, unit = layer.weight.shape[1], float(np.abs(x).max()) or 1.0  # programs in which outputs are at most 1
    x, layer, epsilon = x / unit, layer._replace(bias=layer.bias / unit), epsilon / unit
    slacks = np.ones((len(x), 1)) if norm == "linf" else np.eye(len(x))
    cost = np.append(np.zeros(k), np.ones(slacks.shape[1]))
    for _ in range(_GROWTHS):
        rows = [_inequalities(layer, x, slacks, *row) for row in _rows(layer.slope, x, epsilon)]
        bounds: list[tuple[float | None, float | None]] = [(0 if nonnegative else None, None)] * k
        bounds += [(0, epsilon if norm == "linf" else None)] * slacks.shape[1]
        found = linprog(
            cost, np.concatenate([row for row, _ in rows]), np.concatenate([most for _, most in rows]), bounds=bounds,
            method="highs", options=_OPTIONS,
        )  # fmt: skip
        if found.status == 0:
            return Entered(unit * found.x[:k], unit * epsilon)
        epsilon *= _GROWTH
    return Entered(np.full(k, np.nan), np.nan)


def _rows(slope: float, x: Array, epsilon: float) -> Iterator[tuple[NDArray[np.bool_], float, float]]:
    """Rows i, factors f and margins c of the inequalities f v_i ≤ sign(f) x_i + s_i + c."""
    above = (x > epsilon) | (slope == 1)
    below = (x < -epsilon) & (slope > 0) & ~above
    between = ~above & ~below
    yield from ((above, 1.0, 0.0), (above, -1.0, 0.0), (below, slope, 0.0), (below, -slope, 0.0))
    yield from ((between, 1.0, 0.0), (between, slope, 0.0))
    if slope > 0:
        yield between, -slope, epsilon


def _inequalities(
    layer: Layer, x: Array, slacks: Array, rows: NDArray[np.bool_], factor: float, margin: float
) -> tuple[Array, Array]:
    """The matrix and the right-hand side of inequalities of `_rows`, in (z, s)."""
    left = np.concatenate([factor * layer.weight[rows], -slacks[rows]], 1)
    sign = 1.0 if factor >= 0 else -1.0
    return left, sign * x[rows] - factor * layer.bias[rows] + margin
