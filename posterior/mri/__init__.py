"""Magnetic resonance imaging: what goes with the operators `MultiCoilMRI` and `NonCartesianMRI`."""

from posterior.mri.augmentation import augmented, complex_images
from posterior.mri.coils import birdcage_maps, random_maps
from posterior.mri.espirit import espirit_maps
from posterior.mri.kspace import central, mix_coils, mvue, rss
from posterior.mri.masks import (
    MASKS,
    calibration_region,
    equispaced_mask,
    gaussian_columns_mask,
    gaussian_mask,
    poisson_mask,
    radial_mask,
    random_mask,
    true_acceleration,
)
from posterior.mri.noise import compression_matrix, noise_std_from_border, whitening_matrix
from posterior.mri.reconstruction import (
    MoDLNetwork,
    ReconstructionNetwork,
    ReconstructionUNet,
    VariationalNetwork,
    load_network,
    save_network,
)
from posterior.mri.scans import Scans, undersampled_scans
from posterior.mri.simulate import Simulation, simulate
from posterior.mri.trajectories import density_weights, radial_trajectory

__all__ = [
    "MASKS",
    "MoDLNetwork",
    "ReconstructionNetwork",
    "ReconstructionUNet",
    "Scans",
    "Simulation",
    "VariationalNetwork",
    "augmented",
    "birdcage_maps",
    "calibration_region",
    "central",
    "complex_images",
    "compression_matrix",
    "density_weights",
    "equispaced_mask",
    "espirit_maps",
    "gaussian_columns_mask",
    "gaussian_mask",
    "load_network",
    "mix_coils",
    "mvue",
    "noise_std_from_border",
    "poisson_mask",
    "radial_mask",
    "radial_trajectory",
    "random_maps",
    "random_mask",
    "rss",
    "save_network",
    "simulate",
    "true_acceleration",
    "undersampled_scans",
    "whitening_matrix",
]
