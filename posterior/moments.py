"""Mean, standard deviation and quantiles of samples that are too many to be kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from posterior.checks import Level, Share, checked
from posterior.provenance import Provenance, Reported
from posterior.results import Samples, interval_rank
from posterior.sketch import QuantileSketch
from posterior.verdict import Verdict


@dataclass(repr=False)
class Moments(Reported):
    """Mean, standard deviation and quantiles of samples of p(x | y), taken in block by block and not kept.

    Attributes:
        centre: Mean of the samples, (B, *event_shape), in float64.
        squares: Sum of squared deviations from it, likewise.
        nfe, nfe_grad: Forward and backward network evaluations a sample, (B,).
        sketch: Order statistics of the samples, nearly.
        info: What the sampler said about itself, (blocks, B) each; figures of single steps are left out.
        verdict: Whether the samples of each measurement may be trusted: the worst of all blocks, and their findings.
        provenance: What made them.
    """

    centre: Tensor
    squares: Tensor
    nfe: Tensor
    nfe_grad: Tensor
    sketch: QuantileSketch = field(default_factory=QuantileSketch)
    info: dict[str, Tensor] = field(default_factory=dict)
    verdict: tuple[Verdict, ...] = ()
    provenance: Provenance | None = None

    def __len__(self) -> int:
        return len(self.sketch)

    @classmethod
    def none_yet(cls, count: int, device: torch.device | str = "cpu") -> Moments:
        """Before the first block of samples of `count` measurements."""
        zero = torch.zeros(4, count, dtype=torch.float64, device=device)
        return cls(*zero)

    def add(self, samples: Samples) -> None:
        """Take in a block of samples (Chan, Golub & LeVeque 1983, The American Statistician 37)."""
        x, before = samples.x.double(), len(self)
        if before == 0:
            self.centre, self.squares = torch.zeros_like(x[0]), torch.zeros_like(x[0])
        share = len(x) / (before + len(x))
        gap = x.mean(0) - self.centre
        self.squares += (x - x.mean(0)).square().sum(0) + before * share * gap**2
        self.centre += share * gap
        self.nfe += share * (samples.nfe - self.nfe)
        self.nfe_grad += share * (samples.nfe_grad - self.nfe_grad)
        self.sketch.add(samples.x)
        for name, values in samples.info.items():
            if values.ndim == 1:
                self.info[name] = torch.cat([*([self.info[name]] if before else []), values[None]])
        both = zip(self.verdict, samples.verdict, strict=True)
        self.verdict = tuple(mine.joined(other) for mine, other in both) if before else samples.verdict
        if before and self.provenance and samples.provenance:
            seconds = self.provenance.seconds + samples.provenance.seconds
            self.provenance = replace(self.provenance, seconds=seconds)
        else:
            self.provenance = samples.provenance

    def _contents(self) -> str:
        batch, *event = self.centre.shape
        return f"Moments: of {len(self)} samples of each of {batch} measurements, images {tuple(event)}"

    def mean(self) -> Tensor:
        """Posterior mean (B, *event_shape)."""
        return self.centre.to(self.sketch.levels[0].dtype)

    def std(self) -> Tensor:
        """Posterior standard deviation of each entry (B, *event_shape)."""
        return (self.squares / (len(self) - 1)).sqrt().to(self.sketch.levels[0].dtype)

    @checked
    def quantile(self, q: Share) -> Tensor:
        """Posterior quantile of each entry, (B, *event_shape), as near as `QuantileSketch` gets."""
        place = 1 + q * (len(self) - 1)
        low, high = (self.sketch.order_statistic(rank) for rank in (math.floor(place), math.ceil(place)))
        return torch.lerp(low, high, place % 1)

    @checked
    def credible_interval(self, level: Level = 0.9) -> tuple[Tensor, Tensor]:
        """Equal-tailed credible interval of each entry, as that of `Samples`, as near as `QuantileSketch` gets."""
        rank = interval_rank(level, len(self))
        return self.sketch.order_statistic(rank), self.sketch.order_statistic(len(self) + 1 - rank)
