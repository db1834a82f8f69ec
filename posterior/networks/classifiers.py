"""Networks of classifiers: from images to log-odds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from posterior.errors import InvalidValueError


class ConvNet(nn.Module):
    """Two 3 × 3 convolutions a width, each with batch normalisation and ReLU, halve the image together; the mean over
    what is left of it is mapped to log-odds.

    Args:
        channels: Channels of the image.
        classes: Number K of classes.
        widths: Features at each resolution, finest first.

    Raises:
        InvalidValueError: There is no width, or a number is not positive.
    """

    def __init__(self, channels: int = 1, classes: int = 10, widths: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        if not widths or min(channels, classes, *widths) < 1:
            raise InvalidValueError(
                f"channels, classes and widths are positive, got {channels}, {classes} and {tuple(widths)}"
            )
        self.config = dict(channels=channels, classes=classes, widths=list(widths))
        layers: list[nn.Module] = []
        for inputs, width in zip([channels, *widths[:-1]], widths, strict=True):
            for size in (inputs, width):
                layers += [nn.Conv2d(size, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.features, self.head = nn.Sequential(*layers), nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Log-odds (N, classes) of images (N, channels, H, W)."""
        out: Tensor = self.head(self.features(x).mean((2, 3)))
        return out


class GenderNet(nn.Module):
    """The network of dlib's gender classifier: four 3 × 3 convolutions, two of them a resolution, and two dense layers.

    References:
        Antipov, Berrani & Dugelay 2016, Minimalistic CNN-based ensemble model for gender prediction from face images;
        Cydral Technology, dnn_gender_classifier_v1, github.com/davisking/dlib-models.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.config: dict[str, object] = {}
        # dlib's mean colour of faces, on 0 … 255
        self.register_buffer("mean", torch.tensor([122.782, 117.001, 104.298])[:, None, None], persistent=False)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(64 * 8 * 8, 16), nn.ReLU(), nn.Linear(16, 2),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Log-odds (N, 2), female and male, of faces (N, 3, 32, 32) in [−1, 1]."""
        out: Tensor = self.layers((127.5 * (x + 1) - self.mean) / 256)
        return out
