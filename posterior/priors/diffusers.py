"""Models of the diffusers library as priors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posterior.errors import FileFormatError, IncompatibleError, InvalidValueError
from posterior.operators.base import Operator
from posterior.priors.adapters import FlowMatchingPrior, VariancePreservingPrior
from posterior.priors.base import ScorePrior
from posterior.priors.edm import EDMPrior
from posterior.priors.sde import VESDEPrior
from posterior.shapes import expand_right


def from_diffusers(
    source: Any,
    *,
    class_label: int | None = None,
    guidance: float = 1.0,
    null_label: int | None = None,
    sigma_data: float | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> ScorePrior:
    r"""A prior of a diffusers pipeline, by the rules of its scheduler.

    Any unconditional or class-conditional image model (`UNet2DModel`, `DiTTransformer2DModel`, …) under a scheduler
    with \(\bar\alpha_t\) (DDPM, DDIM, PNDM, DPM-Solver, UniPC, Euler, Heun, …; predictions of ε, x0 or v), with EDM's
    preconditioning, of the variance-exploding SDE (NCSN++), or of flow matching. Only the noise process matters:
    samplers of this library take the steps. Learned variances are left out, DDPM's clip_sample is kept, and so are all
    levels of a schedule but one that has no signal left (rescaled to zero terminal signal).

    Of a latent diffusion model the prior is that of its latents, and `prior.decode` decodes them; measure through
    `operator_on_latents(prior, operator)`. Its posterior holds images that the decoder can make, and no others.

    Args:
        source: A pipeline, the folder of one, or a repo id on the Hub.
        class_label: Which class, for a class-conditional model.
        guidance: w of classifier-free guidance, D(∅) + w (D(class) − D(∅)); 1 is the model as trained. With any other w
            there is no prior whose denoiser this is, and draws are of no posterior.
        null_label: The label ∅; of a DiT the one after its classes.
        sigma_data: Standard deviation of an image's entries; by default the scheduler's, 1 for latents, or 0.5.
        device, dtype: Where to, and in which precision, the network is moved; states keep theirs. A pipeline's own
            network is moved, not a copy, and its parameters stop asking for gradients.

    Raises:
        FileFormatError: There is no pipeline in the folder, or its weights are not safetensors.
        IncompatibleError: diffusers is not installed, or the model or the scheduler is of another kind.
        InvalidValueError: A class label is missing or out of range.
    """
    pipeline = _pipeline(source)
    parts = pipeline.components
    model, scheduler = parts.get("unet") or parts.get("transformer"), parts.get("scheduler")
    if model is None or scheduler is None:
        raise IncompatibleError(f"the pipeline {type(pipeline).__name__} has no unet or transformer, or no scheduler")
    autoencoder = parts.get("vae") or parts.get("vqvae")
    network = Network(model, class_label, guidance, null_label)
    size = _sides(model)
    event_shape = (network.channels, *size)
    config = scheduler.config
    kind = config.get("prediction_type", "epsilon")
    if sigma_data is None:
        sigma_data = float(config.get("sigma_data") or (0.5 if autoencoder is None else 1.0))
    prior: ScorePrior
    if "FlowMatch" in type(scheduler).__name__ or kind == "flow_prediction" or config.get("use_flow_sigmas"):
        network.time_scale = float(config.num_train_timesteps)
        prior = FlowMatchingPrior(network, event_shape, sigma_data=sigma_data)
    elif type(scheduler).__name__.startswith("EDM"):
        if kind not in ("epsilon", "v_prediction"):
            raise IncompatibleError(f"an EDM scheduler that predicts {kind!r} is not supported")
        network.sign = -1.0 if kind == "v_prediction" else 1.0
        prior = EDMPrior(
            network, event_shape, sigma_data=sigma_data, sigma_min=config.sigma_min, sigma_max=config.sigma_max,
            clip=False,
        )  # fmt: skip
    elif type(scheduler).__name__ == "ScoreSdeVeScheduler":  # levels of images in [0, 1]
        prior = VESDEPrior(
            ScoreNetwork(network), event_shape, sigma_data=sigma_data, sigma_min=2 * config.sigma_min,
            sigma_max=2 * config.sigma_max,
        )  # fmt: skip
    elif hasattr(scheduler, "alphas_cumprod"):
        alphas = scheduler.alphas_cumprod.double()
        clip = float(config.clip_sample_range) if config.get("clip_sample") else None
        prior = VariancePreservingPrior(
            network, event_shape, alphas[alphas > 1e-6], prediction=kind, sigma_data=sigma_data, clip=clip
        )
    else:
        raise IncompatibleError(
            f"the scheduler {type(scheduler).__name__} is not known; wrap the network as a function with "
            "VariancePreservingPrior, FlowMatchingPrior or ScorePrior.from_denoiser"
        )
    if autoencoder is not None:
        prior = LatentDiffusionPrior(prior, autoencoder)
    return prior.to(device, dtype).eval().requires_grad_(False)


def operator_on_latents(prior: ScorePrior, operator: Operator) -> Operator:
    """A(decode(z)): what an operator on images measures of a latent model's latents (differentiable, not linear)."""
    parameter = next(prior.parameters())
    return Operator.from_callable(
        lambda z: operator(prior.decode(z)), event_shape=prior.event_shape,
        measurement_shape=operator.measurement_shape, dtype=operator.dtype, device=parameter.device,
    )  # fmt: skip


class Network(nn.Module):
    """A diffusers model as a function of x (N, *event) and time (N,): its label, guidance and precision.

    Attributes:
        time_scale: What times are multiplied by.
        sign: What the output is multiplied by.
    """

    time_scale: float = 1.0
    sign: float = 1.0

    def __init__(self, model: nn.Module, label: int | None, guidance: float, null_label: int | None) -> None:
        super().__init__()
        self.model, self.label, self.guidance = model, label, guidance
        config: Any = model.config
        self.channels = int(config.in_channels)
        classes = config.get("num_class_embeds") or config.get("num_embeds_ada_norm")
        if "num_embeds_ada_norm" in config and null_label is None:
            null_label = classes  # the embedding after those of the classes
        self.null_label = null_label
        if classes is None and label is not None:
            raise InvalidValueError(f"{type(model).__name__} has no classes, but class_label is {label}")
        if classes is not None and (label is None or not 0 <= label < classes):
            raise InvalidValueError(f"{type(model).__name__} needs a class_label in 0 … {classes - 1}, got {label}")
        if guidance != 1 and (label is None or null_label is None):
            raise InvalidValueError("guidance needs a class_label and the null_label that the model was trained with")

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out = self._call(x, time, self.label)
        if self.guidance != 1:
            free = self._call(x, time, self.null_label)
            out = free + self.guidance * (out - free)
        return out

    def _call(self, x: Tensor, time: Tensor, label: int | None) -> Tensor:
        weight = next(self.model.parameters())
        labels = {} if label is None else {"class_labels": torch.full((len(x),), label, device=x.device)}
        out = self.model(x.to(weight.dtype), self.time_scale * time, return_dict=False, **labels)[0]
        return self.sign * out[:, : self.channels].to(x.dtype)  # learned variances come after


class ScoreNetwork(nn.Module):
    """A network that says the score of noisy images in [0, 1] at σ, as F(h, log σ) of h in [−1, 1] for `VESDEPrior`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, h: Tensor, label: Tensor) -> Tensor:
        sigma = label.exp()
        return expand_right(sigma, h.ndim - 1) * self.network((h + 1) / 2, sigma)


class LatentDiffusionPrior(ScorePrior):
    """The prior of an autoencoder's latents, which `decode` makes images of.

    Args:
        prior: Of the latents, scaled and shifted as the autoencoder's config says.
        autoencoder: A diffusers autoencoder.
    """

    def __init__(self, prior: ScorePrior, autoencoder: nn.Module) -> None:
        super().__init__()
        self.prior, self.autoencoder = prior, autoencoder
        self.event_shape, self.sigma_data = prior.event_shape, prior.sigma_data
        self.sigma_min, self.sigma_max = prior.sigma_min, prior.sigma_max
        config: Any = autoencoder.config
        self.scale, self.shift = float(config.get("scaling_factor") or 1.0), float(config.get("shift_factor") or 0.0)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.prior._denoise(x, sigma)

    def decode(self, state: Tensor) -> Tensor:
        """Images (..., *image) of latents (..., *event_shape)."""
        rows = state.reshape(-1, *self.event_shape) / self.scale + self.shift
        dtype = next(self.autoencoder.parameters()).dtype
        images: Tensor = self.autoencoder.decode(rows.to(dtype), return_dict=False)[0]  # type: ignore[operator]
        return images.to(state.dtype).reshape(*state.shape[:-3], *images.shape[1:])


def _pipeline(source: Any) -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise IncompatibleError("from_diffusers needs the package diffusers: pip install diffusers") from error
    if not isinstance(source, str | Path):
        return source
    folder = Path(source)
    if folder.exists() and not (folder / "model_index.json").exists():
        raise FileFormatError(f"{folder} holds no diffusers pipeline: there is no model_index.json in it")
    bars = diffusers.utils.logging.is_progress_bar_enabled()
    diffusers.utils.logging.disable_progress_bar()
    try:
        # safetensors alone: pickled weights could run code
        return diffusers.DiffusionPipeline.from_pretrained(
            str(source), use_safetensors=True, low_cpu_mem_usage=False, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise FileFormatError(f"no pipeline with safetensors weights could be loaded from {source}: {error}") from error
    finally:
        if bars:
            diffusers.utils.logging.enable_progress_bar()


def _sides(model: nn.Module) -> tuple[int, int]:
    size: Any = model.config.get("sample_size")  # type: ignore[operator, union-attr]
    if size is None:
        raise IncompatibleError(f"{type(model).__name__} does not say its sample_size; set it in its config")
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
