"""Reconstructions that are sparse in a fixed basis (the Lasso)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.map.bases import TRANSFORMS, Basis
from samplers.map.convex import Convex, Iterate, noise_in_a_pixel, slope, smoothness


@dataclass(frozen=True)
class Lasso(Convex):
    r"""The image with the sparsest coefficients in an orthonormal basis that explains the measurement.

    $$ \min_c \frac{1}{2m}\|y - A(\ell + \Psi c)\|^2 + \lambda\|c\|_1, \qquad x = \ell + \Psi c $$

    ℓ is the smallest value of the prior's images, so that a black image costs nothing; m is the number of measured
    entries (scikit-learn's convention). By FISTA with a restart whenever its momentum points uphill; each measurement
    has its own.

    Args:
        weight: λ, or None for \(\lambda = s\sqrt{2 \log n}\), above which no coefficient of pure noise rises: s is the
            standard deviation of noise in an entry of \(A^T y/m\), n the number of entries.
        basis: "dct", the cosine transform, or "haar", the Haar wavelet.

    References:
        Tibshirani 1996, Regression shrinkage and selection via the Lasso, JRSS B 58.
        Beck & Teboulle 2009, A fast iterative shrinkage-thresholding algorithm for linear inverse problems, SIAM J.
        Imaging Sci. 2.
        O'Donoghue & Candès 2015, Adaptive restart for accelerated gradient schemes, Found. Comput. Math. 15.
    """

    basis: Basis = "dct"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.basis not in get_args(Basis):
            raise InvalidValueError(f"basis is one of {', '.join(map(repr, get_args(Basis)))}, not {self.basis!r}")

    def default_weight(self, problem: Posterior) -> Tensor:
        return math.sqrt(2 * math.log(math.prod(problem.event_shape))) * noise_in_a_pixel(problem)

    def penalty(self, problem: Posterior, x: Tensor) -> Tensor:
        coefficients = TRANSFORMS[self.basis].analyse(x - problem.prior.value_range[0])
        return coefficients.flatten(1).abs().sum(1)

    def stepper(self, problem: Posterior, weight: Tensor) -> tuple[Iterate, Callable[[Iterate], Iterate]]:
        transform, low, dims = TRANSFORMS[self.basis], problem.prior.value_range[0], len(problem.event_shape)
        size = 1 / smoothness(problem)
        wide, threshold = expand_right(size, dims), expand_right(size * weight, dims)

        def advance(iterate: Iterate) -> Iterate:
            x, ahead, t = iterate
            c = transform.analyse(ahead - wide * slope(problem, ahead) - low)
            new = low + transform.synthesise(c.sign() * (c.abs() - threshold).clamp_min(0))
            uphill = ((ahead - new) * (new - x)).flatten(1).sum(1) > 0
            t = torch.where(uphill, 1.0, t)
            later = 0.5 * (1 + (1 + 4 * t**2).sqrt())
            return new, new + expand_right((t - 1) / later, dims) * (new - x), later

        start = torch.full((len(problem), *problem.event_shape), low, dtype=problem.dtype, device=problem.device)
        return (start, start, torch.ones_like(size)), advance
