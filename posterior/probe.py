"""What a function of a batch must not do, found by a few calls of it on random rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from posterior.errors import IncompatibleError, PosteriorError
from posterior.modes import own_modes
from posterior.noise import Noise
from posterior.shapes import expand_right

_SIZES = (1.0, 3.0, 0.3)  # of the rows, so that the largest of a batch is now one, now another
_SINGLE = torch.finfo(torch.float32).eps  # rounding of parts of a function of doubles


def trial_rows(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Three random rows (3, *shape) of different sizes."""
    noise = Noise.of(0, 1, len(_SIZES), device=device, dtype=dtype).use("probe").normal(shape)[:, 0]
    return noise * expand_right(noise.new_tensor(_SIZES), len(shape))


def try_out(name: str, function: Callable[..., Tensor], *rows: Tensor, differentiable: bool = False) -> Tensor:
    """Call a function four times, to see that what it says of a row depends on that row alone.

    Args:
        name: What errors call the function.
        function: Takes rows (N, …) each, gives (N, …).
        rows: Three rows (3, …) each, as `trial_rows` gives them.
        differentiable: Whether gradients are to go through it, with respect to the first of the rows.

    Returns:
        Its output for the first two rows.

    Raises:
        IncompatibleError: It fails; it changes what it is given; it gives different outputs for the same rows, or for a
            row among others; or torch cannot differentiate it.
    """
    pair = [values[:2] for values in rows]
    with own_modes():
        with torch.set_grad_enabled(differentiable):
            leaf = pair[0].clone().requires_grad_(differentiable)
            given = [leaf.clone(), *(values.clone() for values in pair[1:])]
            out = _called(name, function, *given)
        first = out.detach().clone()  # the next call may overwrite it
        if differentiable:
            _check_slope(name, out, leaf)
        if not all(torch.equal(after, before) for after, before in zip(given, pair, strict=True)):
            raise IncompatibleError(f"{name} changes in place what it is given; let it work on a copy")
        if not _alike(_called(name, function, *(values.clone() for values in pair)), first):
            raise IncompatibleError(
                f"{name} gives different outputs for the same input; leave out what is random in it, and put networks "
                "into evaluation mode with .eval()"
            )
        neighbour = _called(name, function, *(values[[0, 2]] for values in rows))
        alone = _called(name, function, *(values[:1].clone() for values in rows))
        if not (_alike(neighbour[:1], first[:1]) and _alike(alone, first[:1])):
            raise IncompatibleError(
                f"{name} gives an output for a row that depends on the other rows of its batch; take norms, means and "
                "maxima of each row on its own, and put networks into evaluation mode with .eval()"
            )
    return first


def _called(name: str, function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    try:
        return function(*rows)
    except PosteriorError:
        raise
    except Exception as error:
        raise IncompatibleError(
            f"{name} fails on {rows[0].dtype} values of shape {tuple(rows[0].shape)} on {rows[0].device}: {error}"
        ) from error


def _check_slope(name: str, out: Tensor, leaf: Tensor) -> None:
    """Raise unless a gradient comes back from the outputs of two rows that differ."""
    if not out.requires_grad:
        raise IncompatibleError(
            f"torch cannot differentiate {name}: it runs under torch.no_grad(), detaches a tensor, or computes outside "
            "torch, as in numpy"
        )
    try:
        (slope,) = torch.autograd.grad(out, leaf, torch.ones_like(out), materialize_grads=True)
    except RuntimeError as error:
        raise IncompatibleError(f"torch cannot differentiate {name}: {error}") from error
    if not bool(slope.any()) and not _alike(out[:1], out[1:]):
        raise IncompatibleError(
            f"the derivative of {name} is zero everywhere, though its output varies: rounding and comparisons have "
            "none; give a smooth function in their place"
        )


def rounding(values: Tensor) -> float:
    """How far rounding may move such values, over their size: 1e-4 in single precision, 1e-9 in double.

    Doubles that are all numbers of single precision came from a function that works in it.
    """
    single = values.to(torch.complex64 if values.is_complex() else torch.float32).to(values.dtype)
    return float(max(torch.finfo(values.dtype).eps, _SINGLE if torch.equal(single, values) else 0.0)) ** 0.6


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether two outputs are the same up to 1e-4: a part of a function of doubles may work in single precision."""
    if a.shape != b.shape:
        return False
    tolerance = max(torch.finfo(b.dtype).eps, _SINGLE) ** 0.6
    size = b.abs().nan_to_num(0.0, 0.0, 0.0).amax() if b.numel() else 0.0
    return torch.allclose(a, b, rtol=tolerance, atol=float(tolerance * size), equal_nan=True)
