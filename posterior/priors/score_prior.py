"""Priors given by their denoiser."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Self

import torch
from torch import Tensor

from posterior.checks import (
    NonNegative,
    Positive,
    Range,
    Real,
    Several,
    Size,
    Values,
    check_falling,
    check_value,
    checked,
)
from posterior.errors import IncompatibleError, InvalidValueError, NoiseLevelError, NotFiniteError, ShapeError
from posterior.noise import Noise
from posterior.priors import reverse_diffusion
from posterior.priors.base import Prior
from posterior.probe import trial_rows, try_out
from posterior.shapes import as_tensor, check_broadcast, check_values, expand_right

_REACH = 5.0  # sigma_max in units of sigma_data, at the least: then 4 % of an image's variance is still seen


class ScorePrior(Prior):
    r"""A prior known through its denoiser \(D(x, \sigma) = E[x_0 \mid x_0 + \sigma\varepsilon = x]\).

    Variance-exploding convention: \(x_\sigma = x_0 + \sigma\varepsilon\), the score is
    \(\nabla\log p_\sigma(x) = (D(x, \sigma) - x)/\sigma^2\) (Tweedie). Subclasses define `_denoise`.

    Attributes:
        sigma_data: Standard deviation of an image's entries.
        sigma_min, sigma_max: Noise levels between which the denoiser is valid.
        num_classes: How many classes of images the denoiser can be told of; None for one that takes none.
        labels: The class of all images, (), or of those of each measurement, (B,); `with_class` sets it.
    """

    sigma_data: float
    sigma_min: float
    sigma_max: float
    num_classes: int | None = None
    labels: Tensor | None
    from_diffusers: ClassVar[Callable[..., ScorePrior]]  # of posterior.priors.diffusers, bound in posterior.priors
    _of_function: ClassVar[Callable[..., ScorePrior]]  # posterior.priors.function.FunctionPrior, bound there as well

    def __init__(self) -> None:
        super().__init__()
        self.register_batched("labels", None, 0, persistent=False)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise rows x (N, *event) at sigma (N,); where there are classes, a third argument is their labels (N,)."""
        raise NotImplementedError

    def with_class(self, labels: int | Sequence[int] | Tensor) -> Self:
        """The prior p(x | class), with the same network.

        Args:
            labels: A class for all measurements, or (B,), one for each.

        Raises:
            InvalidValueError: There are no such classes, or none at all.
        """
        if self.num_classes is None:
            raise InvalidValueError(f"{type(self).__name__} has no classes: leave class_label out")
        given = as_tensor("class_label", labels).to(self.device)
        whole = given.dtype != torch.bool and not given.is_floating_point() and not given.is_complex()
        if not whole or given.ndim > 1 or not bool(((given >= 0) & (given < self.num_classes)).all()):
            raise InvalidValueError(
                f"{type(self).__name__} needs a class_label in 0 … {self.num_classes - 1}, one for all measurements or "
                f"one for each; got {labels}"
            )
        prior = copy.copy(self)
        prior._buffers, prior._cache = self._buffers | {"labels": given.long()}, {}
        return prior

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Posterior mean of the clean image, D(x, σ).

        Args:
            x: Noisy images (..., *event_shape).
            sigma: Noise level, a float or a tensor that broadcasts against the leading shape of x.

        Raises:
            ShapeError: x does not end in the prior's event shape, or is of other measurements than the classes.
            NoiseLevelError: A level is outside [sigma_min, sigma_max].
        """
        check_values(f"x, given to {type(self).__name__}.denoise,", x, self.event_shape, real=True)
        lead = x.shape[: x.ndim - len(self.event_shape)]
        level = self._level(x, sigma, lead)
        rows = x.reshape(-1, *self.event_shape)
        if rows.shape[0] == 0:
            return x.clone()
        labels = () if self.labels is None else (self._row_labels(self.labels, lead),)
        return self._denoise(rows, level.reshape(-1), *labels).reshape(x.shape)

    def _level(self, x: Tensor, sigma: Tensor | float, lead: torch.Size) -> Tensor:
        """The noise level of each image, of the leading shape of x, in its precision."""
        sigma = check_value(type(self).__name__, "sigma", sigma, Real | float)
        self.check_sigma(sigma)
        try:
            return torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(lead)
        except RuntimeError as error:
            shape = tuple(torch.as_tensor(sigma).shape)
            raise ShapeError(f"sigma of shape {shape} does not broadcast to the images, {tuple(lead)}") from error

    def _row_labels(self, labels: Tensor, lead: torch.Size) -> Tensor:
        if labels.ndim and (not lead or lead[-1] != len(labels) != 1):
            raise ShapeError(
                f"the prior has {len(labels)} classes, one for each measurement, but was given images of leading shape "
                f"{tuple(lead)}; use prior.select(...), or with_class(...) with one class for all"
            )
        return labels.expand(lead).reshape(-1)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        r"""Score of the noisy prior, \(\nabla \log p_\sigma(x)\); arguments as in `denoise`."""
        denoised = self.denoise(x, sigma)
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        return (denoised - x) / expand_right(level, len(self.event_shape)) ** 2

    def check_sigma(self, sigma: Tensor | float) -> None:
        """Raise `NoiseLevelError` unless every level lies in [sigma_min, sigma_max] (up to rounding)."""
        low = high = sigma
        if isinstance(sigma, Tensor):
            if sigma.numel() == 0:
                return
            low, high = torch.stack(sigma.aminmax()).tolist()
        if not (low >= self.sigma_min * (1 - 1e-5) and high <= self.sigma_max * (1 + 1e-5)):
            raise NoiseLevelError(
                f"{type(self).__name__} is valid for noise levels in [{self.sigma_min:g}, {self.sigma_max:g}], "
                f"but was asked for [{low:g}, {high:g}]"
            )

    def check(self, dtype: torch.dtype) -> None:
        """As for any prior.

        Raises:
            InvalidValueError: sigma_max is not larger than sigma_min, or one of them not a number.
        """
        self.check_levels()
        super().check(dtype)

    def check_levels(self) -> None:
        """Raise `InvalidValueError` unless noise levels are positive, finite and in order, and the least is small."""
        for name in ("sigma_data", "sigma_min", "sigma_max"):
            check_value(type(self).__name__, name, getattr(self, name), NonNegative)
        check_falling(self, "sigma_max", "sigma_min")
        if self.sigma_min > self.sigma_data:
            raise NoiseLevelError(
                f"{type(self).__name__} needs sigma_min ≤ sigma_data, or the least noise already hides an image; got "
                f"{self.sigma_min:g} and {self.sigma_data:g}"
            )

    def check_reach(self, user: str) -> None:
        """Raise `NoiseLevelError` unless the largest noise level hides an image, as what begins with noise assumes."""
        self.check_levels()
        if self.sigma_max < _REACH * self.sigma_data:
            raise NoiseLevelError(
                f"{user} begins with noise that hides the image, but {type(self).__name__} is valid up to sigma_max = "
                f"{self.sigma_max:g} only, and {_REACH:g} times sigma_data = {self.sigma_data:g} are needed: without "
                "these levels, what the measurement does not show would come out wrong. PyramidPrior makes a denoiser "
                "of small noise levels one of all; or take a prior trained to larger ones"
            )

    def _try_out(self, dtype: torch.dtype) -> None:
        low, high = max(self.sigma_min, 0.1 * self.sigma_data), self.sigma_max
        levels = [(low * high) ** 0.5, high, low]
        sigma = torch.tensor(levels, dtype=dtype, device=self.device)
        spread = expand_right((sigma**2 + self.sigma_data**2).sqrt(), len(self.event_shape))
        x = spread * trial_rows(self.event_shape, dtype, self.device)
        classes = [] if self.labels is None else [self.labels.flatten()[:1]]

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self._denoise(x, sigma, *(label.expand(len(x)) for label in classes))

        if self.precision is None and dtype == torch.float64:  # a network within a function may be in single precision
            try:
                denoise(x[:1], sigma[:1])
            except (RuntimeError, TypeError):
                self._needed = torch.float32
        name = f"the denoiser of {type(self).__name__}"
        out = try_out(name, denoise, x, sigma)
        if not bool(out.isfinite().all()):
            raise NotFiniteError(f"{name} gives NaN or infinity at noise levels {levels[0]:.3g} and {levels[1]:.3g}")

    def _label(self, values: Tensor) -> Tensor:
        """Times for a network, in its precision but never in less than single: 999 is no number of bfloat16."""
        return values.to(torch.promote_types(self.precision or values.dtype, torch.float32))

    def through(self, network: Callable[..., Tensor], x: Tensor, label: Tensor, *classes: Tensor) -> Tensor:
        """What a network says of images x (N, *event), labels (N,), and classes (N,) if any, in the precision of x.

        It is called in its own precision, and on copies: a function may work in place, or return one buffer again and
        again. The label is given as it is.

        Raises:
            ShapeError: It does not return the shape of x.
            IncompatibleError: It does not return floating-point numbers.
        """
        out = network(x.to(self.precision or x.dtype, copy=True), label.clone(), *classes)
        if isinstance(out, Tensor) and not out.is_floating_point():
            raise IncompatibleError(f"the network returned {out.dtype} numbers; images are real and floating-point")
        if not isinstance(out, Tensor) or out.shape != x.shape:
            got = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
            raise ShapeError(
                f"the network returned {got} for images of shape {tuple(x.shape)}; it must return an array of the same "
                "shape"
            )
        return out.to(x.dtype, copy=True)

    def mean(self) -> Tensor:
        """The mean image E[x], which is what the largest noise level leaves: D(0, sigma_max).

        It is (*event_shape), or (B, *event_shape) where each measurement has its own class.
        """
        zero = torch.zeros(1, *self.event_shape, dtype=self.dtype, device=self.device)
        if self.labels is None:
            return self.denoise(zero, self.sigma_max)[0]
        classes, which = self.labels.unique(return_inverse=True)
        each = self.with_class(classes).denoise(zero.expand(len(classes), *self.event_shape), self.sigma_max)
        return each[which]

    @checked
    def sample(self, num_samples: Size, noise: Noise, *, steps: Several = 40) -> Tensor:
        """Draw from the prior p(x) by reverse diffusion: (num_samples, B, *event_shape), B the ids of `noise`.

        Args:
            num_samples: Draws for each id of `noise`.
            noise: Source of randomness.
            steps: Network calls a draw.

        Raises:
            NoiseLevelError: The largest noise level is no more than a few times sigma_data.
        """
        self.check_reach("a sample of the prior")
        return reverse_diffusion.sample(self, noise.for_draws(num_samples), steps=steps)

    @checked
    def sample_denoised(
        self,
        z: Values,
        sigma: Real | Positive,
        noise: Noise,
        *,
        steps: Annotated[int, Range(3)] = 10,
        denoised: Values | None = None,
    ) -> Tensor:
        r"""Draw from \(p(x_0 \mid x_0 + \sigma\varepsilon = z)\), the clean images that z may have been.

        Args:
            z: Noisy images (S, B, *event_shape), or (..., *event_shape) where the noise source agrees.
            sigma: Noise level of z, broadcastable to its leading shape.
            noise: Source of randomness.
            steps: Network calls a draw, the same for all rows.
            denoised: D(z, σ) where it is known, of the shape of z, which saves the first of them.
        """
        check_values("z", z, self.event_shape, real=True)
        check_broadcast("z and the noise", z.shape[: z.ndim - len(self.event_shape)], noise.lead)
        return reverse_diffusion.sample_denoised(self, z, sigma, noise, steps=steps, denoised=denoised)

    def exact_sample(self, num_samples: int, noise: Noise) -> Tensor:
        """Draw from p(x) without reverse diffusion, where the prior is analytic: (num_samples, B, *event_shape)."""
        raise IncompatibleError(f"{type(self).__name__} has no exact draws; leave exact_denoise off")

    def exact_denoise(self, z: Tensor, sigma: Tensor | float, noise: Noise) -> Tensor:
        """The draw of `sample_denoised` without reverse diffusion, where the prior is analytic."""
        raise IncompatibleError(f"{type(self).__name__} has no exact draws; leave exact_denoise off")

    @staticmethod
    def from_denoiser(
        denoise: Callable[[Tensor, Tensor], Tensor],
        event_shape: Sequence[int],
        *,
        sigma_max: float,
        sigma_min: float = 0.002,
        sigma_data: float = 0.5,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        probe: bool = True,
    ) -> ScorePrior:
        """A prior of a function D(x, σ), called with x (N, *event_shape) and sigma (N,); see `FunctionPrior`."""
        return ScorePrior._of_function(denoise, event_shape, sigma_max, sigma_min, sigma_data, dtype, device, probe)
