"""Networks trained on the variance-exploding and on variance-preserving SDEs, as denoisers D(x, σ)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from posterior.checks import Positive, Shape, checked
from posterior.priors.base import check_value_range
from posterior.priors.score_prior import ScorePrior
from posterior.shapes import expand_right


class VESDEPrior(ScorePrior):
    r"""A prior of a network whose output is σ times the score, with images in \([a, b]\) = `value_range`.

    $$ D(x, \sigma) = x + \sigma F\Big(\frac{2x - a - b}{b - a}, \log\frac{\sigma}{b - a}\Big) $$

    The network is given images in [−1, 1] and the noise level that those in [0, 1] have, as NCSNv2 and NCSN++ are. D is
    not projected on `value_range`, which images such as those of MRI leave.

    Args:
        network: F(x, label) with x (N, *event_shape), label (N,).
        event_shape: Shape of one image.
        sigma_data: Standard deviation of the images' entries.
        sigma_min, sigma_max: Noise levels between which the network was trained, for images in `value_range`.
        value_range: Images' values (a, b) where the network's are (−1, 1).

    Raises:
        InvalidValueError: value_range is empty, sigma_min < sigma_max does not hold, or another argument is wrong.

    References:
        Song & Ermon 2020, Improved Techniques for Training Score-Based Generative Models, arXiv:2006.09011.
        Song, Sohl-Dickstein, Kingma, Kumar, Ermon & Poole 2021, Score-Based Generative Modeling through Stochastic
        Differential Equations, arXiv:2011.13456.
    """

    settings = ("event_shape", "sigma_data", "sigma_min", "sigma_max", "value_range")

    @checked
    def __init__(
        self,
        network: nn.Module,
        event_shape: Shape,
        *,
        sigma_data: Positive,
        sigma_min: Positive,
        sigma_max: Positive,
        value_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        self.network, self.event_shape, self.value_range = network, tuple(event_shape), check_value_range(value_range)
        self.sigma_data, self.sigma_min, self.sigma_max = sigma_data, sigma_min, sigma_max
        self.check_levels()

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        low, high = self.value_range
        inputs, label = (2 * x - low - high) / (high - low), (sigma / (high - low)).log()
        output = self.through(self.network, inputs, label.to(self.dtype), *labels)
        return x + expand_right(sigma, len(self.event_shape)) * output


class VPSDEPrior(ScorePrior):
    r"""A prior of a network that predicts ε of \(x_t = (x_0 + \sigma\varepsilon)/\sqrt{1 + \sigma^2}\), t in [0, 1].

    $$ D(x, \sigma) = x - \sigma F\Big(\frac{x}{\sqrt{1 + \sigma^2}}, 999\,t\Big), \qquad
       \log(1 + \sigma^2) = \tfrac12 \beta_d t^2 + \beta_{min} t, \quad \beta_d = 19.9, \; \beta_{min} = 0.1 $$

    Args:
        network: F(x, label) with x (N, *event_shape), label (N,).
        event_shape: Shape of one image.
        sigma_data: Standard deviation of the images' entries.
        sigma_min, sigma_max: Noise levels between which the network was trained; those of t = 1e-5 and of t = 1.

    References:
        Song, Sohl-Dickstein, Kingma, Kumar, Ermon & Poole 2021, Score-Based Generative Modeling through Stochastic
        Differential Equations, arXiv:2011.13456.
    """

    settings = ("event_shape", "sigma_data", "sigma_min", "sigma_max")
    beta_d, beta_min = 19.9, 0.1

    @checked
    def __init__(
        self,
        network: nn.Module,
        event_shape: Shape,
        *,
        sigma_data: Positive,
        sigma_min: Positive | None = None,
        sigma_max: Positive | None = None,
    ) -> None:
        super().__init__()
        self.network, self.event_shape, self.sigma_data = network, tuple(event_shape), sigma_data
        self.sigma_min, self.sigma_max = sigma_min or self.sigma(1e-5), sigma_max or self.sigma(1.0)
        self.check_levels()

    def sigma(self, t: float) -> float:
        """Noise level of time t."""
        return math.sqrt(math.expm1(0.5 * self.beta_d * t**2 + self.beta_min * t))

    def time(self, sigma: Tensor) -> Tensor:
        """Time t of noise levels."""
        return ((self.beta_min**2 + 2 * self.beta_d * (sigma**2).log1p()).sqrt() - self.beta_min) / self.beta_d

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = expand_right(sigma, len(self.event_shape))
        inputs, label = x * (1 + level**2).rsqrt(), 999 * self.time(sigma)
        return x - level * self.through(self.network, inputs, label.to(self.dtype))


class OrnsteinUhlenbeckPrior(ScorePrior):
    r"""A prior of a network that says the score of \(u_t = e^{-t/2}x_0 + \sqrt{1 - e^{-t}}\,\varepsilon\).

    That is the variance-preserving SDE of rate 1, the Ornstein–Uhlenbeck process:

    $$ D(x, \sigma) = x + \frac{\sigma^2}{\sqrt{1 + \sigma^2}} F\Big(\frac{x}{\sqrt{1 + \sigma^2}}, t\Big), \qquad
       t = \log(1 + \sigma^2) $$

    Args:
        network: F(u, t) with u (N, *event_shape), t (N,).
        event_shape: Shape of one image.
        sigma_data: Standard deviation of the images' entries.
        sigma_min, sigma_max: Noise levels between which the network was trained.
        value_range: Smallest and largest value of an image, for pictures and PSNR.

    Raises:
        InvalidValueError: value_range is empty, sigma_min < sigma_max does not hold, or another argument is wrong.

    References:
        Song, Sohl-Dickstein, Kingma, Kumar, Ermon & Poole 2021, Score-Based Generative Modeling through Stochastic
        Differential Equations, arXiv:2011.13456.
    """

    settings = ("event_shape", "sigma_data", "sigma_min", "sigma_max", "value_range")

    @checked
    def __init__(
        self,
        network: nn.Module,
        event_shape: Shape,
        *,
        sigma_data: Positive,
        sigma_min: Positive,
        sigma_max: Positive,
        value_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        self.network, self.event_shape, self.value_range = network, tuple(event_shape), check_value_range(value_range)
        self.sigma_data, self.sigma_min, self.sigma_max = sigma_data, sigma_min, sigma_max
        self.check_levels()

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = expand_right(sigma, len(self.event_shape))
        scale = (1 + level**2).rsqrt()
        return x + level**2 * scale * self.through(self.network, x * scale, self._label((sigma**2).log1p()))
