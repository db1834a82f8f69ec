"""StyleGAN2 checkpoints as priors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from posterior.errors import FileFormatError
from posterior.networks.stylegan2 import StyleGAN2Generator
from posterior.noise import Noise
from posterior.priors.checkpoints.reading import Format, Tensors, read
from posterior.priors.generators import NetworkGenerator
from posterior.priors.zoo import save_prior

_FORMAT = Format("a StyleGAN2 generator", mark="to_rgbs.", converter="convert_stylegan2")


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
    content = read(path, "its 'g_ema' alone")
    if path.suffix != ".safetensors":
        if not isinstance(content, dict) or "g_ema" not in content:
            found = ", ".join(map(str, content)) if isinstance(content, dict) else f"a {type(content).__name__}"
            raise FileFormatError(f"{path} has no 'g_ema', which is where the generator's weights are; it has {found}")
        content = content["g_ema"]
    weights = Tensors(content, path, _FORMAT, place="'g_ema'")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2Generator(**_config(weights), latents=latents)
    own = network.state_dict()
    lacking = ("marginals.",) if any(name.startswith("noises.") for name in weights) else ("marginals.", "noises.")
    weights |= {name: tensor for name, tensor in own.items() if name.startswith(lacking)}
    weights.fill(network)
    if latents == "w+":
        network.fit_styles(Noise.of(0))
    return save_prior(NetworkGenerator(network), folder)


def _config(weights: Tensors) -> dict[str, Any]:
    """Arguments of the network that has these tensors, if any has."""
    doublings = weights.count("to_rgbs.", ".conv.weight")
    if doublings not in range(1, 11):
        raise weights.error(f"it has {doublings} entries to_rgbs.N")
    side = 4 * 2**doublings
    most = weights.size("input.input", 1, 4)
    finest = weights.size(f"to_rgbs.{doublings - 1}.conv.weight", 2, 5)
    return dict(
        size=side,
        latent=weights.size("conv1.conv.modulation.weight", 1, 2),
        mapping_layers=weights.count("style.", ".weight"),
        channel_multiplier=max(1, finest * side // 16384) if finest < most else 2,
        max_channels=most,
    )
