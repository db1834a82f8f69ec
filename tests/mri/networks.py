"""Small networks of MRI reconstruction."""

from typing import TypeVar

import torch
from torch import nn

from posterior.noise import Noise
from tests.problems import DOUBLE

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def drawn(network: ModuleT, size: float = 0.5) -> ModuleT:
    """A network in double precision whose weights, those of the last layers too, are Gaussian."""
    network = network.double().eval().requires_grad_(False)
    for place, (name, values) in enumerate(network.named_parameters()):
        if values.ndim > 1:
            spread = size / max(1.0, values[0].numel()) ** 0.5
            values.copy_(spread * Noise.of(place, dtype=DOUBLE).use(name).normal(values.shape)[0, 0])
    return network


def zero(network: ModuleT) -> ModuleT:
    """A network in double precision all of whose convolutions are 0."""
    for values in network.double().requires_grad_(False).parameters():
        if values.ndim > 1:
            values.copy_(torch.zeros_like(values))
    return network
