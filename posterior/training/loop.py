"""The training loop that every prior shares: averaged weights, checkpoints, progress, figures of held-out data."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from posterior.errors import InvalidValueError
from posterior.io.checkpoint import Checkpoint, fingerprint
from posterior.noise import Noise
from posterior.priors.base import ScorePrior
from posterior.priors.generators import GeneratorPrior

Loss = Callable[[nn.Module, Tensor, Noise], Tensor]

_SAVE_EVERY = 60.0  # seconds: what an interrupted run loses at the most


def train(
    model: nn.Module,
    loss: Loss,
    images: Tensor,
    folder: str | Path,
    *,
    steps: int,
    batch_size: int = 96,
    learning_rate: float = 1e-3,
    averaging: int = 500,
    evaluate: Callable[[nn.Module, int], dict[str, float]] | None = None,
    evaluate_every: int = 1000,
    autocast: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> nn.Module:
    """Train a model with Adam, linear warm-up and cosine decay; return it with averaged weights.

    A run that stops goes on from `folder/checkpoint.pt`, saved at each evaluation and every minute, to the same result:
    every random draw is a function of the seed and the step.

    Args:
        model: What is trained, in place.
        loss: Maps (model, batch (N, *event), noise) to a scalar.
        images: Training images (N, *event).
        folder: Where the checkpoint and the log (`log.jsonl`) go.
        steps: Optimiser steps in all.
        batch_size: Images a step.
        learning_rate: Peak step size.
        averaging: Time constant, in steps, of the exponential moving average of the weights.
        evaluate: Called with (averaged model, step) for figures to log, every `evaluate_every` steps and at the end.
        autocast: Whether the forward pass runs in bfloat16.

    Raises:
        InvalidValueError: There are no images, a number is out of range, or the loss became NaN or infinite.
        FileFormatError: The checkpoint in `folder` is unreadable or of another model.
    """
    if min(len(images), steps, batch_size, evaluate_every) < 1:
        raise InvalidValueError(
            "the number of images, steps, batch_size and evaluate_every are at least 1, got "
            f"{len(images)}, {steps}, {batch_size} and {evaluate_every}"
        )
    if not (0 < learning_rate < math.inf and averaging >= 1):
        raise InvalidValueError(f"learning_rate is positive and averaging at least 1, got {learning_rate}, {averaging}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, betas=(0.9, 0.99))
    device = next(model.parameters()).device
    source = Noise.of(seed, batch_size, device=device)
    layout = [(name, tuple(values.shape), values.dtype) for name, values in model.state_dict().items()]
    file = Checkpoint(folder / "checkpoint.pt", fingerprint("training", type(model).__name__, layout))
    parts: dict[str, Any] = {"model": model, "averaged": averaged, "optimiser": optimiser}
    start = 0
    if kept := file.load(device):
        start = kept["step"]
        for name, part in parts.items():
            part.load_state_dict(kept[name])
    saved = time.monotonic()
    with tqdm(range(start, steps), initial=start, total=steps, disable=not progress, desc="training") as bar:
        for step in bar:
            noise = source.at(step)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * _schedule(step, steps)
            index = (noise.use("batch").uniform()[0] * len(images)).long()
            model.train()
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(hash((seed, step)))  # dropout draws from the global generator
                with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                    value = loss(model, images[index.to(images.device)].to(device), noise)
            if not torch.isfinite(value):
                raise InvalidValueError(f"the loss is {value.item()} at step {step}: lower the learning rate")
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            _average(averaged, model, min(1 - 1 / averaging, (1 + step) / (10 + step)))
            bar.set_postfix(loss=f"{value.item():.4f}", refresh=False)
            evaluating = (step + 1) % evaluate_every == 0 or step + 1 == steps
            if evaluating or time.monotonic() - saved >= _SAVE_EVERY:
                file.save({"step": step + 1} | {name: part.state_dict() for name, part in parts.items()})
                saved = time.monotonic()
            if evaluating:
                figures = {"step": step + 1, "loss": value.item()} | (evaluate(averaged, step + 1) if evaluate else {})
                with (folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps(figures) + "\n")
    model.load_state_dict(averaged.state_dict())
    return model.eval().requires_grad_(False)


@torch.no_grad()
def save_samples(prior: ScorePrior | GeneratorPrior, path: Path, seed: int = 0) -> None:
    """Draw 25 images of a prior and save them as one picture; nothing of priors that are not of pictures."""
    from posterior.figures import sample_sheet, save_figure

    if len(prior.event_shape) == 3 and prior.event_shape[0] in (1, 2, 3):
        draws = prior.sample(25, Noise.of(seed, device=prior.device))[:, 0]
        save_figure(sample_sheet(draws, prior.value_range), path)


def _schedule(step: int, steps: int, warm_up: int = 200) -> float:
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), [p.detach() for p in model.parameters()], 1 - decay)
    for mean, buffer in zip(averaged.buffers(), model.buffers(), strict=True):
        mean.copy_(buffer)
