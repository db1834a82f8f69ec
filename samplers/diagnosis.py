"""What a sampler says when its own figures tell against it."""

from __future__ import annotations

from torch import Tensor

from posterior.problem import Posterior
from samplers.base import Sampler

_NAMED = 5  # measurements that a warning names


def plain_words(sampler: Sampler, problem: Posterior, reasons: dict[str, Tensor]) -> tuple[str, ...]:
    """A sentence for each reason that holds for some measurement.

    Args:
        sampler: Whose draws they are.
        problem: The measurements.
        reasons: Why not to trust the draws, and for which measurements that holds, (B,).
    """
    sentences = []
    for reason, holds in reasons.items():
        names = [str(problem.ids[b]) for b in holds.nonzero().flatten().tolist()]
        if names:
            shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            sentences.append(
                f"{sampler.name}: do not trust the draws of measurement(s) {shown}: {reason}; {sampler.advice}"
            )
    return tuple(sentences)
