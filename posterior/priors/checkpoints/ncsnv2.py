"""NCSNv2 checkpoints as priors."""

from __future__ import annotations

from pathlib import Path

from posterior.errors import InvalidValueError
from posterior.networks.refinenet import RefineNet
from posterior.priors.base import check_value_range
from posterior.priors.checkpoints.reading import Format, Tensors, read
from posterior.priors.sde import VESDEPrior
from posterior.priors.zoo import save_prior

_FORMAT = Format("a network of NCSNv2", mark="begin_conv.", converter="convert_ncsnv2")


def convert_ncsnv2(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    size: int | tuple[int, int],
    value_range: tuple[float, float] = (-1.0, 1.0),
    rescaled: bool = False,
    sigma_data: float | None = None,
) -> Path:
    r"""Make a folder for `load_prior` of a checkpoint of NCSNv2, NCSNv2Deeper or NCSNv2Deepest.

    The moving averages are taken where there are any. The authors' images have values in [0, 1]; the prior's have
    them in `value_range`, and so have its noise levels, which lie between the first and the last that was trained:

    $$ D(x, \sigma) = x + \sigma F(h), \quad h = 2\,\frac{x - a}{b - a} - 1, \quad \text{score}(x) = F(h)/\sigma $$

    Args:
        checkpoint: A file of the authors' code (github.com/ermongroup/ncsnv2, github.com/utcsilab/csgm-mri-langevin),
            or the tensors of a state dict, .pt or .safetensors. Code that is pickled in it is never run.
        folder: Where to write `config.json` and `weights.safetensors`.
        size: Side of the images, or height and width; the network does not say.
        value_range: Values that the prior's images have in place of 0 and 1; [0, 1] keeps the authors' units, as fits
            the complex images of MRI, two channels of any sign.
        rescaled: Whether `data.rescaled` is set in the checkpoint's config, and its noise levels are of images that
            were stretched to [-1, 1].
        sigma_data: Standard deviation of the entries of the prior's images; a quarter of `value_range` unless given.

    Raises:
        FileFormatError: The file cannot be read, or does not hold such a network.
        InvalidValueError: The size is none that the network takes, or value_range is empty.

    References:
        Song & Ermon 2020, Improved Techniques for Training Score-Based Generative Models, arXiv:2006.09011.
        Jalal, Arvinte, Daras, Price, Dimakis & Tamir 2021, Robust Compressed Sensing MRI with Deep Generative Priors,
        arXiv:2108.01368.
    """
    weights = _read(Path(checkpoint).expanduser())
    first, last = weights.levels()
    stages = 6 if "res31.0.conv1.weight" in weights else 5 if "res5.0.conv1.weight" in weights else 4
    channels, features = (weights.size("begin_conv.weight", axis, 4) for axis in (1, 0))
    network = weights.build(RefineNet, channels=channels, features=features, stages=stages)
    weights.fill(network)
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if min(sides) < 1 or any(side % network.factor for side in sides):
        raise InvalidValueError(f"the sides of images are multiples of {network.factor} for this network, not {size}")
    low, high = check_value_range(value_range)
    scale = (high - low) / (2 if rescaled else 1)
    prior = VESDEPrior(
        network, (channels, *sides), value_range=value_range,
        sigma_data=(high - low) / 4 if sigma_data is None else sigma_data, sigma_min=scale * first,
        sigma_max=scale * last,
    )  # fmt: skip
    return save_prior(prior, folder)


def _read(path: Path) -> Tensors:
    content = read(path, "the network's state_dict()")
    if not isinstance(content, list | tuple):
        return Tensors(content, path, _FORMAT)
    # a list: weights, optimiser, epoch, step and, where it was kept, the moving average of parameters
    weights = Tensors(content[0] if content else None, path, _FORMAT, place="its first entry")
    if len(content) > 4:
        weights |= Tensors(content[4], path, _FORMAT, place="its moving average")
    return weights
