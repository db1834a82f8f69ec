"""Training of classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from posterior.checks import Count, Positive, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.fairness.classifiers import Classifier
from posterior.networks.classifiers import ConvNet
from posterior.noise import Noise
from posterior.training.loop import train

_SHIFT = 2  # pixels


@checked
def train_classifier(
    images: Tensor,
    labels: Tensor,
    folder: str | Path,
    *,
    names: Sequence[str],
    held_out: tuple[Tensor, Tensor] | None = None,
    widths: Sequence[Count] = (32, 64, 128),
    steps: Count = 2000,
    batch_size: Count = 96,
    learning_rate: Positive = 2e-3,
    evaluate_every: Count = 500,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> Classifier:
    """Train a classifier of images (N, C, H, W) in [−1, 1] by cross-entropy; resumes from what is in `folder`.

    Images are shifted at random by up to two pixels in each direction, and repeat their border.

    Args:
        labels: Class of each image, integers (N,).
        names: What the classes are called.
        held_out: Images and labels whose accuracy and calibration error are logged while training goes on.
        widths: The network, see `ConvNet`.

    The other arguments are those of `train`.

    Raises:
        ShapeError: There is not one label for each image.
        InvalidValueError: A label is no class.
    """
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise ShapeError(
            f"images are (N, C, H, W) and labels (N,), got {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    if not bool(((labels >= 0) & (labels < len(names))).all()):
        raise InvalidValueError(f"labels are from 0 to {len(names) - 1}, got {labels.unique().tolist()}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # modules draw their first weights from the global generator
        network = ConvNet(images.shape[1], len(names), widths)
    classifier = Classifier(network, names, images.shape[1:]).to(device)

    def loss(model: nn.Module, index: Tensor, noise: Noise) -> Tensor:
        assert isinstance(model, Classifier)
        chosen = index.to(images.device)
        shift = (noise.use("shift").uniform((2,))[0] * (2 * _SHIFT + 1)).long()
        return cross_entropy(model.logits(_shifted(images[chosen].to(device), shift)), labels[chosen].to(device))

    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(averaged, Classifier)
        return {} if held_out is None else held_out_accuracy(averaged, *held_out)

    train(
        classifier, loss, torch.arange(len(images)), folder, steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, averaging=200, evaluate=evaluate, evaluate_every=evaluate_every, seed=seed,
        progress=progress, data=(images, labels),
    )  # fmt: skip
    return classifier


@torch.no_grad()
def held_out_accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> dict[str, float]:
    r"""Share of images whose likeliest class is right, and the expected calibration error of its probability.

    $$ \mathrm{ECE} = \sum_{\text{bins}} \frac{n_b}{n}\,|\text{accuracy}_b - \text{mean probability}_b| $$

    over fifteen bins of the probability of the likeliest class (Guo et al. 2017, arXiv:1706.04599).
    """
    device = classifier.device
    probability, best = torch.cat([classifier(part.to(device)).cpu() for part in images.split(500)]).max(1)
    right = (best == labels.cpu()).float()
    bins = (probability * 15).long().clamp_max(14)
    gaps = torch.zeros(15).index_add_(0, bins, right - probability)
    return {"accuracy": float(right.mean()), "ece": float(gaps.abs().sum() / len(right))}


def _shifted(images: Tensor, shift: Tensor) -> Tensor:
    """Each image moved by its own shift (N, 2), from 0 to twice the largest."""
    height, width = images.shape[-2:]
    wide = pad(images, (_SHIFT,) * 4, mode="replicate")
    rows = shift[:, :1] + torch.arange(height, device=shift.device)
    columns = shift[:, 1:] + torch.arange(width, device=shift.device)
    number = torch.arange(len(images), device=shift.device)[:, None, None]
    return wide[number, :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)
