"""Checkpoints of the code of score-based SDEs as priors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError
from posterior.networks.edm_blocks import Block, Conv
from posterior.networks.edm_unet import EDMUNet
from posterior.priors.checkpoints.reading import Format, Tensors, read
from posterior.priors.score_prior import ScorePrior
from posterior.priors.sde import VESDEPrior, VPSDEPrior
from posterior.priors.zoo import save_prior

_FORMAT = Format("a network of NCSN++ or DDPM++", mark="all_modules.", converter="convert_score_sde")
_IN_BLOCK = {
    "norm0": "GroupNorm_0", "conv0": "Conv_0", "affine": "Dense_0", "norm1": "GroupNorm_1", "conv1": "Conv_1",
    "skip": "Conv_2",
}  # fmt: skip


def convert_score_sde(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    size: int,
    sde: Literal["ve", "vp"] = "ve",
    sigma_data: float = 0.5,
) -> Path:
    """Make a folder for `load_prior` of a checkpoint of NCSN++ or DDPM++; its layout is read off its tensors.

    The network is that of EDM under other names: residual blocks of the kind `biggan`, whose sums are rescaled, trained
    at continuous noise levels; resampled, as in the authors' configs, by the longer filter but for DDPM++. The moving
    averages are taken where there are any. Images have values in [-1, 1], also where the authors' have them in [0, 1],
    as with the variance-exploding SDE.

    Args:
        checkpoint: A file of the authors' code (github.com/yang-song/score_sde_pytorch), or the tensors of a state
            dict, .pt or .safetensors, with names such as `all_modules.3.weight`. Code that is pickled in it is never
            run.
        folder: Where to write `config.json` and `weights.safetensors`.
        size: Side of the images; the network does not say.
        sde: Which process the network was trained on: "ve", exploding, or "vp", preserving variance.
        sigma_data: Standard deviation of images' entries.

    Raises:
        FileFormatError: The file cannot be read, or does not hold such a network.
        InvalidValueError: The size or the SDE is none of this network's.

    References:
        Song, Sohl-Dickstein, Kingma, Kumar, Ermon & Poole 2021, Score-Based Generative Modeling through Stochastic
        Differential Equations, arXiv:2011.13456.
    """
    if sde not in ("ve", "vp"):
        raise InvalidValueError(f"sde is 've' or 'vp', not {sde!r}")
    weights = _read(Path(checkpoint).expanduser())
    config = _config(weights, size)
    if config["fourier"] != (sde == "ve"):
        raise InvalidValueError(
            f"{weights.path} is of a network whose noise level is embedded "
            + ("at random frequencies: give sde='ve'" if config["fourier"] else "as a time: give sde='vp'")
            + "; variance-exploding networks of discrete levels are not supported"
        )
    network = weights.build(EDMUNet, **config)
    prior: ScorePrior
    if sde == "ve":
        low, high = (2 * level for level in weights.levels())  # those of images in [0, 1], doubled
        prior = VESDEPrior(network, network.event_shape, sigma_data=sigma_data, sigma_min=low, sigma_max=high)
    else:
        prior = VPSDEPrior(network, network.event_shape, sigma_data=sigma_data)
    Tensors(_renamed(weights, network), weights.path, _FORMAT).fill(network)
    return save_prior(prior, folder)


def _read(path: Path) -> Tensors:
    content = read(path, "the model's state_dict()")
    if not (isinstance(content, dict) and isinstance(content.get("model"), dict)):
        return Tensors(content, path, _FORMAT)
    weights = Tensors(content["model"], path, _FORMAT, place="'model'")
    if "ema" not in content:
        return weights
    # a list of what is trained, in the order of the model's parameters: neither levels nor random frequencies
    averages = content["ema"].get("shadow_params") if isinstance(content["ema"], dict) else None
    names = [name for name in weights if name not in ("sigmas", "all_modules.0.W")]
    if not isinstance(averages, list) or len(averages) != len(names):
        raise FileFormatError(f"{path}: the moving averages in 'ema' are not as many as the tensors in 'model'")
    for name, tensor in Tensors(dict(zip(names, averages, strict=True)), path, _FORMAT, place="'ema'").items():
        if tensor.shape != weights[name].shape:
            raise weights.error(f"the moving average of {name} has shape {tuple(tensor.shape)}")
        weights[name] = tensor
    return weights


def _config(weights: Tensors, size: int) -> dict[str, Any]:
    """Arguments of the network that has these tensors, if any has."""
    modules: dict[int, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        if match := re.fullmatch(r"all_modules\.(\d+)\.(.+)", name):
            modules.setdefault(int(match[1]), {})[match[2]] = tensor
    first = int("W" in modules.get(0, {}))
    stem = weights.size(f"all_modules.{first + 2}.weight", 0, 4)
    blocks = [index for index in sorted(modules) if "Dense_0.weight" in modules[index]]
    # only blocks that change the resolution have a convolution in their skip that keeps the width
    changes = [i for i in blocks if len(set(getattr(modules[i].get("Conv_2.weight"), "shape", (0, 1))[:2])) == 1]
    levels = len(changes) // 2 + 1
    each, rest = divmod(len(blocks) - len(changes) - 2 - levels, 2 * levels)
    if each < 1 or rest or len(changes) % 2:
        raise weights.error(f"its {len(blocks)} residual blocks are not those of {levels} resolutions")
    if size < 1 or size % 2 ** (levels - 1):
        raise InvalidValueError(f"size is a multiple of {2 ** (levels - 1)} for this network, not {size}")
    firsts = [blocks[level * (each + 1)] for level in range(levels)]  # the first block of each resolution
    images = sum(set(module) == {"weight", "bias"} and module["weight"].ndim == 1 for module in modules.values())
    inner = {name for module in modules.values() for name in module}
    encoder = "skip" if "Conv.weight" in inner else "residual" if "Conv2d_0.weight" in inner else "standard"
    return dict(
        size=size,
        channels=weights.size(f"all_modules.{first + 2}.weight", 1, 4),
        widths=[weights.size(f"all_modules.{i}.Conv_0.weight", 0, 4) for i in firsts],
        blocks=each,
        attention=[size >> level for level, i in enumerate(firsts) if "NIN_3.W" in modules.get(i + 1, {})],
        stem=stem,
        noise=weights.size(f"all_modules.{first}.weight", 1, 2),
        embedding=weights.size(f"all_modules.{first}.weight", 0, 2),
        fourier=bool(first),
        encoder=encoder,
        decoder="skip" if images > 1 else "standard",
        # the tensors do not tell the filter; of the authors' networks DDPM++ alone has the short one
        taps=4 if first or encoder != "standard" else 2,
    )


def _renamed(weights: Tensors, network: EDMUNet) -> dict[str, Tensor]:
    """The tensors under the names of EDM; what resamples is the network's own."""
    left, out = dict(weights), {name: t for name, t in network.state_dict().items() if "resample_filter" in name}
    index = 0

    def take(name: str) -> Tensor:
        if (tensor := left.pop(f"all_modules.{index}{name}", None)) is None:
            raise weights.error(f"all_modules.{index}{name} is missing")
        return tensor

    def move(to: str, source: str = "") -> None:
        for kind in (".weight", ".bias"):
            out[to + kind] = take(source + kind)

    def dense(number: int, width: int) -> tuple[Tensor, Tensor]:
        weight, bias = take(f".NIN_{number}.W"), take(f".NIN_{number}.b")
        if weight.shape != (width, width) or bias.shape != (width,):
            raise weights.error(f"all_modules.{index}.NIN_{number}.W or .b is not of {width} features")
        return weight.t()[:, :, None, None], bias

    if network.config["fourier"]:
        out["map_noise.freqs"] = take(".W")
        index += 1
    for name in ("map_layer0", "map_layer1"):
        move(name)
        index += 1
    modules = [
        (f"{part}.{name}", m) for part in ("enc", "dec") for name, m in network.get_submodule(part).named_children()
    ]
    for name, module in modules:
        if isinstance(module, Block):
            for own, source in _IN_BLOCK.items():
                if own != "skip" or isinstance(module.skip, Conv):
                    move(f"{name}.{own}", f".{source}")
            if module.attention:
                index += 1
                move(f"{name}.norm2", ".GroupNorm_0")
                query, key, value, last = (dense(number, module.outputs) for number in range(4))
                for i, kind in enumerate(("weight", "bias")):
                    # query, key and value of a feature are neighbours
                    out[f"{name}.qkv.{kind}"] = torch.stack([query[i], key[i], value[i]], dim=1).flatten(0, 1)
                    out[f"{name}.proj.{kind}"] = last[i]
        elif not name.endswith(("aux_down", "aux_up")):  # which have no tensors
            move(name, ".Conv2d_0" if name.endswith("residual") else ".Conv" if name.endswith("aux_skip") else "")
        index += 1
    if extra := [name for name in left if name != "sigmas"]:
        raise weights.error(f"{', '.join(extra[:5])} not expected")
    return out
