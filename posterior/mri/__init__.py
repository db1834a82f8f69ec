"""Magnetic resonance imaging: what goes with the operator `MultiCoilMRI`."""

from posterior.mri.augmentation import augmented, complex_images
from posterior.mri.coils import birdcage_maps

__all__ = ["augmented", "birdcage_maps", "complex_images"]
