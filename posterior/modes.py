"""The modes of torch that the library's own computations run in, whatever those of the caller are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

_DEVICES = ("cpu", "cuda", "mps", "xpu")

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@contextmanager
def own_modes() -> Iterator[None]:
    """No gradients, no inference mode and no autocast: a result, and what is cached, are then the same everywhere."""
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.no_grad())
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        yield


def usable(tensor: Tensor) -> Tensor:
    """The tensor; of one that was made in inference mode, and that gradients could not be taken through, a copy."""
    return tensor.clone() if tensor.is_inference() else tensor


def make_usable(module: ModuleT) -> ModuleT:
    """The module, in which copies have taken the place of tensors made in inference mode."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and parameter.is_inference():
                part._parameters[name] = nn.Parameter(parameter.clone(), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = usable(buffer)
    return module
