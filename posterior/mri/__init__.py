"""Magnetic resonance imaging: what goes with the operator `MultiCoilMRI`."""

from posterior.mri.coils import birdcage_maps

__all__ = ["birdcage_maps"]
