"""The loop that drives a sampler: blocks of draws, active measurements, network calls, progress, checkpoints."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from posterior.errors import FileFormatError, NotFiniteError
from posterior.noise import Noise
from posterior.priors.base import ScorePrior
from posterior.problem import Posterior
from posterior.results import Samples
from samplers.base import Callback, Info, Sampler, State

_SAVE_EVERY = 60.0  # seconds


class MeteredPrior(ScorePrior):
    """A score prior seen through a meter: counts rows, and sends the network at most `batch_size` of them a call."""

    def __init__(self, prior: ScorePrior, batch_size: int | None) -> None:
        super().__init__()
        self.prior, self.batch_size = prior, batch_size
        self.event_shape, self.value_range = prior.event_shape, prior.value_range
        self.sigma_data, self.sigma_min, self.sigma_max = prior.sigma_data, prior.sigma_min, prior.sigma_max
        self.rows = self.grad_rows = 0

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.rows += len(x)
        size = self.batch_size or len(x)
        if len(x) <= size:
            out = self.prior._denoise(x, sigma)
        else:
            parts = zip(x.split(size), sigma.split(size), strict=True)
            out = torch.cat([self.prior._denoise(*part) for part in parts])
        if out.requires_grad:
            out.register_hook(self._count_grad)
        return out

    def reset(self) -> None:
        """Start counting anew."""
        self.rows = self.grad_rows = 0

    def _count_grad(self, grad: Tensor) -> None:
        self.grad_rows += len(grad)

    def mean(self) -> Tensor:
        return self.prior.mean()  # one image for all draws: not a cost of any of them

    def decode(self, state: Tensor) -> Tensor:
        return self.prior.decode(state)

    def exact_sample(self, num_samples: int, noise: Noise) -> Tensor:
        return self.prior.exact_sample(num_samples, noise)

    def exact_denoise(self, z: Tensor, sigma: Tensor | float, noise: Noise) -> Tensor:
        return self.prior.exact_denoise(z, sigma, noise)


class Run:
    """One call of `Sampler.sample`.

    Draws are made in blocks of `sampler.draws_at_once`. In each, the measurements that are not done take steps
    together; their draws do not depend on which others still run.
    """

    def __init__(
        self, sampler: Sampler, problem: Posterior, num_samples: int, seed: int, batch_size: int | None,
        callback: Callback | None, checkpoint: str | Path | None, progress: bool,
    ) -> None:  # fmt: skip
        assert isinstance(problem.prior, ScorePrior)
        self.sampler, self.num_samples, self.callback, self.progress = sampler, num_samples, callback, progress
        self.meter = MeteredPrior(problem.prior, batch_size)
        self.problem = problem.with_prior(self.meter)
        self.at_once = sampler.draws_at_once(num_samples)
        self.num_blocks = -(-num_samples // self.at_once)
        self.noise = problem.noise(seed, self.num_blocks * self.at_once)
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.identity = _identity(sampler, problem, num_samples, seed)
        self.saved_at = time.monotonic()

    def samples(self) -> Samples:
        """Run all blocks and put them together."""
        done, going = self._restore()
        bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        name = self.sampler.name
        with tqdm(total=self.num_blocks, disable=not self.progress, desc=name, bar_format=bar_format) as bar:
            for block in range(len(done), self.num_blocks):
                done.append(self._block(block, done, going, bar))
                going = None
                self._save(done, None)
        x = torch.cat([part["x"] for part in done])[: self.num_samples]
        wanted = self.num_blocks * self.at_once / self.num_samples  # draws made for each that is returned
        nfe, nfe_grad = (torch.stack([part[name] for part in done]).mean(0) * wanted for name in ("nfe", "nfe_grad"))
        names = [name.removeprefix("info.") for name in done[0] if name.startswith("info.")]
        info = {}
        for name in names:  # the records of several blocks stand one after the other
            parts = [part[f"info.{name}"] for part in done]
            info[name] = torch.cat(parts) if parts[0].ndim == 2 else self.sampler.pool(name, torch.stack(parts))
        return Samples(self.problem.prior.decode(x), nfe, nfe_grad, info)

    def _block(self, block: int, done: list[Info], going: dict[str, Any] | None, bar: tqdm) -> Info:
        noise = dataclasses.replace(self.noise, draws=self.noise.draws[block * self.at_once :][: self.at_once])
        everyone = torch.arange(len(self.problem), device=self.problem.device)
        if going is None:
            nfe = torch.zeros(2, len(self.problem), dtype=torch.float64, device=self.problem.device)
            state = self.sampler.init(self.problem, noise.use("init"))
            trace: list[Info] = []
            self._count(nfe, everyone)
        else:
            state = self.sampler.state_type(**going["state"])
            nfe, trace = going["nfe"], going["trace"]
        active, problem = everyone, self.problem
        while not bool(state.done.all()):
            if bool(state.done[active].any()):
                active = (~state.done).nonzero().flatten()
                problem = self.problem.select(active)
            step = len(trace)
            if len(active) == len(everyone):
                state, info = self.sampler.step(problem, state, noise.at(step))
            else:
                part, info = self.sampler.step(problem, state.select(active), noise.select(active).at(step))
                state.update(active, part)
            self._count(nfe, active)
            self._guard(state, step)
            trace.append({name: _spread(values, active, len(everyone)) for name, values in info.items()})
            bar.n = round(block + float(state.progress.mean()), 4)
            bar.set_postfix(
                measurements=f"{int(state.done.sum())}/{len(everyone)}", calls=f"{float(nfe[0].mean()):.0f}"
            )
            if self.callback:
                self.callback(step, state, info)
            if time.monotonic() - self.saved_at > _SAVE_EVERY:
                self._save(done, {"state": state.tensors(), "nfe": nfe, "trace": trace})
        x, last = self.sampler.finish(self.problem, state, noise.use("finish"))
        self._count(nfe, everyone)
        record = {name: torch.stack([entry[name] for entry in trace]) for name in (trace[0] if trace else {})} | last
        return {"x": x, "nfe": nfe[0], "nfe_grad": nfe[1]} | {f"info.{name}": v for name, v in record.items()}

    def _count(self, nfe: Tensor, active: Tensor) -> None:
        rows = torch.tensor([self.meter.rows, self.meter.grad_rows], dtype=nfe.dtype, device=nfe.device)
        nfe[:, active] += rows[:, None] / (self.at_once * len(active))
        self.meter.reset()

    def _guard(self, state: State, step: int) -> None:
        finite = torch.isfinite(state.x).flatten(2).all(-1).all(0)
        if not bool(finite.all()):
            names = [self.problem.ids[b] for b in (~finite).nonzero().flatten().tolist()]
            raise NotFiniteError(
                f"{self.sampler.name} reached NaN or infinity at step {step} for measurement(s) {names}: check that "
                "the prior gives finite values at these noise levels, and that step sizes suit the operator's norm"
            )

    def _save(self, done: list[Info], going: dict[str, Any] | None) -> None:
        if self.checkpoint:
            partial = self.checkpoint.with_name(self.checkpoint.name + ".partial")
            torch.save({"identity": self.identity, "done": done, "going": going}, partial)
            partial.replace(self.checkpoint)  # a run that is killed while it writes leaves the last one whole
        self.saved_at = time.monotonic()

    def _restore(self) -> tuple[list[Info], dict[str, Any] | None]:
        if self.checkpoint is None or not self.checkpoint.exists():
            return [], None
        try:
            saved = torch.load(self.checkpoint, weights_only=True, map_location=self.problem.device)
            identity, done, going = saved["identity"], saved["done"], saved["going"]
        except Exception as error:
            raise FileFormatError(
                f"cannot read the checkpoint {self.checkpoint}: {error}; delete it to start anew"
            ) from error
        if identity != self.identity:
            raise FileFormatError(
                f"{self.checkpoint} is the checkpoint of another run (sampler, seed, number of samples, measurements "
                "or noise differ); name another file, or delete it to start anew"
            )
        return done, going


def _identity(sampler: Sampler, problem: Posterior, num_samples: int, seed: int) -> str:
    digest = hashlib.blake2b(repr((sampler, problem.ids, num_samples, seed, problem.prior, problem.operator)).encode())
    for module in (problem.prior, problem.likelihood):
        for tensor in (problem.y, *module.parameters(), *module.buffers()):
            values = tensor.detach().cpu().contiguous().resolve_conj()
            digest.update(repr((tuple(values.shape), values.dtype)).encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _spread(values: Tensor, active: Tensor, size: int) -> Tensor:
    """Values of the active measurements among all, NaN elsewhere."""
    full = values.new_full((size,), float("nan"), dtype=torch.float64)
    full[active] = values.double()
    return full
