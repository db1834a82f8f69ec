"""Point estimates: one image for each measurement."""

from samplers.map.csgm import CSGM
from samplers.map.ilo import ILO
from samplers.map.lasso import Lasso
from samplers.map.pulse import PULSE
from samplers.map.semantic import SemanticGuidance
from samplers.map.tv import TotalVariation

__all__ = ["CSGM", "ILO", "PULSE", "Lasso", "SemanticGuidance", "TotalVariation"]
