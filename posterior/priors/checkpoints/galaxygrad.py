"""Score networks of galaxies, of the package galaxygrad, as priors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posterior.errors import FileFormatError
from posterior.io.readers import read_array_sequence
from posterior.networks.mlp_mixer import MLPMixer
from posterior.priors.checkpoints.reading import Format, Tensors
from posterior.priors.sde import OrnsteinUhlenbeckPrior
from posterior.priors.zoo import save_prior

_FORMAT = Format("a network of galaxygrad", mark="patch_mixer.", converter="convert_galaxygrad")
_OUTSIDE, _IN_BLOCK = 7, 12  # arrays outside of the blocks of the network, and in each


def convert_galaxygrad(checkpoint: str | Path, folder: str | Path, *, sigma_data: float = 0.6) -> Path:
    r"""Make a folder for `load_prior` of a score network of galaxygrad, which Equinox saved in an .eqx file.

    The prior's images are the stretched ones that the networks were trained on, \(u = 10\log(1 + x)\) of fluxes x, so
    \(x = e^{u/10} - 1\); noise is Gaussian in u. (The two files named LogNet have another stretch, which the package
    does not tell: their images lie between -4 and 0.) Noise levels end where training did, at t = 10 or σ = 148, and
    begin at σ = 0.03, where the networks hardly denoise.

    Args:
        checkpoint: A file of the package galaxygrad: 32² or 64² pixels of HSC or ZTF, 60² of LSST, 72² of lensed
            quasars, 120² of Roman. It is a sequence of .npy arrays; nothing that is pickled is read.
        folder: Where to write `config.json` and `weights.safetensors`.
        sigma_data: Standard deviation of the images' entries; 0.2 to 1 in draws of these networks.

    Raises:
        FileFormatError: The file cannot be read, or does not hold such a network.

    References:
        Sampson, Melchior, Ward & Birmingham 2024, Score-matching neural networks for improved multi-band source
        separation, arXiv:2401.07313.
    """
    weights, last_time = _read(Path(checkpoint).expanduser())
    network = weights.build(MLPMixer, **_config(weights), last_time=last_time)
    for name in ("conv_in.bias", "conv_out.bias"):  # (features, 1, 1)
        weights.size(name, 0, 3)
        weights[name] = weights[name].flatten()
    # its transposed convolution correlates, where torch's convolves
    weights["conv_out.weight"] = weights["conv_out.weight"].flip(2, 3).transpose(0, 1)
    weights.fill(network)
    prior = OrnsteinUhlenbeckPrior(
        network, network.event_shape, sigma_data=sigma_data, sigma_min=0.03, sigma_max=math.sqrt(math.expm1(last_time)),
        value_range=(0.0, 10.0),
    )  # fmt: skip
    return save_prior(prior, folder)


def _read(path: Path) -> tuple[Tensors, float]:
    """The arrays under the names that they have in the network, and the last time of training."""
    arrays = read_array_sequence(path)
    blocks, rest = divmod(len(arrays) - _OUTSIDE, _IN_BLOCK)
    if blocks < 1 or rest:
        raise FileFormatError(
            f"{path} does not hold {_FORMAT.network}: of B blocks it has {_OUTSIDE} + {_IN_BLOCK} B arrays, not "
            f"{len(arrays)}"
        )
    for place, array in enumerate(arrays):
        if array.dtype not in (np.float16, np.float32, np.float64):
            raise FileFormatError(f"{path} does not hold {_FORMAT.network}: array {place} is of {array.dtype}")
    *arrays, last = arrays
    last_time = math.nan if last.ndim else float(last)
    if not 0 < last_time < 100:
        raise FileFormatError(f"{path} does not hold {_FORMAT.network}: its last array is no time")
    with torch.device("meta"):
        names = MLPMixer(1, 1, 1, 1, 1, 1, blocks).state_dict()
    tensors = {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}
    return Tensors(tensors, path, _FORMAT), last_time


def _config(weights: Tensors) -> dict[str, Any]:
    """Arguments of the network that has these tensors, if any has."""
    patch = weights.size("conv_in.weight", 2, 4)
    patches = weights.size("blocks.0.patch_mixer.0.weight", 1, 2)
    across = math.isqrt(patches)
    if across**2 != patches:
        raise weights.error(f"{patches} patches make no square image")
    return dict(
        size=patch * across,
        channels=weights.size("conv_out.weight", 0, 4),
        patch=patch,
        features=weights.size("conv_in.weight", 0, 4),
        patch_width=weights.size("blocks.0.patch_mixer.0.weight", 0, 2),
        feature_width=weights.size("blocks.0.hidden_mixer.0.weight", 0, 2),
        blocks=weights.count("blocks.", ".norm1.weight"),
    )
