"""Denoising score matching."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from posterior.checks import Count, Positive, Range, checked
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.networks.unet import UNet
from posterior.noise import Noise
from posterior.priors.edm import EDMPrior
from posterior.priors.score_prior import ScorePrior
from posterior.shapes import expand_right
from posterior.training.loop import save_samples, train

HELD_OUT_LEVELS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_HIDDEN = 0.2  # the share of images whose class the network is not told of


def denoising_loss(prior: nn.Module, images: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
    r"""EDM's weighted denoising loss at random noise levels.

    $$ E \, \frac{\sigma^2 + \sigma_d^2}{\sigma^2\sigma_d^2} \| D(x + \sigma\varepsilon, \sigma) - x \|^2 / n,
       \quad \log\sigma \sim \text{Logistic}(-0.9, 0.9) $$

    The logistic's tails keep a few draws at the ends of the prior's range, where sampling starts and stops. Where the
    classes of the images are given, (N,), every fifth is kept from the network, which so learns to do without.
    """
    assert isinstance(prior, EDMPrior)
    classes: tuple[Tensor, ...] = ()
    if labels is not None and prior.num_classes is not None:
        hidden = noise.use("class").uniform()[0].to(labels.device) < _HIDDEN
        classes = (labels.masked_fill(hidden, prior.num_classes),)
    uniform = noise.use("level").uniform()[0]
    sigma = (-0.9 + 0.9 * uniform.logit()).exp().clamp(prior.sigma_min, prior.sigma_max)
    level = expand_right(sigma, images.ndim - 1)
    noisy = images + level * noise.use("noise").normal(images.shape[1:])[0]
    weight = (level**2 + prior.sigma_data**2) / (level * prior.sigma_data) ** 2
    return (weight * (prior._denoise(noisy, sigma, *classes) - images) ** 2).mean()  # with labels of none, too


@torch.no_grad()
def held_out_denoising_error(
    prior: ScorePrior,
    images: Tensor,
    levels: Sequence[float] = HELD_OUT_LEVELS,
    *,
    seed: int = 0,
    batch_size: int = 250,
) -> dict[str, float]:
    r"""Mean squared denoising error per entry, \(E\|D(x + \sigma\varepsilon, \sigma) - x\|^2/n\), at each level."""
    source = Noise.of(seed, len(images), device=prior.device)
    errors = {}
    for step, level in enumerate(levels):
        noisy = images + level * source.at(step).normal(images.shape[1:])[0].to(images.device)
        squares = [
            (prior.denoise(part.to(prior.device), level).to(clean.device) - clean).square().sum()
            for part, clean in zip(noisy.split(batch_size), images.split(batch_size), strict=True)
        ]
        errors[f"mse@{level:g}"] = float(torch.stack(squares).sum() / images.numel())
    return errors


@checked
def train_score(
    images: Tensor,
    folder: str | Path,
    *,
    labels: Tensor | None = None,
    held_out: Tensor | None = None,
    augment: Callable[[Tensor, Noise], Tensor] | None = None,
    start: EDMPrior | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
    widths: Sequence[Count] = (64, 64, 128),
    blocks: Count = 1,
    patch: Count = 2,
    dropout: Annotated[float, Range(0, 1, "[)")] = 0.1,
    steps: Count = 10_000,
    batch_size: Count = 96,
    learning_rate: Positive = 1e-3,
    evaluate_every: Count = 1000,
    autocast: bool | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> EDMPrior:
    """Train a score prior on images (N, C, H, W) in `value_range`; resumes from what is in `folder`.

    Draws of the averaged weights are saved as `samples-<step>.png` beside the log.

    Args:
        labels: Classes of the images, (N,) whole numbers from 0: the prior then has `with_class`, and without it is
            that of all of them.
        held_out: Images whose denoising error is logged while training goes on.
        augment: Makes of N of the training images, and noise of N rows, the images (N, C, H, W) of a step; `images` may
            then have another shape and other values than the prior's.
        start: A prior of the same network, whose weights, scale and noise levels are the first ones: to go on with one
            of which there is no checkpoint any more, or to make one of other images, with fewer steps.
        value_range: Smallest and largest value of an image.
        widths, blocks, patch, dropout: The network, see `UNet`.

    The other arguments are those of `train`.

    Raises:
        ShapeError: The images' sides are no multiples of `patch`.
        IncompatibleError: `start` has another network, or images of another shape.
        InvalidValueError: The images are none, or all one constant; labels are not one whole number from 0 for each; or
            a setting is out of range.
    """
    classes = 0 if labels is None else _number_of_classes(labels, len(images))
    examples = augment(images, Noise.of(seed, len(images))) if augment else images
    sigma_data = float(examples.std()) if examples.numel() > 1 else 0.0
    if examples.ndim != 4 or not 0 < sigma_data < math.inf:
        raise InvalidValueError(
            "images are (N, C, H, W), with a standard deviation that is positive and finite; got shape "
            f"{tuple(examples.shape)} and {sigma_data:g}"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # modules draw their first weights from the global generator
        network = UNet(examples.shape[1], widths, blocks, patch, dropout, classes=classes)
    prior = EDMPrior(network, tuple(examples.shape[1:]), sigma_data=sigma_data, value_range=value_range)
    if start is not None:
        _begin_with(start, prior, network)
    prior.to(device).to(memory_format=torch.channels_last)

    def loss(model: nn.Module, batch: Tensor, noise: Noise) -> Tensor:
        shown = None if labels is None else labels.to(batch.device)[batch]
        batch = batch if labels is None else images[batch.cpu()].to(batch.device)
        return denoising_loss(model, augment(batch, noise.use("augmentation")) if augment else batch, noise, shown)

    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(averaged, EDMPrior)
        save_samples(averaged, Path(folder) / f"samples-{step}.png", seed)
        return held_out_denoising_error(averaged, held_out) if held_out is not None else {}

    return train(  # type: ignore[return-value]
        prior,
        loss,
        images if labels is None else torch.arange(len(images)),
        folder,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        evaluate=evaluate,
        evaluate_every=evaluate_every,
        autocast=autocast,
        seed=seed,
        progress=progress,
        data=None if labels is None else (images, labels),
    )


def _begin_with(start: EDMPrior, prior: EDMPrior, network: UNet) -> None:
    """Give a prior the weights, the scale and the noise levels of another.

    Raises:
        IncompatibleError: The other has another network, or images of another shape.
    """
    if not isinstance(start.network, UNet):
        raise IncompatibleError(f"start has a {type(start.network).__name__}; what is trained here is a UNet")
    known, layout = (
        {"images of shape": list(shape)} | config
        for shape, config in ((start.event_shape, start.network.config), (prior.event_shape, network.config))
    )
    wrong = [f"{k} {known[k]}, not {v}" for k, v in layout.items() if known[k] != v and k != "dropout"]
    if wrong:
        raise IncompatibleError(f"start has {'; '.join(wrong)} as what is to be trained")
    network.load_state_dict(start.network.state_dict())
    prior.sigma_data, prior.sigma_min, prior.sigma_max = start.sigma_data, start.sigma_min, start.sigma_max


def mirrored(images: Tensor, noise: Noise) -> Tensor:
    """Images (N, C, H, W), each or its mirror image, left for right, with equal odds: an `augment` of `train_score`."""
    mirror = noise.use("mirror").uniform()[0].to(images.device) < 0.5
    return torch.where(expand_right(mirror, images.ndim - 1), images.flip(-1), images)


def _number_of_classes(labels: Tensor, count: int) -> int:
    """One more than the largest label."""
    whole = labels.dtype != torch.bool and not labels.is_floating_point() and not labels.is_complex()
    if not whole or labels.shape != (count,) or count == 0 or bool((labels < 0).any()):
        raise InvalidValueError(
            f"labels are whole numbers from 0, one for each of {count} images; got {labels.dtype} of shape "
            f"{tuple(labels.shape)}"
        )
    return int(labels.max()) + 1
