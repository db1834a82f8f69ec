"""Models of the diffusers library as priors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.operators.base import Operator
from posterior.priors.adapters import FlowMatchingPrior, VariancePreservingPrior
from posterior.priors.edm import EDMPrior
from posterior.priors.pipelines import find_parts
from posterior.priors.score_prior import ScorePrior
from posterior.priors.sde import VESDEPrior
from posterior.shapes import expand_right


def from_diffusers(
    source: Any,
    scheduler: Any = None,
    *,
    class_label: int | Sequence[int] | None = None,
    guidance: float = 1.0,
    null_label: int | None = None,
    sigma_data: float | None = None,
    download: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> ScorePrior:
    r"""A prior of a model of diffusers, by the rules of its scheduler.

    Any unconditional or class-conditional image model (`UNet2DModel`, `DiTTransformer2DModel`, …) under a scheduler
    with \(\bar\alpha_t\) (DDPM, DDIM, PNDM, DPM-Solver, UniPC, Euler, Heun, …; predictions of ε, x0 or v), with EDM's
    preconditioning, of the variance-exploding SDE (NCSN++), or of flow matching. Only the noise process matters:
    samplers of this library take the steps. Learned variances are left out, DDPM's clip_sample is kept, and so are all
    levels of a schedule but one that has no signal left (rescaled to zero terminal signal).

    Of a latent diffusion model the prior is that of its latents, and `prior.decode` decodes them; measure through
    `operator_on_latents(prior, operator)`. Its posterior holds images that the decoder can make, and no others.

    Args:
        source: A pipeline; a model; a folder of either, as `save_pretrained` writes them, a model's with its
            scheduler_config.json beside it; or a repository on the Hub, as in "google/ddpm-cifar10-32".
        scheduler: That of a model; it goes before that of a pipeline or a folder.
        class_label: Which class, for a class-conditional model: one for all measurements, or one for each; see
            `ScorePrior.with_class`.
        guidance: w of classifier-free guidance, D(∅) + w (D(class) − D(∅)); 1 is the model as trained. With any other w
            there is no prior whose denoiser this is, and draws are of no posterior.
        null_label: The label ∅; of a DiT the one after its classes.
        sigma_data: Standard deviation of an image's entries; by default the scheduler's, 1 for latents, or 0.5.
        download: Whether a name that is no folder here may be looked for on the Hub.
        device, dtype: Where to, and in which precision, the network is moved; states keep theirs. A model that is given
            is moved, not a copy, and its parameters stop asking for gradients.

    Raises:
        FileFormatError: There is no model in the folder, or a part is missing, corrupt or not in safetensors.
        IncompatibleError: diffusers is not installed, or the model or the scheduler is of another kind.
        InvalidValueError: A class label is missing or out of range.
    """
    model, scheduler, autoencoder = find_parts(source, scheduler, download)
    network = Network(model, guidance, null_label)
    event_shape = (network.channels, *_sides(model))
    config: Any = getattr(scheduler, "config", {})
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
    prior.num_classes = network.num_classes
    prior = prior.to(device, dtype).eval().requires_grad_(False)
    if class_label is not None:
        prior = prior.with_class(class_label)
    elif network.num_classes is not None:
        raise InvalidValueError(f"{type(model).__name__} needs a class_label in 0 … {network.num_classes - 1}")
    if guidance != 1 and (class_label is None or network.null_label is None):
        raise InvalidValueError("guidance needs a class_label and the null_label that the model was trained with")
    _try_once(prior, type(model).__name__)
    return prior


def operator_on_latents(prior: ScorePrior, operator: Operator) -> Operator:
    """A(decode(z)): what an operator on images measures of a latent model's latents (differentiable, not linear)."""
    parameter = next(prior.parameters())
    return Operator.from_callable(
        lambda z: operator(prior.decode(z)), event_shape=prior.event_shape,
        measurement_shape=operator.measurement_shape, dtype=operator.dtype, device=parameter.device,
    )  # fmt: skip


class Network(nn.Module):
    """A diffusers model as a function of x (N, *event), time (N,) and, where it has classes, their labels (N,).

    Args:
        model: A model of diffusers.
        guidance: w of classifier-free guidance.
        null_label: The label of no class.

    Attributes:
        time_scale: What times are multiplied by.
        sign: What the output is multiplied by.

    Raises:
        IncompatibleError: The model is told of something else than classes, or gives no image for an image.
        InvalidValueError: It has no such null_label.
    """

    time_scale: float = 1.0
    sign: float = 1.0

    def __init__(self, model: nn.Module, guidance: float, null_label: int | None) -> None:
        super().__init__()
        self.model, self.guidance = model, guidance
        config: Any = model.config
        name = type(model).__name__
        self.channels = int(config.in_channels)
        if (embedded := config.get("class_embed_type")) is not None:
            raise IncompatibleError(f"{name} is told of a {embedded} in place of a class, which is not supported")
        if (out := config.get("out_channels") or self.channels) < self.channels:
            raise IncompatibleError(
                f"{name} takes {self.channels} channels and gives {out}: it is conditioned on an image, which is not "
                "supported"
            )
        self.num_classes: int | None = config.get("num_class_embeds") or config.get("num_embeds_ada_norm")
        labels = self.num_classes or 0
        if "num_embeds_ada_norm" in config:  # a DiT, with an embedding after those of the classes
            null_label, labels = (self.num_classes if null_label is None else null_label), labels + 1
        if null_label is not None and not 0 <= null_label < labels:
            raise InvalidValueError(f"{name} has {labels} labels, and null_label is {null_label}")
        self.null_label = null_label

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        out = self._call(x, time, labels)
        if self.guidance != 1 and labels is not None and self.null_label is not None:
            free = self._call(x, time, torch.full_like(labels, self.null_label))
            out = free + self.guidance * (out - free)
        return out

    def _call(self, x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        weight = next(self.model.parameters())
        classes = {} if labels is None else {"class_labels": labels}
        out = self.model(x.to(weight.dtype), self.time_scale * time, return_dict=False, **classes)[0]
        return self.sign * out[:, : self.channels].to(x.dtype)  # learned variances come after


class ScoreNetwork(nn.Module):
    """A network that says the score of noisy images in [0, 1] at σ, as F(h, log σ) of h in [−1, 1] for `VESDEPrior`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, h: Tensor, label: Tensor, *classes: Tensor) -> Tensor:
        sigma = label.exp()
        return expand_right(sigma, h.ndim - 1) * self.network((h + 1) / 2, sigma, *classes)


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

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        return self.prior._denoise(x, sigma, *labels)

    def decode(self, state: Tensor) -> Tensor:
        """Images (..., *image) of latents (..., *event_shape)."""
        rows = state.reshape(-1, *self.event_shape) / self.scale + self.shift
        dtype = next(self.autoencoder.parameters()).dtype
        images: Tensor = self.autoencoder.decode(rows.to(dtype), return_dict=False)[0]  # type: ignore[operator]
        return images.to(state.dtype).reshape(*state.shape[:-3], *images.shape[1:])


def _try_once(prior: ScorePrior, name: str) -> None:
    """Call the network once, so that one that cannot be called is known at once."""
    zero = torch.zeros(prior.event_shape, device=prior.device)
    try:
        if prior.labels is not None:
            prior = prior.with_class(prior.labels.flatten()[0])
        with torch.no_grad():
            prior.denoise(zero, min(max(prior.sigma_data, prior.sigma_min), prior.sigma_max))
    except Exception as error:  # of whatever the model is made of
        raise IncompatibleError(f"{name} cannot be called with images of shape {prior.event_shape}: {error}") from error


def _sides(model: nn.Module) -> tuple[int, int]:
    size: Any = model.config.get("sample_size")  # type: ignore[operator, union-attr]
    if size is None:
        raise IncompatibleError(f"{type(model).__name__} does not say its sample_size; set it in its config")
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
