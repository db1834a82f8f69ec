"""Where a result comes from and what is to be thought of it, in words."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from posterior.io.archive import Archived
from posterior.verdict import LEVELS, Verdict, sentences

_SHOWN = 4  # sentences of a summary


@dataclass(frozen=True)
class Provenance:
    """The method, the problem and the cost of a result: what is needed to make it again.

    Attributes:
        name: The method.
        settings: The same with its settings.
        prior, likelihood, operator: Their classes.
        seed: Of all random numbers.
        ids: Names of the measurements.
        y: The measurements (B, *measurement_shape).
        seconds: Wall time.
        version: Of this library.
    """

    name: str
    settings: str
    prior: str
    likelihood: str
    operator: str
    seed: int
    ids: tuple[int | str, ...]
    y: Tensor
    seconds: float
    version: str


class Reported(Archived):
    """A result with a verdict on each measurement, that says in a few lines what it is."""

    nfe: Tensor
    nfe_grad: Tensor
    verdict: tuple[Verdict, ...]
    provenance: Provenance | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each finding of the verdicts, and for which measurements it holds."""
        name, ids = type(self).__name__, tuple(range(len(self.verdict)))
        if self.provenance is not None:
            name, ids = self.provenance.name, self.provenance.ids  # type: ignore[assignment]
        return sentences(name, ids, self.verdict)

    def summary(self) -> str:
        """Shape, method, seed, cost and verdict, in about ten lines."""
        lines = [self._contents()]
        if (source := self.provenance) is not None:
            lines += [
                f"made by {source.settings}, seed {source.seed}",
                f"prior {source.prior}; {source.likelihood} on {source.operator}",
            ]
            calls = f"{float(self.nfe.mean()):.0f} network calls"
            calls += f" and {float(self.nfe_grad.mean()):.0f} backward" if bool(self.nfe_grad.any()) else ""
            lines += [f"{calls} each, {source.seconds:.1f} s; version {source.version}"]
        levels = [verdict.level for verdict in self.verdict]
        counts = [f"{level} ({levels.count(level)})" for level in LEVELS if level in levels]
        said = self.warnings
        lines += [f"verdict: {', '.join(counts) or 'none'}", *said[:_SHOWN]]
        return "\n".join([*lines, f"and {len(said) - _SHOWN} more findings"] if len(said) > _SHOWN else lines)

    def __repr__(self) -> str:
        return self.summary()

    def _contents(self) -> str:
        """What the result is, in a line."""
        raise NotImplementedError
