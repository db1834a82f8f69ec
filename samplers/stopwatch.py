"""Seconds and bytes of a prior's network calls, measured."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior

_TIMED = 64  # images at the most of which a network call is timed


class Pace(NamedTuple):
    """Seconds of a network call, and bytes that it takes, for each image."""

    seconds: float
    memory: float


class Stopwatch:
    """Times a prior's network calls, each shape once.

    Args:
        problem: Whose prior it is.
    """

    def __init__(self, problem: Posterior) -> None:
        self._problem = problem.usable()
        self._known: dict[tuple[int, bool], Pace] = {}

    def pace(self, rows: int, backward: bool) -> Pace:
        """That of calls of so many images, which are timed with 64 at the most.

        Args:
            rows: Images a call.
            backward: Whether a gradient goes back through it.
        """
        key = min(rows, _TIMED), backward
        if key not in self._known:
            self._known[key] = self._measured(*key)
        return self._known[key]

    def _measured(self, rows: int, backward: bool) -> Pace:
        call = _network_call(self._problem, rows, backward)
        with CountedBytes() as peak:  # the first call, which sets things up, is not timed
            call()
        start = self._now()
        call()
        return Pace((self._now() - start) / rows, peak.highest / rows)

    def _now(self) -> float:
        if self._problem.device.type == "cuda":
            torch.cuda.synchronize(self._problem.device)
        return time.perf_counter()


class CountedBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made and alive, and the most of them."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.highest = 0
        self._seen: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._seen:
            return
        self._seen[storage] = None
        size = storage.nbytes()
        self.alive += size
        self.highest = max(self.highest, self.alive)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.alive -= size


def _network_call(problem: Posterior, rows: int, backward: bool) -> Callable[[], None]:
    """A call of the prior's network on random images, or latents."""
    prior: Any = problem.prior
    shape = prior.latent_shape if isinstance(prior, GeneratorPrior) else problem.event_shape
    noise = Noise.of(0, rows, device=problem.device, dtype=problem.dtype).use("plan").normal(tuple(shape))[0]
    labels = getattr(prior, "labels", None)
    classes = () if labels is None else (labels.reshape(-1)[:1].expand(rows),)

    def call() -> None:
        with torch.set_grad_enabled(backward):
            x = noise.clone().requires_grad_(backward)
            if isinstance(prior, ScorePrior):
                out = prior._denoise(x, x.new_full((rows,), prior.sigma_max), *classes)
            else:
                out = prior.decode(x[None])[0]
            if backward and out.requires_grad:
                torch.autograd.grad(out.sum(), x)

    return call
