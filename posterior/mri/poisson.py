"""Points of a grid of which none is too near another."""

from __future__ import annotations

import math

import numpy as np

_HALVINGS = 12


def poisson_points(radius: np.ndarray, middle: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    r"""The first `count` points that are taken in an order, with the largest s for which there are so many.

    A point is taken unless one that was taken before it lies nearer than that one's distance \(1 + s \cdot\) radius.

    Args:
        radius: Where the points are sparse, (H, W).
        middle: Points that are there already, (H, W).
        order: Indices of all points.
        count: How many more there are to be, at most as many as are left.
    """
    low, high = 0.0, 2.0 * max(radius.shape)  # s = 0 takes every point
    best = order[~middle.ravel()[order]]
    for _ in range(_HALVINGS):
        slope = (low + high) / 2
        taken = _taken(1 + slope * radius, middle, order)
        if len(taken) < count:
            high = slope
        else:
            low, best = slope, taken
    return best[:count]


def _taken(distance: np.ndarray, middle: np.ndarray, order: np.ndarray) -> np.ndarray:
    height, width = distance.shape
    free, taken = ~middle, []
    for point in order:
        row, column = divmod(int(point), width)
        if free[row, column]:
            taken.append(point)
            far = distance[row, column]
            reach = math.ceil(far)
            top, left = max(0, row - reach), max(0, column - reach)
            rows, columns = np.ogrid[top : min(height, row + reach + 1), left : min(width, column + reach + 1)]
            near = (rows - row) ** 2 + (columns - column) ** 2 < far**2
            free[top : top + near.shape[0], left : left + near.shape[1]] &= ~near
    return np.array(taken, dtype=np.int64)
