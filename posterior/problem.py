"""What is inferred: a prior, a likelihood and a batch of measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError, ShapeError
from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.priors.base import Prior


class Posterior:
    """The posteriors p(x | y_b) of B measurements under one prior and one likelihood.

    Args:
        prior: The distribution of images.
        likelihood: How a measurement arises from an image.
        y: Measurements (B, *measurement_shape), zero where nothing was measured. Its precision is the samplers'.
        ids: Names of the measurements, ints or strings, 0 … B−1 unless given; a measurement's random draws depend on
            its id and not on its neighbours.

    Raises:
        ShapeError: y is not a batch of measurements, or the likelihood's parameters are those of another batch.
        IncompatibleError: The operator does not fit the prior, y not the likelihood, or precisions differ.
        NotFiniteError: y holds NaN or infinity.
        InvalidValueError: y holds values where nothing was measured or that cannot be, or ids are not distinct.
    """

    def __init__(self, prior: Prior, likelihood: Likelihood, y: Tensor, ids: Sequence[int | str] | None = None) -> None:
        operator = likelihood.operator
        y = torch.as_tensor(y)
        if not (y.is_floating_point() or y.is_complex()):
            raise InvalidValueError(f"y must hold floating-point or complex numbers, got {y.dtype}; use y.float()")
        if tuple(operator.event_shape) != tuple(prior.event_shape):
            raise IncompatibleError(
                f"the operator {type(operator).__name__} takes images of shape {operator.event_shape}, "
                f"the prior {type(prior).__name__} gives {prior.event_shape}"
            )
        if tuple(y.shape[1:]) != operator.measurement_shape or y.ndim == 0:
            hint = "; add the batch dimension with y[None]" if tuple(y.shape) == operator.measurement_shape else ""
            raise ShapeError(
                f"y has shape {tuple(y.shape)}; expected (B, {', '.join(map(str, operator.measurement_shape))}), "
                f"what {type(operator).__name__} measures{hint}"
            )
        if not bool(torch.isfinite(y).all()):
            bad = [b for b in range(len(y)) if not bool(torch.isfinite(y[b]).all())]
            raise NotFiniteError(f"y holds NaN or infinity in measurement(s) {bad}; remove or repair them")
        if not torch.equal(operator.restrict(y), y):
            raise InvalidValueError(
                f"y holds values where {type(operator).__name__} measures nothing; set them to zero with "
                "operator.restrict(y)"
            )
        for part, module in (("prior", prior), ("operator", operator)):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.device != y.device:
                    raise IncompatibleError(
                        f"y is on {y.device} but the {part} on {tensor.device}; move one with .to()"
                    )
        for name, tensor in operator.named_buffers():
            if (tensor.is_floating_point() or tensor.is_complex()) and tensor.real.dtype != y.real.dtype:
                raise IncompatibleError(
                    f"y is {y.dtype} but the operator's {name} is {tensor.dtype}; convert one, e.g. y.to(...) or "
                    "operator.to(...)"
                )
        likelihood.check(y)
        # Which kinds of prior, likelihood and operator a method takes, it checks itself.
        self.prior: Any = prior
        self.likelihood: Any = likelihood
        self.y = y
        self.ids: list[int | str] = list(range(len(y))) if ids is None else list(ids)
        if len(self.ids) != len(y) or len(set(self.ids)) != len(y):
            raise InvalidValueError(f"{len(y)} measurements need as many distinct ids, got {self.ids}")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def operator(self) -> Any:
        """The forward operator A."""
        return self.likelihood.operator

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.prior.event_shape

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the samplers' states."""
        return self.y.real.dtype

    @property
    def device(self) -> torch.device:
        """Where the samplers' states are."""
        return self.y.device

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Log p(y | x) for x (..., B, *event): (..., B)."""
        return self.likelihood.log_prob(x, self.y)

    def log_likelihood_grad(self, x: Tensor) -> Tensor:
        """Gradient of log p(y | x) in x, same shape as x (..., B, *event)."""
        return self.likelihood.grad(x, self.y)

    def noise(self, seed: int, num_draws: int) -> Noise:
        """The random source of these measurements."""
        return Noise.of(seed, self.ids, num_draws, device=self.device, dtype=self.dtype)

    def select(self, measurements: Tensor | Sequence[int]) -> Posterior:
        """The problem of some of the measurements, by index."""
        index = torch.as_tensor(measurements, dtype=torch.int64, device=self.device)
        ids = [self.ids[i] for i in index.tolist()]
        return self._replace(self.prior, self.likelihood.select(index), self.y[index], ids)

    def with_prior(self, prior: Prior) -> Posterior:
        """The same measurements under another prior of the same event shape."""
        return self._replace(prior, self.likelihood, self.y, self.ids)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Posterior:
        """Move everything; prior and likelihood are modules and move in place."""
        precision = dtype or self.dtype
        y = self.y.to(device, precision.to_complex() if self.y.is_complex() else precision)
        return Posterior(self.prior.to(device, dtype), self.likelihood.to(device, dtype), y, self.ids)

    @classmethod
    def _replace(cls, prior: Prior, likelihood: Likelihood, y: Tensor, ids: list[int | str]) -> Posterior:
        new = cls.__new__(cls)  # parts of a problem that was checked need no second check
        new.prior, new.likelihood, new.y, new.ids = prior, likelihood, y, ids
        return new
