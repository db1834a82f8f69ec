"""Settings away from the defaults, and a problem whose measurements are unlike each other."""

from dataclasses import MISSING, fields, replace
from typing import Any, TypeVar

import torch

from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Matrix
from posterior.priors import GaussianMixturePrior, ScorePrior
from posterior.problem import Posterior
from samplers import AuxiliaryMH
from samplers.base import Sampler
from samplers.flows import ComposedFlow
from samplers.solver import Solver
from tests.problems import DOUBLE
from tests.samplers.case import Case

MethodT = TypeVar("MethodT", bound=Sampler[Any] | Solver)

_EVENT, _MEASURED = (1, 4, 4), 11
_COMPOSED = {"steps": 5, "batch": 1, "learning_rate": 0.2, "couplings": 3, "hidden": 5, "candidates": 37}
_SETTINGS: dict[str, Any] = _COMPOSED | {
    "accuracy": "standard",
    "basis": "haar",
    "block_size": 3,
    "burn_in": 7,
    "burn_out": 3,
    "chains": 3,
    "channels": 3,
    "correction": "metropolis",
    "denoise_steps": 5,
    "depth": 4,
    "eta": 0.4,
    "eta_b": 0.7,
    "exact_denoise": True,
    "form": "code",
    "gamma": 1.3,
    "guidance": 1.0,
    "inner": AuxiliaryMH(chains=4, burn_in=7, thinning=3, steps=5, prior_steps=5),
    "iterations": 40,
    "langevin_steps": 7,
    "layers": (1, 2),
    "leapfrogs": 3,
    "modes": True,
    "levels": 7,
    "network": "vgg",
    "norm": "l1",
    "ode_steps": 3,
    "optimiser": "lbfgs",
    "perceptual": 0.0,
    "population": 11,
    "prior_steps": 5,
    "radii": (1.0, 0.03),
    "rate": 0.3,
    "replicas": 5,
    "resample_below": 1.0,
    "restarts": 3,
    "rho_first": 3.0,
    "rho_last": 0.3,
    "sigma": 0.2,
    "sigma_first": 5.0,
    "sigma_last": 0.3,
    "snr": 0.3,
    "step_size": 0.05,
    "steps_per_level": 5,
    "temperature": 0.3,
    "thinning": 3,
    "tolerance": 1e-5,
    "transport": ComposedFlow(**_COMPOSED),
    "weight": 0.5,
    "width": 1.0,
    "zeta": 0.9,
    "HandVoroninski.optimiser": "sgd",
}


def oddly_set(method: MethodT) -> MethodT:
    """A method with all settings that have a default away from it, but for ILO's number of layers and its loss."""
    names = [field.name for field in fields(method) if field.default is not MISSING]
    wanted = {name: _SETTINGS.get(f"{method.name}.{name}", _SETTINGS.get(name)) for name in names}
    if isinstance(wanted.get("radii"), tuple):
        wanted["steps"] = (3, 1, 5)
    return replace(method, **wanted)


def uneven_problem(case: Case) -> Posterior:
    """Three measurements of a case's own kind; of a `ScorePrior`, systems that conjugate gradients find hard."""
    if ScorePrior not in case.method.priors:
        return case.problem(3)
    noise = Noise.of(2, 3, dtype=DOUBLE)
    means = noise.use("means").normal(_EVENT)[0]
    position = torch.arange(16, dtype=DOUBLE)
    covariance = torch.exp(-0.5 * (position[:, None] - position) ** 2 / 4) + 0.01 * torch.eye(16, dtype=DOUBLE)
    prior = GaussianMixturePrior(means, [0.5, 0.3, 0.2], covariance=covariance)
    operator = Matrix(noise.use("matrix").normal((_MEASURED, 16))[0, 0], _EVENT)
    likelihood = GaussianLikelihood(operator, torch.tensor([0.05, 0.2, 0.5], dtype=DOUBLE))
    return Posterior(prior, likelihood, likelihood.simulate(prior.exact_sample(1, noise.use("truth"))[0], noise))
