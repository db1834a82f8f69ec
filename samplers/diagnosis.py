"""What a sampler says when its own figures tell against it."""

from __future__ import annotations

from torch import Tensor

from posterior.problem import Posterior

_NAMED = 5  # measurements that a warning names


def plain_words(name: str, problem: Posterior, reasons: dict[str, Tensor], advice: str) -> tuple[str, ...]:
    """A sentence for each reason that holds for some measurement.

    Args:
        name: The sampler's.
        problem: The measurements.
        reasons: Why not to trust the draws, and for which measurements that holds, (B,).
        advice: What to do about it.
    """
    sentences = []
    for reason, holds in reasons.items():
        names = [str(problem.ids[b]) for b in holds.nonzero().flatten().tolist()]
        if names:
            shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            sentences.append(f"{name}: do not trust the draws of measurement(s) {shown}: {reason}; {advice}")
    return tuple(sentences)
