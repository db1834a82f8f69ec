"""Priors: distributions over images."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from posterior.batched import BatchedModule
from posterior.errors import InvalidValueError
from posterior.modes import check_evaluation


class Prior(BatchedModule):
    """A distribution over images.

    Attributes:
        event_shape: Shape of one image.
        value_range: Smallest and largest value of an image, for pictures and PSNR.
        probe: Whether `Posterior` first tries the prior on random rows, once, at four network calls.
        settings: Arguments beside `network` that a folder of `save_prior` keeps. Only classes that define them are
            saved and loaded.
    """

    settings: ClassVar[tuple[str, ...]]
    event_shape: tuple[int, ...]
    value_range: tuple[float, float] = (-1.0, 1.0)
    probe: bool = True

    def __init__(self) -> None:
        super().__init__()
        self._tried: set[torch.dtype] = set()
        self._needed: torch.dtype | None = None

    def check(self, dtype: torch.dtype) -> None:
        """Raise unless the prior can be sampled, in states of this precision.

        Raises:
            IncompatibleError: A network of it is in training mode; or what it says of an image depends on others of the
                batch, differs from call to call, or overwrites the image.
        """
        check_evaluation(type(self).__name__, self)
        if self.probe and dtype not in self._tried:
            self._try_out(dtype)
            self._tried.add(dtype)

    def _try_out(self, dtype: torch.dtype) -> None:
        """Call the prior's functions on random rows, see `try_out`."""

    def decode(self, state: Tensor) -> Tensor:
        """Map the variable that is sampled to an image x (identity unless the prior says otherwise)."""
        return state

    @property
    def device(self) -> torch.device:
        """Where the prior's tensors are."""
        tensor = next(iter((*self.parameters(), *self.buffers())), None)
        return torch.get_default_device() if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the prior's tensors, or torch's default."""
        return self.precision or torch.get_default_dtype()

    @property
    def precision(self) -> torch.dtype | None:
        """Floating-point type that its networks need; None where any will do."""
        own = (t.dtype for t in (*self.parameters(), *self.buffers()) if t.is_floating_point())
        return next(own, self._needed)


def check_value_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """(smallest, largest value); raises `InvalidValueError` unless the first is below the second."""
    low, high = value_range
    if not low < high:
        raise InvalidValueError(f"value_range is (smallest, largest value), got {value_range}")
    return low, high
