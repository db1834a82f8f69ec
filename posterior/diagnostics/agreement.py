r"""Whether the draws \(x' \sim p(x_0 \mid x_0 + \rho\varepsilon = z)\) at several ρ leave one prior invariant.

If images x are of the prior, x′ is too, and the mean of f(x′) − f(x) is zero at every level. Where levels differ from
each other, starting from the same images, their denoisers are not of one prior, or not of the prior of these images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from posterior.diagnostics.calibration_table import SIGNIFICANCE
from posterior.diagnostics.uniformity import holm


class Disagreement(NamedTuple):
    """Two noise levels whose draws change the mean of a functional differently.

    Attributes:
        low, high: The levels.
        name: The functional.
        p_value: Of no difference, adjusted.
    """

    low: float
    high: float
    name: str
    p_value: float


def agreement(
    change: Tensor, levels: Sequence[float], names: Sequence[str]
) -> tuple[Tensor, Tensor, tuple[Disagreement, ...]]:
    """Test the mean changes at K levels against zero, and against each other.

    Args:
        change: Mean over draws of f(x′) − f(x), for F functionals and N independent images: (K, F, N).
        levels: Noise levels.
        names: Names of the first functionals, those that are compared between levels.

    Returns:
        z-scores of the mean changes (K, F); their p-values, adjusted after Holm for all tests here and by a factor of
        two for those of ranks, (K, F); and pairs of levels that differ.
    """
    pairs = list(combinations(range(len(levels)), 2))
    differences = [change[a, : len(names)] - change[b, : len(names)] for a, b in pairs]
    z, drift = _z_scores(torch.cat([change.flatten(0, 1), *differences])), _z_scores(change)
    adjusted = (2 * holm(torch.special.erfc(z.abs() / math.sqrt(2)))).clamp_max(1)
    drift_p, other = adjusted[: drift.numel()].reshape(drift.shape), adjusted[drift.numel() :].reshape(-1, len(names))
    return (
        drift,
        drift_p,
        tuple(
            Disagreement(levels[a], levels[b], name, float(p))
            for (a, b), row in zip(pairs, other, strict=True)
            for name, p in zip(names, row, strict=True)
            if p <= SIGNIFICANCE
        ),
    )


def _z_scores(values: Tensor) -> Tensor:
    """Mean over standard error, (..., N) → (...), mapped from Student's law to the normal one (Wallace 1959)."""
    free = values.shape[-1] - 1
    t = (values.mean(-1) * math.sqrt(free + 1) / values.std(-1)).nan_to_num(0.0)  # 0/0 of what never changes
    return t.sign() * (8 * free + 1) / (8 * free + 3) * (free * (t.square() / free).log1p()).sqrt()
