"""Variational autoencoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterior.checks import Count, Positive, Range, checked
from posterior.networks.vae import VAE
from posterior.noise import Noise
from posterior.priors.generators import NetworkGenerator
from posterior.training.loop import save_samples, train


def negative_elbo(vae: VAE, images: Tensor, noise: Noise) -> Tensor:
    r"""Negative evidence lower bound of each image, in nats, with one draw of z: (N, *event) → (N,).

    $$ -E_{q(z \mid x)} \log p(x \mid z) + KL(q(z \mid x) \,\|\, N(0, I)), $$

    with log p(x | z) the Bernoulli cross-entropy of pixels (x + 1)/2.
    """
    mean, log_variance = vae.encoder(images)
    z = mean + (log_variance / 2).exp() * noise.use("latent").normal(mean.shape[1:])[0]
    target = (images.flatten(1) + 1) / 2
    cross_entropy = functional.binary_cross_entropy_with_logits(vae.decoder.logits(z), target, reduction="none").sum(1)
    return cross_entropy + 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)


def vae_loss(vae: nn.Module, images: Tensor, noise: Noise) -> Tensor:
    """The mean of `negative_elbo` over a batch."""
    assert isinstance(vae, VAE)
    return negative_elbo(vae, images, noise).mean()


@torch.no_grad()
def held_out_elbo(vae: VAE, images: Tensor, *, seed: int = 0, batch_size: int = 500) -> dict[str, float]:
    """Figures of images that were not trained on.

    Returns:
        `elbo` in nats an image, and `reconstruction_mse`, ‖G(E[z | x]) − x‖²/n, an entry, in units of [−1, 1].
    """
    device = next(vae.parameters()).device
    source = Noise.of(seed, len(images), device=device)
    elbo, squares = 0.0, 0.0
    for index in torch.arange(len(images), device=device).split(batch_size):
        part = images[index.to(images.device)].to(device)
        elbo -= float(negative_elbo(vae, part, source.select(index)).sum())
        squares += float((vae.decoder(vae.encoder(part)[0]) - part).square().sum())
    return {"elbo": elbo / len(images), "reconstruction_mse": squares / images.numel()}


@checked
def train_vae(
    images: Tensor,
    folder: str | Path,
    *,
    held_out: Tensor | None = None,
    latent: Count = 20,
    hidden: Sequence[Count] = (500, 500),
    dropout: Annotated[float, Range(0, 1, "[)")] = 0.0,
    steps: Count = 10_000,
    batch_size: Count = 100,
    learning_rate: Positive = 1e-3,
    evaluate_every: Count = 1000,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> NetworkGenerator:
    """Train a VAE on images (N, *event_shape) in [−1, 1]; resumes from what is in `folder`.

    Returns the prior of its decoder; the encoder stays in the checkpoint. Draws of the averaged weights are saved as
    `samples-<step>.png` beside the log.

    Args:
        held_out: Images whose ELBO and reconstruction error are logged while training goes on.
        latent, hidden, dropout: The network, see `VAE`.

    The other arguments are those of `train`.

    Raises:
        InvalidValueError: A setting is out of range.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # modules draw their first weights from the global generator
        vae = VAE(latent, hidden, images.shape[1:], dropout).to(device)

    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(averaged, VAE)
        save_samples(NetworkGenerator(averaged.decoder), Path(folder) / f"samples-{step}.png", seed)
        return held_out_elbo(averaged, held_out) if held_out is not None else {}

    train(
        vae, vae_loss, images, folder, steps=steps, batch_size=batch_size, learning_rate=learning_rate,
        evaluate=evaluate, evaluate_every=evaluate_every, autocast=False, seed=seed, progress=progress,
    )  # fmt: skip
    return NetworkGenerator(vae.decoder)
