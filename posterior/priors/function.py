"""Any denoiser as a prior."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posterior.checks import Positive, Shape, checked
from posterior.priors.score_prior import ScorePrior


class FunctionPrior(ScorePrior):
    r"""A prior of a function D(x, σ), which `ScorePrior.from_denoiser` makes.

    The function works on copies, so that it may work in place, or return one buffer again and again. A module is called
    in the precision of its parameters; the states of samplers keep their own.

    Args:
        denoise: D, called with x (N, *event_shape) and sigma (N,); gives (N, *event_shape), each image on its own.
        event_shape: Shape of one image.
        sigma_max, sigma_min: Noise levels between which it is valid.
        sigma_data: Standard deviation of an image's entries.
        dtype: Precision in which it is called; unless given, a module's own, and of another function what it takes.
        device: Where its images must be; a module's own device unless given.
        probe: Whether it is tried on random images, at five calls.

    Raises:
        InvalidValueError: sigma_min < sigma_max, positive, does not hold, or another argument makes no sense.
        ShapeError: It does not return the shape of its images.
        IncompatibleError: It fails; it is a network in training mode; what it says of an image depends on others of the
            batch, or differs from call to call.
        NotFiniteError: It gives NaN or infinity.
    """

    @checked
    def __init__(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        event_shape: Shape,
        sigma_max: Positive,
        sigma_min: Positive = 0.002,
        sigma_data: Positive = 0.5,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        probe: bool = True,
    ) -> None:
        super().__init__()
        self.function, self.event_shape, self.probe = denoise, tuple(event_shape), probe
        self.sigma_max, self.sigma_min, self.sigma_data = sigma_max, sigma_min, sigma_data
        self.check_levels()
        if device is not None:  # an empty buffer, so that `device` follows .to()
            self.register_buffer("trial", torch.empty(0, dtype=torch.bool, device=device), persistent=False)
        self._needed = dtype
        if probe:
            self.check(self.precision or torch.float64)

    @property
    def dtype(self) -> torch.dtype:
        return self.precision or (torch.float64 if torch.float64 in self._tried else torch.get_default_dtype())

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.through(self.function, x, sigma.to(self.precision or x.dtype))
