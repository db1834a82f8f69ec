"""What a job's results hold, as a report needs it."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.app.config import Config
from posterior.app.jobs.job import LEVELS, Job
from posterior.app.specification import construct
from posterior.errors import FileFormatError, PosteriorError, ShapeError
from posterior.io.records import Record, read_records
from posterior.io.store import Store
from posterior.operators import LinearOperator, Operator

Array = NDArray[Any]
_CODE = "say --allow_code if its operator is a function of yours"


class Source:
    """The results of a job.

    Args:
        folder: Where they are.
        allow_code: Whether the operator may be a function of the user's, which is run.

    Attributes:
        store: The results.
        methods: Names of the methods.
        groups: Names of the groups; none where nothing is known of any.
        value_range: Values of black and of white.

    Raises:
        FileFormatError: There are none, or they are damaged.
        ShapeError: They are not of images.
    """

    def __init__(self, folder: Path, *, allow_code: bool = False) -> None:
        self.store, self._allow_code = Store(folder), allow_code
        self._records: dict[int, dict[str, list[Record]] | None] = {}  # of the last shard that was asked for
        manifest = self.store.manifest
        try:
            self.methods = list(manifest["methods"])
            self.groups = [str(name) for name in manifest.get("groups", [])]
            low, high = map(float, manifest["value_range"])
            if not 0 < high - low < math.inf:
                raise ValueError(f"value_range is {low}, {high}")
            self.num_samples, self.settings = int(manifest["config"]["num_samples"]), dict(manifest["config"])
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{folder / 'manifest.json'} is not the manifest of a job of this version: {error}; run the job again"
            ) from error
        self.value_range = low, high
        names = [f"{name}/{what}" for name in self.methods for what in ("mean", "estimate")]
        shapes = [self.store.shape(name) for name in names if self.store.has(name)]
        if not shapes or len(shapes[0]) != 3 or shapes[0][0] not in (1, 2, 3):
            raise ShapeError(
                f"{folder} holds results of shape {shapes[0] if shapes else ()}; a report shows images "
                "(C, H, W), C 1, 2 or 3: read them by Samples.load"
            )
        self.event_shape = shapes[0]

    @cached_property
    def answered(self) -> list[int]:
        """Places of the measurements that are answered."""
        store = self.store
        finished = [shard for shard in range(store.num_shards) if store.is_finished(shard)]
        return [place for shard in finished for place in store.places(shard)]

    def has(self, name: str) -> bool:
        """Whether an array is in the results."""
        return name in self._names

    @cached_property
    def _names(self) -> set[str]:
        parts = ("mean", "std", "quantiles", "samples", "estimate", "groups")
        names = ["y", "truth", "groups", "classified"]
        names += [f"{method}/{part}" for method in self.methods for part in parts]
        return set(filter(self.store.has, names))

    @property
    def samplers(self) -> list[str]:
        """Names of the methods that draw samples."""
        return [name for name in self.methods if not self.has(f"{name}/estimate")]

    def keeps(self, name: str) -> bool:
        """Whether the samples of a method were kept."""
        return self.has(f"{name}/samples")

    def read(self, name: str, place: int) -> Array | None:
        """An array's values for one measurement; None where there is no such array, or it holds NaN or infinity."""
        if not self.has(name):
            return None
        values: Array = self.store.read(name, [place])[0]
        return values if np.isfinite(values).all() else None

    def memberships(self, name: str) -> Tensor:
        """An array of groups for all measurements that are answered, (N, K); NaN where a measurement failed.

        Raises:
            FileFormatError: It is damaged.
        """
        if not self.has(name) or self.store.shape(name) != (len(self.groups),):
            raise FileFormatError(
                f"{self.store.folder} holds no {name} of {len(self.groups)} groups; run the job again"
            )
        return torch.from_numpy(self.store.read(name, self.answered)).double()

    def known(self, name: str, place: int) -> dict[str, Any]:
        """What a method said of one measurement, as JSON has it: its error, or "verdict" and "quality"."""
        shard = self.store.shard_of(place)
        if shard not in self._records:
            self._records = {shard: read_records(self.store, shard)}
        records = self._records[shard]
        assert records is not None  # as only what is answered is shown
        record = records[name][place - self.store.places(shard).start]
        if record.error:
            return {"error": record.error}
        return {"verdict": record.verdict and asdict(record.verdict), "quality": record.quality}

    @cached_property
    def job(self) -> Job | str:
        """The job, built anew, or why it cannot be."""
        try:
            job = Job(construct(Config, self.settings, {}), allow_code=self._allow_code)
        except PosteriorError as error:
            return f"{error}; {_CODE}" if "allow_code" not in str(error) else str(error)
        kept = self.store.manifest.get("digests")
        now = job.operator_digests()
        if isinstance(kept, dict) and (changed := [part for part, digest in now.items() if kept.get(part) != digest]):
            return f"{' and '.join(changed)} changed since the job ran; put back the files that it was made of"
        return job

    def operator(self, place: int) -> Operator | None:
        """The operator of a measurement, where the job can be built."""
        if isinstance(self.job, str):
            return None
        operator = self.job.likelihood.select(torch.tensor([self.store.ids[place]])).operator
        assert isinstance(operator, Operator)
        return operator

    @torch.no_grad()
    def measured(self, place: int, y: Array) -> Array | None:
        """Which values of a measurement were measured, where that is known."""
        operator = self.operator(place)
        ones = torch.ones(y.shape, dtype=torch.from_numpy(y).dtype)[None]
        return None if operator is None else operator.restrict(ones)[0].numpy() != 0

    @torch.no_grad()
    def adjoint(self, place: int, y: Array) -> Array | None:
        """Aᵀy, where the operator is known and linear."""
        operator = self.operator(place)
        if not isinstance(operator, LinearOperator):
            return None
        picture: Tensor = operator.adjoint(torch.from_numpy(y)[None])
        return picture[0].numpy()


INTERVAL = (LEVELS[0], LEVELS[-1])
