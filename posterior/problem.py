"""A problem: a prior, a likelihood and a batch of measurements, whose posterior is wanted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from posterior.batched import indices
from posterior.checks import Size, Values, check_value, checked
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError, check_finite
from posterior.likelihoods import Likelihood
from posterior.likelihoods.base import OperatorT
from posterior.modes import make_usable, own_modes, usable
from posterior.noise import Noise
from posterior.operators.base import Operator
from posterior.priors.base import Prior
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior

# Covariant, since nothing of a problem is ever replaced: one under a narrower prior serves wherever the wider is taken.
PriorT = TypeVar("PriorT", bound=Prior, covariant=True)
LikelihoodT = TypeVar("LikelihoodT", bound=Likelihood[Any], covariant=True)
_OtherPriorT = TypeVar("_OtherPriorT", bound=Prior)

_IDS = Sequence[int | str]
_PRECISIONS = (torch.float32, torch.float64, torch.complex64, torch.complex128)


class Posterior(Generic[PriorT, LikelihoodT]):
    """The posteriors p(x | y_b) of B measurements under one prior and one likelihood.

    Generic in both, so that a method says in its signature what it takes: `Posterior[ScorePrior, Likelihood]`.

    Args:
        prior: The distribution of images.
        likelihood: How a measurement arises from an image.
        y: Measurements (B, *measurement_shape), zero where nothing was measured. Its precision is the samplers'.
        ids: Names of the measurements, ints or strings, 0 … B−1 unless given; a measurement's random draws depend on
            its id and not on its neighbours.

    The prior, and an operator that is not of this library, are tried on random images first, once in each precision:
    five calls, which their attribute `probe` turns off.

    Raises:
        ShapeError: y is not a batch of measurements, or the likelihood's parameters or the prior's classes are those of
            another batch.
        IncompatibleError: The operator does not fit the prior, y not the likelihood, or precisions differ; prior or
            operator is in training mode, random, couples images, or works in place.
        NotFiniteError: y, or the prior at random images, holds NaN or infinity.
        InvalidValueError: y holds values where nothing was measured or that cannot be, or ids are not distinct.
    """

    @own_modes()
    def __init__(
        self, prior: PriorT, likelihood: LikelihoodT, y: Tensor, ids: Sequence[int | str] | None = None
    ) -> None:
        check_value("Posterior", "prior", prior, Prior)
        check_value("Posterior", "likelihood", likelihood, Likelihood)
        operator, y = likelihood.operator, usable(check_value("Posterior", "y", y, Values))
        if y.dtype not in _PRECISIONS:
            raise InvalidValueError(f"y must hold numbers of single or double precision, got {y.dtype}; use y.float()")
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
        self.ids: list[int | str] = list(check_value("Posterior", "ids", range(len(y)) if ids is None else ids, _IDS))
        if len(self.ids) != len(y) or len(set(self.ids)) != len(y):
            raise InvalidValueError(f"{len(y)} measurements need as many distinct ids, got {self.ids}")
        check_finite("y", y, "remove or repair them", ids=self.ids)
        if not torch.equal(operator.restrict(y), y):
            raise InvalidValueError(
                f"y holds values where {type(operator).__name__} measures nothing; set them to zero with "
                "operator.restrict(y)"
            )
        parts = [part for part in operator.modules() if isinstance(part, Operator)]
        devices = [("prior", tensor.device) for tensor in (*prior.parameters(), *prior.buffers())]
        devices += [(type(part).__name__, part.device) for part in parts if part.device is not None]
        for name, device in devices:
            if device != y.device:
                raise IncompatibleError(f"y is on {y.device} but the {name} on {device}; move one with .to()")
        for part in parts:
            if part.dtype not in (None, y.real.dtype):
                raise IncompatibleError(
                    f"y is {y.dtype} but the operator {type(part).__name__} works in {part.dtype}; convert one, e.g. "
                    "y.to(...) or operator.to(...)"
                )
        likelihood.check(y)
        labels = prior.labels if isinstance(prior, ScorePrior) else None
        if labels is not None and labels.ndim and len(labels) not in (1, len(y)):
            raise ShapeError(f"the prior has {len(labels)} classes for {len(y)} measurements: one each, or one for all")
        prior.check(y.real.dtype)
        operator.check(y.real.dtype, y.device)
        self.prior = prior
        self.likelihood = likelihood
        self.y = y

    def __len__(self) -> int:
        return len(self.y)

    @property
    def operator(self: Posterior[Any, Likelihood[OperatorT]]) -> OperatorT:
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

    def images(self, x: Tensor) -> Tensor:
        """What the likelihood is a function of, of events x (..., B, *event): x itself."""
        return x

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Log p(y | x) for x (..., B, *event): (..., B)."""
        return self.likelihood.log_prob(self.images(x), self.y)

    def log_likelihood_grad(self, x: Tensor) -> Tensor:
        """Gradient of log p(y | x) in x, same shape as x (..., B, *event)."""
        return self.likelihood.grad(x, self.y)

    @checked
    def noise(self, seed: int, num_draws: Size) -> Noise:
        """The random source of these measurements."""
        return Noise.of(seed, self.ids, num_draws, device=self.device, dtype=self.dtype)

    def select(self, measurements: Tensor | Sequence[int] | Sequence[bool]) -> Self:
        """The problem of some of the measurements, by index, where one may come several times, or by a mask (B,).

        Raises:
            InvalidValueError: An index is no integer, or there is no such measurement.
        """
        index = indices(measurements, len(self)).to(self.device)
        ids = [self.ids[i] for i in index.tolist()]
        return self._replace(self.prior.select(index), self.likelihood.select(index), self.y[index], ids)

    @checked
    def repeat(self, count: Size) -> Self:
        """The problem of `count` copies of each measurement, next to each other: for replicas and restarts.

        Copies share the id of their measurement: give them `Noise.split(count)`, so that they draw independently.
        """
        return self.select(torch.arange(len(self), device=self.device).repeat_interleave(count))

    def with_prior(self, prior: _OtherPriorT) -> Posterior[_OtherPriorT, LikelihoodT]:
        """The same measurements under another prior of the same event shape."""
        new: Posterior[_OtherPriorT, LikelihoodT] = object.__new__(Posterior)
        new.prior, new.likelihood, new.y, new.ids = prior, self.likelihood, self.y, self.ids
        return new

    def with_parameters(self, **values: float | Tensor) -> Self:
        """The same measurements with other parameters of the likelihood, as `Likelihood.with_parameters` takes them."""
        return self._replace(self.prior, self.likelihood.with_parameters(**values), self.y, self.ids)

    def usable(self) -> Self:
        """The problem; of what was made in inference mode, through which no gradient could go, with copies."""
        make_usable(self.prior), make_usable(self.likelihood)
        return self._replace(self.prior, self.likelihood, usable(self.y), self.ids)

    @checked
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The problem on another device or in another precision; this one stays as it is, prior and likelihood too.

        Raises:
            InvalidValueError: There is no such device, or the precision is neither single nor double.
        """
        precision = dtype or self.dtype
        if precision not in _PRECISIONS or precision.is_complex:
            raise InvalidValueError(f"dtype is torch.float32 or torch.float64, the precision of samplers; got {dtype}")
        y = self.y.to(device, precision.to_complex() if self.y.is_complex() else precision)
        prior, likelihood = (_moved(part, device, dtype) for part in (self.prior, self.likelihood))
        return self._replace(prior, likelihood, y, self.ids)

    def _replace(self, prior: Any, likelihood: Any, y: Tensor, ids: list[int | str]) -> Self:
        """A problem of this class with other parts; of a problem that was checked, they need no second check."""
        new = copy.copy(self)
        new.prior, new.likelihood, new.y, new.ids = prior, likelihood, y, ids
        return new


class LatentPosterior(Posterior[GeneratorPrior, LikelihoodT]):
    r"""The posterior \(p(z \mid y) \propto N(z; 0, I)\, p(y \mid G(z))\) of the latents of B measurements.

    Its events are latents: `event_shape` is the prior's `latent_shape`, and the likelihood is a function of z. Draws
    of it, decoded, are draws of p(x | y) under the push-forward of N(0, I) by G.

    Args:
        problem: The measurements, under a `GeneratorPrior`.
        batch_size: Latents of which a gradient is taken at once; None for all. Memory depends on it.
    """

    def __init__(self, problem: Posterior[GeneratorPrior, LikelihoodT], batch_size: int | None = None) -> None:
        self.prior, self.likelihood, self.y, self.ids = problem.prior, problem.likelihood, problem.y, problem.ids
        self.batch_size = batch_size

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one latent."""
        return self.prior.latent_shape

    def images(self, x: Tensor) -> Tensor:
        """G(z) of latents (..., B, *latent_shape): (..., B, *event_shape of the prior)."""
        return self.prior.decode(x)

    def log_likelihood_grad(self, x: Tensor) -> Tensor:
        """Gradient of log p(y | G(z)) in z, same shape as the latents (S, B, *latent_shape)."""

        def gradient(problem: Self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                image = problem.images(x)
            return torch.autograd.grad(image, x, problem.likelihood.grad(image.detach(), problem.y))[0]

        return self.in_parts(gradient, x)[0]

    def in_parts(self, function: Callable[..., Tensor | tuple[Tensor, ...]], *rows: Tensor) -> tuple[Tensor, ...]:
        """A function of a problem and of rows, which is given at most `batch_size` of them at a time.

        What gradients need is then held for one network call at a time.

        Args:
            function: Takes a problem of B′ measurements and rows (S′, B′, ...), gives one or several (S′, B′, ...).
            rows: (S, B, ...) each.

        Returns:
            Its outputs, (S, B, ...) each.
        """
        draws, measurements = rows[0].shape[:2]
        at_once = self.batch_size or draws * measurements
        if draws * measurements <= at_once:
            out = function(self, *rows)
            return out if isinstance(out, tuple) else (out,)
        if draws > 1:
            split = zip(*(r.split(max(1, at_once // measurements)) for r in rows), strict=True)
            parts = [self.in_parts(function, *part) for part in split]
        else:
            some = torch.arange(measurements, device=self.device).split(at_once)
            parts = [self.select(part).in_parts(function, *(r[:, part] for r in rows)) for part in some]
        return tuple(torch.cat(outputs, 0 if draws > 1 else 1) for outputs in zip(*parts, strict=True))


def _moved(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None) -> nn.Module:
    """A copy that was moved, for modules move in place; the module itself where there is nothing to move."""
    tensors = [*module.parameters(), *module.buffers()]
    stays = device is None or all(t.device == torch.empty(0, device=device).device for t in tensors)
    if stays and (dtype is None or all(t.dtype == dtype for t in tensors if t.is_floating_point())):
        return module
    return copy.deepcopy(module).to(device, dtype)
