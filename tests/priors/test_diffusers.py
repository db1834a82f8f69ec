"""diffusers pipelines, built and saved here, against their own schedulers' steps."""

from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior.errors import FileFormatError, IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, Inpainting
from posterior.priors import ScorePrior
from posterior.priors.diffusers import operator_on_latents
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from samplers import AnnealedLangevin, TemperedSMC
from samplers.guided import DPS, DiffPIR

diffusers = pytest.importorskip("diffusers")
SHAPE = (1, 16, 16)


def unet(channels: int = 1, out: int | None = None, **options: Any) -> Any:
    torch.manual_seed(0)
    model = diffusers.UNet2DModel(
        sample_size=16, in_channels=channels, out_channels=out or channels, block_out_channels=(8, 16),
        layers_per_block=1, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=4, **options,
    )  # fmt: skip
    return model.eval()


def pipeline(scheduler: Any, model: Any = None) -> Any:
    return diffusers.DDPMPipeline(model or unet(), scheduler)


def images(count: int = 2) -> Tensor:
    return Noise.of(0, 1, count).normal(SHAPE)[:, 0]


@torch.no_grad()
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("kind", ["DDPMScheduler", "DDIMScheduler"])
def test_ddpm_and_ddim(kind: str, prediction: str) -> None:
    scheduler = getattr(diffusers, kind)(prediction_type=prediction)
    scheduler.set_timesteps(1000)
    pipe = pipeline(scheduler)
    prior = ScorePrior.from_diffusers(pipe)
    assert prior.event_shape == SHAPE and not any(p.requires_grad for p in prior.parameters())
    for t in (1, 400, 990):
        alpha = scheduler.alphas_cumprod[t]
        x_t = images()
        step = scheduler.step(pipe.unet(x_t, t).sample, t, x_t)
        denoised = prior.denoise(x_t / alpha.sqrt(), float((1 / alpha - 1).sqrt()))
        assert torch.allclose(denoised, step.pred_original_sample, atol=1e-4)


@torch.no_grad()
def test_dpm_solver() -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler()
    scheduler.set_timesteps(20)
    pipe = pipeline(scheduler)
    prior = ScorePrior.from_diffusers(pipe)
    t, x_t = scheduler.timesteps[3], images()
    scheduler._init_step_index(t)
    expected = scheduler.convert_model_output(pipe.unet(x_t, t).sample, sample=x_t)
    sigma = float(scheduler.sigmas[3])
    assert torch.allclose(prior.denoise(x_t * (1 + sigma**2) ** 0.5, sigma), expected, atol=2e-4)


@torch.no_grad()
@pytest.mark.parametrize("karras", [False, True])
def test_euler(karras: bool) -> None:
    scheduler = diffusers.EulerDiscreteScheduler(use_karras_sigmas=karras)
    scheduler.set_timesteps(30)
    pipe = pipeline(scheduler)
    prior = ScorePrior.from_diffusers(pipe)
    t, sigma = scheduler.timesteps[10], scheduler.sigmas[10]
    x = sigma * images()
    out = pipe.unet(scheduler.scale_model_input(x, t), t).sample
    step = scheduler.step(out, t, x)
    assert torch.allclose(prior.denoise(x, float(sigma)), step.pred_original_sample, atol=2e-4 * float(sigma))


@torch.no_grad()
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_edm(prediction: str) -> None:
    scheduler = diffusers.EDMEulerScheduler(prediction_type=prediction)
    scheduler.set_timesteps(30)
    pipe = pipeline(scheduler)
    prior = ScorePrior.from_diffusers(pipe)
    assert (prior.sigma_min, prior.sigma_max, prior.sigma_data) == (0.002, 80, 0.5)
    assert prior.value_range == (-1, 1)  # for pictures and PSNR; means beyond it are the scheduler's business
    t, sigma = scheduler.timesteps[12], float(scheduler.sigmas[12])
    x = sigma * images()
    step = scheduler.step(pipe.unet(scheduler.scale_model_input(x, t), t).sample, t, x)
    assert torch.allclose(prior.denoise(x, sigma), step.pred_original_sample, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("embedding", ["fourier", "positional"])
def test_variance_exploding_sde(embedding: str) -> None:
    scheduler = diffusers.ScoreSdeVeScheduler(sigma_min=0.2, sigma_max=90.0)
    scheduler.set_timesteps(10)
    pipe = pipeline(scheduler, unet(time_embedding_type=embedding, center_input_sample=True))
    prior = ScorePrior.from_diffusers(pipe)
    assert (prior.sigma_min, prior.sigma_max) == (0.4, 180.0)  # of images in [-1, 1], whose authors' are in [0, 1]
    x, sigma = (images() + 1) / 2, torch.full((2,), 0.2)
    step = scheduler.step_pred(pipe.unet(x, sigma).sample, 0, x)  # from the first level there is no noise left
    assert torch.allclose(prior.denoise(2 * x - 1, 0.4), 2 * step.prev_sample_mean - 1, atol=1e-5)


@torch.no_grad()
def test_flow_matching() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(10)
    pipe = pipeline(scheduler)
    prior = ScorePrior.from_diffusers(pipe)
    t, s, after = scheduler.timesteps[4], float(scheduler.sigmas[4]), float(scheduler.sigmas[5])
    x_s = images()
    step = scheduler.step(pipe.unet(x_s, t).sample, t, x_s).prev_sample
    clean = prior.denoise(x_s / (1 - s), s / (1 - s))
    epsilon = (x_s - (1 - s) * clean) / s
    assert torch.allclose((1 - after) * clean + after * epsilon, step, atol=1e-4)


@torch.no_grad()
def test_learned_variances_are_left_out() -> None:
    model = unet(out=2)
    prior = ScorePrior.from_diffusers(pipeline(diffusers.DDIMScheduler(clip_sample=False), model))
    alpha = diffusers.DDIMScheduler().alphas_cumprod[300]
    x, sigma = images(), float((1 / alpha - 1).sqrt())
    expected = x - sigma * model(x * alpha.sqrt(), 300).sample[:, :1]
    assert torch.allclose(prior.denoise(x, sigma), expected, atol=1e-4)


@torch.no_grad()
def conditional() -> Any:
    """A pipeline of ten classes."""
    torch.manual_seed(0)
    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=1, out_channels=2, num_layers=1, norm_num_groups=4,
        sample_size=16, patch_size=4, num_embeds_ada_norm=10,
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        parameter.normal_(0, 0.2)
    return pipeline(diffusers.DDIMScheduler(clip_sample=False), model)


@torch.no_grad()
def test_classes_and_guidance() -> None:
    pipe = conditional()

    def denoised(**options: Any) -> Tensor:
        return ScorePrior.from_diffusers(pipe, **options).denoise(images(), 2.0)

    three, free = denoised(class_label=3), denoised(class_label=3, guidance=0.0)
    assert not torch.allclose(three, denoised(class_label=4))
    assert torch.allclose(denoised(class_label=3, guidance=2.5), free + 2.5 * (three - free), atol=1e-4)
    for options in ({}, {"class_label": 10}):
        with pytest.raises(InvalidValueError, match="class_label in 0 … 9"):
            denoised(**options)
    with pytest.raises(InvalidValueError, match="has no classes"):
        ScorePrior.from_diffusers(pipeline(diffusers.DDIMScheduler()), class_label=1)
    with pytest.raises(InvalidValueError, match="null_label is 11"):
        denoised(class_label=3, guidance=2.0, null_label=11)
    with pytest.raises(InvalidValueError, match="guidance needs"):
        ScorePrior.from_diffusers(pipeline(diffusers.DDIMScheduler()), guidance=2.0)


@torch.no_grad()
def test_a_class_for_each_measurement() -> None:
    pipe = conditional()
    prior = ScorePrior.from_diffusers(pipe, class_label=[3, 4, 3])
    ones = [ScorePrior.from_diffusers(pipe, class_label=label) for label in (3, 4, 3)]
    x, sigma = images(6).reshape(2, 3, *SHAPE), torch.tensor([0.5, 1.0, 2.0])
    separate = torch.stack([one.denoise(x[:, b], sigma[b]) for b, one in enumerate(ones)], 1)
    assert torch.allclose(prior.denoise(x, sigma), separate, atol=1e-5)
    assert not torch.allclose(prior.denoise(x, 1.0)[:, 1], ones[0].denoise(x[:, 1], 1.0), atol=1e-2)
    assert torch.allclose(prior.mean(), torch.stack([one.mean() for one in ones]), atol=1e-3)  # of hundreds


@torch.no_grad()
def test_a_folder_and_samplers(tmp_path: Path) -> None:
    pipe = pipeline(diffusers.DDPMScheduler())
    pipe.save_pretrained(tmp_path / "model")
    prior = ScorePrior.from_diffusers(tmp_path / "model")
    whole = ScorePrior.from_diffusers(pipe)
    assert torch.equal(prior.denoise(images(), 1.0), whole.denoise(images(), 1.0))
    loaded = load_prior(tmp_path / "model")
    assert isinstance(loaded, ScorePrior) and torch.equal(prior.denoise(images(), 1.0), loaded.denoise(images(), 1.0))
    half = ScorePrior.from_diffusers(tmp_path / "model", dtype=torch.bfloat16)
    out = half.denoise(images(), 1.0)
    assert out.dtype == torch.float32 and torch.allclose(out, prior.denoise(images(), 1.0), atol=0.1)
    likelihood = GaussianLikelihood(Inpainting.half_image(SHAPE, "top"), 0.1)
    problem = Posterior(prior, likelihood, likelihood.simulate(images(1), Noise.of(0)))
    for sampler in (DiffPIR(steps=4), DPS(steps=4)):
        assert torch.isfinite(sampler.sample(problem, 2, progress=False).x).all()


def test_latent_diffusion() -> None:
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=1, block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.5,
    )  # fmt: skip

    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    parts = {"unet": unet(), "scheduler": scheduler, "vae": vae.eval()}
    prior = ScorePrior.from_diffusers(SimpleNamespace(components=parts))
    z = images(4).reshape(2, 2, *SHAPE)
    with torch.no_grad():
        decoded = prior.decode(z)
        assert decoded.shape == (2, 2, 3, 32, 32) and prior.sigma_data == 1.0
        assert torch.allclose(decoded[1, 0], vae.decode(z[1, :1] / 0.5).sample[0], atol=1e-5)
    operator = operator_on_latents(prior, Downsampling((3, 32, 32), 4))
    likelihood = GaussianLikelihood(operator, 0.1)
    problem = Posterior(prior, likelihood, likelihood.simulate(z[:, 0], Noise.of(0, 2)))
    draws = DPS(steps=3).sample(problem, 2, progress=False)
    assert draws.x.shape == (2, 2, 3, 32, 32)
    assert TemperedSMC("fast", population=8).plan(problem, 2).nfe > 0  # foretold from latents, which it moves
    assert AnnealedLangevin(form="code")._levels(problem)[-1].min() >= prior.sigma_min > 0.01


class Strange:
    """A scheduler of no known process."""

    config = MappingProxyType({})


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="holds no model of diffusers"):
        ScorePrior.from_diffusers(tmp_path)
    unknown = {"unet": unet(), "scheduler": Strange()}
    for parts, reason in (({"unet": unet()}, "no scheduler"), (unknown, "is not known")):
        with pytest.raises(IncompatibleError, match=reason):
            ScorePrior.from_diffusers(SimpleNamespace(components=parts))
    pipeline(diffusers.DDPMScheduler()).save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(FileFormatError, match="safetensors"):
        ScorePrior.from_diffusers(tmp_path / "pickled")
