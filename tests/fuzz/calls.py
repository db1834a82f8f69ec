"""Everything that can be called, with arguments that are right and the values that each of them may have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers import TemperedSMC
from samplers.base import Sampler
from samplers.guided import DDNM
from samplers.map import CSGM
from tests.fuzz.oracle import Allowed, Call, UserError, dense, either, numbers, real, several, whole
from tests.fuzz.settings import COUNT, SEED
from tests.samplers.case import generated

MEANS = torch.tensor([[-1.0, 0.5], [1.0, 0.0]])
PRIOR = GaussianMixturePrior(MEANS, std=0.5)
LIKELIHOOD = GaussianLikelihood(Identity((2,)), 0.3)
Y = torch.tensor([[0.5, -0.2], [0.1, 0.7]])
SINGLE = (torch.float32, torch.float64)


def problem() -> Posterior:
    """Two measurements."""
    return Posterior(PRIOR, LIKELIHOOD, Y)


def _rows(value: Any) -> bool:
    """Whether values are (..., 2), of floating point, finite or not."""
    plain = isinstance(value, Tensor) and dense(value) and value.is_floating_point()
    return plain and value.shape[-1:] == (2,)


def _rows_of_any(value: Any) -> bool:
    """The same, or complex."""
    return _rows(value) or (isinstance(value, Tensor) and value.is_complex() and _rows(value.real))


def _measured(value: Any) -> bool:
    """The same, or integers, such as counts."""
    return _rows_of_any(value) or (isinstance(value, Tensor) and value.dtype is torch.int64 and _rows(value.double()))


def maybe(value: Any) -> bool:
    """Values, finite or not, of which each has a result of its own."""
    return isinstance(value, Tensor | np.ndarray | list | tuple)


def no_numbers(result: Any) -> None:
    """What comes of a function where its argument is not finite is not finite, and need not be."""


def users(function: Any) -> Any:
    """A user's function, whose exceptions are the user's."""
    if not callable(function):
        return function

    def called(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            raise UserError from error

    return called


def _ids(value: Any) -> bool:
    named = several(either(whole(), lambda name: isinstance(name, str)))
    return value is None or (named(value) and len(value) == 2 and len(set(map(str, value))) == 2)


def _evaluated(posed: Posterior) -> Tensor:
    x = torch.zeros(3, len(posed), 2, dtype=posed.dtype)
    return torch.cat([posed.log_likelihood(x).flatten(), posed.log_likelihood_grad(x).flatten()])


def _moved(posed: Any) -> Tensor:
    return DDNM(steps=3).sample(posed, 2, progress=False).x


PROBLEMS: dict[str, Call] = {
    "Posterior": Call(
        Posterior,
        lambda: {"prior": PRIOR, "likelihood": LIKELIHOOD, "y": Y},
        {
            "prior": lambda value: isinstance(value, GaussianMixturePrior),
            "likelihood": lambda value: isinstance(value, GaussianLikelihood),
            "y": numbers(lambda shape: shape[1:] == (2,), *SINGLE),
            "ids": _ids,
        },
        _evaluated,
    ),
    "Posterior.select": Call(
        lambda measurements: problem().select(measurements),
        lambda: {"measurements": [0]},
        {"measurements": either(several(lambda i: type(i) is bool), several(lambda i: type(i) is int and -2 <= i < 2))},
        _evaluated,
        ("indices",),
    ),
    "Posterior.repeat": Call(
        lambda count: problem().repeat(count), lambda: {"count": 2}, {"count": whole(0)}, _evaluated
    ),
    "Posterior.to": Call(
        lambda **options: problem().to(**options),
        dict,
        {"device": either(None, "cpu"), "dtype": either(None, lambda value: isinstance(value, torch.dtype))},
        _evaluated,
    ),
    "Posterior.log_likelihood": Call(
        lambda x: problem().log_likelihood(x), lambda: {"x": torch.zeros(3, 2, 2)}, {"x": _rows}, no_numbers
    ),
    "Posterior.noise": Call(
        lambda **arguments: problem().noise(**arguments),
        lambda: {"seed": 0, "num_draws": 2},
        {"seed": SEED, "num_draws": whole(0)},
        lambda noise: noise.normal((2,)),
    ),
}  # fmt: skip


def _sampled(sampler: Sampler) -> Callable[..., Any]:
    def run(callback: Any = None, **arguments: Any) -> Any:
        return sampler.sample(problem(), progress=False, callback=users(callback), **arguments)

    return run


RUN: dict[str, Allowed] = {
    "num_samples": COUNT,
    "seed": SEED,
    "batch_size": either(None, COUNT),
    "checkpoint": either(None, lambda value: isinstance(value, str)),
}


def _solve(callback: Any = None, **arguments: Any) -> Any:
    return CSGM(restarts=2, steps=3).solve(generated(1), progress=False, callback=users(callback), **arguments)


def _numbers_of(result: Any) -> list[Tensor]:
    return [result.mean(), result.std()] if len(result) > 1 else [result.mean()]


METHODS: dict[str, Call] = {
    "DDNM.sample": Call(
        _sampled(DDNM(steps=3)), lambda: {"num_samples": 2}, RUN | {"keep": either("samples", "moments")}, _numbers_of,
        ("written",)
    ),
    "TemperedSMC.sample": Call(
        _sampled(TemperedSMC("fast", population=8)), lambda: {"num_samples": 2},
        {**RUN, "callback": either(None, callable)}, _numbers_of, ("written",)
    ),
    "CSGM.solve": Call(
        _solve, dict,
        {name: RUN[name] for name in ("seed", "batch_size", "checkpoint")} | {"callback": either(None, callable)},
        lambda estimate: estimate.x, ("written",)
    ),
    "Sampler.sample": Call(
        lambda problem: DDNM(steps=3).sample(problem, 2, progress=False), lambda: {"problem": problem()},
        {"problem": lambda value: False},
    ),
    "Solver.solve": Call(
        lambda problem: CSGM(steps=3).solve(problem, progress=False), lambda: {"problem": problem()},
        {"problem": lambda value: False},
    ),
}  # fmt: skip

NOISE = Noise.of(0, 2)
PRIORS: dict[str, Call] = {
    "ScorePrior.denoise": Call(
        PRIOR.denoise, lambda: {"x": torch.zeros(3, 2), "sigma": 0.5},
        {"x": _rows, "sigma": either(real(1e-4, PRIOR.sigma_max), numbers(lambda shape: shape in ((1,), (3,))))},
        no_numbers, names=("noise level", "x, given"),
    ),
    "ScorePrior.score": Call(
        PRIOR.score, lambda: {"x": torch.zeros(3, 2), "sigma": 0.5},
        {"x": _rows, "sigma": either(real(1e-4, PRIOR.sigma_max), numbers(lambda shape: shape in ((1,), (3,))))},
        no_numbers, names=("noise level", "x, given"),
    ),
    "ScorePrior.sample": Call(
        PRIOR.sample, lambda: {"num_samples": 2, "noise": NOISE, "steps": 3},
        {"num_samples": whole(0), "noise": lambda value: False, "steps": whole(2)},
    ),
    "ScorePrior.sample_denoised": Call(
        PRIOR.sample_denoised,
        lambda: {"z": torch.zeros(2, 2, 2), "sigma": 0.5, "noise": Noise.of(0, 2, 2), "steps": 3},
        {
            "z": maybe, "sigma": either(real(1e-4, PRIOR.sigma_max), numbers()),
            "noise": lambda value: False, "steps": whole(3),
        }, no_numbers, names=("noise level", "x, given"),
    ),
    "ScorePrior.with_class": Call(
        PRIOR.with_class, lambda: {"labels": 0}, {"labels": lambda value: False}, names=("class",)
    ),
    "GaussianMixturePrior.exact_sample": Call(
        PRIOR.exact_sample, lambda: {"num_samples": 2, "noise": NOISE},
        {"num_samples": whole(0), "noise": lambda value: False},
    ),
    "GaussianMixturePrior.with_weights": Call(
        PRIOR.with_weights, lambda: {"weights": [0.5, 0.5]}, {"weights": numbers()}, lambda prior: prior.mean()
    ),
    "GaussianMixturePrior.posterior": Call(
        PRIOR.posterior, lambda: {"likelihood": LIKELIHOOD, "y": Y},
        {"likelihood": lambda value: False, "y": numbers(lambda shape: shape[1:] == (2,))},
        lambda exact: [exact.mean(), exact.std(), exact.log_evidence],
    ),
    "ExactPosterior.sample": Call(
        PRIOR.posterior(LIKELIHOOD, Y).sample, lambda: {"num_samples": 2}, {"num_samples": whole(0), "seed": SEED}
    ),
    "Noise.of": Call(
        Noise.of, lambda: {"seed": 0},
        {
            "seed": SEED, "num_draws": whole(0),
            "ids": either(whole(0), several(either(whole(), lambda name: isinstance(name, str)))),
        },
        lambda noise: noise.normal((2,)),
    ),
    "Noise.for_draws": Call(
        NOISE.for_draws, lambda: {"num_draws": 1}, {"num_draws": whole(0)}, lambda noise: noise.normal((2,))
    ),
    "Noise.split": Call(NOISE.split, lambda: {"count": 1}, {"count": whole(0)}, lambda noise: noise.normal((2,))),
    "Operator": Call(Identity((2,)), lambda: {"x": torch.zeros(3, 2)}, {"x": _rows_of_any}, no_numbers),
    "LinearOperator.adjoint": Call(
        Identity((2,)).adjoint, lambda: {"y": torch.zeros(3, 2)}, {"y": _rows_of_any}, no_numbers
    ),
    "Likelihood.simulate": Call(
        LIKELIHOOD.simulate, lambda: {"x": torch.zeros(2, 2), "noise": NOISE},
        {"x": _rows, "noise": lambda value: False}, no_numbers,
    ),
    **{
        f"Likelihood.{name}": Call(
            getattr(LIKELIHOOD, name), lambda: {"x": Y, "y": Y}, {"x": _rows, "y": _measured}, no_numbers
        )
        for name in ("log_prob", "grad", "misfit")
    },
}  # fmt: skip

CALLS = {**PROBLEMS, **METHODS, **PRIORS}
