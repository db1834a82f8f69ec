"""One problem answered by several methods: figures in a table, pictures in a file."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.errors import TrustWarning
from posterior.methods import Method
from posterior.metrics import psnr
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from posterior.tables import markdown_table

COLUMNS = ("problem", "method", "PSNR (dB)", "90 % coverage", "misfit (σ_y)", "network calls", "seconds")

_FEWEST = 19  # samples that a 90 % interval needs


@dataclass(frozen=True)
class Row:
    """How one method did on one problem.

    Attributes:
        psnr: PSNR of the posterior mean or of the point estimate, dB, mean over measurements; None without a truth.
        coverage: Among the pixels in doubt, whose 90 % credible interval is wider than 1 % of the value range, the
            fraction whose true value lies in it; None for point estimates, few samples, or without a truth.
        misfit: Root mean squared residual of the samples or of the estimate, in units of σ_y.
        calls: Network evaluations a sample, backward ones counted too.
        seconds: Wall time.
        warnings: Why the samples should not be trusted, in plain words.
    """

    problem: str
    method: str
    psnr: float | None
    coverage: float | None
    misfit: float
    calls: float
    seconds: float
    warnings: tuple[str, ...] = ()

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `COLUMNS`."""
        return (
            self.problem,
            self.method,
            "–" if self.psnr is None else f"{self.psnr:.1f}",
            "–" if self.coverage is None else f"{self.coverage:.0%}",
            f"{self.misfit:.2f}",
            f"{self.calls:,.0f}",
            f"{self.seconds:.1f}",
        )


def run(
    label: str,
    problem: Posterior,
    method: Method,
    *,
    truth: Tensor | None = None,
    num_samples: int = 64,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = True,
) -> tuple[Samples | PointEstimate, Row]:
    """Answer a problem, and say how well, at what cost; what a sampler warns of is in the row, for `report`.

    Args:
        label: What the table calls the problem.
        truth: True images (B, *event_shape), where they are known.

    The other arguments are those of `Method`.
    """
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        result = method(problem, num_samples=num_samples, seed=seed, batch_size=batch_size, progress=progress)
    seconds = time.perf_counter() - start
    value_range = problem.prior.value_range
    centre = result.mean() if isinstance(result, Samples) else result.x
    coverage = None
    if isinstance(result, Samples) and truth is not None and len(result) >= _FEWEST:
        low, high = result.credible_interval(0.9)
        doubt = high - low > 0.01 * (value_range[1] - value_range[0])
        coverage = float(((truth >= low) & (truth <= high))[doubt].double().mean()) if bool(doubt.any()) else None
    return result, Row(
        problem=label,
        method=method.name,
        psnr=None if truth is None else float(psnr(centre, truth, value_range).mean()),
        coverage=coverage,
        misfit=float(problem.likelihood.misfit(result.x, problem.y).mean()),
        calls=float((result.nfe + result.nfe_grad).mean()),
        seconds=seconds,
        warnings=result.warnings if isinstance(result, Samples) else (),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    return markdown_table(COLUMNS, [row.cells() for row in rows], align="ll")


def report(rows: Sequence[Row]) -> str:
    """The table, and below it all that samplers warn of."""
    lines = [f"- {warning}" for row in rows for warning in row.warnings]
    return "\n".join([table(rows), *(["", "Warnings:", "", *lines] if lines else [])])


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
