"""The networks by name: how a config describes one, and how it is built again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from posterior.errors import IncompatibleError
from posterior.io.folders import construct, entry, registered
from posterior.networks.classifiers import ConvNet, GenderNet
from posterior.networks.dcgan import DCGANGenerator
from posterior.networks.drunet import DRUNet
from posterior.networks.edm_unet import EDMUNet
from posterior.networks.ffdnet import FFDNet
from posterior.networks.image_flow import ImageFlow
from posterior.networks.mlp_mixer import MLPMixer
from posterior.networks.normalised_unet import NormalisedUNet
from posterior.networks.perceptron import Perceptron
from posterior.networks.refinenet import RefineNet
from posterior.networks.stylegan2 import StyleGAN2Generator
from posterior.networks.unet import UNet
from posterior.networks.vae import VAEDecoder
from posterior.networks.vector_flow import VectorFlow

# Each keeps the arguments that it was built with in `config`; nothing else in a folder is ever run.
NETWORKS: dict[str, type[nn.Module]] = {
    network.__name__: network
    for network in (
        ConvNet, DCGANGenerator, DRUNet, EDMUNet, FFDNet, GenderNet, ImageFlow, MLPMixer, NormalisedUNet,
        RefineNet, Perceptron,
        StyleGAN2Generator, UNet, VAEDecoder, VectorFlow,
    )
}  # fmt: skip


def describe_network(network: object) -> dict[str, Any]:
    """The class and the arguments of a network, for a config.

    Raises:
        IncompatibleError: It is of a class that `build_network` does not know.
    """
    name = type(network).__name__
    if NETWORKS.get(name) is not type(network):
        raise IncompatibleError(
            f"cannot save a model whose network is a {name}: it is none of {', '.join(NETWORKS)}; add a class "
            "that keeps its arguments in `.config` to posterior.networks.table.NETWORKS"
        )
    assert isinstance(network, nn.Module)
    return {"class": name, "config": network.config}


def build_network(described: dict[str, Any], path: Path) -> nn.Module:
    """The network that `describe_network` described, with first weights of its own.

    Args:
        described: Its class and arguments.
        path: The file that they are from, for errors.

    Raises:
        FileFormatError: The class is unknown, or the arguments do not suit it.
    """
    kind, arguments = registered(described, NETWORKS, path), entry(described, "config", dict, path)
    with torch.random.fork_rng(devices=[]):  # weights, soon replaced, must not advance the global generator
        network: nn.Module = construct(kind, path, **arguments)
    return network
