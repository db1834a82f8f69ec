"""Samplers and solvers: how p(x | y) is drawn, or its mode found. One algorithm a file."""

from samplers import guided
from samplers.annealed_langevin import AnnealedLangevin
from samplers.auxiliary import AuxiliaryGibbs, AuxiliaryMH
from samplers.base import Sampler
from samplers.block_gibbs import BlockGibbs
from samplers.guided import *  # noqa: F403  # all of its __all__
from samplers.kinetic_langevin import KineticLangevin
from samplers.plan import Plan
from samplers.recommend import recommend
from samplers.replica_exchange import ReplicaExchange
from samplers.solver import Solver
from samplers.tempered_smc import TemperedSMC

__all__ = [
    "AnnealedLangevin",
    "AuxiliaryGibbs",
    "AuxiliaryMH",
    "BlockGibbs",
    "KineticLangevin",
    "Plan",
    "ReplicaExchange",
    "Sampler",
    "Solver",
    "TemperedSMC",
    "recommend",
]
__all__ += guided.__all__
