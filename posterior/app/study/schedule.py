"""The order in which a reader sees images, and the methods of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from posterior.app.study.plan import Plan
from posterior.noise import Noise


@dataclass(frozen=True)
class Trial:
    """One image with its reconstructions side by side.

    Attributes:
        image: File name of the image.
        methods: The methods, in their order on the screen.
        repeat: Whether the reader has seen the image before.
    """

    image: str
    methods: tuple[str, ...]
    repeat: bool


def schedule(plan: Plan, reader: str) -> list[Trial]:
    """All trials of a reader, in an order that depends on the seed and on the reader's name.

    Every image comes once. Then the first `plan.repeats` of them come again, so that no image returns before half of
    the images have passed: those of the first half of them in a new order, then those of the second.
    """
    noise = Noise.of(plan.seed, [reader], dtype=torch.float64).use("reader study")

    def shuffled(items: list[str], *use: str | int) -> list[str]:
        return [items[i] for i in noise.use(*use).uniform((len(items),)).flatten().argsort().tolist()]

    first = shuffled(list(plan.images), "images")
    half = plan.repeats // 2
    again = shuffled(first[:half], "repeats", 0) + shuffled(first[half : plan.repeats], "repeats", 1)
    methods = sorted(plan.methods)
    return [
        Trial(image, tuple(shuffled(methods, "methods", number)), number >= len(first))
        for number, image in enumerate([*first, *again])
    ]
