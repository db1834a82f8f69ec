"""DRUNet checkpoints as priors."""

from __future__ import annotations

from pathlib import Path

from posterior.networks.drunet import DRUNet
from posterior.priors.checkpoints.reading import Format, Tensors, read
from posterior.priors.pyramid import PyramidPrior
from posterior.priors.zoo import save_prior

_FORMAT = Format("a DRUNet", mark="m_head.", converter="convert_drunet")


def convert_drunet(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    size: int | tuple[int, int] = 128,
    sigma_min: float = 0.02,
    sigma_network: float = 0.392,
    sigma_data: float = 0.5,
) -> Path:
    """Make a folder for `load_prior` of a checkpoint of DRUNet, grey or in colour, with biases or without.

    Images have values in [-1, 1], and noise levels are in those units: 2/255 for each of the authors' grey levels.
    Noise above `sigma_network` is removed from smaller images, as `PyramidPrior` says. The activation is ReLU, which
    the tensors do not tell.

    Args:
        checkpoint: A state dict of the authors' UNetRes (github.com/cszn/KAIR, github.com/cszn/DPIR) or of deepinv's
            DRUNet, .pth or .safetensors. Code that is pickled in it is never run.
        folder: Where to write `config.json` and `weights.safetensors`.
        size: Side of the images, or height and width, unless `load_prior` is given an event_shape.
        sigma_min, sigma_network: Noise levels between which the network is good; the authors trained it up to 50 grey
            levels.
        sigma_data: Standard deviation of images' entries.

    Raises:
        FileFormatError: The file cannot be read, or does not hold such a network.
        InvalidValueError: A size or a noise level is out of range.

    References:
        Zhang, Li, Zuo, Zhang, Van Gool & Timofte 2021, Plug-and-Play Image Restoration with Deep Denoiser Prior,
        arXiv:2008.13751.
    """
    path = Path(checkpoint).expanduser()
    weights = Tensors(read(path, "the network's state_dict()"), path, _FORMAT)
    for name in [name for name in weights if name.startswith("m_body.res.")]:  # a single block is in no sequence
        weights[name.replace("m_body.", "m_body.0.")] = weights.pop(name)
    blocks = weights.count("m_body.", ".res.0.weight")
    channels = weights.size("m_tail.weight", 0, 4)
    network = weights.build(
        DRUNet,
        channels=channels,
        widths=[
            weights.size("m_head.weight", 0, 4),
            *(weights.size(f"m_down{level}.{blocks}.weight", 0, 4) for level in (1, 2, 3)),
        ],
        blocks=blocks,
        bias="m_head.bias" in weights,
    )
    weights.fill(network)
    sides = (size, size) if isinstance(size, int) else tuple(size)
    prior = PyramidPrior(
        network, (channels, *sides), sigma_data=sigma_data, sigma_min=sigma_min, sigma_network=sigma_network
    )
    return save_prior(prior, folder)
