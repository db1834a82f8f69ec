"""Faults of the machine, which say nothing of what was asked of it."""

from __future__ import annotations

import re

import torch

_KINDS = (OSError, MemoryError, torch.OutOfMemoryError, getattr(torch, "AcceleratorError", MemoryError))
# Of what torch has no class for. Faults of cuSOLVER are not among them: NaN in a matrix is one.
_SIGNS = re.compile(
    "can't allocate memory|bad_alloc|out of memory|(CUDA|HIP|cuDNN|cuFFT)( driver)? error|CU(BLAS|DNN)_STATUS"
)


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error is of too little memory, of a GPU, or of a file: what was asked for may be fine."""
    return isinstance(error, _KINDS) or (isinstance(error, RuntimeError) and _SIGNS.search(str(error)) is not None)
