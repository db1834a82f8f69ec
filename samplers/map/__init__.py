"""Point estimates: one image for each measurement."""

from samplers.map.csgm import CSGM
from samplers.map.ilo import ILO
from samplers.map.pulse import PULSE

__all__ = ["CSGM", "ILO", "PULSE"]
