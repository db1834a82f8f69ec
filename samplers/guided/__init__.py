"""Guided diffusion samplers: what the field uses. None is exact; each says what it approximates."""

from samplers.guided.daps import DAPS
from samplers.guided.ddnm import DDNM
from samplers.guided.ddrm import DDRM
from samplers.guided.diffpir import DiffPIR
from samplers.guided.dps import DPS
from samplers.guided.mcgdiff import MCGDiff
from samplers.guided.mmps import MMPS, TMPD
from samplers.guided.pigdm import PiGDM
from samplers.guided.pnp_dm import PnPDM
from samplers.guided.pnp_langevin import PnPLangevin
from samplers.guided.predictor_corrector import PredictorCorrector
from samplers.guided.red_diff import REDDiff
from samplers.guided.tds import TDS

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DPS",
    "MMPS",
    "TDS",
    "TMPD",
    "DiffPIR",
    "MCGDiff",
    "PiGDM",
    "PnPDM",
    "PnPLangevin",
    "PredictorCorrector",
    "REDDiff",
]
