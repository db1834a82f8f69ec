"""The verdict on samples and estimates: their misfit against its law, their range, and what their method reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.verdict import LEVELS, Level, Verdict

# Simulated measurements from which the law of a misfit is taken: more of small measurements, whose law is skewed.
_LEAST, _MOST, _VALUES = 64, 512, 1 << 14
_AT_ONCE = 1 << 22  # values simulated at once
_LEAST_SHARE = 0.2  # of the variance of a misfit that is never taken for explained by the samples
DOUBTFUL, _WRONG = 4.0, 8.0  # standard deviations by which a misfit is off
_FAR = 20.0  # standard deviations of the prior's entries that no entry of an image is away from their mean


class Misfit(NamedTuple):
    """Misfits −log p(y | x) of samples, beside those that the model's own measurements would have.

    Attributes:
        observed: Their mean over samples, (B,).
        expected: The same of simulated measurements, (B,).
        deviation: The difference, (B,), as the number of standard deviations of a Gaussian that is as improbable.
        residual: Root mean squared residual of y, in units of the noise, over samples: (B,).
    """

    observed: Tensor
    expected: Tensor
    deviation: Tensor
    residual: Tensor


@torch.no_grad()
def misfit_of(problem: Posterior, x: Tensor) -> Misfit:
    r"""The misfit T(y, x) = −log p(y | x) of samples, against the law of T(y′, x) with y′ ~ p(y | x).

    If x is a sample of p(x | y) the pairs (x, y) and (x, y′) have the same law, whatever the problem, so that
    E T(y, x) = E T(y′, x), and the mean over samples of one measurement, \(\bar T\), has the variance

    $$ \operatorname{Var} E[T \mid y] = \operatorname{Var} T - E \operatorname{Var}[T \mid y], $$

    the second estimated by the spread of T over the samples (law of total variance). That resolves a wrong noise level
    or operator by far less than the spread of T itself, where the samples are free to explain the measurement. The law
    of \(\bar T\) is taken for a Gamma law of shape m/2, m the number of values measured, with this mean and variance:
    for Gaussian noise and one sample that is exact.

    Args:
        problem: Prior, likelihood and measurements.
        x: Images (S, B, *event_shape).
    """
    likelihood, count = problem.likelihood, problem.likelihood.num_values(problem.y)
    values = math.prod(problem.likelihood.operator.measurement_shape)
    replicates = min(_MOST, max(_LEAST, _VALUES // max(1, values)))
    chosen = torch.arange(replicates, device=x.device) * len(x) // replicates  # evenly, or each several times
    noise = problem.noise(0, replicates).use("verdict")
    observed, residual, replicated = [], [], []
    for part in torch.arange(replicates, device=x.device).split(max(1, _AT_ONCE // (values * len(problem)))):
        images = x[chosen[part]]
        u, y = likelihood.noiseless(images), likelihood.simulate(images, replace(noise, draws=noise.draws[part]))
        observed.append(-likelihood.total(likelihood.log_density(u, problem.y)))
        residual.append(likelihood.total(likelihood.residual(u, problem.y).abs().square()))
        replicated.append(-likelihood.total(likelihood.log_density(u, y)))
    own, squares, simulated = (torch.cat(parts).double() for parts in (observed, residual, replicated))
    size, total = min(len(x), replicates), simulated.var(0)
    # Samples that differ more than the law allows are no reason to allow their mean more.
    spread = torch.minimum(own.var(0, correction=0) * size / max(1, size - 1), total)
    variance = torch.maximum(total - spread, _LEAST_SHARE * total) + spread / size + total / replicates
    difference = own.mean(0) - simulated.mean(0)
    deviation = torch.where(difference == 0, 0.0, difference / variance.sqrt())
    share = (squares.mean(0) / count).sqrt()
    return Misfit(own.mean(0), simulated.mean(0), _as_gaussian(deviation, count / 2), share)


def _as_gaussian(deviation: Tensor, shape: float | Tensor) -> Tensor:
    """Standard deviations from the mean of a Gamma law of this shape, as those of a Gaussian that is as improbable.

    References:
        Wilson & Hilferty 1931, The distribution of chi-square, PNAS 17.
    """
    shape = torch.as_tensor(shape, dtype=torch.float64, device=deviation.device)
    ratio = (1 + deviation / shape.sqrt()).clamp_min(0) ** (1 / 3)
    return (ratio - 1 + 1 / (9 * shape)) * 3 * shape.sqrt()


@torch.no_grad()
def judge(
    problem: Posterior, x: Tensor, reasons: dict[str, Tensor], advice: str, stopped: Sequence[str | None]
) -> tuple[Verdict, ...]:
    """The verdict on samples of each measurement.

    Args:
        problem: Prior, likelihood and measurements.
        x: Samples (S, B, *event_shape).
        reasons: Faults that the method itself reports, and of which measurements, (B,): true, false, or NaN where it
            cannot tell.
        advice: What to do about these, and where samples are not of the posterior.
        stopped: For each measurement, where its run was ended before its time; None if it was not.
    """
    misfit = misfit_of(problem, x)
    farthest = _farthest(problem, x)
    verdicts = []
    for b, early in enumerate(stopped):
        if not bool(x[:, b].isfinite().all()):
            verdicts.append(broken("samples hold NaN or infinity"))
            continue
        found: list[Verdict] = []
        if early is not None:
            found.append(Verdict("not the posterior", (early,), "let the run come to its end"))
        if farthest is not None and not float(farthest[b]) <= _FAR:
            text = f"an image has values {float(farthest[b]):.0f} standard deviations of the prior away from its mean"
            found.append(Verdict("not the posterior", (text,), _DIVERGED))
        deviation = float(misfit.deviation[b])
        if not math.isfinite(float(misfit.observed[b])):
            found.append(Verdict("not the posterior", ("log p(y | x) of the samples is NaN or −∞",), UNDEFINED))
        elif not abs(deviation) < DOUBTFUL:
            level: Level = "doubtful" if abs(deviation) < _WRONG else "not the posterior"
            found.append(Verdict(level, (_words(misfit, b),), f"{advice or 'take TemperedSMC'}, {_MISFIT}"))
        for reason, holds in reasons.items():
            if float(holds[b]) != 0:
                level = "too few to tell" if bool(holds[b].double().isnan()) else "doubtful"
                found.append(Verdict(level, (reason,), advice))
        verdict = Verdict()
        for one in sorted(found, key=lambda one: -LEVELS.index(one.level)):
            verdict = verdict.joined(one)
        verdicts.append(verdict)
    return tuple(verdicts)


@torch.no_grad()
def judge_estimate(problem: Posterior, x: Tensor, converged: Tensor) -> tuple[Verdict, ...]:
    """The verdict on a point estimate of each measurement, which may explain it too well but not too badly.

    Args:
        problem: Prior, likelihood and measurements.
        x: Images (B, *event_shape).
        converged: Whether the solver met its own criterion, (B,).
    """
    misfit, verdicts = misfit_of(problem, x[None]), []
    for b in range(len(x)):
        if not bool(x[b].isfinite().all()):
            verdicts.append(broken("the estimate or its loss is NaN or infinite"))
            continue
        findings, remedy = [], ""
        if not float(misfit.deviation[b]) < DOUBTFUL:
            findings.append(
                "the estimate explains the measurement worse than the noise allows: its residual is "
                f"{float(misfit.residual[b]):.3g} times the noise"
            )
            remedy = (
                "check that noise level and operator are those of the measurement, and that the prior has such images"
            )
        if not bool(converged[b]):
            findings.append("the solver did not converge by its own criterion")
            remedy = remedy or "take more steps"
        verdicts.append(Verdict("doubtful" if findings else "sound", tuple(findings), remedy))
    return tuple(verdicts)


def broken(finding: str) -> Verdict:
    """The verdict on a result that is NaN or infinite."""
    return Verdict("not the posterior", (finding,), _DIVERGED)


_DIVERGED = "take smaller steps or another method: this one diverged"
UNDEFINED = "check that the operator is defined for all images of the prior, and that y is in its units"
_MISFIT = (
    "or check that noise level, operator and prior are those of the measurement: either the samples are not of this "
    "posterior, or the model is not of this measurement"
)


def _words(misfit: Misfit, b: int) -> str:
    side, deviation = "worse" if misfit.deviation[b] > 0 else "better", abs(float(misfit.deviation[b]))
    return (
        f"the samples explain the measurement {side} than the noise allows: their residual is "
        f"{float(misfit.residual[b]):.3g} times the noise, which is {deviation:.2g} standard deviations off"
    )


def _farthest(problem: Posterior, x: Tensor) -> Tensor | None:
    """How far the farthest entry is from the prior's mean, in its standard deviations, (B,), where these are known."""
    prior = problem.prior
    if not isinstance(prior, ScorePrior):
        return None
    distance = (x - prior.mean().to(x)).abs().transpose(0, 1).flatten(1)
    return distance.amax(1) / prior.sigma_data
