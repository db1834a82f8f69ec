"""Everything that takes functions of users, with odd ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity, Operator
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from samplers import TemperedSMC
from samplers.guided import DDNM, DPS
from samplers.map import CSGM
from tests.fuzz.calls import PRIOR, problem
from tests.fuzz.judgements import SAMPLES
from tests.fuzz.oracle import Call, UserError
from tests.fuzz.values import FUNCTIONS
from tests.samplers.case import generated


def _among(*names: str) -> Callable[[Any], bool]:
    return lambda function: any(function is FUNCTIONS[name] for name in names)


def _measured(operator: Operator) -> Tensor:
    """Samples under an operator."""
    y = torch.full((2, 2), 0.5, dtype=torch.complex64 if operator.is_complex else torch.float32)
    return DPS(steps=3).sample(Posterior(PRIOR, GaussianLikelihood(operator, 0.3), y), 2, progress=False).x


def _operator(function: Any, linear: bool) -> Operator:
    return Operator.from_callable(function, event_shape=(2,), measurement_shape=(2,), linear=linear)


def _denoised(prior: ScorePrior) -> Tensor:
    """Samples under a prior, with and without gradients through it."""
    posed = Posterior(prior, GaussianLikelihood(Identity((2,)), 0.3), torch.full((2, 2), 0.5))
    return torch.stack([method.sample(posed, 2, progress=False).x for method in (DDNM(steps=3), DPS(steps=3))])


def _state(change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda step, state, info: change(state)


def _raise(state: Any) -> None:
    raise UserError("of the user's own")


CALLBACKS: dict[str, Callable[..., Any]] = {
    "nothing": _state(lambda state: None),
    "text": _state(lambda state: "state"),
    "a number": _state(lambda state: 0),
    "NaN": _state(lambda state: replace(state, x=torch.full_like(state.x, torch.nan))),
    "of another shape": _state(lambda state: replace(state, x=state.x[..., :1])),
    "in half precision": _state(lambda state: replace(state, x=state.x.half())),
    "done at once": _state(lambda state: replace(state, done=torch.ones_like(state.done))),
    "done that is a number": _state(lambda state: replace(state, done=True)),
    "no tensor": _state(lambda state: replace(state, x=None)),
    "raising": _state(_raise),
}
GOOD = [CALLBACKS[name] for name in ("nothing", "done at once")]
FUNCTION_CALLS: dict[str, tuple[Call, dict[str, Callable[..., Any]]]] = {
    "Operator.from_callable": (
        Call(
            lambda function: _operator(function, linear=False), dict,
            {"function": _among("in place", "constant", "NaN", "NaN in places", "infinite", "complex")}, _measured,
            ("the operator",),
        ),
        FUNCTIONS,
    ),
    "Operator.from_callable, linear": (
        Call(
            lambda function: _operator(function, linear=True), dict,
            {"function": _among("in place", "constant", "complex")}, _measured, ("the operator",),
        ),
        FUNCTIONS,
    ),
    "ScorePrior.from_denoiser": (
        Call(
            lambda denoise: ScorePrior.from_denoiser(denoise, (2,), sigma_max=50.0), dict,
            {
                "denoise": _among(
                    "in place", "numpy", "half precision", "double precision", "rounded", "without gradient",
                    "constant", "in inference mode",
                )
            },
            _denoised, ("the network",),
        ),
        FUNCTIONS,
    ),
    "Samples.expectation": (
        Call(
            SAMPLES.expectation, dict,
            {"function": lambda function: not _among("raising", "complex", "None")(function)},
            lambda result: None,
        ),
        {name: function for name, function in FUNCTIONS.items() if name != "without arguments"},
    ),
    "DDNM.sample": (
        Call(
            lambda callback: DDNM(steps=3).sample(problem(), 2, progress=False, callback=callback), dict,
            {"callback": lambda callback: callback in GOOD}, lambda samples: samples.x, ("state",),
        ),
        CALLBACKS,
    ),
    "TemperedSMC.sample": (
        Call(
            lambda callback: TemperedSMC("fast", population=8).sample(problem(), 2, progress=False, callback=callback),
            dict, {"callback": lambda callback: callback in GOOD}, lambda samples: samples.x, ("state",),
        ),
        CALLBACKS,
    ),
    "CSGM.solve": (
        Call(
            lambda callback: CSGM(restarts=2, steps=3).solve(generated(1), progress=False, callback=callback), dict,
            {"callback": lambda callback: callback in GOOD}, lambda estimate: estimate.x, ("state",),
        ),
        {name: function for name, function in CALLBACKS.items() if name in ("nothing", "text", "a number", "raising")},
    ),
}  # fmt: skip
