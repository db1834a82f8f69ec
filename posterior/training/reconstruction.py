"""Networks that reconstruct MRI scans, trained on pairs of measurement and image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from posterior.checks import Count, Positive, Range, Size, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.mri.reconstruction import NETWORKS, ReconstructionNetwork
from posterior.mri.scans import MaskKind, Scans, undersampled_scans
from posterior.noise import Noise
from posterior.training.loop import train

_FIGURE = "validation nmse"
_HELD_OUT = 10  # scans at once


def reconstruction_loss(network: nn.Module, scans: Scans) -> Tensor:
    r"""The mean of \(\|\hat x - x\|^2 / \|x\|^2\) over scans, with complex images x."""
    error, size = network(scans.y, scans.operator) - scans.truth, scans.truth
    return (error.square().sum((1, 2, 3)) / size.square().sum((1, 2, 3))).mean()


@checked
def train_reconstruction(
    images: Tensor,
    folder: str | Path,
    *,
    validation: Tensor,
    augment: Callable[[Tensor, Noise], Tensor] | None = None,
    network: Literal["unet", "modl", "varnet"] = "varnet",
    settings: Mapping[str, int] | None = None,
    mask: MaskKind = "random",
    acceleration: Annotated[float, Range(1)] = 4.0,
    snr: Positive = 20.0,
    num_coils: Count = 8,
    calibration: Size | None = None,
    steps: Count = 8000,
    batch_size: Count = 1,
    learning_rate: Positive = 1e-3,
    evaluate_every: Count = 500,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> ReconstructionNetwork:
    """Train a network end to end on simulated scans of images; resumes from what is in `folder`.

    Each step scans its images anew, by `undersampled_scans`: other coils, masks and noise. The weights that are
    returned are those with which the error on scans of the validation images was least.

    Args:
        images: Complex images as two channels, (N, 2, H, W), or what `augment` makes such of.
        validation: Complex images (M, 2, H, W), none of which is trained on.
        augment: Makes of N of the training images, and noise of N rows, the images (N, 2, H, W) of a step.
        network: "unet", "modl" or "varnet", see `posterior.mri.reconstruction`.
        settings: Arguments of the network that are not its defaults.
        mask, acceleration, snr, num_coils, calibration: Of the scans, see `undersampled_scans`.

    The other arguments are those of `train`.

    Raises:
        ShapeError: Images are not (N, 2, H, W).
        InvalidValueError: There are no images for validation, or a setting is out of range.
    """
    scan: dict[str, Any] = dict(
        mask=mask, acceleration=acceleration, snr=snr, num_coils=num_coils, calibration=calibration
    )
    if validation.ndim != 4 or validation.shape[1] != 2:
        raise ShapeError(f"validation images are (M, 2, H, W), got {tuple(validation.shape)}")
    if len(validation) == 0:
        raise InvalidValueError("there are no validation images to choose weights by")
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # modules draw their first weights from the global generator
        try:
            model = NETWORKS[network](**(settings or {})).to(device)
        except TypeError as error:
            raise InvalidValueError(f"train_reconstruction needs other settings for {network!r}: {error}") from None
    held_out = []
    for rows in torch.arange(len(validation)).split(_HELD_OUT):
        noise = Noise.of(seed, rows.tolist()).use("validation")
        held_out.append(undersampled_scans(validation[rows].to(device), noise, **scan))

    def loss(model: nn.Module, batch: Tensor, noise: Noise) -> Tensor:
        with torch.no_grad():
            made = augment(batch, noise.use("augmentation")) if augment else batch
            scans = undersampled_scans(made, noise.use("scans"), **scan)
        return reconstruction_loss(model, scans)

    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        with torch.no_grad():
            errors = [float(reconstruction_loss(averaged, scans)) * len(scans.y) for scans in held_out]
        return {_FIGURE: sum(errors) / len(validation)}

    train(
        model, loss, images, folder, steps=steps, batch_size=batch_size, learning_rate=learning_rate,
        evaluate=evaluate, evaluate_every=evaluate_every, autocast=False, seed=seed, progress=progress,
        data=(validation, scan), choose_by=_FIGURE,
    )  # fmt: skip
    return model
