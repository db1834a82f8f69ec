"""The parts of diffusers pipelines: of objects, of folders, of the Hub. Nothing in a folder is run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from posterior.errors import FileFormatError, IncompatibleError
from posterior.io.folders import check_weights, entry, read_config
from posterior.io.readers import read_json

_MODELS, _AUTOENCODERS = ("unet", "transformer"), ("vae", "vqvae")  # folders of a pipeline, and names of its parts
_SCHEDULER = "scheduler_config.json"
_ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")


class Parts(NamedTuple):
    """What a prior is made of.

    Attributes:
        model: A network of x and t, perhaps of classes.
        scheduler: It says what noise the network was trained on.
        autoencoder: Of a latent diffusion model.
    """

    model: Any
    scheduler: Any
    autoencoder: nn.Module | None


def find_parts(source: Any, scheduler: Any = None, download: bool = False) -> Parts:
    """The parts of a pipeline, of a model with its scheduler, of a folder of either, or of a repository on the Hub.

    Raises:
        FileFormatError: There is no such folder, or parts in it are missing, corrupt or not safetensors.
        IncompatibleError: diffusers is not installed, there is no scheduler, or the model needs more than x and t.
    """
    try:
        import diffusers
    except ImportError as error:
        raise IncompatibleError("from_diffusers needs the package diffusers: pip install diffusers") from error
    if isinstance(source, str | Path):
        folder = Path(source).expanduser()
        if not folder.is_dir():
            folder = _downloaded(str(source), download)
        parts = _read(folder, scheduler)
    elif isinstance(source, nn.Module):
        parts = Parts(source, scheduler, None)
    else:
        found = dict(getattr(source, "components", {}))
        model, autoencoder = (  # parts of a pipeline may be None
            next((found[name] for name in names if found.get(name) is not None), None)
            for names in (_MODELS, _AUTOENCODERS)
        )
        parts = Parts(model, scheduler or found.get("scheduler"), autoencoder)
    kind = type(getattr(parts.model, "_orig_mod", parts.model))  # of what torch.compile wraps
    if parts.model is None or not issubclass(kind, diffusers.ModelMixin):
        raise IncompatibleError(
            "from_diffusers takes a model of diffusers, a pipeline that has one as its unet or transformer, or a "
            f"folder of either; got {type(source).__name__}"
        )
    _check_arguments(kind)
    if parts.scheduler is None:
        raise IncompatibleError(
            f"{kind.__name__} comes with no scheduler, which says what noise it was trained on: give "
            "from_diffusers(model, scheduler)"
        )
    return parts


def is_diffusers_folder(folder: Path) -> bool:
    """Whether a folder holds a pipeline or a model of diffusers."""
    if (folder / "model_index.json").exists():
        return True
    path = folder / "config.json"
    config = read_json(path) if path.exists() else None
    return isinstance(config, dict) and "_class_name" in config


def _downloaded(name: str, allowed: bool) -> Path:
    """The folder to which a repository on the Hub is downloaded: its configs and safetensors, and no code."""
    import diffusers

    if not (allowed and _ON_THE_HUB.fullmatch(name)):
        hint = f"; pass download=True to get the repository {name} from the Hub" if _ON_THE_HUB.fullmatch(name) else ""
        raise FileFormatError(f"there is no folder {name}{hint}")
    try:
        return Path(diffusers.DiffusionPipeline.download(name, use_safetensors=True, trust_remote_code=False))
    except Exception as error:  # of the network, of the Hub, of what it sends
        raise FileFormatError(f"cannot download {name} from the Hub: {error}") from error


def _read(folder: Path, scheduler: Any) -> Parts:
    import diffusers

    places = [folder / name for name in _MODELS] + [folder]
    model = next((place for place in places if (place / "config.json").exists()), None)
    if model is None:
        raise FileFormatError(
            f"{folder} holds no model of diffusers: there is no config.json in it, nor in {' or '.join(_MODELS)}"
        )
    if scheduler is None:
        beside = [folder / "scheduler", folder] + ([folder.parent / "scheduler"] if folder.name in _MODELS else [])
        config = next((place / _SCHEDULER for place in beside if (place / _SCHEDULER).exists()), None)
        if config is None:
            raise FileFormatError(
                f"{folder} holds no {_SCHEDULER}, which says what noise the model was trained on: copy it there, or "
                "give from_diffusers(folder, scheduler)"
            )
        kind, settings = _kind(config, diffusers.SchedulerMixin)
        try:
            scheduler = kind.from_config(settings)
        except Exception as error:  # settings come from a file and may be anything
            raise FileFormatError(f"{config}: cannot build a {kind.__name__} of these settings: {error}") from error
    autoencoder = next((folder / name for name in _AUTOENCODERS if (folder / name / "config.json").exists()), None)
    return Parts(_load(model, arguments=True), scheduler, None if autoencoder is None else _load(autoencoder))


def _kind(path: Path, base: type) -> tuple[Any, dict[str, Any]]:
    """The class of diffusers that a config names, and the config."""
    import diffusers

    config = read_config(path, "diffusers", "_class_name")
    name = entry(config, "_class_name", str, path)
    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise FileFormatError(f"{path} names the class {name!r}, which is no {base.__name__} of diffusers")
    return kind, config


def _load(folder: Path, arguments: bool = False) -> nn.Module:
    """A model with its weights, all of which must be in the folder, be finite, and have a place."""
    import diffusers

    kind, _ = _kind(folder / "config.json", diffusers.ModelMixin)
    if arguments:
        _check_arguments(kind)
    if not any(folder.glob("*.safetensors")):
        raise FileFormatError(f"{folder} has no weights in safetensors files; pickled ones could run code")
    bars = diffusers.utils.logging.is_progress_bar_enabled()
    diffusers.utils.logging.disable_progress_bar()
    try:
        model, found = kind.from_pretrained(
            folder, use_safetensors=True, low_cpu_mem_usage=False, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # settings and weights come from files and may be anything
        raise FileFormatError(f"{folder}: cannot load a {kind.__name__}: {error}") from error
    finally:
        if bars:
            diffusers.utils.logging.enable_progress_bar()
    network: nn.Module = model.eval()
    state = network.state_dict()  # tensors that were not in the files hold anything
    weights = {name: tensor for name, tensor in state.items() if name not in found["missing_keys"]}
    weights |= {name: torch.empty(0) for name in found["unexpected_keys"]}
    check_weights(weights, state, f"{folder}: the weights do not fit the {kind.__name__} of its config.json")
    return network


def _check_arguments(kind: Any) -> None:
    """Check that a model is a function of x, t and, at most, a class."""
    takes = list(inspect.signature(kind.forward).parameters)[1:]
    if takes[1:2] != ["timestep"] or "encoder_hidden_states" in takes:
        raise IncompatibleError(
            f"{kind.__name__} is conditioned on texts or images (it takes {', '.join(takes[:3])}, …), and only models "
            "of x and t are supported; wrap it as a function of these with VariancePreservingPrior, FlowMatchingPrior "
            "or ScorePrior.from_denoiser"
        )
