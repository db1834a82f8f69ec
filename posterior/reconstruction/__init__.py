"""Images of magnetic resonance imaging with their uncertainty, from raw data to volumes."""

from posterior.reconstruction.preparation import Prepared, coil_maps, prepare
from posterior.reconstruction.slices import Reconstruction, chosen_slices, problem_of, reconstruct
from posterior.reconstruction.volumes import check_one_volume, facts_of, write_volumes

__all__ = [
    "Prepared", "Reconstruction", "check_one_volume", "chosen_slices", "coil_maps", "facts_of", "prepare", "problem_of",
    "reconstruct", "write_volumes",
]  # fmt: skip
