r"""How often credible intervals of pixels hold the truth, with a band that knows that pixels are dependent.

Interval k of L draws reaches from the k-th smallest to the k-th largest and holds an exchangeable truth with
probability 1 − 2k/(L + 1). The pixels of one image are dependent, problems are not, and given y the truth is
exchangeable with exact draws: so each draw in turn may stand for the truth, which gives the exact law of the share of
pixels covered.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.noise import Noise

_REPETITIONS = 4000


def interval_levels(num_draws: int) -> Tensor:
    """Probabilities of the intervals that L draws make, in ascending order: (L // 2,)."""
    k = torch.arange(num_draws // 2, 0, -1, dtype=torch.float64)
    return 1 - 2 * k / (num_draws + 1)


def interval_shares(x: Tensor, keys: Tensor) -> Tensor:
    """Share of the entries of each image that lie inside the intervals that the other images make.

    Args:
        x: The truth and its L draws in any order (L + 1, B, *event).
        keys: Distinct numbers (L + 1, B) that break ties.

    Returns:
        The share for each image as the truth, and each of `interval_levels`: (L + 1, B, L // 2).
    """
    size, batch = x.shape[:2]
    count = (size - 1) // 2
    shares = torch.empty(size, batch, count, dtype=torch.float64)
    for b in range(batch):  # one image at a time, for memory
        order = keys[:, b].argsort()  # a stable sort then leaves ties in random order
        rows = x[order, b].reshape(size, -1)
        ranks = rows.argsort(dim=0, stable=True).argsort(dim=0)
        depth = torch.minimum(ranks, size - 1 - ranks)  # inside interval k if at least k
        inside = torch.stack([(depth >= k).double().mean(1) for k in range(count, 0, -1)], 1)
        shares[order.cpu(), b] = inside.cpu()
    return shares


def exchange_test(shares: Tensor, levels: Tensor) -> tuple[Tensor, float]:
    r"""Test that the truth's shares are those of any other of the exchangeable images.

    $$ T = \max_k \frac{|\bar c_k - \ell_k|}{s_k}, \qquad
       \bar c_k = \frac1N \sum_n c_{n, 0, k}, \quad
       s_k^2 = \frac{1}{N^2} \sum_n \frac{1}{L + 1} \sum_j (c_{n,j,k} - \ell_k)^2 $$

    against its law when a random image of each problem stands for the truth.

    Args:
        shares: The shares c (N, L + 1, K), the truth's first.
        levels: Their means ℓ (K,).

    Returns:
        Half width (K,) of a simultaneous 95 % band around the levels, and the p-value, at least 1/4001.
    """
    count, size, _ = shares.shape
    centred = shares - levels
    scale = (centred.square().mean(1).sum(0).sqrt() / count).clamp_min(1e-300)
    noise = Noise.of(0, 1, _REPETITIONS, dtype=torch.float64).use("exchange")
    chosen = (noise.uniform((count,))[:, 0] * size).long()
    means = sum(centred[n, chosen[:, n]] for n in range(count)) / count  # (repetitions, K), without their product by N
    null = (torch.as_tensor(means).abs() / scale).amax(1).sort().values
    observed = (centred[:, 0].mean(0).abs() / scale).amax()
    # up to rounding, for shares take few values
    exceeding = int((null >= observed * (1 - 1e-9)).sum())
    width = null[-int(0.05 * (_REPETITIONS + 1))] if len(levels) else null.new_zeros(())
    return width * scale, (1 + exceeding) / (_REPETITIONS + 1)
