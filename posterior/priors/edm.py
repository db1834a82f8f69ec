"""A denoising network with the preconditioning of EDM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from posterior.checks import Positive, Shape, checked
from posterior.errors import IncompatibleError
from posterior.priors.base import check_value_range
from posterior.priors.score_prior import ScorePrior
from posterior.shapes import expand_right


class EDMPrior(ScorePrior):
    r"""A score prior of a network F, preconditioned so that inputs and targets have unit variance.

    $$ D(x, \sigma) = c_{skip} x + c_{out} F(c_{in} x, \tfrac14 \log\sigma), \quad
       c_{skip} = \frac{\sigma_d^2}{\sigma^2 + \sigma_d^2}, \;
       c_{out} = \frac{\sigma \sigma_d}{\sqrt{\sigma^2 + \sigma_d^2}}, \;
       c_{in} = \frac{1}{\sqrt{\sigma^2 + \sigma_d^2}} $$

    Unless the network is in training mode D is then projected on `value_range`, where every mean of images lies; that
    takes 1 % off the error at small noise.

    Args:
        network: F(x, label) with x (N, *event_shape), label (N,). One with `num_classes` also takes classes (N,), and
            is given them where `with_class` has set them.
        event_shape: Shape of one image.
        sigma_data: Standard deviation of the images' entries.
        sigma_min, sigma_max: Noise levels between which the network was trained.
        value_range: Smallest and largest value of an image.
        clip: Whether D is projected; not for images without bounds, such as latents.

    Raises:
        InvalidValueError: value_range is empty, sigma_min < sigma_max, positive, does not hold, or another argument is
            none of the above.

    References:
        Karras, Aittala, Aila & Laine 2022, Elucidating the Design Space of Diffusion-Based Generative Models,
        arXiv:2206.00364.
    """

    settings = ("event_shape", "sigma_data", "sigma_min", "sigma_max", "value_range")

    @checked
    def __init__(
        self,
        network: nn.Module,
        event_shape: Shape,
        *,
        sigma_data: Positive,
        sigma_min: Positive = 0.002,
        sigma_max: Positive = 80.0,
        value_range: tuple[float, float] = (-1.0, 1.0),
        clip: bool = True,
    ) -> None:
        super().__init__()
        self.network, self.clip = network, clip
        self.num_classes = getattr(network, "num_classes", None)
        self.event_shape, self.value_range = tuple(event_shape), check_value_range(value_range)
        self.sigma_data, self.sigma_min, self.sigma_max = sigma_data, sigma_min, sigma_max
        self.check_levels()

    def check(self, dtype: torch.dtype) -> None:
        if self.clip and self.network.training:
            raise IncompatibleError(
                f"{type(self).__name__} is in training mode, in which D is not projected; call .eval() first"
            )
        super().check(dtype)

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        s = expand_right(sigma, len(self.event_shape))
        total = s**2 + self.sigma_data**2
        output = self.through(self.network, x * total.rsqrt(), (sigma.log() / 4).to(self.dtype), *labels)
        denoised = (self.sigma_data**2 / total) * x + (s * self.sigma_data * total.rsqrt()) * output
        return denoised.clamp(*self.value_range) if self.clip and not self.network.training else denoised
