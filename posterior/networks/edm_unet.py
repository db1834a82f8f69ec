"""The networks of EDM: DDPM++, NCSN++ and ADM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterior.errors import InvalidValueError
from posterior.networks.edm_blocks import (
    STYLES,
    Block,
    Conv,
    FourierEmbedding,
    PositionalEmbedding,
    Resampling,
    normalisation,
)

Architecture = Literal["song", "adm"]
Encoder = Literal["standard", "skip", "residual"]
Decoder = Literal["standard", "skip"]


class EDMUNet(nn.Module):
    r"""The UNet of DDPM++ and NCSN++ ("song") and that of ADM ("adm"), F(x, label).

    Parameters and buffers are named as in the code of EDM (github.com/NVlabs/edm), but for the last layers of ADM,
    `dec.{size}x{size}_aux_norm` and `_aux_conv` as in the other; the embeddings of classes are to be folded into the
    biases of `map_layer0` ("song") or `map_layer1` ("adm"). See `posterior.priors.checkpoints.convert_edm`.

    Args:
        size: Side of an image.
        channels: Channels of the image, in and out.
        widths: Features at each resolution, finest first; each has half the side of the one before.
        blocks: Residual blocks a resolution.
        attention: Sides of features that have self-attention.
        stem: Features of the first convolution; the finest's unless given.
        noise: Width of the embedded label; `stem` unless given.
        embedding: Width of what the blocks are told of it; 4 stem unless given.
        architecture: "song" or "adm".
        fourier: Whether the label is embedded at random frequencies.
        encoder: How the input enters the coarser resolutions: "standard" (it does not), "skip", "residual".
        decoder: How images leave them: "standard", "skip".
        taps: Side of the resampling filter: 2, or 4.

    Attributes:
        event_shape: Shape of an image.

    Raises:
        InvalidValueError: An argument is out of range.

    References:
        Karras, Aittala, Aila & Laine 2022, Elucidating the Design Space of Diffusion-Based Generative Models,
        arXiv:2206.00364, appendix F.
        Song, Sohl-Dickstein, Kingma, Kumar, Ermon & Poole 2021, Score-Based Generative Modeling through Stochastic
        Differential Equations, arXiv:2011.13456.
        Dhariwal & Nichol 2021, Diffusion Models Beat GANs on Image Synthesis, arXiv:2105.05233.
    """

    def __init__(
        self,
        size: int,
        channels: int = 3,
        widths: Sequence[int] = (128, 256, 256, 256),
        blocks: int = 4,
        attention: Sequence[int] = (16,),
        *,
        stem: int | None = None,
        noise: int | None = None,
        embedding: int | None = None,
        architecture: Architecture = "song",
        fourier: bool = False,
        encoder: Encoder = "standard",
        decoder: Decoder = "standard",
        taps: int = 2,
    ) -> None:
        super().__init__()
        widths, stem = list(widths), stem or (widths[0] if widths else 0)
        noise, embedding = noise or stem, embedding or 4 * stem
        if not widths or min(channels, *widths, blocks, stem) < 1 or min(noise, embedding) < 4 or taps not in (2, 4):
            raise InvalidValueError(
                f"EDMUNet needs positive channels, widths, blocks and stem, embeddings of at least 4, and 2 or 4 taps; "
                f"got {channels}, {widths}, {blocks}, {stem}, {noise}, {embedding} and {taps}"
            )
        if size < 1 or size % 2 ** (len(widths) - 1):
            raise InvalidValueError(f"a side of {size} cannot be halved {len(widths) - 1} times")
        for value, kind in ((architecture, Architecture), (encoder, Encoder), (decoder, Decoder)):
            if value not in get_args(kind):
                raise InvalidValueError(f"{value!r} is none of {', '.join(get_args(kind))}")
        if architecture == "adm" and (encoder, decoder, fourier) != ("standard", "standard", False):
            raise InvalidValueError(
                "the architecture 'adm' has a standard encoder and decoder and no random frequencies"
            )
        self.config = dict(
            size=size, channels=channels, widths=widths, blocks=blocks, attention=list(attention), stem=stem,
            noise=noise, embedding=embedding, architecture=architecture, fourier=fourier, encoder=encoder,
            decoder=decoder, taps=taps,
        )  # fmt: skip
        self.event_shape = (channels, size, size)
        song = architecture == "song"
        self.map_noise = FourierEmbedding(noise) if fourier else PositionalEmbedding(noise, song)
        self.map_layer0, self.map_layer1 = nn.Linear(noise, embedding), nn.Linear(embedding, embedding)

        def block(inputs: int, outputs: int, resampling: Resampling | None = None, attends: bool = False) -> Block:
            return Block(inputs, outputs, embedding, STYLES[architecture], resampling, taps, attends)

        names = [f"{size >> level}x{size >> level}" for level in range(len(widths))]
        attends = [size >> level in attention for level in range(len(widths))]
        enc, dec, skips = dict[str, nn.Module](), dict[str, nn.Module](), [stem]
        features, aside = stem, channels
        enc[f"{names[0]}_conv"] = Conv(channels, stem, 3)
        for level, (name, width) in enumerate(zip(names, widths, strict=True)):
            if level > 0:
                enc[f"{name}_down"] = block(features, features, "down")
                skips.append(features)
            if level > 0 and encoder == "skip":
                enc[f"{name}_aux_down"] = Conv(channels, channels, 0, "down", taps)
                enc[f"{name}_aux_skip"] = Conv(channels, features, 1)
            if level > 0 and encoder == "residual":
                enc[f"{name}_aux_residual"] = Conv(aside, features, 3, "down", taps, filter_last=True)
                aside = features
            for i in range(blocks):
                enc[f"{name}_block{i}"] = block(features, width, attends=attends[level])
                features = width
                skips.append(features)
        dec[f"{names[-1]}_in0"] = block(features, features, attends=True)
        dec[f"{names[-1]}_in1"] = block(features, features)
        for level, (name, width) in reversed(list(enumerate(zip(names, widths, strict=True)))):
            coarsest = level == len(widths) - 1
            if not coarsest:
                dec[f"{name}_up"] = block(features, features, "up")
            for i in range(blocks + 1):
                # "song" attends but once a resolution on the way up
                attended = attends[level] and (i == blocks or not song)
                dec[f"{name}_block{i}"] = block(features + skips.pop(), width, attends=attended)
                features = width
            if decoder == "skip" and not coarsest:
                dec[f"{name}_aux_up"] = Conv(channels, channels, 0, "up", taps)
            if decoder == "skip" or level == 0:
                dec[f"{name}_aux_norm"] = normalisation(features, STYLES[architecture].eps)
                dec[f"{name}_aux_conv"] = Conv(features, channels, 3)
        self.enc, self.dec = nn.ModuleDict(enc), nn.ModuleDict(dec)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Map images x (N, C, H, W) and labels (N,) to an image of the same shape."""
        embedding = functional.silu(self.map_layer0(self.map_noise(label)))
        embedding = functional.silu(self.map_layer1(embedding))
        aside, skips = x, list[Tensor]()
        for name, module in self.enc.items():
            if name.endswith("aux_down"):
                aside = module(aside)
            elif name.endswith("aux_skip"):
                x = skips[-1] = x + module(aside)
            elif name.endswith("aux_residual"):
                x = skips[-1] = aside = math.sqrt(0.5) * (x + module(aside))
            else:
                x = module(x, embedding) if isinstance(module, Block) else module(x)
                skips.append(x)
        image: Tensor | None = None
        for name, module in self.dec.items():
            if name.endswith("aux_up"):
                image = module(image)
            elif name.endswith("aux_norm"):
                normal = functional.silu(module(x))
            elif name.endswith("aux_conv"):
                image = module(normal) if image is None else image + module(normal)
            else:
                x = module(torch.cat([x, skips.pop()], dim=1) if "_block" in name else x, embedding)
        assert image is not None
        return image
