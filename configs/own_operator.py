"""A forward operator of one's own, for own_operator.yaml: the sums of an image's columns."""

import torch

from posterior.operators import Operator


def columns(event_shape: tuple[int, ...]) -> Operator:
    """The sums of the columns of images (1, H, W)."""

    def sums(x: torch.Tensor) -> torch.Tensor:
        return x.sum((-3, -2))

    return Operator.from_callable(sums, event_shape=event_shape, measurement_shape=event_shape[-1:], linear=True)
