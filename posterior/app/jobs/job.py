"""A job: what a config asks for, as problems of some measurements at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

import posterior
from posterior.app.config import Config, build_parts, code_file
from posterior.app.running import plan
from posterior.errors import PosteriorError
from posterior.io.axes import Axes
from posterior.io.fingerprint import fingerprint
from posterior.likelihoods import Likelihood
from posterior.priors.base import Prior
from posterior.problem import Posterior
from samplers import Plan, Sampler

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)  # of the quantiles that are kept

_TRIED = 100  # measurements, to find one that can be posed


class Job:
    """What a config asks for.

    Args:
        config: The config.
        allow_code: Whether its operator may be a function of the user's.
        device: Where to work.

    Attributes:
        methods: Samplers and solvers by name.
        ids: Names of all measurements.
        grouping: Who is in the images, where that is known.
    """

    def __init__(self, config: Config, *, allow_code: bool = False, device: torch.device | str = "cpu") -> None:
        self.config, self.device = config, device
        parts = build_parts(config, allow_code=allow_code, device=device)
        self.prior, self.likelihood, self.data, self.methods = parts.prior, parts.likelihood, parts.data, parts.methods
        self.grouping = parts.grouping
        self.ids = self.data.ids
        self.shard_size = min(config.shard_size, len(self.ids))

    def measure(self, ids: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Measurements (B, *measurement_shape), and true images where they are known or drawn from the prior."""
        prior, likelihood = self._model(ids)
        return self.data.of(ids, prior, likelihood, self.config.seed, self.device)

    def problem(self, ids: Sequence[int], y: Tensor) -> Posterior:
        """The problem of some measurements, filled up to `shard_size` with copies of the first.

        The last digits of a network's results depend on the shape of a call, which so is the same for all.

        Args:
            ids: Some of `ids`.
            y: Their measurements (B, *measurement_shape).
        """
        problem = Posterior(*self._model(ids), y, ids=list(ids))
        copies = self.shard_size - len(ids)
        if copies:
            problem = problem.select([*range(len(ids)), *[0] * copies])
            problem.ids = [*ids, *(f"copy {number}" for number in range(copies))]
        return problem

    def _model(self, ids: Sequence[int]) -> tuple[Prior, Likelihood[Any]]:
        places = torch.tensor(ids, device=self.device)
        return self.prior.select(places), self.likelihood.select(places)

    @cached_property
    def specimen(self) -> tuple[Posterior, Tensor | None]:
        """The problem of the first measurement that can be posed, and its true image.

        Raises:
            PosteriorError: So many cannot be posed that the fault is the job's.
        """
        faults = []
        for place in self.ids[:_TRIED]:
            try:
                y, truth = self.measure([place])
                return self.problem([place], y), truth
            except PosteriorError as error:
                faults.append(error)
        raise faults[0]

    def check(self) -> None:
        """Raise unless all methods, and the classifier of groups, take the problem."""
        problem, _ = self.specimen
        for method in self.methods.values():
            method.check(problem)
        if self.grouping is not None:
            self.grouping.check(problem)

    def plans(self) -> dict[str, Plan]:
        """What each method would cost on all measurements, one shard after the other."""
        config = self.config
        found = {}
        for name, method in self.methods.items():
            each = plan(self.specimen[0], method, num_samples=config.num_samples, batch_size=config.batch_size)
            shards = -(-len(self.ids) // self.shard_size)
            found[name] = replace(each, measurements=len(self.ids), seconds=each.seconds * shards)
        return found

    def layout(self) -> dict[str, Axes]:
        """The arrays that are kept."""
        problem, truth = self.specimen
        images = Axes(problem.event_shape, _axes("x", problem.event_shape), _numpy(problem.dtype))
        measured = tuple(problem.y.shape[1:])
        found = {"y": Axes(measured, _axes("y", measured), _numpy(problem.y.dtype))}
        if truth is not None:
            found["truth"] = images
        if (grouping := self.grouping) is not None:
            found["groups"] = who = Axes((len(grouping.names),), ("group",))
            if grouping.classifier is not None:
                found |= {f"{name}/groups": who for name in self.methods}
                if grouping.labels is not None and truth is not None:
                    found["classified"] = who  # the true images, by the classifier
        for name, method in self.methods.items():
            if not isinstance(method, Sampler):
                found[f"{name}/estimate"] = images
                continue
            found |= {f"{name}/{what}": images for what in ("mean", "std")}
            found[f"{name}/quantiles"] = _several("level", len(LEVELS), images)
            if self.config.keep_samples:
                found[f"{name}/samples"] = _several("draw", self.config.num_samples, images)
        return found

    def coordinates(self) -> dict[str, Any]:
        """Values along the axes."""
        return {"measurement": np.array(self.ids, dtype=np.int64), "level": np.array(LEVELS)}

    def operator_digests(self) -> dict[str, str]:
        """What tells the operator, and the user's code that made it, from any other."""
        found = {"the operator": fingerprint(self.likelihood.operator)}
        if (file := code_file(self.config.operator)) is not None:
            found["the operator's code"] = hashlib.blake2b(file.read_bytes()).hexdigest()
        return found

    def manifest(self) -> dict[str, Any]:
        """What tells the results from those of any other job, and makes them again."""
        config = self.config
        digests: dict[str, str] = {
            "the prior": fingerprint(self.prior),
            **self.operator_digests(),
            "the likelihood": fingerprint(self.likelihood, without=self.likelihood.operator),
            "the data": fingerprint(self.data.truths, self.data.y),
            "the methods": fingerprint(self.methods),
        }
        settings = {key: value for key, value in config.settings().items() if key not in ("out", "shard_size")}
        versions = {"posterior": posterior.__version__, "torch": torch.__version__}
        parts = {"prior": self.prior, "likelihood": self.likelihood, "operator": self.likelihood.operator}
        methods = {
            name: {"settings": repr(method), "name": method.name, "chains": getattr(method, "num_chains", 1)}
            for name, method in self.methods.items()
        }
        groups = {}
        if (grouping := self.grouping) is not None:
            groups = {"groups": list(grouping.names)}
            digests |= {"the labels": fingerprint(grouping.labels), "the classifier": fingerprint(grouping.classifier)}
        return {
            "config": settings,
            "size": len(self.ids),
            "shard_size": self.shard_size,
            "digests": digests,
            "versions": {f"version of {name}": version for name, version in versions.items()},
            "methods": methods,
            "value_range": list(self.prior.value_range),
            "classes": {f"class of the {name}": type(part).__name__ for name, part in parts.items()},
            **groups,
        }


def _axes(letter: str, shape: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{letter}_dim_{place}" for place in range(len(shape)))


def _several(name: str, count: int, each: Axes) -> Axes:
    return Axes((count, *each.shape), (name, *each.names), each.dtype)


def _numpy(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
