"""Reconstructions that are sparse in a fixed basis (the Lasso)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from posterior.problem import Posterior
from samplers.map.bases import TRANSFORMS, Basis
from samplers.map.convex import Convex, noise_in_a_pixel


@dataclass(frozen=True)
class Lasso(Convex):
    r"""The image with the sparsest coefficients in an orthonormal basis that explains the measurement.

    $$ \min_c \frac{1}{2m}\|y - A(\ell + \Psi c)\|^2 + \lambda\|c\|_1, \qquad x = \ell + \Psi c $$

    This is scikit-learn's convention; ℓ, m and the steps are those of `Convex`, with K = Ψᵀ.

    Args:
        weight: λ, or None for \(\lambda = s\sqrt{2 \log n}\), above which no coefficient of pure noise rises: s is the
            standard deviation of noise in an entry of \(A^T y/m\), n the number of entries.
        basis: "dct", the cosine transform, or "haar", the Haar wavelet.

    References:
        Tibshirani 1996, Regression shrinkage and selection via the Lasso, JRSS B 58.
    """

    basis: Basis = "dct"

    squared_norm: ClassVar[float] = 1.0

    def default_weight(self, problem: Posterior) -> Tensor:
        return math.sqrt(2 * math.log(math.prod(problem.event_shape))) * noise_in_a_pixel(problem)

    def analyse(self, u: Tensor) -> Tensor:
        return TRANSFORMS[self.basis].analyse(u)

    def synthesise(self, q: Tensor) -> Tensor:
        return TRANSFORMS[self.basis].synthesise(q)

    def sizes(self, q: Tensor) -> Tensor:
        return q.abs()
