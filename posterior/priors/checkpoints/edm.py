"""EDM checkpoints as priors."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.networks.edm_unet import EDMUNet
from posterior.priors.checkpoints.reading import Format, Tensors, read
from posterior.priors.edm import EDMPrior
from posterior.priors.score_prior import ScorePrior
from posterior.priors.sde import VESDEPrior, VPSDEPrior
from posterior.priors.zoo import save_prior

Preconditioning = Literal["edm", "ve", "vp"]

_FORMAT = Format("a network of EDM", mark="enc.", converter="convert_edm")


def convert_edm(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    preconditioning: Preconditioning = "edm",
    class_label: int | None = None,
    sigma_data: float = 0.5,
) -> Path:
    """Make a folder for `load_prior` of a network of EDM: DDPM++, NCSN++ or ADM; its layout is read off its tensors.

    Images have values in [-1, 1]. The authors' .pkl files are code, which is not loaded: save the state_dict() of
    their `ema` in a .safetensors file. What was learned of augmentations is left out: images are sampled without.

    Args:
        checkpoint: The tensors of a state dict, .pt or .safetensors, with names such as `model.enc.32x32_conv.weight`
            (github.com/NVlabs/edm). Code that is pickled in it is never run.
        folder: Where to write `config.json` and `weights.safetensors`.
        preconditioning: That of the class EDMPrecond, VEPrecond or VPPrecond, which the tensors do not tell.
        class_label: Which class, for a class-conditional network.
        sigma_data: Standard deviation of images' entries, as the network was trained with.

    Raises:
        FileFormatError: The file cannot be read, or does not hold such a network.
        InvalidValueError: The preconditioning is none of these; the class label is missing or out of range.

    References:
        Karras, Aittala, Aila & Laine 2022, Elucidating the Design Space of Diffusion-Based Generative Models,
        arXiv:2206.00364.
    """
    path = Path(checkpoint).expanduser()
    content = read(path, "the state_dict() of its 'ema'")
    weights = Tensors(content, path, _FORMAT, prefixes=("module.", "model."))
    weights.pop("map_augment.weight", None)
    size = _size(weights)
    adm = "out_conv.weight" in weights
    embedded = _class_embedding(weights, class_label)
    for layer in ("norm", "conv") if adm else ():
        for kind in ("weight", "bias"):
            if f"out_{layer}.{kind}" in weights:
                weights[f"dec.{size}x{size}_aux_{layer}.{kind}"] = weights.pop(f"out_{layer}.{kind}")
    network = weights.build(EDMUNet, **_config(weights, size, adm))
    weights.fill(network)
    # a class's embedding is the same for every image: it joins the bias that follows it
    if embedded is not None and adm:
        network.map_layer1.bias.data += embedded
    elif embedded is not None:
        network.map_layer0.bias.data += network.map_layer0.weight.data @ embedded
    return save_prior(_prior(network, preconditioning, sigma_data), folder)


def _prior(network: EDMUNet, preconditioning: Preconditioning, sigma_data: float) -> ScorePrior:
    if preconditioning not in get_args(Preconditioning):
        known = ", ".join(map(repr, get_args(Preconditioning)))
        raise InvalidValueError(f"preconditioning is one of {known}, not {preconditioning!r}")
    if preconditioning == "edm":
        return EDMPrior(network, network.event_shape, sigma_data=sigma_data)
    if preconditioning == "vp":
        return VPSDEPrior(network, network.event_shape, sigma_data=sigma_data)
    return VESDEPrior(network, network.event_shape, sigma_data=sigma_data, sigma_min=0.02, sigma_max=100.0)


def _size(weights: Tensors) -> int:
    names = [match for name in weights if (match := re.fullmatch(r"enc\.(\d+)x\1_conv\.weight", name))]
    if len(names) != 1:
        raise weights.error(f"it has {len(names)} entries enc.SxS_conv.weight, which say the side S of images")
    return int(names[0][1])


def _config(weights: Tensors, size: int, adm: bool) -> dict[str, Any]:
    """Arguments of the network that has these tensors, if any has."""
    widths: list[int] = []
    attention: list[int] = []
    while f"enc.{(side := size >> len(widths))}x{side}_block0.conv1.weight" in weights and side:
        if f"enc.{side}x{side}_block0.qkv.weight" in weights:
            attention.append(side)
        widths.append(weights.size(f"enc.{side}x{side}_block0.conv1.weight", 0, 4))
    if not widths or size % 2 ** (len(widths) - 1):
        raise weights.error(f"images of side {size} cannot have {len(widths)} resolutions")
    stem, noise = weights.size(f"enc.{size}x{size}_conv.weight", 0, 4), weights.size("map_layer0.weight", 1, 2)
    fourier = "map_noise.freqs" in weights
    if noise != stem and not fourier:  # only random frequencies are twice as many
        raise weights.error("map_noise.freqs is missing")
    filters = [name for name in weights if name.endswith("resample_filter")]
    coarser, top = f"enc.{size // 2}x{size // 2}", f"{size}x{size}"
    return dict(
        size=size,
        channels=weights.size(f"enc.{top}_conv.weight", 1, 4),
        widths=widths,
        blocks=weights.count(f"enc.{top}_block", ".conv1.weight"),
        attention=attention,
        stem=stem,
        noise=noise,
        embedding=weights.size("map_layer0.weight", 0, 2),
        architecture="adm" if adm else "song",
        fourier=fourier,
        encoder=next((k for k in ("residual", "skip") if f"{coarser}_aux_{k}.weight" in weights), "standard"),
        decoder="skip" if weights.count("dec.", "_aux_conv.weight") > 1 else "standard",
        taps=weights.size(filters[0], 3, 4) if filters else 2,
    )


def _class_embedding(weights: Tensors, label: int | None) -> Tensor | None:
    """What a class adds to the embedding of the noise level; its tensors are taken out."""
    classes = weights.size("map_label.weight", 1, 2) if "map_label.weight" in weights else None
    if classes is None and label is not None:
        raise InvalidValueError(f"{weights.path} is of a network without classes, but class_label is {label}")
    if classes is None:
        return None
    if label is None or not 0 <= label < classes:
        raise InvalidValueError(
            f"{weights.path} is class-conditional: class_label is in 0 … {classes - 1}, got {label}"
        )
    embedded = weights.pop("map_label.weight")[:, label]
    width = weights.size("map_layer0.weight", 1, 2)
    if "map_label.bias" in weights:  # of "song", which is told of classes by vectors of length √classes
        embedded = math.sqrt(classes) * embedded
        if weights.size("map_label.bias", 0, 1) == len(embedded):
            embedded = embedded + weights.pop("map_label.bias")
    else:
        width = weights.size("map_layer0.weight", 0, 2)
    if len(embedded) != width:
        raise weights.error(f"map_label.weight embeds classes in {len(embedded)} features instead of {width}")
    if not (embedded.is_floating_point() and bool(torch.isfinite(embedded).all())):
        raise weights.error("map_label.weight or map_label.bias holds NaN or infinity, or whole numbers")
    return embedded
