"""What a page holds of one measurement: pictures, samples, components, and what the methods say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from posterior.app.report.encoding import Array, encode, shrunk
from posterior.app.report.measurement import magnitude, measurement
from posterior.app.report.source import Source
from posterior.diagnostics.components import principal_components
from posterior.figures.parts import FEWEST, evenly
from posterior.results import Samples

COMPONENTS = 3  # that can be walked along
MOST_SAMPLES = 64  # of a measurement and a method that a page holds


def content(source: Source, place: int, num_samples: int = MOST_SAMPLES, factor: int = 1) -> dict[str, Any]:
    """What a page holds of a measurement, as JSON has it.

    Args:
        source: The results.
        place: Of the measurement.
        num_samples: How many samples of each method to hold.
        factor: Of images, the mean of each factor × factor pixels is held.
    """
    truth = source.read("truth", place)
    return {
        "id": source.store.ids[place],
        "truth": None if truth is None else encode(shrunk(magnitude(truth)[None], factor)),
        "measurement": measurement(source, place, factor),
        "methods": [{"name": name} | _method(source, name, place, num_samples, factor) for name in source.methods],
    }


def _method(source: Source, name: str, place: int, num_samples: int, factor: int) -> dict[str, Any]:
    """What a method made of a measurement, or its error."""
    known = source.known(name, place)
    if "error" in known:
        return known
    if source.has(f"{name}/estimate"):
        estimate = source.read(f"{name}/estimate", place)
        return known | {"estimate": None if estimate is None else encode(shrunk(magnitude(estimate)[None], factor))}
    found: dict[str, Any] = {}
    mean, std = source.read(f"{name}/mean", place), source.read(f"{name}/std", place)
    if mean is not None:
        found["mean"] = encode(shrunk(mean[None], factor))
    if std is not None:
        found["std"] = encode(shrunk(std.mean(0)[None, None], factor), 0)
    quantiles = source.read(f"{name}/quantiles", place)
    if quantiles is not None and source.num_samples >= FEWEST:
        found["width"] = encode(shrunk((quantiles[-1] - quantiles[0]).mean(0)[None, None], factor), 0)
    samples = source.read(f"{name}/samples", place)
    if samples is not None:
        found |= _of_samples(samples, num_samples, factor)
    elif quantiles is not None and source.event_shape[0] == 1 and factor == 1 and not source.keeps(name):
        found["quantiles"] = encode(quantiles)
    return known | found


def _of_samples(samples: Array, num_samples: int, factor: int) -> dict[str, Any]:
    """Some of the samples (S, C, H, W), and the principal components of all of them."""
    count = min(COMPONENTS, len(samples) - 1, samples[0].size)
    found: dict[str, Any] = {}
    chosen = samples[evenly(len(samples), num_samples).numpy()] if num_samples else samples[:0]
    if len(chosen):
        found["samples"] = encode(shrunk(np.stack([magnitude(one) for one in chosen]), factor))
    if count > 0:
        x = torch.from_numpy(samples)[:, None]
        components = principal_components(Samples(x, torch.zeros(1), torch.zeros(1)), count)
        steps = (components.directions * components.std[:, :, None, None, None])[:, 0].numpy()
        found["components"] = {
            "steps": encode(shrunk(steps, factor)),
            "share": [round(float(one), 4) for one in components.share[:, 0]],
        }
    return found
