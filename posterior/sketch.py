"""Quantiles of a stream of arrays, in memory that grows with the logarithm of its length."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class QuantileSketch:
    r"""Order statistics of every entry of arrays that come one after the other.

    Level h holds at most `capacity` arrays, each of which stands for 2^h; a full level is sorted, entry by entry, and
    every other value goes up. Up to `capacity` arrays ranks are exact; of n draws they are off by a standard error of
    n / capacity at most, 0.8 % of n whatever n is. The result does not depend on how many arrays are added at a time.

    Attributes:
        levels: The arrays of each level, (n, *shape), lowest first.
        capacity: Arrays a level, an even number.

    References:
        Manku, Rajagopalan & Lindsay 1998, Approximate medians and other quantiles in one pass and with limited memory,
        SIGMOD; Karnin, Lang & Liberty 2016, Optimal quantile approximation in streams, arXiv:1603.05346.
    """

    levels: list[Tensor] = field(default_factory=list)
    capacity: int = 128

    def __len__(self) -> int:
        return sum(len(level) << height for height, level in enumerate(self.levels))

    def add(self, values: Tensor, height: int = 0) -> None:
        """Take in arrays (n, *shape), each of which stands for 2^height."""
        if height == len(self.levels):
            self.levels.append(values[:0].clone())
        while len(values):
            room = self.capacity - len(self.levels[height])
            self.levels[height], values = torch.cat([self.levels[height], values[:room]]), values[room:]
            if len(self.levels[height]) == self.capacity:
                # odd ranks and even ones in turn, so that what is lost on one side is made up for on the other
                first = len(self) // (self.capacity << height) % 2
                kept = self.levels[height].sort(0).values[first::2].clone()
                self.levels[height] = kept[:0].clone()
                self.add(kept, height + 1)

    def order_statistic(self, rank: int) -> Tensor:
        """The value of a rank, 1 … n, of every entry: (*shape)."""
        values, order = torch.cat(self.levels).sort(0)
        weights = torch.cat([torch.full((len(level),), 1 << h) for h, level in enumerate(self.levels)])
        reached = weights.to(order.device)[order].cumsum(0) < rank
        return values.gather(0, reached.sum(0, keepdim=True).clamp_max(len(values) - 1))[0]
