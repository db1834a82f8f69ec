"""The training loop that every prior shares: averaged weights, checkpoints, progress, figures of held-out data."""

from __future__ import annotations

import copy
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from posterior.checks import Count, Positive, checked
from posterior.errors import CheckpointMismatchError, InvalidValueError
from posterior.io.checkpoint import Checkpoint, Identity, open_checkpoint
from posterior.io.fingerprint import fingerprint
from posterior.io.writing import write_text
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior

Loss = Callable[[nn.Module, Tensor, Noise], Tensor]

_SAVE_EVERY = 60.0  # seconds: what a run that is killed loses at the most


@checked
def train(
    model: nn.Module,
    loss: Loss,
    images: Tensor,
    folder: str | Path,
    *,
    steps: Count,
    batch_size: Count = 96,
    learning_rate: Positive = 1e-3,
    averaging: Count = 500,
    evaluate: Callable[[nn.Module, int], dict[str, float]] | None = None,
    evaluate_every: Count = 1000,
    autocast: bool | None = None,
    seed: int = 0,
    progress: bool = True,
    data: Any = None,
    choose_by: str | None = None,
) -> nn.Module:
    """Train a model with Adam, linear warm-up and cosine decay; return it with averaged weights.

    A run that stops goes on from `folder/checkpoint.pt`, saved at each evaluation, every minute and at Ctrl-C, to the
    same result: every random draw is a function of the seed and the step. One that has ended goes on where more steps
    are asked for.

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
        autocast: Whether the forward pass runs in bfloat16; on CUDA alone unless given: on many CPUs it is slower.
        data: What else the loss is computed from, so that a folder of other data is not gone on with.
        choose_by: A figure of `evaluate`: the weights that are returned are those of the evaluation at which it was
            least, and not the last.

    Raises:
        InvalidValueError: There are no images, a number is out of range, or the loss became NaN or infinite.
        CheckpointMismatchError: The checkpoint in `folder` is of another model, loss, data or settings, or of more
            steps.
        FileFormatError: It is unreadable.
        FileWriteError: It cannot be written, or another run uses it.
    """
    if len(images) == 0:
        raise InvalidValueError("there are no images to train on")
    path, log = Path(folder) / "checkpoint.pt", Path(folder) / "log.jsonl"
    settings = {"batch_size": batch_size, "learning_rate": learning_rate, "averaging": averaging, "seed": seed}
    layout = [(name, tuple(values.shape), values.dtype) for name, values in model.state_dict().items()]
    training = _Training(model, loss, images, batch_size, seed, autocast)

    def identity() -> Identity:
        digests = {"model": (repr(model), layout), "training data": (images, data), **settings}
        digests |= {} if choose_by is None else {"choose_by": choose_by}
        return {"kind": "training"} | {name: fingerprint(value) for name, value in digests.items()}

    def report(step: int, value: float, before: str) -> str:
        """The log with one more line; it is a file of its own, so that it can be read while training goes on."""
        figures = {"step": step, "loss": value} | (evaluate(training.averaged, step) if evaluate else {})
        if choose_by is not None and training.is_best(figures[choose_by]):
            training.save(file, step, value)  # before the log: without its line a run that stops here evaluates again
        write_text(log, text := before + json.dumps(figures) + "\n")
        return text

    with open_checkpoint(path, identity) as file:
        start, value = training.resume(file)
        if start > steps:
            raise CheckpointMismatchError(f"{path} is of {start} steps, more than {steps}; name another folder")
        lines = log.read_text() if start and log.exists() else ""
        if start and _due(start, steps, evaluate_every) and f'{{"step": {start},' not in lines:
            lines = report(start, value, lines)  # it was stopped in the evaluation
        saved = time.monotonic()
        with tqdm(range(start, steps), initial=start, total=steps, disable=not progress, desc="training") as bar:
            for step in bar:
                with _interrupts_held() as interrupted:
                    value = training.step(step, learning_rate * _schedule(step, steps), averaging)
                bar.set_postfix(loss=f"{value:.4f}", refresh=False)
                evaluating = _due(step + 1, steps, evaluate_every)
                if evaluating or interrupted or time.monotonic() - saved >= _SAVE_EVERY:
                    training.save(file, step + 1, value)
                    saved = time.monotonic()
                if interrupted:
                    raise KeyboardInterrupt
                if evaluating:
                    lines = report(step + 1, value, lines)
    model.load_state_dict(training.best["weights"] if training.best else training.averaged.state_dict())
    return model.eval().requires_grad_(False)


class _Training:
    """What training has come to: the weights, their average and the optimiser's state.

    Args:
        model: What is trained, in place.
        loss, images, batch_size, seed, autocast: As for `train`.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, images: Tensor, batch_size: int, seed: int, autocast: bool | None
    ) -> None:
        self.model, self.loss, self.images, self.seed = model, loss, images, seed
        self.averaged = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimiser = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99))
        self.device = next(model.parameters()).device
        self.autocast = self.device.type == "cuda" if autocast is None else autocast
        self.noise = Noise.of(seed, batch_size, device=self.device)
        self.parts: dict[str, Any] = {"averaged": self.averaged, "model": model, "optimiser": self.optimiser}
        self.best: dict[str, Any] = {}  # the averaged weights whose figure was least, and the figure

    def step(self, step: int, learning_rate: float, averaging: int) -> float:
        """One step of the optimiser and of the average; the loss before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            value = self._loss(self.model, step)
        if not torch.isfinite(value):
            raise InvalidValueError(f"the loss is {value.item()} at step {step}: lower the learning rate")
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        self.optimiser.step()
        _average(self.averaged, self.model, min(1 - 1 / averaging, (1 + step) / (10 + step)))
        return value.item()

    def is_best(self, figure: float) -> bool:
        """Whether a figure of the averaged weights is the least so far; they are then kept."""
        if not figure < self.best.get("figure", math.inf):
            return False
        self.best = {"figure": figure, "weights": copy.deepcopy(self.averaged.state_dict())}
        return True

    def save(self, file: Checkpoint, step: int, value: float) -> None:
        """Keep what there is after a number of steps, and the last loss."""
        states = {name: part.state_dict() for name, part in self.parts.items()}
        best = {"best": self.best} if self.best else {}
        file.save({"step": step, "loss": value, "known": self._known()} | states | best)

    def resume(self, file: Checkpoint) -> tuple[int, float]:
        """Go on from what was kept: after how many steps, and the last loss."""
        kept = file.load(self.device)
        if kept is None:
            return 0, math.nan
        self.averaged.load_state_dict(kept["averaged"])
        file.compare(kept["known"], self._known())  # before the model is touched
        for name, part in self.parts.items():
            part.load_state_dict(kept[name])
        self.best = kept.get("best", {})
        return kept["step"], kept["loss"]

    @torch.no_grad()
    def _known(self) -> dict[str, str | Tensor]:
        """The averaged model's loss on the first batch, by which its code and that of the loss are known."""
        return {"values of the loss": self._loss(self.averaged, 0)}

    def _loss(self, model: nn.Module, step: int) -> Tensor:
        """The loss of a model on the batch of a step."""
        noise = self.noise.at(step)
        index = (noise.use("batch").uniform()[0] * len(self.images)).long()
        batch = self.images[index.to(self.images.device)].to(self.device)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(hash((self.seed, step)))  # dropout draws from the global generator
            return self.loss(model, batch, noise)


@torch.no_grad()
def save_samples(prior: ScorePrior | GeneratorPrior, path: Path, seed: int = 0) -> None:
    """Draw 25 images of a prior and save them as one picture; nothing of priors that are not of pictures."""
    from posterior.figures import sample_sheet, save_figure

    if len(prior.event_shape) == 3 and prior.event_shape[0] in (1, 2, 3):
        draws = prior.sample(25, Noise.of(seed, device=prior.device))[:, 0]
        save_figure(sample_sheet(draws, prior.value_range), path)


def _due(step: int, steps: int, every: int) -> bool:
    """Whether figures are wanted after so many steps."""
    return step % every == 0 or step == steps


@contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Hold Ctrl-C back, so that what the block changes in place is whole; a second one comes through.

    The list that it gives is empty as long as there was none.
    """
    held: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield held  # where signals do not arrive, or nobody asked for them
        return

    def hold(number: int, frame: Any) -> None:
        if held:
            before(number, frame)
        held.append(number)

    signal.signal(signal.SIGINT, hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, before)


def _schedule(step: int, steps: int, warm_up: int = 200) -> float:
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), [p.detach() for p in model.parameters()], 1 - decay)
    for mean, buffer in zip(averaged.buffers(), model.buffers(), strict=True):
        mean.copy_(buffer)
