"""Point estimates: one image for each measurement."""

from samplers.map.csgm import CSGM
from samplers.map.hand_voroninski import HandVoroninski
from samplers.map.ilo import ILO
from samplers.map.lasso import Lasso
from samplers.map.layerwise import LayerwiseInversion
from samplers.map.pulse import PULSE
from samplers.map.robust import RobustCSGM
from samplers.map.semantic import SemanticGuidance
from samplers.map.tv import TotalVariation

__all__ = [
    "CSGM",
    "ILO",
    "PULSE",
    "HandVoroninski",
    "Lasso",
    "LayerwiseInversion",
    "RobustCSGM",
    "SemanticGuidance",
    "TotalVariation",
]
