"""The loop that drives a sampler: active measurements, network calls, progress, checkpoints."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.checkpoint import Checkpoint, fingerprint
from posterior.errors import NotFiniteError
from posterior.noise import Noise
from posterior.priors.base import ScorePrior
from posterior.priors.flows import FlowPrior
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from posterior.results import Samples
from samplers.base import Callback, Info, Sampler, State
from samplers.diagnosis import plain_words
from samplers.latent.problem import LatentPosterior

_SAVE_EVERY, _SHOW_EVERY = 60.0, 0.1  # seconds


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


class MeteredGenerator(GeneratorPrior):
    """A generator seen through a meter: counts rows, and sends the network at most `batch_size` of them a call."""

    def __init__(self, prior: GeneratorPrior, batch_size: int | None) -> None:
        super().__init__()
        self.prior, self.batch_size = prior, batch_size
        self.event_shape, self.value_range, self.latent_shape = prior.event_shape, prior.value_range, prior.latent_shape
        self.rows = self.grad_rows = 0

    def forward(self, z: Tensor) -> Tensor:
        lead = z.shape[: z.ndim - len(self.latent_shape)]
        rows = z.reshape(-1, *self.latent_shape)
        self.rows += len(rows)
        x = torch.cat([self.prior(part) for part in rows.split(self.batch_size or max(1, len(rows)))])
        if x.requires_grad:
            x.register_hook(self._count_grad)
        return x.reshape(*lead, *self.event_shape)

    def reset(self) -> None:
        """Start counting anew."""
        self.rows = self.grad_rows = 0

    def _count_grad(self, grad: Tensor) -> None:
        self.grad_rows += len(grad)


class MeteredFlow(MeteredGenerator, FlowPrior):
    """A flow seen through a meter, which counts images on their way back to latents too."""

    prior: FlowPrior

    def __init__(self, prior: FlowPrior, batch_size: int | None) -> None:
        super().__init__(prior, batch_size)
        self.support = prior.support

    def inverse_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        lead = x.shape[: x.ndim - len(self.event_shape)]
        rows = x.reshape(-1, *self.event_shape)
        self.rows += len(rows)
        parts = [self.prior.inverse_and_log_det(part) for part in rows.split(self.batch_size or max(1, len(rows)))]
        z, log_det = (torch.cat(values) for values in zip(*parts, strict=True))
        if z.requires_grad:
            z.register_hook(self._count_grad)
        return z.reshape(*lead, *self.latent_shape), log_det.reshape(lead)


class Run:
    """One call of `Sampler.sample`.

    The measurements that are not done take steps together; their draws do not depend on which others still run. `first`
    is the number of the first draw.
    """

    def __init__(
        self, sampler: Sampler, problem: Posterior, num_samples: int, seed: int, batch_size: int | None,
        callback: Callback | None, checkpoint: str | Path | None, progress: bool, first: int = 0,
    ) -> None:  # fmt: skip
        self.sampler, self.num_samples, self.callback, self.progress = sampler, num_samples, callback, progress
        if isinstance(problem.prior, GeneratorPrior):
            self.meter: MeteredGenerator | MeteredPrior
            if isinstance(problem.prior, FlowPrior):
                self.meter = MeteredFlow(problem.prior, batch_size)
            else:
                self.meter = MeteredGenerator(problem.prior, batch_size)
            self.problem: Posterior = LatentPosterior.of(problem.with_prior(self.meter))
        else:
            self.meter = MeteredPrior(problem.prior, batch_size)
            self.problem = problem.with_prior(self.meter)
        noise = problem.noise(seed, sampler.draws_at_once(num_samples))
        self.noise = replace(noise, draws=noise.draws + first)
        self.checkpoint = Checkpoint(checkpoint, identity(sampler, problem, num_samples, seed) if checkpoint else "")
        self.saved_at = time.monotonic()

    def samples(self) -> Samples:
        """Take steps until all measurements are done."""
        bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        with tqdm(total=1, disable=not self.progress, desc=self.sampler.name, bar_format=bar_format) as bar:
            state, nfe, trace = self._steps(bar)
        everyone = torch.arange(len(self.problem), device=self.problem.device)
        x, last = self.sampler.finish(self.problem, state, self.noise.use("finish"), self.num_samples)
        names = trace[0] if trace else {}
        info = {name: torch.stack([entry[name] for entry in trace]) for name in names} | last
        reasons = self.sampler.reasons(self.problem, info, self.num_samples)
        if reasons:
            info["warned"] = torch.stack(list(reasons.values())).any(0)
        warnings = plain_words(self.sampler, self.problem, reasons)
        decoded = self.problem.prior.decode(x)  # counted, where it is a network's work
        self._count(nfe, everyone)
        nfe /= self.num_samples
        latent = x if isinstance(self.meter, MeteredGenerator) else None
        return Samples(decoded, nfe[0], nfe[1], info, self.sampler.num_chains, latent, warnings)

    def _steps(self, bar: tqdm) -> tuple[State, Tensor, list[Info]]:
        everyone = torch.arange(len(self.problem), device=self.problem.device)
        saved = self.checkpoint.load(self.problem.device)
        if saved is None:
            nfe = torch.zeros(2, len(self.problem), dtype=torch.float64, device=self.problem.device)
            trace: list[Info] = []
            state = self.sampler.init(self.problem, self.noise.use("init"))
            self._count(nfe, everyone)
        else:
            state, nfe, trace = self.sampler.state_type(**saved["state"]), saved["nfe"], saved["trace"]
        active, problem, shown = everyone, self.problem, 0.0
        done = self._look(state, "at the start")
        while done < len(everyone):
            if len(active) + done > len(everyone):
                self._count(nfe, active)
                active = (~state.done).nonzero().flatten()
                problem = self.problem.select(active)
            step = len(trace)
            if len(active) == len(everyone):
                state, info = self.sampler.step(problem, state, self.noise.at(step))
            else:
                part, info = self.sampler.step(problem, state.select(active), self.noise.select(active).at(step))
                state.update(active, part)
            done = self._look(state, f"at step {step}")
            trace.append({name: _spread(values, active, len(everyone)) for name, values in info.items()})
            if self.callback and (wanted := self.callback(step, state, info)) is not None:
                state = wanted
                done = self._look(state, f"in the callback after step {step}")
            now = time.monotonic()
            if self.progress and (done == len(everyone) or now - shown > _SHOW_EVERY):
                self._count(nfe, active)
                self._show(bar, state, nfe)
                shown = now
            if now - self.saved_at > _SAVE_EVERY:
                self._count(nfe, active)
                self.checkpoint.save({"state": state.tensors(), "nfe": nfe, "trace": trace})
                self.saved_at = now
        self._count(nfe, active)
        if trace:  # or there is nothing that a run would have to do again
            self.checkpoint.save({"state": state.tensors(), "nfe": nfe, "trace": trace})
        return state, nfe, trace

    def _count(self, nfe: Tensor, active: Tensor) -> None:
        rows = torch.tensor([self.meter.rows, self.meter.grad_rows], dtype=nfe.dtype, device=nfe.device)
        nfe[:, active] += rows[:, None] / len(active)  # of all draws together: whole numbers, whenever they are added
        self.meter.reset()

    def _look(self, state: State, when: str) -> int:
        """How many measurements are done, after a check of the state."""
        # One transfer from the device, the only one of a step. A sum of finite terms may overflow: then look closer.
        done, total = torch.stack([state.done.sum().to(state.x.dtype), state.x.sum()]).tolist()
        if not math.isfinite(total) and (broken := (~state.x.isfinite()).flatten(2).any(-1).any(0)).any():
            names = [self.problem.ids[b] for b in broken.nonzero().flatten().tolist()]
            raise NotFiniteError(
                f"{self.sampler.name} reached NaN or infinity {when} for measurement(s) {names}: check that the prior "
                "gives finite values at these noise levels, and that step sizes suit the operator's norm"
            )
        return int(done)

    def _show(self, bar: tqdm, state: State, nfe: Tensor) -> None:
        bar.n = round(float(state.progress.mean()), 4)
        calls = float(nfe[0].mean()) / self.num_samples
        bar.set_postfix(measurements=f"{int(state.done.sum())}/{len(self.problem)}", calls=f"{calls:.0f}")


def identity(sampler: Sampler, problem: Posterior, num_samples: int, seed: int, *more: str) -> str:
    """What tells a run from any other, for its checkpoint."""
    return fingerprint(
        sampler, problem.ids, num_samples, seed, problem.prior, problem.operator, problem.likelihood, problem.y, *more
    )


def _spread(values: Tensor, active: Tensor, size: int) -> Tensor:
    """Values of the active measurements among all, NaN elsewhere."""
    full = values.new_full((size,), float("nan"), dtype=torch.float64)
    full[active] = values.double()
    return full
