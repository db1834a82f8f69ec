"""Checkpoints of other projects, made into folders for `load_prior`."""

from __future__ import annotations

import argparse
import contextlib
import pickle
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from posterior.errors import FileFormatError
from posterior.noise import Noise
from posterior.priors.generators import NetworkGenerator
from posterior.priors.networks.stylegan2 import StyleGAN2Generator
from posterior.priors.zoo import check_weights, read_safetensors, save_prior


def convert_stylegan2(checkpoint: str | Path, folder: str | Path, *, latents: Literal["z", "w+"] = "z") -> Path:
    """Make a folder for `load_prior` of a StyleGAN2 checkpoint; sizes are read off its tensors.

    Noise images that a checkpoint lacks, as those of the port's first months do, are drawn anew, always the same.

    Args:
        checkpoint: A file of the PyTorch port (github.com/rosinality/stylegan2-pytorch), which holds `g_ema`, or a
            .safetensors file of the tensors of `g_ema`. Code that is pickled in it is never run.
        folder: Where to write `config.json` and `weights.safetensors`.
        latents: What the prior's Gaussian is on, as in `StyleGAN2Generator`; "w+" is fitted on the way.

    Raises:
        FileFormatError: The file cannot be read, or does not hold a StyleGAN2 generator.
    """
    path = Path(checkpoint).expanduser()
    weights = _read(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2Generator(**_config(weights, path), latents=latents)
    own = network.state_dict()
    lacking = ("marginals.",) if any(name.startswith("noises.") for name in weights) else ("marginals.", "noises.")
    weights |= {name: tensor for name, tensor in own.items() if name.startswith(lacking)}
    check_weights(weights, own, f"{path} does not hold the StyleGAN2 generator that its sizes suggest")
    network.load_state_dict(weights)
    if latents == "w+":
        network.fit_styles(Noise.of(0))
    return save_prior(NetworkGenerator(network), folder)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileFormatError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    # the port's training script stores its options next to the weights; torch 2.4 cannot be told that they are harmless
    options = getattr(torch.serialization, "safe_globals", contextlib.nullcontext)
    try:
        with options([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FileFormatError(
            f"{path} is no checkpoint, or holds more than tensors, which is not loaded because it could run code; if "
            f"you trust it, save its 'g_ema' alone in a .safetensors file: {error}"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path} is corrupt or cut off: {error}; copy or download it anew") from error
    weights = content.get("g_ema") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise FileFormatError(f"{path} has no 'g_ema', which is where the generator's weights are; it has {found}")
    wrong = [name for name, tensor in weights.items() if not (isinstance(name, str) and isinstance(tensor, Tensor))]
    if wrong:
        raise FileFormatError(f"{path}: entry {wrong[0]!r} of 'g_ema' is not a named tensor")
    return dict(weights)


def _config(weights: dict[str, Tensor], path: Path) -> dict[str, Any]:
    """Arguments of the network that has these tensors, if any has."""

    def size(name: str, axis: int, dimensions: int) -> int:
        if name not in weights:
            raise FileFormatError(f"{path} does not hold a StyleGAN2 generator: {name} is missing")
        shape = tuple(weights[name].shape)
        if len(shape) != dimensions or 0 in shape:
            raise FileFormatError(f"{path} does not hold a StyleGAN2 generator: {name} has shape {shape}")
        return shape[axis]

    def count(prefix: str, suffix: str) -> int:
        return sum(name.startswith(prefix) and name.endswith(suffix) for name in weights)

    doublings = count("to_rgbs.", ".conv.weight")
    if doublings not in range(1, 11):
        raise FileFormatError(f"{path} does not hold a StyleGAN2 generator: it has {doublings} entries to_rgbs.N")
    side = 4 * 2**doublings
    most = size("input.input", 1, 4)
    finest = size(f"to_rgbs.{doublings - 1}.conv.weight", 2, 5)
    return dict(
        size=side,
        latent=size("conv1.conv.modulation.weight", 1, 2),
        mapping_layers=count("style.", ".weight"),
        channel_multiplier=max(1, finest * side // 16384) if finest < most else 2,
        max_channels=most,
    )
