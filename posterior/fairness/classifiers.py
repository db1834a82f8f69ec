"""Classifiers of images, which say who is in a reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from posterior.errors import InvalidValueError, ShapeError
from posterior.io.folders import (
    construct,
    entry,
    find_folder,
    list_folders,
    load_weights,
    read_config,
    save_folder,
    shipped_folder,
)
from posterior.networks.table import build_network, describe_network
from posterior.shapes import check_shape

SHIPPED = Path(__file__).parent.parent / "assets" / "classifiers"


class Classifier(nn.Module):
    """Class probabilities of images in [−1, 1], the softmax of a network's log-odds.

    `Groups(classifier.names, classifier)` groups images by it; its probabilities are the network's, and no better
    calibrated than its card says.

    Args:
        network: Maps images (N, *event_shape) to log-odds (N, K).
        names: What the classes are called, (K,).
        event_shape: (C, H, W) of what the network sees.
        resize: Whether larger images are taken as well: each pixel that the network sees is the mean of those it
            covers, in whole or in part.

    Raises:
        InvalidValueError: There are fewer than two names, or two alike.
        ShapeError: event_shape is not (C, H, W), or the network does not map it to one number a name.
    """

    def __init__(
        self, network: nn.Module, names: Sequence[str], event_shape: Sequence[int], *, resize: bool = False
    ) -> None:
        super().__init__()
        self.network, self.names, self.event_shape = network, tuple(names), tuple(event_shape)
        self.resize = resize
        if len(set(self.names)) < max(2, len(self.names)) or not all(isinstance(name, str) for name in self.names):
            raise InvalidValueError(f"a classifier needs two names or more, all different; got {self.names}")
        if len(self.event_shape) != 3 or min(self.event_shape) < 1:
            raise ShapeError(f"event_shape is (C, H, W), got {self.event_shape}")
        self._check_network()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def logits(self, x: Tensor) -> Tensor:
        """Log-odds of images (..., C, H, W): (..., K).

        Raises:
            ShapeError: The images are of another shape, or smaller than what the network sees.
        """
        if not self.resize:
            check_shape("x", x.shape, self.event_shape)
        elif x.ndim < 3 or any(
            (size < least if axis else size != least)
            for axis, (size, least) in enumerate(zip(x.shape[-3:], self.event_shape, strict=True))
        ):
            channels, height, width = self.event_shape
            raise ShapeError(
                f"x has shape {tuple(x.shape)}; expected (..., {channels}, H, W) with H ≥ {height} and W ≥ {width}"
            )
        images = x.reshape(-1, *x.shape[-3:]).to(next(self.network.parameters()).dtype)
        if images.shape[1:] != self.event_shape:
            images = adaptive_avg_pool2d(images, (self.event_shape[1], self.event_shape[2]))
        out: Tensor = self.network(images)
        return out.reshape(*x.shape[:-3], len(self.names))

    def forward(self, x: Tensor) -> Tensor:
        """Class probabilities of images (..., C, H, W): (..., K).

        Raises:
            ShapeError: The images are of another shape, or smaller than what the network sees.
        """
        return self.logits(x).softmax(-1)

    @torch.no_grad()
    def _check_network(self) -> None:
        mode, some = self.network.training, next(self.network.parameters())
        try:  # in evaluation mode: batch normalisation must not see it
            out = self.network.eval()(some.new_zeros(1, *self.event_shape)).shape
        except RuntimeError as error:
            raise ShapeError(f"the network does not take images of shape {self.event_shape}: {error}") from error
        finally:
            self.network.train(mode)
        if tuple(out) != (1, len(self.names)):
            raise ShapeError(
                f"the network gives {tuple(out)} for one image, not (1, {len(self.names)}) as the names do"
            )


def list_classifiers() -> list[str]:
    """Names of the classifiers that are shipped with the library."""
    return list_folders(SHIPPED)


def classifier_card(name: str) -> str:
    """What a shipped classifier was made of and how good it is: its README, in Markdown.

    Raises:
        UnknownNameError: No classifier of this name is shipped.
    """
    return (shipped_folder(name, SHIPPED, "classifier") / "README.md").read_text(encoding="utf-8")


def load_classifier(
    name_or_folder: str | Path, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Classifier:
    """Load a classifier, in evaluation mode and without parameter gradients.

    Args:
        name_or_folder: A name from `list_classifiers()`, or a folder written by `save_classifier`. A shipped name wins
            over a folder of that name: for that write "./name".
        device: Where to put it (the CPU unless given).
        dtype: Its precision (that of the file unless given).

    Raises:
        UnknownNameError: Neither a shipped classifier nor a folder.
        FileFormatError: The folder does not hold a readable classifier.
    """
    folder = find_folder(name_or_folder, SHIPPED, "classifier", "save_classifier")
    path = folder / "config.json"
    config = read_config(path, "save_classifier", "names, event_shape, resize and network")
    network = build_network(entry(config, "network", dict, path), path)
    names, event_shape = (entry(config, key, list, path) for key in ("names", "event_shape"))
    resize = entry(config, "resize", bool, path)
    classifier: Classifier = construct(Classifier, path, network, names, event_shape, resize=resize)
    load_weights(classifier, folder)
    return classifier.to(device, dtype).eval().requires_grad_(False)


def save_classifier(classifier: Classifier, folder: str | Path) -> Path:
    """Write a classifier to a folder: `config.json` and `weights.safetensors`.

    Raises:
        IncompatibleError: Its network is of a class that `load_classifier` does not know.
    """
    config = {
        "names": classifier.names,
        "event_shape": classifier.event_shape,
        "resize": classifier.resize,
        "network": describe_network(classifier.network),
    }
    return save_folder(folder, config, classifier)
