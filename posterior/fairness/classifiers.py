"""Classifiers of images, which say who is in a reconstruction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from posterior.errors import FileFormatError, InvalidValueError, ShapeError, UnknownNameError
from posterior.priors.zoo import check_weights, read_safetensors
from posterior.shapes import check_shape

SHIPPED = Path(__file__).parent.parent / "assets" / "classifiers"


class Classifier(nn.Module):
    """A small convolutional network: class probabilities of images in [−1, 1].

    Two 3 × 3 convolutions a width, each with batch normalisation and ReLU, halve the image together; the mean over what
    is left of it is mapped to log-odds. `Groups(classifier.names, classifier)` groups images by it; its probabilities
    are the network's, and no better calibrated than its card says.

    Args:
        names: What the classes are called, (K,).
        event_shape: (C, H, W).
        widths: Features at each resolution, finest first.

    Raises:
        InvalidValueError: There are fewer than two names, or a width is not positive.
        ShapeError: event_shape is not (C, H, W), or smaller than the halvings of it.
    """

    def __init__(
        self, names: Sequence[str], event_shape: Sequence[int] = (1, 28, 28), widths: Sequence[int] = (32, 64, 128)
    ) -> None:
        super().__init__()
        self.names, self.event_shape, self.widths = tuple(names), tuple(event_shape), tuple(widths)
        if len(self.names) < 2 or min(self.widths, default=0) < 1:
            raise InvalidValueError(f"a classifier needs two names and a width or more, got {names} and {widths}")
        if len(self.event_shape) != 3 or min(self.event_shape[1:]) < 2 ** len(self.widths):
            raise ShapeError(f"{len(widths)} widths need images (C, H, W) of 2^{len(widths)} pixels, got {event_shape}")
        layers: list[nn.Module] = []
        inputs = self.event_shape[0]
        for width in self.widths:
            for size in (inputs, width):
                layers += [nn.Conv2d(size, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            inputs = width
        self.features, self.head = nn.Sequential(*layers), nn.Linear(inputs, len(self.names))

    def logits(self, x: Tensor) -> Tensor:
        """Log-odds of images (N, C, H, W): (N, K)."""
        out: Tensor = self.head(self.features(x.to(self.head.weight.dtype)).mean((2, 3)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Class probabilities of images (..., C, H, W): (..., K).

        Raises:
            ShapeError: The images are of another shape.
        """
        check_shape("x", x.shape, self.event_shape)
        lead = x.shape[: x.ndim - 3]
        return self.logits(x.reshape(-1, *self.event_shape)).softmax(-1).reshape(*lead, len(self.names))


def list_classifiers() -> list[str]:
    """Names of the classifiers that are shipped with the library."""
    return sorted(config.parent.name for config in SHIPPED.glob("*/config.json"))


def load_classifier(name_or_folder: str | Path, *, device: torch.device | str | None = None) -> Classifier:
    """Load a classifier, in evaluation mode and without parameter gradients.

    Args:
        name_or_folder: A name from `list_classifiers()`, or a folder written by `save_classifier`.
        device: Where to put it (the CPU unless given).

    Raises:
        UnknownNameError: Neither a shipped classifier nor a folder.
        FileFormatError: The folder does not hold a readable classifier.
    """
    shipped = isinstance(name_or_folder, str) and name_or_folder in list_classifiers()
    folder = SHIPPED / name_or_folder if shipped else Path(name_or_folder)
    if not folder.is_dir():
        raise UnknownNameError(
            f"no classifier or folder is called {str(name_or_folder)!r}; there are {', '.join(list_classifiers())}"
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        classifier = Classifier(**config)
    except Exception as error:  # what a file holds may be anything
        raise FileFormatError(f"{folder / 'config.json'} does not describe a classifier: {error}") from error
    path = folder / "weights.safetensors"
    weights = read_safetensors(path)
    check_weights(weights, classifier.state_dict(), f"{path} does not fit its config.json")
    classifier.load_state_dict(weights)
    return classifier.to(device).eval().requires_grad_(False)


def save_classifier(classifier: Classifier, folder: str | Path) -> Path:
    """Write a classifier to a folder: `config.json` and `weights.safetensors`."""
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.state_dict().items()}
    (folder / "weights.safetensors").write_bytes(save(weights))
    config = dict(names=classifier.names, event_shape=classifier.event_shape, widths=classifier.widths)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder
