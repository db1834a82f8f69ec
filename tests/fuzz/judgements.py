"""What is computed of results: moments, diagnostics, metrics and fairness, as `tests.fuzz.calls` has the rest."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from posterior import diagnostics, fairness, metrics
from posterior.networks.perceptron import Perceptron
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.priors.generators import NetworkGenerator
from samplers.guided import DDNM
from samplers.map import CSGM
from tests.fuzz.calls import Y, maybe, no_numbers, problem, users
from tests.fuzz.oracle import Allowed, Call, either, numbers, real, several, whole
from tests.fuzz.settings import COUNT, SEED, SHARE

SAMPLES = DDNM(steps=3).sample(problem(), 20, progress=False)
MOMENTS = DDNM(steps=3).sample(problem(), 20, keep="moments", progress=False)
LEVEL = real(0, 1, open_low=True, open_high=True)

RESULTS: dict[str, Call] = {
    "Samples.quantile": Call(SAMPLES.quantile, lambda: {"q": 0.5}, {"q": either(SHARE, numbers())}),
    "Samples.credible_interval": Call(SAMPLES.credible_interval, dict, {"level": LEVEL}, names=("interval",)),
    "Samples.expectation": Call(
        lambda function: SAMPLES.expectation(users(function)),
        lambda: {"function": torch.square},
        {"function": callable},
    ),
    "Samples.probability": Call(
        lambda event: SAMPLES.probability(users(event)),
        lambda: {"event": lambda x: x[:, 0] > 0},
        {"event": callable},
        names=("the function",),
    ),
    "Moments.quantile": Call(MOMENTS.quantile, lambda: {"q": 0.5}, {"q": SHARE}),
    "Moments.credible_interval": Call(MOMENTS.credible_interval, dict, {"level": LEVEL}, names=("interval",)),
}


def _points(dims: int) -> Allowed:
    return numbers(lambda shape: len(shape) >= dims)


def _images(value: Any) -> bool:
    return numbers(lambda shape: len(shape) >= 3)(value)


DRAWS = Noise.of(1, 3, 8).normal((2,))
SQUARES = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
MEMBERS = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])


def _of_draws(name: str) -> Call:
    return Call(
        getattr(diagnostics, name), lambda: {"draws": DRAWS},
        {"draws": numbers(lambda shape: len(shape) >= 2 and shape[0] >= 1 and shape[1] >= 4)}, names=("convergence",),
    )  # fmt: skip


def _call(function: Callable[..., Any], arguments: Mapping[str, Any], *names: str, **allowed: Allowed) -> Call:
    use = no_numbers if function is diagnostics.crps else lambda result: result
    return Call(function, lambda: arguments, allowed, use, names)


POINTS = DRAWS[:, 0]
GENERATOR = NetworkGenerator(Perceptron([2, 4, 2], slope=0.5).requires_grad_(False))
DIAGNOSTICS: dict[str, Call] = {
    **{name: _of_draws(name) for name in ("rhat", "ess_bulk", "ess_mean", "ess_tail", "mcse_mean")},
    "crps": _call(diagnostics.crps, {"x": POINTS, "truth": POINTS[0]}, "draws", "score", x=_points(1), truth=maybe),
    "energy_score": _call(
        diagnostics.energy_score, {"x": DRAWS, "truth": DRAWS[0]}, "draws", "score", x=_points(2), truth=_points(1)
    ),
    "find_outliers": _call(
        lambda x, cutoff: diagnostics.find_outliers(problem(), x, cutoff), {"x": torch.zeros_like(Y), "cutoff": 4.0},
        "find_outliers", x=numbers(tuple(Y.shape)), cutoff=real(0, open_low=True),
    ),
    "restricted_eigenvalue": _call(
        lambda num_pairs, steps, seed: diagnostics.restricted_eigenvalue(
            Identity((2,)), GENERATOR, num_pairs=num_pairs, steps=steps, seed=seed
        ),
        {"num_pairs": 2, "steps": 2, "seed": 0}, num_pairs=whole(2), steps=COUNT, seed=SEED,
    ),
    "recovery": _call(
        lambda num_problems, outside, noise_std, seed: diagnostics.recovery(
            CSGM(restarts=1, steps=2), GENERATOR, Identity((2,)), num_problems=num_problems, outside=outside,
            noise_std=noise_std, seed=seed,
        ),
        {"num_problems": 2, "outside": 0.1, "noise_std": 0.1, "seed": 0}, "NaN or infinit",
        num_problems=COUNT, outside=real(0), noise_std=real(0, open_low=True), seed=SEED,
    ),
    "energy_distance": _call(
        diagnostics.energy_distance, {"a": POINTS, "b": POINTS + 1}, "point", "sets", a=_points(1), b=_points(1)
    ),
    "sliced_wasserstein": _call(
        diagnostics.sliced_wasserstein, {"a": POINTS, "b": POINTS + 1, "num_projections": 5}, "point", "sets",
        a=_points(1), b=_points(1), num_projections=COUNT, order=real(1), seed=SEED,
    ),
    "sliced_wasserstein_monte_carlo_error": _call(
        diagnostics.sliced_wasserstein_monte_carlo_error, {"sets": [POINTS, POINTS + 1], "num_projections": 5},
        "sets", "point",
        sets=several(_points(1), 2), num_projections=COUNT, order=real(1), seed=SEED,
    ),
    "mean_error": _call(
        diagnostics.mean_error, {"samples": POINTS, "exact_mean": POINTS[0], "exact_std": torch.ones(2)},
        "point", "draw",
        samples=_points(1), exact_mean=_points(0), exact_std=_points(0),
    ),
    "covariance_error": _call(
        diagnostics.covariance_error, {"samples": POINTS, "exact_cov": torch.eye(2)}, "point", "exact_cov",
        samples=_points(1), exact_cov=numbers((2, 2)),
    ),
    "mode_weight_error": _call(
        diagnostics.mode_weight_error, {"weights": MEMBERS[0], "exact_weights": MEMBERS[1]}, "weights",
        weights=_points(1), exact_weights=_points(1),
    ),
    "holm": _call(diagnostics.holm, {"p_values": torch.tensor([0.1, 0.02])}, p_values=numbers(lambda s: len(s) == 1)),
    "rank_p_value": _call(
        diagnostics.rank_p_value, {"ranks": torch.tensor([0, 3, 5]), "num_draws": 5}, "ranks among",
        ranks=_points(1), num_draws=COUNT,
    ),
    "rank_ecdf": _call(
        diagnostics.rank_ecdf, {"ranks": torch.tensor([0, 3, 5]), "num_draws": 5}, "ranks among",
        ranks=_points(1), num_draws=COUNT,
    ),
    "rank_band": _call(
        diagnostics.rank_band, {"num_ranks": 5, "num_draws": 5}, num_ranks=COUNT, num_draws=COUNT, level=LEVEL
    ),
    "pareto_smoothed": Call(
        diagnostics.pareto_smoothed, lambda: {"log_weights": POINTS},
        {"log_weights": numbers(lambda shape: len(shape) == 2)}, lambda smoothed: smoothed.log_weights,
    ),
    "principal_components": _call(
        diagnostics.principal_components, {"samples": SAMPLES}, "components",
        samples=lambda value: False, count=COUNT,
    ),
    "conformal_intervals": _call(
        diagnostics.conformal_intervals, {"samples": SAMPLES, "truth": Y, "level": 0.5}, "interval",
        samples=lambda value: False, truth=numbers((2, 2)), level=LEVEL,
    ),
    "predictive_check": _call(
        diagnostics.predictive_check, {"samples": SAMPLES, "problem": problem()},
        samples=lambda value: False, problem=lambda value: False, seed=SEED,
    ),
    "sound_problems": _call(
        diagnostics.sound_problems,
        {
            "method": DDNM(steps=3), "prior": problem().prior, "likelihood": problem().likelihood, "num_problems": 19,
            "num_samples": 2, "progress": False,
        },
        "sound problems", "truth",
        method=lambda value: False, prior=lambda value: False, likelihood=lambda value: False,
        num_problems=whole(19), num_samples=whole(2), seed=SEED, batch=COUNT, batch_size=either(None, COUNT),
    ),
    "psnr": _call(
        metrics.psnr, {"estimate": SQUARES, "truth": SQUARES / 2},
        estimate=_images, truth=_images, value_range=several(real(), 2),
    ),
    "ssim": _call(
        metrics.ssim, {"estimate": SQUARES, "truth": SQUARES / 2},
        estimate=_images, truth=_images, value_range=several(real(), 2),
    ),
    "nmse": _call(metrics.nmse, {"estimate": SQUARES, "truth": SQUARES / 2}, estimate=_images, truth=_images),
    "fairness": _call(
        fairness.fairness, {"truth": MEMBERS, "first": MEMBERS, "second": MEMBERS, "resamples": 3}, "memberships",
        truth=_points(2), first=_points(2), second=_points(2), given=either(None, _points(2)), resamples=COUNT,
        seed=SEED,
    ),
    "by_group": _call(
        fairness.by_group, {"values": torch.ones(3), "truth": MEMBERS, "resamples": 3}, "memberships",
        values=_points(1), truth=_points(2), resamples=COUNT, seed=SEED,
    ),
    "reliability": _call(
        fairness.reliability, {"truth": MEMBERS, "probabilities": MEMBERS}, "memberships",
        truth=_points(2), probabilities=_points(2),
    ),
}  # fmt: skip

JUDGEMENTS = {**RESULTS, **DIAGNOSTICS}
