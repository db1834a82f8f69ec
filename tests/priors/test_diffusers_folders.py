"""Folders that diffusers wrote, read back: D is what the pipeline's own scheduler makes of its own network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.priors.zoo import load_prior

diffusers = pytest.importorskip("diffusers")
SHAPE = (1, 16, 16)
Case = tuple[Tensor, float, Tensor]  # an image x0 + σε, σ, and D of it


def unet(**options: Any) -> Any:
    """A network with attention and weights of some size, in float64."""
    torch.manual_seed(0)
    model = diffusers.UNet2DModel(
        sample_size=16, in_channels=1, out_channels=1, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4, attention_head_dim=4, **options,
    )  # fmt: skip
    return model.double().eval()


def images() -> Tensor:
    return Noise.of(0, 1, 2, dtype=torch.float64).normal(SHAPE)[:, 0]


def preserving(pipe: Any, step: int) -> Case:
    """By DDPM's and DDIM's step, whose images shrink as noise comes in."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(50)
    t, x_t = scheduler.timesteps[step], images()
    alpha = scheduler.alphas_cumprod[t].double()
    clean = scheduler.step(pipe.unet(x_t, t).sample, t, x_t).pred_original_sample
    return x_t / alpha.sqrt(), float((1 / alpha - 1).sqrt()), clean


def multistep(pipe: Any, step: int) -> Case:
    """By what DPM-Solver and UniPC call the converted output, which is x0."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(20)
    t, sigma, noise = scheduler.timesteps[step], float(scheduler.sigmas[step]), images()
    scheduler._init_step_index(t)
    shrunk = not type(scheduler).__name__.startswith("EDM")
    x = noise if shrunk else sigma * noise
    clean = scheduler.convert_model_output(pipe.unet(scheduler.scale_model_input(x, t), t).sample, sample=x)
    return x * (1 + sigma**2) ** 0.5 if shrunk else x, sigma, clean


def exploding(pipe: Any, step: int) -> Case:
    """By the step of Euler's and of EDM's schedulers, whose noise is added."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(20)
    t, sigma = scheduler.timesteps[step], scheduler.sigmas[step]
    x = sigma * images()
    out = pipe.unet(scheduler.scale_model_input(x, t), t).sample
    return x, float(sigma), scheduler.step(out, t, x).pred_original_sample


def heun(pipe: Any, step: int) -> Case:
    """Of Heun's scheduler, which returns no x0, by the derivative (x − D)/σ that its step follows."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(20)
    t = scheduler.timesteps[2 * step - 1]  # each but the first comes twice
    scheduler._init_step_index(t)
    index = scheduler.step_index
    sigma, after = scheduler.sigmas[index], scheduler.sigmas[index + 1]
    x = sigma * images()
    out = pipe.unet(scheduler.scale_model_input(x, t), t).sample
    moved = scheduler.step(out, t, x).prev_sample
    return x, float(sigma), x - sigma * (moved - x) / (after - sigma)


def sde(pipe: Any, step: int) -> Case:
    """By the reverse SDE's step, from images in [0, 1]: its drift is the score."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(10)
    scheduler.set_sigmas(10)
    x, t = (images() + 1) / 2, scheduler.timesteps[step]
    place = int((t * (len(scheduler.timesteps) - 1)).long())
    sigma, below = scheduler.discrete_sigmas[place], scheduler.discrete_sigmas[place - 1]
    out = pipe.unet(x, sigma.expand(2)).sample
    moved = scheduler.step_pred(out, t, x).prev_sample_mean
    clean = x + sigma**2 * (moved - x) / (sigma**2 - below**2)
    return 2 * x - 1, 2 * float(sigma), 2 * clean - 1


def flow(pipe: Any, step: int) -> Case:
    """By the straight step of flow matching."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(20)
    t, s, after = scheduler.timesteps[step], *(float(sigma) for sigma in scheduler.sigmas[step : step + 2])
    x_s = images()
    moved = scheduler.step(pipe.unet(x_s, t).sample, t, x_s).prev_sample
    return x_s / (1 - s), s / (1 - s), x_s - s * (moved - x_s) / (after - s)


ORIGINALS: dict[str, tuple[Callable[[Any, int], Case], dict[str, Any]]] = {
    "DDPMScheduler": (preserving, {}),
    "DDIMScheduler": (preserving, {"prediction_type": "v_prediction", "beta_schedule": "scaled_linear"}),
    "DDIMScheduler, x0": (preserving, {"prediction_type": "sample", "clip_sample": False}),
    "DPMSolverMultistepScheduler": (multistep, {}),
    "UniPCMultistepScheduler": (multistep, {}),
    "EDMDPMSolverMultistepScheduler": (multistep, {}),
    "EulerDiscreteScheduler": (exploding, {"timestep_spacing": "leading"}),
    "EulerDiscreteScheduler, times between integers": (exploding, {"use_karras_sigmas": True}),
    "EDMEulerScheduler": (exploding, {}),
    "HeunDiscreteScheduler": (heun, {"timestep_spacing": "leading"}),
    "ScoreSdeVeScheduler": (sde, {"sigma_max": 50.0}),
    "FlowMatchEulerDiscreteScheduler": (flow, {"shift": 3.0}),
}


@torch.no_grad()
@pytest.mark.parametrize("name", ORIGINALS)
def test_a_pipeline_that_was_saved(name: str, tmp_path: Path) -> None:
    denoised, settings = ORIGINALS[name]
    network = unet(time_embedding_type="fourier", center_input_sample=True) if denoised is sde else unet()
    scheduler = getattr(diffusers, name.partition(",")[0])(**settings)
    diffusers.DDPMPipeline(network, scheduler).save_pretrained(tmp_path)
    prior = load_prior(tmp_path, dtype=torch.float64)
    for step in (4, 8):
        pipe = diffusers.DDPMPipeline(network, type(scheduler).from_config(scheduler.config))
        x, sigma, clean = denoised(pipe, step)
        assert float((clean - x).abs().max()) > 0.01
        torch.testing.assert_close(prior.denoise(x, sigma), clean, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_latent_pipeline_of_classes_that_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=1, out_channels=2, num_layers=1, norm_num_groups=4,
        sample_size=16, patch_size=4, num_embeds_ada_norm=10,
    )  # fmt: skip
    for parameter in transformer.parameters():
        parameter.normal_(0, 0.2)
    vae = diffusers.AutoencoderKL(
        latent_channels=1, block_out_channels=(8, 8), norm_num_groups=4, scaling_factor=0.5,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    diffusers.DiTPipeline(transformer.double().eval(), vae.double().eval(), scheduler).save_pretrained(tmp_path)
    prior = load_prior(tmp_path, class_label=3, dtype=torch.float64)
    scheduler.set_timesteps(50)
    t, x_t = scheduler.timesteps[8], images()
    alpha = scheduler.alphas_cumprod[t].double()
    epsilon = transformer(x_t, t.expand(2), torch.tensor([3, 3])).sample[:, :1]  # the learned variance is left out
    clean = scheduler.step(epsilon, t, x_t).pred_original_sample
    found = prior.denoise(x_t / alpha.sqrt(), float((1 / alpha - 1).sqrt()))
    torch.testing.assert_close(found, clean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(prior.decode(clean), vae.decode(clean / 0.5).sample, rtol=1e-5, atol=1e-5)
