"""Results to report on, of one's choice, and how the arrays of a page are read."""

import base64
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posterior.io.store import Axes, Store

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
FAULT = {"level": "doubtful", "findings": ["the samples are <b>odd</b>"], "remedy": "draw more"}
GROUPS = ["few", "many", "<b>none</b>"]
SOUND = {"level": "sound", "findings": [], "remedy": ""}


def save_results(
    folder: Path,
    *,
    shape: tuple[int, int, int] = (1, 6, 5),
    size: int = 3,
    samples: int = 20,
    keep: bool = True,
    y: tuple[int, ...] | None = None,
    kind: str = "float32",
    operator: Any = "half:keep=left",
    names: tuple[str, str] = ("Able", "Baker"),
    truth: bool = True,
    answered: int | None = None,
    groups: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, NDArray[Any]]:
    """Write results of a sampler and of a solver, whose measurement 1 is doubtful and measurement 2 a failure.

    Args:
        groups: Arrays of groups, by name.

    Returns:
        The arrays by name.
    """
    sampler, solver = names
    rng = np.random.default_rng(0)
    x = np.tanh(rng.standard_normal((size, samples, *shape))).astype(np.float32)
    measured = rng.standard_normal((size, *(y or shape))).astype(kind)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    quantiles = np.quantile(x, levels, axis=1).swapaxes(0, 1).astype(np.float32)
    arrays = {"y": measured, f"{sampler}/mean": x.mean(1), f"{sampler}/std": x.std(1, ddof=1)}
    arrays |= {f"{sampler}/quantiles": quantiles, f"{solver}/estimate": x[:, 0]}
    arrays |= {"truth": x[:, 1]} if truth else {}
    arrays |= {f"{sampler}/samples": x} if keep else {}
    if size > 2:
        for name in (name for name in arrays if name.startswith(f"{sampler}/")):
            arrays[name][2] = np.nan
    arrays |= groups or {}
    manifest: dict[str, Any] = {
        "size": size,
        "shard_size": 1,
        "value_range": [-1.0, 1.0],
        "config": {
            "prior": {"name": "gaussian-mixture", "means": np.zeros((1, *shape)).tolist(), "std": 0.5},
            "operator": operator,
            "likelihood": "gaussian:noise_std=0.1",
            "data": f"simulated:count={size}",
            "methods": ["DDRM"],
            "num_samples": samples,
            "seed": 0,
        },
        "methods": {name: {"name": name, "settings": "", "chains": 1} for name in names},
        "versions": {"version of posterior": "0"},
    }
    if groups:
        classifier = "people" if len(groups) > 1 else None
        manifest |= {"groups": GROUPS, "config": {**manifest["config"], "classifier": classifier}}
    layout = {name: Axes(one.shape[1:], ("",) * (one.ndim - 1), str(one.dtype)) for name, one in arrays.items()}
    layout = {
        name: Axes(axes.shape, tuple(f"{i}" for i in range(len(axes.shape))), axes.dtype)
        for name, axes in layout.items()
    }
    places = {"measurement": np.arange(size) + 10, "level": np.array(levels)}
    store = Store.create(folder, layout, places, manifest)
    for place in range(size if answered is None else answered):
        quality = dict(psnr=20.0, coverage=0.9, misfit=1.0, effective_samples=None, calls=7.0)
        verdict = FAULT if place == 1 else SOUND
        row = {"quality": quality | {"verdict": verdict["level"]}, "verdict": verdict}
        failed = {"error": "it <i>diverged</i>"} if place == 2 else row
        rows = {sampler: [failed], solver: [row | {"quality": quality | {"verdict": "sound"}, "verdict": SOUND}]}
        store.write(
            place, {name: one[place : place + 1] for name, one in arrays.items()}, {"methods": rows, "seconds": 1}
        )
    return arrays


def blocks(page: str) -> dict[str, Any]:
    """The contents of a page by name."""
    found = re.findall(r'<script type="application/json" id="([^"]*)">(.*?)</script>', page, flags=re.S)
    return {name: json.loads(text) for name, text in found}


def values(array: dict[str, Any]) -> NDArray[np.float64]:
    """An array of a page, read by its definition."""
    differences = np.frombuffer(zlib.decompress(base64.b64decode(array["data"])), np.uint8).reshape(array["shape"])
    levels = np.cumsum(differences, axis=-1, dtype=np.int64) % 256
    return array["low"] + levels * (array["high"] - array["low"]) / 255
