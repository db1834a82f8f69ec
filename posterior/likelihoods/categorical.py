"""Class labels as measurements: what a classifier says of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.likelihoods.base import Likelihood, OperatorT
from posterior.noise import Noise


class CategoricalLikelihood(Likelihood[OperatorT]):
    r"""A class label c drawn by a classifier of log-odds u = A(x); y is one-hot, 1 at c and 0 elsewhere.

    $$ \log p(c \mid x) = u_c - \log\sum_k e^{u_k} $$

    The posterior is that of images which the classifier takes for class c, in the proportions of the prior; with a
    measurement besides, see `JointLikelihood`. `log_density` has log p(c | x) in the entry of c.

    Args:
        operator: The classifier's log-odds, of measurement_shape (K,), K ≥ 2: of a network `Operator.from_callable`
            makes it.

    Raises:
        ShapeError: measurement_shape is not (K,) with K ≥ 2.
    """

    def __init__(self, operator: OperatorT) -> None:
        super().__init__(operator)
        if len(operator.measurement_shape) != 1 or operator.measurement_shape[0] < 2:
            raise ShapeError(
                f"CategoricalLikelihood takes an operator that gives log-odds (K,) of K ≥ 2 classes, not "
                f"{operator.measurement_shape}"
            )

    def labels(self, classes: Tensor) -> Tensor:
        """One-hot measurements y (B, K) of classes (B,), in the operator's precision, or single."""
        count = self.operator.measurement_shape[0]
        if classes.ndim != 1 or classes.is_floating_point() or not bool(((classes >= 0) & (classes < count)).all()):
            raise InvalidValueError(f"classes are whole numbers (B,) from 0 to {count - 1}, got {classes}")
        return torch.nn.functional.one_hot(classes.long(), count).to(self.operator.dtype or torch.float32)

    def check(self, y: Tensor) -> None:
        super().check(y)
        if not bool((((y == 0) | (y == 1)).all(-1) & (y.sum(-1) == 1)).all()):
            raise InvalidValueError("y must be one-hot, (B, K) with a single 1 each; labels(classes) makes it")

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        return y * u.log_softmax(-1)

    def slope(self, u: Tensor, y: Tensor) -> Tensor:
        return y - u.softmax(-1)

    def fisher(self, u: Tensor) -> Tensor:
        p = u.softmax(-1)
        return p * (1 - p)

    def mean_and_variance(self, u: Tensor) -> tuple[Tensor, Tensor]:
        p = u.softmax(-1)
        return p, p * (1 - p)

    def _draw(self, u: Tensor, noise: Noise) -> Tensor:
        cumulative = u.softmax(-1).cumsum(-1)
        below = cumulative[..., :-1] < noise.uniform()[..., None].to(u.dtype)
        return torch.nn.functional.one_hot(below.sum(-1), u.shape[-1]).to(u.dtype)
