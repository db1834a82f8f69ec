r"""Calibration: whether a method draws from the posterior, judged by many problems with known truth.

If \(x^* \sim p(x)\) and \(y \sim p(y \mid x^*)\), then given y the truth is one more draw of p(x | y). So among L
independent exact draws it has a uniform rank in any number that images have, and lies in regions of the draws as often
as they say. Where it does not, the method is wrong, or the prior is not that of the truths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.diagnostics.calibration_table import SIGNIFICANCE, Calibration, Check, Kind
from posterior.diagnostics.coverage import exchange_test, interval_levels, interval_shares
from posterior.diagnostics.functionals import (
    DEFAULT_FUNCTIONALS,
    Functional,
    distance_to_mean,
    distance_to_reference,
)
from posterior.diagnostics.scores import crps, energy_score
from posterior.diagnostics.uniformity import detectable_effect, holm, rank_band, rank_ecdf, rank_p_value
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError, check_finite
from posterior.identity import model_identity, trial
from posterior.io.checkpoint import Identity, open_checkpoint
from posterior.io.fingerprint import fingerprint
from posterior.likelihoods import Likelihood, ParameterPrior
from posterior.methods import Method
from posterior.noise import Noise
from posterior.priors.base import Prior
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.results import Samples

_HELD = 2  # draws that make TARP's reference and are not ranked
_KINDS: dict[str, Kind] = {"TARP": "TARP", "joint region": "coverage"}
_JOINT = "log-likelihood at its parameters"  # of truth and draws, each at its own
_TRUTH_STEPS = 200  # network calls a truth, where a prior is drawn by reverse diffusion


def calibrate(
    method: Method,
    prior: Prior,
    likelihood: Likelihood,
    *,
    truth: Tensor | None = None,
    num_problems: int = 200,
    num_samples: int = 39,
    thin: int = 1,
    functionals: Mapping[str, Functional] | None = None,
    seed: int = 0,
    batch: int = 50,
    batch_size: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> Calibration:
    """Judge a method by problems with known truth: ranks, TARP, coverage and proper scores.

    Truths drawn from the prior's own model judge the *sampler*; held-out images judge the *model*, prior and sampler
    together. The checks, each with a p-value, adjusted together after Holm:

    - uniform ranks of each functional (simulation-based calibration; Talts et al. 2018). Functionals of x alone are
      blind to a method that returns the prior; those of x and y, such as the log-likelihood, are not (Modrák et al.);
    - TARP: uniform ranks of the distance to a reference point that depends on y (Lemos et al. 2023);
    - the ball around the mean of the draws, and the equal-tailed intervals of all entries, hold the truth as often as
      they say. They see spread, and shifts that are not small against it.

    Draws must be independent given y: those of one chain, or of one population, are each right and yet all off to the
    same side, which looks as if they were too narrow. `thin` those of a chain by its autocorrelation time; of a
    population look at how many independent draws it stands for (`effective_samples`).

    A method with `parameters`, such as `BlockGibbs`, draws parameters of the likelihood together with images: then
    those of each problem are drawn from their priors, and ranked as functionals are.

    Args:
        method: What is judged. Its draws may depend on y, the ids 0 … N−1 and the seed.
        prior: The prior given to the method. Truths are its `exact_sample` where there is one, else its `sample`.
        likelihood: How measurements arise, its parameters one number each.
        truth: Held-out images (N, *event_shape), N ≤ num_problems being used, instead of draws of the prior.
        num_problems: Problems N.
        num_samples: Draws L ranked in each problem; 39 make intervals of exactly 50, 80 and 90 %. Two more are drawn.
        thin: Of every so many draws of the method, one is used.
        functionals: What is ranked, by name, chosen before results are seen: functions of images (S, B, *event) and
            their problem → (S, B). Those of `DEFAULT_FUNCTIONALS` unless given.
        seed: Of truths, measurements and draws.
        batch: Problems answered at a time; only ranks and scores of them are kept.
        batch_size: Images a network call, passed to the method.
        checkpoint: A file that is saved after each batch; a study that stopped, or that is to have more problems, goes
            on from it.
        progress: Whether to show a progress bar.

    Raises:
        InvalidValueError: A number is too small, or a parameter of the likelihood is one for each measurement.
        IncompatibleError: The method gives one image and no draws, or truths cannot be drawn from the prior.
        ShapeError: Truths, draws or the values of a functional have another shape.
        NotFiniteError: A draw or the value of a functional is NaN or infinite.
        CheckpointMismatchError: The checkpoint is that of another study; it says what differs.
        FileFormatError: The checkpoint cannot be read.
        FileWriteError: The checkpoint cannot be written, or another run uses it.

    References:
        Talts, Betancourt, Simpson, Vehtari & Gelman 2018, Validating Bayesian inference algorithms with
        simulation-based calibration, arXiv:1804.06788. Modrák et al. 2023, Simulation-based calibration checking for
        Bayesian computation: the choice of test quantities shapes sensitivity, Bayesian Analysis, arXiv:2211.02383.
        Lemos, Coogan, Hezaveh & Perreault-Levasseur 2023, Sampling-based accuracy testing of posterior estimators for
        general inference, ICML, arXiv:2302.03026.
    """
    functionals = dict(DEFAULT_FUNCTIONALS if functionals is None else functionals)
    unknown: Mapping[str, ParameterPrior] = getattr(method, "parameters", {})
    _check(prior, likelihood, truth, num_problems, num_samples, thin, batch, functionals, unknown)
    count = num_problems if truth is None else min(num_problems, len(truth))
    dtype = prior.dtype if truth is None else truth.dtype
    settings = {"method": method, "truth": truth, "number of samples": num_samples, "thin": thin, "seed": seed}
    with open_checkpoint(checkpoint, lambda: _identity(prior, likelihood, functionals, dtype, settings)) as file:
        found: dict[str, Tensor] = file.load() or {}
        done = len(found["crps"]) if found else 0
        with tqdm(total=count, initial=min(done, count), desc=f"calibrate {method.name}", disable=not progress) as bar:
            for start in range(done, count, batch):
                ids: list[int | str] = list(range(start, min(start + batch, count)))
                noise = Noise.of(seed, ids, 1, device=prior.device, dtype=dtype).use("calibration")
                known = draw_truth(prior, noise.use("truth")) if truth is None else truth[start : start + len(ids)]
                known = known.to(prior.device)
                theta = {name: one.sample(noise.use("parameter", name))[0] for name, one in unknown.items()}
                y = likelihood.with_parameters(**theta).simulate(known, noise)
                problem = Posterior(prior, likelihood, y, ids)
                draws, parameters, reported = _draw(method, problem, num_samples + _HELD, thin, seed, batch_size)
                pairs = {name: torch.cat([theta[name][None].to(drawn), drawn]) for name, drawn in parameters.items()}
                new = _judge(known, draws, problem, functionals, noise, pairs) | reported
                found = {name: torch.cat([found[name], values]) if found else values for name, values in new.items()}
                file.save(found)
                bar.update(len(ids))

    found = {name: values[:count] for name, values in found.items()}
    ranked = _named(found, "rank")
    checks = _checks(ranked, found["shares"], num_samples)
    return Calibration(
        method=method.name,
        judged="sampler" if truth is None else "model",
        num_problems=count,
        num_samples=num_samples,
        checks=checks,
        detectable=detectable_effect(count, num_samples, SIGNIFICANCE / len(checks)),
        ranks=ranked,
        crps=found["crps"],
        energy_score=found["energy score"],
        reported=_named(found, "reported"),
    )


def _identity(
    prior: Prior,
    likelihood: Likelihood,
    functionals: Mapping[str, Functional],
    dtype: torch.dtype,
    settings: Mapping[str, Any],
) -> Identity:
    """What tells a study from any other, for its checkpoint."""
    problem, images = trial(prior, likelihood, dtype)
    return (
        {"kind": "calibration"}
        | {name: fingerprint(value) for name, value in settings.items()}
        | dict(model_identity(prior, likelihood, problem.y))
        | {f"values of {name!r}": function(images, problem) for name, function in functionals.items()}
    )


def _named(found: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    return {name.partition(": ")[2]: values for name, values in found.items() if name.startswith(f"{kind}: ")}


@torch.no_grad()
def _judge(
    known: Tensor,
    draws: Tensor,
    problem: Posterior,
    functionals: Mapping[str, Functional],
    noise: Noise,
    parameters: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Ranks, shares and scores of some problems, each with the problem first; parameters are those of truth and draws.

    The joint density of measurement and parameters sees an image and parameters that are each right and do not fit.
    """
    held, x = draws[:_HELD], torch.cat([known[None].to(draws), draws[_HELD:]])
    keys = noise.use("ties").for_draws(len(x)).uniform()
    values = {name: function(x, problem) for name, function in functionals.items()}
    values |= parameters
    if parameters:
        own = [problem.with_parameters(**{k: v[s] for k, v in parameters.items()}) for s in range(len(x))]
        values[_JOINT] = torch.cat([each.log_likelihood(x[[s]]) for s, each in enumerate(own)])
    values["TARP"] = distance_to_reference(x, held, problem)
    values["joint region"] = distance_to_mean(x)
    return {f"rank: {name}": rank_of(name, value, keys) for name, value in values.items()} | {
        "shares": interval_shares(x, keys).transpose(0, 1).cpu(),
        "crps": crps(x[1:], x[0]).reshape(len(known), -1).mean(1).cpu(),
        "energy score": energy_score(x[1:], x[0]).cpu(),
    }


@torch.no_grad()
def draw_truth(prior: Prior, noise: Noise) -> Tensor:
    """One image for each id, (B, *event)."""
    if isinstance(prior, ScorePrior):
        try:
            return prior.exact_sample(1, noise)[0]
        except IncompatibleError:
            return prior.sample(1, noise, steps=_TRUTH_STEPS)[0]
    if isinstance(prior, GeneratorPrior):
        return prior.sample(1, noise)[0]
    raise IncompatibleError(f"{type(prior).__name__} cannot be drawn from; give held-out images as truth=")


def _draw(
    method: Method, problem: Posterior, count: int, thin: int, seed: int, batch_size: int | None
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Draws, the parameters of those that are ranked, and what the method reported of each problem."""
    result = method(problem, num_samples=count * thin, seed=seed, batch_size=batch_size, progress=False)
    if not isinstance(result, Samples):
        raise IncompatibleError(f"{method.name} gives one image a measurement, not draws: nothing to calibrate")
    expected = (count * thin, len(problem), *problem.event_shape)
    if tuple(result.x.shape) != expected:
        raise ShapeError(f"{method.name} gave draws of shape {tuple(result.x.shape)}; expected {expected}")
    check_finite(f"samples of {method.name}", result.x, "its settings may be at fault")
    figures = {"nfe": result.nfe} | {k: v for k, v in result.info.items() if v.shape == (len(problem),)}
    parameters = {name: values[thin - 1 :: thin][_HELD:] for name, values in result.parameters.items()}
    return result.x[thin - 1 :: thin], parameters, {f"reported: {name}": value.cpu() for name, value in figures.items()}


def rank_of(name: str, values: Tensor, keys: Tensor) -> Tensor:
    """Rank of the first of the values (L + 1, B) among the others, ties broken by the keys: (B,)."""
    if values.shape != keys.shape:
        raise ShapeError(f"{name!r} gave values of shape {tuple(values.shape)}; expected (S, B) = {tuple(keys.shape)}")
    check_finite(f"functional {name!r}", values, "it must be finite for every image")
    below = (values[1:] < values[0]) | ((values[1:] == values[0]) & (keys[1:] < keys[0]))
    return below.sum(0).cpu()


def _checks(ranks: Mapping[str, Tensor], shares: Tensor, num_samples: int) -> tuple[Check, ...]:
    """The checks in the order of the table, with their p-values adjusted for each other."""
    count, stacked = len(shares), torch.stack(list(ranks.values()))
    levels = torch.arange(1, num_samples + 1, dtype=torch.float64) / (num_samples + 1)
    band = rank_band(count, num_samples)
    curves, p_values = rank_ecdf(stacked, num_samples), rank_p_value(stacked, num_samples).tolist()
    checks = [
        Check(name, _KINDS.get(name, "rank"), levels, curve, *band, p_value=p, adjusted=p)
        for name, curve, p in zip(ranks, curves, p_values, strict=True)
    ]
    levels = interval_levels(num_samples)
    width, p = exchange_test(shares, levels)
    covered = shares[:, 0].mean(0)
    checks.append(Check("pixel intervals", "coverage", levels, covered, levels - width, levels + width, p, adjusted=p))
    adjusted = holm(torch.tensor([check.p_value for check in checks], dtype=torch.float64)).tolist()
    return tuple(replace(check, adjusted=p) for check, p in zip(checks, adjusted, strict=True))


def _check(
    prior: Prior,
    likelihood: Likelihood,
    truth: Tensor | None,
    num_problems: int,
    num_samples: int,
    thin: int,
    batch: int,
    functionals: Mapping[str, Functional],
    unknown: Mapping[str, ParameterPrior],
) -> None:
    if num_problems < 2 or num_samples < 2 or thin < 1 or batch < 1:
        raise InvalidValueError(
            "num_problems and num_samples are at least 2, thin and batch at least 1; got "
            f"{num_problems}, {num_samples}, {thin} and {batch}"
        )
    per_measurement = [name for name, value in likelihood.named_buffers(recurse=False) if value.ndim]
    if likelihood.operator.select(torch.zeros(1, dtype=torch.int64)) is not likelihood.operator:
        per_measurement.append(type(likelihood.operator).__name__)
    if per_measurement:
        raise InvalidValueError(
            f"{', '.join(per_measurement)} is given for each measurement; a study draws measurements of its own, so "
            "give one for all"
        )
    if truth is not None and (tuple(truth.shape[1:]) != tuple(prior.event_shape) or len(truth) < 2):
        raise ShapeError(f"truth has shape {tuple(truth.shape)}; expected (N, *{tuple(prior.event_shape)}), N ≥ 2")
    if taken := {"TARP", "joint region", "pixel intervals", _JOINT, *unknown} & set(functionals):
        raise InvalidValueError(f"functionals may not be called {', '.join(sorted(taken))}: checks have these names")
