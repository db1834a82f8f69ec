"""Warnings in words, of a sampler whose own figures tell against it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

_NAMED = 5  # measurements that a warning names


def plain_words(name: str, advice: str, ids: Sequence[int | str], reasons: dict[str, Tensor]) -> tuple[str, ...]:
    """A sentence for each reason that holds for some measurement.

    Args:
        name: What the sampler is called.
        advice: What to do.
        ids: Names of the measurements.
        reasons: Why not to trust the draws, and for which measurements that holds, (B,).
    """
    sentences = []
    for reason, holds in reasons.items():
        names = [str(ids[b]) for b in holds.nonzero().flatten().tolist()]
        if names:
            shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            sentences.append(f"{name}: do not trust the draws of measurement(s) {shown}: {reason}; {advice}")
    return tuple(sentences)
