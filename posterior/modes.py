"""The modes of torch that the library's own computations run in, whatever those of the caller are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from posterior.errors import IncompatibleError

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


def check_evaluation(name: str, module: nn.Module) -> None:
    """Raise `IncompatibleError` if a part is in training mode that is then random, couples rows, or changes."""
    for part in module.modules():
        if part.training and _differs_in_training(part):
            raise IncompatibleError(
                f"{name} is in training mode, in which its {type(part).__name__} is random, or couples the images of a "
                "batch and changes with every call; call .eval() first"
            )


def _differs_in_training(part: nn.Module) -> bool:
    if isinstance(part, _NormBase):
        return part.track_running_stats
    rate = part.p if isinstance(part, _DropoutNd) else getattr(part, "dropout", 0.0)  # of attention and recurrence
    return isinstance(part, nn.RReLU) or (isinstance(rate, float) and rate > 0)


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
