"""Flows by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posterior.checks import Count, Positive, checked
from posterior.errors import ShapeError
from posterior.networks.image_flow import ImageFlow
from posterior.networks.vector_flow import VectorFlow
from posterior.noise import Noise
from posterior.priors.flows import FlowPrior, NetworkFlow
from posterior.training.loop import save_samples, train

_GREYS = 256


def dequantised(images: Tensor, noise: Noise) -> Tensor:
    r"""Images of 256 grey values spread evenly, each over its share of [−1, 1]: (N, *event) → the same.

    $$ x' = 2\,\frac{k + u}{256} - 1, \quad k = \tfrac{255}{2}(x + 1), \quad u \sim U(0, 1) $$

    A density of these, averaged over u, is a bound of the probability of the grey values.

    References:
        Theis, van den Oord & Bethge 2016, A note on the evaluation of generative models, arXiv:1511.01844.
    """
    grey = ((images + 1) * (_GREYS - 1) / 2).round()
    return 2 * (grey + noise.use("dequantise").uniform(images.shape[1:])[0]) / _GREYS - 1


def bits(prior: FlowPrior, x: Tensor, noise: Noise) -> Tensor:
    r"""Bits a dimension of each image or vector (N, *event): (N,).

    Vectors: \(-\log_2 p(x)/n\). Images: those of their 256 grey values, dequantised once, \(-\log_2 p(x')/n +
    \log_2(256/2)\).
    """
    picture = x.ndim == 4
    nats = -prior.log_prob(dequantised(x, noise) if picture else x) / math.prod(x.shape[1:])
    return nats / math.log(2) + (math.log2(_GREYS / 2) if picture else 0.0)


def flow_loss(prior: nn.Module, x: Tensor, noise: Noise) -> Tensor:
    """The mean of `bits` over a batch."""
    assert isinstance(prior, FlowPrior)
    return bits(prior, x, noise).mean()


@torch.no_grad()
def held_out_bits(prior: FlowPrior, x: Tensor, *, seed: int = 0, batch_size: int = 250) -> dict[str, float]:
    """The mean of `bits` over images or vectors that were not trained on, and its standard error over them."""
    source = Noise.of(seed, len(x), device=prior.device)
    parts = torch.arange(len(x), device=prior.device).split(batch_size)
    found = torch.cat([bits(prior, x[part.to(x.device)].to(prior.device), source.select(part)) for part in parts])
    return {"bits": float(found.mean()), "error": float(found.std() / len(found) ** 0.5)}


@checked
def train_flow(
    x: Tensor,
    folder: str | Path,
    *,
    held_out: Tensor | None = None,
    network: Mapping[str, Any] | None = None,
    steps: Count = 10_000,
    batch_size: Count = 96,
    learning_rate: Positive = 1e-3,
    evaluate_every: Count = 1000,
    autocast: bool | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> NetworkFlow:
    """Train a flow prior by maximum likelihood; resumes from what is in `folder`.

    Draws of the averaged weights are saved as `samples-<step>.png` beside the log, of images.

    Args:
        x: Images (N, C, H, W) in [−1, 1] of 256 grey values, or vectors (N, d).
        held_out: More of them, whose bits a dimension are logged while training goes on.
        network: Settings of the network, `ImageFlow` or `VectorFlow`.

    The other arguments are those of `train`; splines are always trained in full precision.

    Raises:
        ShapeError: They are neither images nor vectors, or the images' sides do not suit the network.
        InvalidValueError: A setting is out of range.
    """
    if x.ndim not in (2, 4):
        raise ShapeError(f"a flow is trained on images (N, C, H, W) or vectors (N, d), got {tuple(x.shape)}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # modules draw their first weights from the global generator
        settings = dict(network or {})
        flow = ImageFlow(x.shape[1:], **settings) if x.ndim == 4 else VectorFlow(x.shape[1], **settings)
    prior = NetworkFlow(flow).to(device)
    first = x[: 4 * batch_size].to(device)
    flow.fit_scales(dequantised(first, Noise.of(seed, len(first), device=device)) if x.ndim == 4 else first)

    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(averaged, NetworkFlow)
        save_samples(averaged, Path(folder) / f"samples-{step}.png", seed)
        return held_out_bits(averaged, held_out) if held_out is not None else {}

    train(
        prior, flow_loss, x, folder, steps=steps, batch_size=batch_size, learning_rate=learning_rate,
        evaluate=evaluate, evaluate_every=evaluate_every, autocast=autocast if x.ndim == 4 else False, seed=seed,
        progress=progress,
    )  # fmt: skip
    return prior
