"""Point estimates: one image for each measurement."""

from samplers.map.csgm import CSGM

__all__ = ["CSGM"]
