"""Whether samples are of the posterior, by a move that would leave its law as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.verdict import Level, Verdict
from samplers.auxiliary_kernel import PriorSampling, auxiliary_move, largest_rho
from samplers.curvature import Curvature, is_linear_gaussian
from samplers.kernel import Move

MOVED, _STEPS = 16, 6  # samples that are moved at the most, and network calls for each
_AT_ONCE = 1 << 20  # values moved at once, if one sample has no more
_SURE = 4.0  # standard errors beyond which a change is one
_DOUBTFUL, _WRONG = 0.2, 0.5  # changes, in squared lengths of a step


class Change(NamedTuple):
    r"""How a move changes a mean square \(E\|v\|^2\), of which it would leave the posterior's as it is.

    Attributes:
        size: \(\sum(\|v'\|^2 - \|v\|^2) / \sum\|v' - v\|^2\) over samples, (B,). Of samples whose variance is 1 + e of
            the right one it is between −e and −e/2, whatever the number of dimensions and their scales.
        deviation: Its standard errors, as those of a Gaussian that is as improbable, (B,).
    """

    size: Tensor
    deviation: Tensor


def moving_calls(problem: Posterior, num_samples: int) -> int:
    """Network calls that the move takes for a measurement, which are not among those of the sampler."""
    return 2 * _STEPS * min(num_samples, MOVED) if _applies(problem) else 0


@dataclass(frozen=True)
class Reversed(Noise):
    """Another source with the sign of its Gaussian draws reversed: what is linear in these averages out over both."""

    @classmethod
    def of_source(cls, noise: Noise) -> Reversed:
        """For the samples of another source."""
        return cls(noise.keys, noise.draws, noise.step, noise.stream, noise.dtype)

    def normal(self, shape: Sequence[int] = ()) -> Tensor:
        """(S, B, *shape)."""
        return -super().normal(shape)


@torch.no_grad()
def verdicts_by_moving(
    problem: Posterior, x: Tensor, advice: str, parameters: Mapping[str, Tensor] | None = None
) -> tuple[Verdict, ...]:
    r"""The verdict on samples by one `auxiliary_move` of some of them, on a score prior with a linear-Gaussian problem.

    The move leaves p(x | y) invariant. So for samples x of it, and x′ where they are moved to, \(E f(x') = E f(x)\) for
    every f, given y: this sees a wrong spread in directions that y does not show, and no misfit of the model can hide
    or feign it. Looked at are the residual y − Ax and the distance of x from the prior's mean. It does not see modes
    that are missed, since a move stays in its mode.

    Args:
        problem: Prior, likelihood and measurements.
        x: Samples (S, B, *event_shape).
        advice: What to do about samples that are not of the posterior.
        parameters: Of the likelihood, (S, B) each, where x was drawn jointly with them: each is moved at its own.
    """
    verdicts = [Verdict()] * len(problem)
    if not _applies(problem) or len(x) < 2:
        return tuple(verdicts)
    moved = _evenly(x)
    models = [problem.with_parameters(**{k: v[s] for k, v in parameters.items()}) for s in moved] if parameters else []
    fine = x.isfinite().flatten(2).all(2).all(0)
    for model in models or [problem]:
        fine &= _rho(model, x[0]) >= problem.prior.sigma_min
    if not len(judged := fine.nonzero().flatten()):
        return tuple(verdicts)
    models = [model.select(judged) for model in models or [problem]]
    changes = _changes(models, x[moved, judged[:, None]].transpose(0, 1))
    for what, change in changes.items():
        for b, size, deviation in zip(judged.tolist(), *(part.tolist() for part in change), strict=True):
            if abs(deviation) > _SURE and abs(size) > _DOUBTFUL:
                level: Level = "not the posterior" if abs(size) > _WRONG else "doubtful"
                text = (
                    f"a move that leaves the posterior as it is {'raises' if size > 0 else 'lowers'} the samples' mean "
                    f"{what}, by {abs(size):.2g} squared steps ({abs(deviation):.0f} standard errors)"
                )
                verdicts[b] = verdicts[b].joined(Verdict(level, (text,), advice or "take TemperedSMC"))
    return tuple(verdicts)


def _applies(problem: Posterior) -> bool:
    return isinstance(problem.prior, ScorePrior) and is_linear_gaussian(problem)


def _evenly(x: Tensor) -> Tensor:
    """Indices of the samples that are moved."""
    count = min(len(x), MOVED)
    return torch.arange(count, device=x.device) * len(x) // count


def _rho(problem: Posterior, x: Tensor) -> Tensor:
    """The largest ρ of a move of images x (B, *event), (B,)."""
    return largest_rho(problem, Curvature(problem, x), torch.ones(len(problem), dtype=x.dtype, device=x.device))


def _changes(models: Sequence[Posterior], x: Tensor) -> dict[str, Change]:
    """The changes of samples (S, B, *event), each moved by noise and by the same reversed; some at a time.

    Of one model, or of as many as there are samples, those of each sample.
    """
    problem = models[0]
    noise, centre = problem.noise(0, len(x)).use("verdict by moving"), problem.prior.mean().to(x)
    at_once = max(1, _AT_ONCE // max(1, x[0].numel())) if len(models) == 1 else 1
    found: dict[str, list[Tensor]] = {"squared residual": [], "squared distance from the prior's mean": []}
    for part in torch.arange(len(x), device=x.device).split(at_once):
        problem = models[int(part[0]) % len(models)]
        curvature, rho = Curvature(problem, x[0]), _rho(problem, x[0])
        one = torch.ones_like(rho)
        own, before = replace(noise, draws=noise.draws[part]), x[part]
        residual, log_likelihood = _residual(problem, before), problem.log_likelihood(before)
        ways = []
        for source in (own, Reversed.of_source(own)):
            start = Move(before, log_likelihood, source.use("epsilon").normal(problem.event_shape))
            after = auxiliary_move(problem, start, one, rho, curvature, PriorSampling(_STEPS), source).x
            ways.append((squares(residual, _residual(problem, after)), squares(before - centre, after - centre)))
        for values, both in zip(found.values(), zip(*ways, strict=True), strict=True):
            values.append(torch.stack(both).mean(0))
    return {what: change(torch.cat(values, 1)) for what, values in found.items()}


def _residual(problem: Posterior, x: Tensor) -> Tensor:
    return problem.likelihood.residual(problem.likelihood.noiseless(x), problem.y)


def squares(before: Tensor, after: Tensor) -> Tensor:
    """‖v′‖² − ‖v‖² and ‖v′ − v‖² of each of (S, B, ...): (2, S, B)."""
    old, new, step = (v.flatten(2).abs().double().square().sum(2) for v in (before, after, after - before))
    return torch.stack([new - old, step])


def change(squares: Tensor) -> Change:
    """The change that such squares show."""
    difference, step = squares
    free = len(difference) - 1
    t = difference.mean(0) * len(difference) ** 0.5 / difference.std(0)
    # Wallace 1959, Bounds on normal approximations to Student's and the chi-square distributions, AMS 30.
    deviation = t.sign() * (free * (t.square() / free).log1p()).sqrt() * (8 * free + 1) / (8 * free + 3)
    return Change(difference.sum(0) / step.sum(0), deviation)
