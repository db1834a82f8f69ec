"""Samples of some measurements from the results of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from posterior.errors import FileFormatError, InvalidValueError
from posterior.io.records import Record, read_records
from posterior.io.store import Store


def read_samples(store: Store, method: str | None = None, ids: Sequence[int] | None = None) -> dict[str, Any]:
    """The fields of `Samples`, tensors and what JSON has, of some measurements.

    Args:
        store: The results.
        method: Name of the method, where there are several.
        ids: Names of the measurements; all of them unless given.

    Raises:
        FileFormatError: Measurements are not answered yet, or a file is damaged.
        InvalidValueError: There is no such method or measurement, its samples were not kept, or it failed.
    """
    methods, manifest = store.manifest["methods"], store.manifest
    if method is None and len(methods) == 1:
        (method,) = methods
    if method is None or method not in methods:
        raise InvalidValueError(f"{store.folder} holds results of {', '.join(methods)}, and none of {method}: name one")
    if not store.has(f"{method}/samples"):
        raise InvalidValueError(f"{store.folder} holds no samples of {method}: run the job with keep_samples: true")
    where = {name: place for place, name in enumerate(store.ids)}
    names = store.ids if ids is None else list(ids)
    if missing := [name for name in names if name not in where]:
        raise InvalidValueError(f"{store.folder} has no measurement {missing[0]}")
    places = [where[name] for name in names]
    rows = _records(store, method, places)
    if broken := [(name, row.error) for name, row in zip(names, rows, strict=True) if row.error]:
        raise InvalidValueError(f"{method} failed for measurement {broken[0][0]}: {broken[0][1]}")
    x = store.read(f"{method}/samples", places)
    if not np.isfinite(x).all():  # a file that is cut off reads as one that is not there
        raise store.damage(f"{method}/samples", places, "not all samples are there")
    classes, about = manifest["classes"], methods[method]
    keys = [key for key in rows[0].info if all(key in row.info for row in rows)] if rows else []
    return {
        "x": torch.from_numpy(x).transpose(0, 1),
        "nfe": _column([row.nfe for row in rows]),
        "nfe_grad": _column([row.nfe_grad for row in rows]),
        "info": {key: _column([row.info[key] for row in rows]) for key in keys},
        "chains": about["chains"],
        "verdict": tuple(row.verdict for row in rows if row.verdict is not None),
        "provenance": {
            "name": about["name"],
            "settings": about["settings"],
            **{part: classes[f"class of the {part}"] for part in ("prior", "likelihood", "operator")},
            "seed": manifest["config"]["seed"],
            "ids": tuple(names),
            "y": torch.from_numpy(store.read("y", places)),
            "seconds": sum(row.seconds for row in rows),
            "version": manifest["versions"]["version of posterior"],
        },
    }


def _records(store: Store, method: str, places: Sequence[int]) -> list[Record]:
    """What is known of each measurement; each shard is read once."""
    shards = {shard: read_records(store, shard) for shard in sorted({store.shard_of(place) for place in places})}
    found = []
    for place in places:
        records = shards[shard := store.shard_of(place)]
        if records is None:
            raise FileFormatError(f"{store.folder}: measurement {store.ids[place]} is not answered yet")
        found.append(records[method][place - store.places(shard).start])
    return found


def _column(values: Sequence[float | bool | None]) -> torch.Tensor:
    if any(isinstance(value, bool) for value in values):
        return torch.tensor(values)
    return torch.tensor([np.nan if value is None else value for value in values], dtype=torch.float64)
