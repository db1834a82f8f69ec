"""FFDNet checkpoints as priors."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from posterior.networks.ffdnet import FFDNet
from posterior.priors.checkpoints.reading import Format, Tensors, read
from posterior.priors.pyramid import PyramidPrior
from posterior.priors.zoo import save_prior

_FORMAT = Format("an FFDNet", mark="model.0.weight", converter="convert_ffdnet")


def convert_ffdnet(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    size: int | tuple[int, int] = 128,
    sigma_min: float = 0.02,
    sigma_network: float = 0.588,
    sigma_data: float = 0.5,
) -> Path:
    """Make a folder for `load_prior` of a checkpoint of FFDNet, grey or in colour.

    Images have values in [-1, 1], and noise levels are in those units: 2/255 for each of the authors' grey levels.
    Noise above `sigma_network` is removed from smaller images, as `PyramidPrior` says. Normalised networks (`BR`) and
    those that return noise are not supported.

    Args:
        checkpoint: A state dict of the authors' FFDNet (github.com/cszn/KAIR) or of deepinv's, .pth or .safetensors.
            Code that is pickled in it is never run.
        folder: Where to write `config.json` and `weights.safetensors`.
        size: Side of the images, or height and width, unless `load_prior` is given an event_shape.
        sigma_min, sigma_network: Noise levels between which the network is good; the authors trained it up to 75 grey
            levels.
        sigma_data: Standard deviation of images' entries.

    Raises:
        FileFormatError: The file cannot be read, or does not hold such a network.
        InvalidValueError: A size or a noise level is out of range.

    References:
        Zhang, Zuo & Zhang 2018, FFDNet: Toward a Fast and Flexible Solution for CNN-based Image Denoising,
        arXiv:1710.04026.
    """
    path = Path(checkpoint).expanduser()
    weights = Tensors(read(path, "the network's state_dict()"), path, _FORMAT)
    if "blocks.0.0.weight" in weights:
        weights = _renamed(weights)
    depth = weights.count("model.", ".weight")
    last = f"model.{2 * (depth - 1)}.weight"
    channels, rest = divmod(weights.size(last, 0, 4), 4)
    if rest:
        raise weights.error(f"{last} makes {4 * channels + rest} channels of blocks of 2 × 2 pixels")
    network = weights.build(FFDNet, channels=channels, width=weights.size("model.0.weight", 0, 4), depth=depth)
    weights.fill(network)
    sides = (size, size) if isinstance(size, int) else tuple(size)
    prior = PyramidPrior(
        network, (channels, *sides), sigma_data=sigma_data, sigma_min=sigma_min, sigma_network=sigma_network
    )
    return save_prior(prior, folder)


def _renamed(weights: Tensors) -> Tensors:
    """The tensors of deepinv's network under the authors' names."""
    last = weights.count("blocks.", ".weight") - 1
    named = {}
    for name, tensor in weights.items():
        match = re.fullmatch(r"blocks\.(\d+)\.(?:0\.)?(weight|bias)", name)
        named[f"model.{2 * int(match[1])}.{match[2]}" if match else name] = tensor
    # Its map of the noise is cut into blocks of 2 × 2 as the image is: four channels for one of the authors'.
    weights.size("blocks.0.0.weight", 1, 4)
    first = named["model.0.weight"]
    named["model.0.weight"] = torch.cat([first[:, :-4], first[:, -4:].sum(1, keepdim=True)], 1)
    if f"model.{2 * last}.bias" not in named:
        named[f"model.{2 * last}.bias"] = torch.zeros_like(named[f"model.{2 * last}.weight"][:, 0, 0, 0])
    return Tensors(named, weights.path, _FORMAT)
