"""The data of a job: truths whose measurements are simulated, or measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from posterior.app.arrays import load_measurements
from posterior.app.pictures import load_pictures
from posterior.data import load_digits, load_fashion, load_images
from posterior.data.shipped import Split
from posterior.diagnostics.calibration import draw_truth
from posterior.errors import FileFormatError, InvalidValueError
from posterior.io.readers import reading
from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.priors.base import Prior

CLOTHES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    """What is to be answered, some of it at a time; a measurement's id is its place in the whole data set.

    Attributes:
        ids: Names of the measurements.
        truths: The true images (N, *event_shape), of which `ids` are the places; None where they are drawn from the
            prior, or unknown.
        y: Measurements (N, *measurement_shape); None where they are simulated.
        labels: What each image shows, (N,), where that is known.
    """

    ids: range
    truths: Tensor | None = None
    y: Tensor | None = None
    labels: Sequence[str] | None = None

    @property
    def knows_truths(self) -> bool:
        """Whether the true images are known, as those that are drawn from the prior are."""
        return self.truths is not None or self.y is None

    @torch.no_grad()
    def of(
        self, ids: Sequence[int], prior: Prior, likelihood: Likelihood, seed: int, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor | None]:
        """Measurements (B, *measurement_shape) and truths (B, *event_shape), functions of the seed and of the ids.

        Args:
            ids: Some of `ids`.
            prior, likelihood: Those of these measurements, by which truths and measurements are simulated.
            seed: Seed of truths and noise.
            device: Where to put them.
        """
        places = torch.tensor(list(ids))
        truth = None if self.truths is None else self.truths[places].to(device)
        if self.y is not None:
            return self.y[places].to(device), truth
        noise = Noise.of(seed, ids, device=device)
        truth = draw_truth(prior, noise.use("truth")) if truth is None else truth
        return likelihood.simulate(truth, noise), truth


def digits(
    event_shape: Sequence[int],
    split: Split = "held_out",
    labels: bool = False,
    first: int = 0,
    count: int | None = None,
) -> Data:
    """Shipped handwritten digits, labelled by which they are if that is asked for."""
    images, shown = load_digits(split)
    named = [str(one) for one in shown.tolist()] if labels else None
    return _of_truths(images, event_shape, f"digits:split={split}", first, count, named)


def fashion(
    event_shape: Sequence[int],
    split: Split = "held_out",
    labels: bool = False,
    first: int = 0,
    count: int | None = None,
) -> Data:
    """Shipped pieces of clothing, labelled by what they are if that is asked for."""
    images, shown = load_fashion(split)
    named = [CLOTHES[one] for one in shown.tolist()] if labels else None
    return _of_truths(images, event_shape, f"fashion:split={split}", first, count, named)


def pictures(
    event_shape: Sequence[int],
    path: Path,
    resize: bool = False,
    gray: bool = False,
    labels: Path | None = None,
    first: int = 0,
    count: int | None = None,
) -> Data:
    """A picture, a folder of pictures, or an array of images in [−1, 1] (npy, npz), and labels, one a line (txt)."""
    images = load_pictures(path, event_shape, resize=resize, gray=gray)
    return _of_truths(
        images, event_shape, str(path), first, count, read_labels(labels, len(images)) if labels else None
    )


def measurements(
    event_shape: Sequence[int],
    path: Path,
    truth: Path | None = None,
    labels: Path | None = None,
    first: int = 0,
    count: int | None = None,
) -> Data:
    """Measurements of one's own (npy), the true images where they are known, and labels, one a line (txt)."""
    y, truths = load_measurements(path), None
    if truth is not None:
        truths = load_images(truth, event_shape)
        if len(truths) != len(y):
            raise InvalidValueError(f"{path} holds {len(y)} measurements, and {truth} {len(truths)} images")
    return Data(_places(len(y), str(path), first, count), truths, y, read_labels(labels, len(y)) if labels else None)


def simulated(count: int, first: int = 0) -> Data:
    """Truths that are drawn from the prior, and their measurements."""
    if first < 0 or count < 1:
        raise InvalidValueError(f"simulated data need count ≥ 1 and first ≥ 0; got {count} and {first}")
    return Data(range(first, first + count))


def _of_truths(
    images: Tensor,
    event_shape: Sequence[int],
    source: str,
    first: int,
    count: int | None,
    labels: Sequence[str] | None,
) -> Data:
    if tuple(images.shape[1:]) != tuple(event_shape):
        raise InvalidValueError(
            f"{source} holds images {tuple(images.shape[1:])}, and those of the prior are {tuple(event_shape)}"
        )
    return Data(_places(len(images), source, first, count), images, labels=labels)


def read_labels(path: Path, size: int) -> list[str]:
    """What images show, by the lines of a text file."""
    with reading(path, "labels, one a line"):
        labels = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    if len(labels) != size:
        raise InvalidValueError(f"{path} holds {len(labels)} labels, one a line, for {size} images")
    if "" in labels:
        raise FileFormatError(f"{path} has no label in line {labels.index('') + 1}")
    return labels


def _places(size: int, source: str, first: int, count: int | None) -> range:
    if not size:
        raise InvalidValueError(f"{source} is empty: there is nothing to answer")
    last = size if count is None else first + count
    if not 0 <= first < last <= size:
        raise InvalidValueError(f"{source} holds {size}, and number {first} to {last - 1} are asked for")
    return range(first, last)
