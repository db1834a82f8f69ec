"""The images of an ISMRMRD file as volumes: which slices make one, and in which order they lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posterior.data.acquisitions import COUNTERS, Scan

Key = tuple[int, ...]


class Order(NamedTuple):
    """The images of a scan, volume after volume.

    Attributes:
        keys: The counters of each image.
        volumes: The name of the volume that each is in; "" if there is one alone.
        notes: On slices that are not in the order of their numbers.
    """

    keys: list[Key]
    volumes: list[str]
    notes: list[str]


def ordered(scan: Scan) -> Order:
    """The images of a scan in order: slices of one contrast, phase, set and repetition follow each other.

    Scanners take slices out of order (interleaved), and some converters number them as they were taken. Slices stay in
    the order of their numbers where their positions go one way along it, and else are in that of their positions along
    the direction of slices.
    """
    slices: dict[Key, list[Key]] = {}
    for key in sorted(scan.images):
        slices.setdefault(key[:-1], []).append(key)
    varying = [i for i in range(len(COUNTERS) - 1) if len({volume[i] for volume in slices}) > 1]
    order = Order([], [], [])
    for volume, keys in slices.items():
        name = ", ".join(f"{COUNTERS[i]} {volume[i]}" for i in varying)
        heads = scan.heads[[scan.images[key][0] for key in keys]]
        places = heads["position"].astype(float) @ heads["slice_dir"][0].astype(float)
        steps = np.diff(places)
        if (steps > 0).any() and (steps < 0).any():
            keys = [keys[i] for i in np.argsort(places, kind="stable")]
            listed = ", ".join(str(key[-1]) for key in keys)
            order.notes.append(f"slices{name and f' of {name}'} are in the order of their positions: {listed}")
        order.keys.extend(keys)
        order.volumes.extend([name] * len(keys))
    return order
