"""Adam as a function, whose moments are tensors that a state can hold."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import adam as functional


def adam(
    x: Tensor,
    slope: Tensor,
    first: Tensor,
    second: Tensor,
    step: int,
    learning_rate: float,
    decays: tuple[float, float] = (0.9, 0.999),
) -> tuple[Tensor, Tensor, Tensor]:
    r"""One step of Adam, of each entry for itself.

    $$ m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
       x \leftarrow x - \eta\,\frac{m}{1 - \beta_1^{t+1}} \Big/ \Big(\sqrt{v/(1 - \beta_2^{t+1})} + 10^{-8}\Big) $$

    Args:
        x: Where to step from.
        slope: g, the gradient there.
        first, second: m and v, zero before the first step.
        step: t, steps taken before.
        learning_rate: η.
        decays: β₁ and β₂.

    Returns:
        x, m and v after the step, all of the shape of x; the arguments stay as they were.

    References:
        Kingma & Ba 2015, Adam: A Method for Stochastic Optimization, arXiv:1412.6980.
    """
    x, first, second = x.clone(), first.clone(), second.clone()
    functional.adam(
        [x], [slope], [first], [second], [], [torch.tensor(float(step))], amsgrad=False, beta1=decays[0],
        beta2=decays[1], lr=learning_rate, weight_decay=0.0, eps=1e-8, maximize=False,
    )  # fmt: skip
    return x, first, second
