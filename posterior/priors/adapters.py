"""Networks trained on other processes than x0 + σε, as denoisers D(x, σ)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor

from posterior.checks import Positive, Range, Shape, checked
from posterior.errors import InvalidValueError
from posterior.priors.score_prior import ScorePrior
from posterior.shapes import expand_right

Prediction = Literal["epsilon", "sample", "v_prediction"]
Predictor = Callable[..., Tensor]  # what a network says of x_t (N, *event), t (N,) and, if it takes such, classes (N,)


class VariancePreservingPrior(ScorePrior):
    r"""A prior of a network trained on \(x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\varepsilon\).

    \(\sigma = \sqrt{1/\bar\alpha_t - 1}\) and \(x_t = x/\sqrt{1 + \sigma^2}\), with t between integers where log σ is,
    linearly; then, by what the network predicts,

    $$ D(x, \sigma) = x - \sigma\hat\varepsilon, \qquad \hat x_0, \qquad
       (x - \sigma\sqrt{1 + \sigma^2}\,\hat v)/(1 + \sigma^2). $$

    Args:
        predict: The network, called with x_t (N, *event) and t (N,), a float in 0 … T − 1; a module or any function.
        event_shape: Shape of one image.
        alphas_cumprod: \(\bar\alpha_t\), (T,), decreasing within (0, 1).
        prediction: "epsilon", "sample" or "v_prediction".
        sigma_data: Standard deviation of an image's entries.
        clip: Bound of |D|, or None: what DDPM's clip_sample does.

    Raises:
        InvalidValueError: An argument is none of the above.
    """

    alphas_cumprod: Tensor

    @checked
    def __init__(
        self,
        predict: Predictor,
        event_shape: Shape,
        alphas_cumprod: Tensor,
        *,
        prediction: Prediction = "epsilon",
        sigma_data: Positive = 0.5,
        clip: Positive | None = None,
    ) -> None:
        super().__init__()
        alphas = alphas_cumprod.double()
        if alphas.ndim != 1 or len(alphas) < 2 or not bool((alphas > 0).all() and (alphas < 1).all()):
            raise InvalidValueError(
                "alphas_cumprod must be (T,) with values within (0, 1); a schedule rescaled to zero terminal signal "
                "has no noise level σ at its end: leave that entry out"
            )
        if not bool((alphas.diff() < 0).all()):
            raise InvalidValueError("alphas_cumprod must decrease with t")
        self.predict, self.prediction, self.clip = predict, prediction, clip
        self.event_shape, self.sigma_data = tuple(event_shape), sigma_data
        self.log_sigma = (1 / alphas - 1).sqrt().log()  # float64 whatever the network's precision
        self.sigma_min, self.sigma_max = (float(self.log_sigma[i].exp()) for i in (0, -1))

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        dims = len(self.event_shape)
        scale = expand_right((1 + sigma**2).rsqrt(), dims)
        out = self.through(self.predict, x * scale, self._label(self.time(sigma)), *labels)
        level = expand_right(sigma, dims)
        if self.prediction == "epsilon":
            out = x - level * out
        elif self.prediction == "v_prediction":
            out = scale**2 * x - level * scale * out
        return out if self.clip is None else out.clamp(-self.clip, self.clip)

    def time(self, sigma: Tensor) -> Tensor:
        """The time t, between integers, of noise levels (N,)."""
        table = self.log_sigma.to(sigma.device)
        level = sigma.double().log()
        right = torch.searchsorted(table, level).clamp(1, len(table) - 1)
        low, high = table[right - 1], table[right]
        return ((right - 1) + (level - low) / (high - low)).clamp(0, len(table) - 1).to(sigma.dtype)


class FlowMatchingPrior(ScorePrior):
    r"""A prior of a network trained on \(x_s = (1 - s)x_0 + s\varepsilon\), which predicts \(v = \varepsilon - x_0\).

    $$ s = \frac{\sigma}{1 + \sigma}, \quad x_s = \frac{x}{1 + \sigma}, \quad D(x, \sigma) = x_s - s\,\hat v $$

    Args:
        predict: The network, called with x_s (N, *event) and s (N,) in (0, 1); a module or any function.
        event_shape: Shape of one image.
        sigma_data: Standard deviation of an image's entries.
        s_min, s_max: Times between which the network was trained.

    Raises:
        InvalidValueError: s_min < s_max, within (0, 1), does not hold, or another argument is none of the above.

    References:
        Lipman, Chen, Ben-Hamu, Nickel & Le 2023, Flow Matching for Generative Modeling, arXiv:2210.02747.
    """

    @checked
    def __init__(
        self,
        predict: Predictor,
        event_shape: Shape,
        *,
        sigma_data: Positive = 0.5,
        s_min: Annotated[float, Range(0, 1, "()")] = 1e-3,
        s_max: Annotated[float, Range(0, 1, "()")] = 1 - 1e-3,
    ) -> None:
        super().__init__()
        self.predict, self.event_shape, self.sigma_data = predict, tuple(event_shape), sigma_data
        self.sigma_min, self.sigma_max = s_min / (1 - s_min), s_max / (1 - s_max)
        self.check_levels()

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        s = sigma / (1 + sigma)
        inputs = x * expand_right(1 - s, len(self.event_shape))
        velocity = self.through(self.predict, inputs, self._label(s), *labels)
        return inputs - expand_right(s, len(self.event_shape)) * velocity


def linear_alphas_cumprod(count: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    r"""\(\bar\alpha_t\) of DDPM's linear schedule, (count,) (Ho et al. 2020, arXiv:2006.11239)."""
    return torch.cumprod(1 - torch.linspace(first, last, count, dtype=torch.float64), 0)
