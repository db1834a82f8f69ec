"""Priors in folders: those shipped with the library, and your own."""

from __future__ import annotations

import difflib
import inspect
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posterior.errors import FileFormatError, IncompatibleError, UnknownNameError
from posterior.priors.base import Prior, ScorePrior
from posterior.priors.edm import EDMPrior
from posterior.priors.generators import NetworkGenerator
from posterior.priors.networks.dcgan import DCGANGenerator
from posterior.priors.networks.edm_unet import EDMUNet
from posterior.priors.networks.ffdnet import FFDNet
from posterior.priors.networks.refinenet import RefineNet
from posterior.priors.networks.stylegan2 import StyleGAN2Generator
from posterior.priors.networks.unet import UNet
from posterior.priors.networks.vae import VAEDecoder
from posterior.priors.pyramid import PyramidPrior
from posterior.priors.sde import VESDEPrior, VPSDEPrior

SHIPPED = Path(__file__).parent.parent / "assets" / "priors"

# The classes that a config may name. A prior is built from a network and the settings listed here, a network from its
# `config`; nothing else in a folder is ever run.
PRIORS: dict[str, tuple[type[Prior], tuple[str, ...]]] = {
    "EDMPrior": (EDMPrior, ("event_shape", "sigma_data", "sigma_min", "sigma_max")),
    "VESDEPrior": (VESDEPrior, ("event_shape", "sigma_data", "sigma_min", "sigma_max", "value_range")),
    "VPSDEPrior": (VPSDEPrior, ("event_shape", "sigma_data", "sigma_min", "sigma_max")),
    "PyramidPrior": (PyramidPrior, ("event_shape", "sigma_data", "sigma_min", "sigma_network")),
    "NetworkGenerator": (NetworkGenerator, ()),
}
NETWORKS: dict[str, type[nn.Module]] = {
    "UNet": UNet,
    "EDMUNet": EDMUNet,
    "RefineNet": RefineNet,
    "VAEDecoder": VAEDecoder,
    "DCGANGenerator": DCGANGenerator,
    "FFDNet": FFDNet,
    "StyleGAN2Generator": StyleGAN2Generator,
}


def list_priors() -> list[str]:
    """Names of the priors that are shipped with the library."""
    return sorted(config.parent.name for config in SHIPPED.glob("*/config.json"))


def prior_card(name: str) -> str:
    """What a shipped prior was made of and how good it is: its README, in Markdown.

    Raises:
        UnknownNameError: No prior of this name is shipped.
    """
    return (_shipped_folder(name) / "README.md").read_text(encoding="utf-8")


def load_prior(
    name_or_folder: str | Path,
    *,
    event_shape: Sequence[int] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Prior:
    """Load a prior, ready for sampling: in evaluation mode, without parameter gradients.

    Args:
        name_or_folder: A name from `list_priors()`, a folder written by `save_prior`, or a diffusers pipeline's (see
            `posterior.priors.diffusers`). A shipped name wins over a folder of that name: for that write "./name".
        event_shape: Shape of one image, of a prior that takes any size (that of the file unless given).
        device: Where to put it (the CPU unless given).
        dtype: Its precision (that of the file unless given).

    Raises:
        UnknownNameError: Neither a shipped prior nor a folder.
        FileFormatError: The folder does not hold a readable prior.
        IncompatibleError: The prior's images are of one size, and event_shape is another.
    """
    folder = _find(name_or_folder)
    if (folder / "model_index.json").exists():
        if event_shape is not None:
            raise IncompatibleError("a diffusers pipeline says which shape its images have: leave event_shape out")
        return ScorePrior.from_diffusers(folder, device=device, dtype=dtype)
    prior = _build(folder, event_shape)
    prior.to(device, dtype)
    for parameter in prior.parameters():
        if parameter.ndim == 4:  # Module.to would stumble over tensors of five dimensions
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return prior.eval().requires_grad_(False)


def save_prior(prior: Prior, folder: str | Path) -> Path:
    """Write a prior to a folder: `config.json` and `weights.safetensors`.

    Raises:
        IncompatibleError: The prior or its network is of a class that `load_prior` does not know.
    """
    from safetensors.torch import save

    kind, network = type(prior).__name__, getattr(prior, "network", None)
    if PRIORS.get(kind, (None,))[0] is not type(prior):
        raise IncompatibleError(
            f"cannot save a {kind}: it is none of {', '.join(PRIORS)} (posterior.priors.zoo.PRIORS)"
        )
    if NETWORKS.get(type(network).__name__) is not type(network):
        raise IncompatibleError(
            f"cannot save a prior whose network is a {type(network).__name__}: it is none of {', '.join(NETWORKS)}; "
            "add a class that keeps its arguments in `.config` to posterior.priors.zoo.NETWORKS"
        )
    assert isinstance(network, nn.Module)
    config = {
        "class": kind,
        "settings": {name: getattr(prior, name) for name in PRIORS[kind][1]},
        "network": {"class": type(network).__name__, "config": network.config},
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in prior.state_dict().items()}
    (folder / "weights.safetensors").write_bytes(save(weights))  # save_file would make it readable by its owner alone
    (folder / "config.json").write_text(json.dumps(config, indent=2, default=float) + "\n", encoding="utf-8")
    return folder


def _find(name_or_folder: str | Path) -> Path:
    if isinstance(name_or_folder, str) and name_or_folder in list_priors():
        return SHIPPED / name_or_folder
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(name_or_folder, Path) or os.sep in name_or_folder:
        raise FileFormatError(f"there is no folder {folder}; give one that save_prior or diffusers wrote")
    return _shipped_folder(name_or_folder)


def _shipped_folder(name: str) -> Path:
    names = list_priors()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UnknownNameError(
            f"no prior is called {name!r}{hint}; there are {', '.join(names) or 'none'}, or give a folder"
        )
    return SHIPPED / name


def _build(folder: Path, event_shape: Sequence[int] | None) -> Prior:
    path = folder / "config.json"
    config = _read_config(path)
    prior_class, settings = _registered(config, PRIORS, path)
    network_config = _entry(config, "network", dict, path)
    network_class = _registered(network_config, NETWORKS, path)
    values = _entry(config, "settings", dict, path)
    if set(values) != set(settings):
        raise FileFormatError(
            f"{path}: the settings of {prior_class.__name__} are {sorted(settings)}, but the file has {sorted(values)}"
        )
    for name, value in values.items():
        numbers = value if name in ("event_shape", "value_range") and isinstance(value, list) else [value]
        least = -math.inf if name == "value_range" else 0
        if not all(type(v) in (int, float) and least < v < math.inf for v in numbers):
            raise FileFormatError(f"{path}: the setting {name!r} is {value!r}, not a positive number or a list of them")
    if event_shape is not None:
        if prior_class is not PyramidPrior:
            raise IncompatibleError(f"{folder.name} is a prior of images of one shape: leave event_shape out")
        values["event_shape"] = list(event_shape)
    arguments = _entry(network_config, "config", dict, path)
    with torch.random.fork_rng(devices=[]):  # first weights, soon replaced, must not advance the global generator
        network = _construct(network_class, path, **arguments)
        prior = _construct(prior_class, path, network, **values)
    path = folder / "weights.safetensors"
    weights = read_safetensors(path)
    check_weights(weights, prior.state_dict(), f"{path} does not fit its config.json")
    prior.load_state_dict(weights, assign=True)
    return prior


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileFormatError(f"{path.parent} has no config.json: it is not a folder that save_prior wrote") from error
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(config, dict):
        raise FileFormatError(f"{path} holds a {type(config).__name__}, not an object with class, settings and network")
    return config


def _entry(config: dict[str, Any], key: str, kind: type, path: Path) -> Any:
    if not isinstance(config.get(key), kind):
        raise FileFormatError(f"{path}: {key!r} is missing, or not a {kind.__name__}")
    return config[key]


def _registered(config: dict[str, Any], known: dict[str, Any], path: Path) -> Any:
    name = _entry(config, "class", str, path)
    if name not in known:
        raise FileFormatError(f"{path} names the class {name!r}; known are {', '.join(known)}")
    return known[name]


def _construct(kind: type, path: Path, *args: Any, **kwargs: Any) -> Any:
    try:
        inspect.signature(kind).bind(*args, **kwargs)
        return kind(*args, **kwargs)
    except Exception as error:  # the arguments come from a file and may be anything
        raise FileFormatError(f"{path}: cannot build a {kind.__name__} of these settings: {error}") from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        FileFormatError: There is no such file, or it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, Tensor] = load_file(path)
    except FileNotFoundError as error:
        raise FileFormatError(f"{path.parent} has no {path.name}: copy the whole folder") from error
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise FileFormatError(f"{path} is corrupt or cut off: {error}; copy or download it anew") from error
    return weights


def check_weights(weights: dict[str, Tensor], expected: dict[str, Tensor], problem: str) -> None:
    """Check names, shapes, types and values of tensors against those of the module that will hold them.

    Raises:
        FileFormatError: They differ; the message is `problem` followed by up to five differences.
    """
    faults = [f"{name} is missing" for name in expected if name not in weights]
    faults += [f"{name} is not expected" for name in weights if name not in expected]
    for name in expected.keys() & weights.keys():
        found, wanted = weights[name], expected[name]
        if found.shape != wanted.shape:
            faults.append(f"{name} has shape {tuple(found.shape)} instead of {tuple(wanted.shape)}")
        elif found.is_floating_point() != wanted.is_floating_point():
            faults.append(f"{name} is {found.dtype} instead of {wanted.dtype}")
        elif not bool(torch.isfinite(found).all()):
            faults.append(f"{name} holds NaN or infinity")
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise FileFormatError(f"{problem}: {'; '.join(sorted(faults)[:5])}{more}")
