"""Samplers and solvers, and the values that each of their settings may have."""

from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from posterior.app.registry import SAMPLERS, SOLVERS
from posterior.mri import MoDLNetwork, ReconstructionUNet, VariationalNetwork
from samplers import BlockGibbs, Solver
from samplers.flows import ComposedFlow
from tests.fuzz.oracle import Allowed, Call, either, flag, real, several, whole
from tests.samplers.cases import CASES

POSITIVE, NON_NEGATIVE, SHARE = real(0, open_low=True), real(0), real(0, 1)
SEED, COUNT = whole(), whole(1)


# Settings of samplers and solvers, by their names, and of some classes by both.
SETTINGS: dict[str, Allowed] = {
    "accuracy": either("fast", "standard", "high"),
    "basis": either("dct", "db2"),
    "batch": COUNT,
    "block_size": COUNT,
    "burn_in": whole(2),
    "burn_out": whole(0),
    "candidates": COUNT,
    "chains": COUNT,
    "channels": COUNT,
    "correction": either("none", "importance", "metropolis"),
    "couplings": COUNT,
    "denoise_steps": whole(3),
    "depth": whole(2),
    "eta": SHARE,
    "eta_b": SHARE,
    "exact_denoise": flag,
    "modes": flag,
    "form": either("paper", "code"),
    "gamma": POSITIVE,
    "guidance": NON_NEGATIVE,
    "hidden": COUNT,
    "inner": lambda value: type(value).__name__ in ("AuxiliaryGibbs", "AuxiliaryMH", "ReplicaExchange", "HMC"),
    "iterations": COUNT,
    "langevin_steps": COUNT,
    "layers": several(COUNT),
    "leapfrogs": COUNT,
    "learning_rate": POSITIVE,
    "levels": whole(2),
    "network": either("vgg", "alex", "squeeze"),
    "norm": either("linf", "l1"),
    "ode_steps": COUNT,
    "optimiser": either("adam", "lbfgs"),
    "perceptual": NON_NEGATIVE,
    "parameters": lambda value: isinstance(value, dict) and bool(value),
    "population": whole(2),
    "prior_steps": whole(2),
    "radii": several(NON_NEGATIVE),
    "rate": NON_NEGATIVE,
    "replicas": whole(2),
    "resample_below": SHARE,
    "restarts": COUNT,
    "rho_first": POSITIVE,
    "rho_last": POSITIVE,
    "sigma": POSITIVE,
    "sigma_first": POSITIVE,
    "sigma_last": POSITIVE,
    "snr": POSITIVE,
    "step_size": POSITIVE,
    "steps": whole(2),
    "steps_per_level": COUNT,
    "temperature": NON_NEGATIVE,
    "thinning": COUNT,
    "tolerance": POSITIVE,
    "transport": lambda value: isinstance(value, ComposedFlow),
    "weight": POSITIVE,
    "width": POSITIVE,
    "zeta": SHARE,
    "AmbientVI.steps": COUNT,
    "AnnealedLangevin.sigma_first": either(None, POSITIVE),
    "AuxiliaryGibbs.steps": whole(3),
    "AuxiliaryMH.steps": whole(3),
    "CGSense.replicas": whole(0),
    "CGSense.weight": NON_NEGATIVE,
    "CSGM.steps": COUNT,
    "CSGM.weight": either(None, NON_NEGATIVE),
    "ComposedFlow.steps": COUNT,
    "ConvDecoder.steps": COUNT,
    "DAPS.step_size": real(0, 2, open_low=True, open_high=True),
    "DPS.step_size": NON_NEGATIVE,
    "HandVoroninski.optimiser": either("adam", "sgd"),
    "HandVoroninski.steps": COUNT,
    "HandVoroninski.weight": either(None, NON_NEGATIVE),
    "ILO.steps": several(COUNT),
    "Lasso.steps": COUNT,
    "Lasso.weight": either(None, POSITIVE),
    "LatentLangevin.step_size": real(0, 1, open_low=True),
    "LatentLangevin.steps": COUNT,
    "MoDL.network": lambda value: isinstance(value, MoDLNetwork),
    "PULSE.steps": COUNT,
    "AnnealedLangevin.sigma_last": either(None, POSITIVE),
    "PULSE.tolerance": NON_NEGATIVE,
    "PnPLangevin.step_size": real(0, 2, open_low=True, open_high=True),
    "ReplicaExchange.steps": whole(3),
    "RobustCSGM.steps": COUNT,
    "RobustCSGM.weight": either(None, NON_NEGATIVE),
    "SemanticGuidance.steps": COUNT,
    "SemanticGuidance.weight": NON_NEGATIVE,
    "TemperedSMC.population": either(None, whole(8)),
    "TotalVariation.steps": COUNT,
    "TotalVariation.weight": either(None, POSITIVE),
    "UNet.network": lambda value: isinstance(value, ReconstructionUNet),
    "VarNet.network": lambda value: isinstance(value, VariationalNetwork),
}


def _method(name: str) -> Call:
    """A sampler or solver: its case of the shared suites with one setting replaced, at work on a small problem."""
    case = CASES[name]
    kind = name.partition(".")[0]
    allowed = {
        field.name: SETTINGS.get(f"{kind}.{field.name}") or SETTINGS[field.name] for field in fields(case.method)
    }

    def run(method: Any) -> Tensor:
        problem = case.problem(1)
        if isinstance(method, Solver):
            return method.solve(problem, progress=False).x
        return method.sample(problem, 4 if isinstance(method, BlockGibbs) else 2, progress=False).x

    return Call(lambda **settings: replace(case.method, **settings), dict, allowed, run)


METHODS = {name: _method(name) for name in {**SAMPLERS, **SOLVERS} if name in CASES and CASES[name].package is None}
