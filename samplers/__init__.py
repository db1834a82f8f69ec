"""Samplers and solvers: how p(x | y) is drawn, or its mode found. One algorithm a file."""

from samplers.annealed_langevin import AnnealedLangevin
from samplers.auxiliary import AuxiliaryGibbs, AuxiliaryMH
from samplers.base import Sampler
from samplers.guided import (
    DAPS,
    DDNM,
    DDRM,
    DPS,
    MMPS,
    TDS,
    TMPD,
    DiffPIR,
    MCGDiff,
    PiGDM,
    PnPDM,
    PnPLangevin,
    PredictorCorrector,
    REDDiff,
)
from samplers.replica_exchange import ReplicaExchange
from samplers.solver import Solver
from samplers.tempered_smc import TemperedSMC

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DPS",
    "MMPS",
    "TDS",
    "TMPD",
    "AnnealedLangevin",
    "AuxiliaryGibbs",
    "AuxiliaryMH",
    "DiffPIR",
    "MCGDiff",
    "PiGDM",
    "PnPDM",
    "PnPLangevin",
    "PredictorCorrector",
    "REDDiff",
    "ReplicaExchange",
    "Sampler",
    "Solver",
    "TemperedSMC",
]
