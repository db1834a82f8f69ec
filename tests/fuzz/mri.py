"""Raw data of MRI and what is made of it."""

import torch

from posterior import mri
from posterior.noise import Noise
from tests.fuzz.oracle import Call, either, numbers, real, several, whole
from tests.fuzz.settings import COUNT, NON_NEGATIVE, POSITIVE, SEED

COMPLEX = torch.complex64, torch.complex128
MAPS = mri.birdcage_maps(2, 6, 6)
KSPACE = mri.simulate(torch.ones(1, 6, 6), MAPS, 10.0).kspace[0]

IMAGES = torch.linspace(-1, 1, 2 * 2 * 48).reshape(2, 2, 6, 8)

coils = numbers(lambda shape: len(shape) >= 3, *COMPLEX)

MRI: dict[str, Call] = {
    "birdcage_maps": Call(
        mri.birdcage_maps, lambda: {"num_coils": 2, "height": 4, "width": 5},
        {"num_coils": COUNT, "height": COUNT, "width": COUNT, "radius": POSITIVE},
    ),
    "random_maps": Call(
        mri.random_maps, lambda: {"num_coils": 2, "height": 4, "width": 5},
        {"num_coils": COUNT, "height": COUNT, "width": COUNT, "seed": SEED},
    ),
    "espirit_maps": Call(
        mri.espirit_maps, lambda: {"kspace": KSPACE, "calibration": (4, 4)},
        {
            "kspace": coils, "calibration": several(COUNT, 2), "kernel": either(None, COUNT),
            "threshold": real(0, 1, open_low=True, open_high=True), "crop": real(0, 1, open_low=True, open_high=True),
        },
        names=("rows and columns", "middle"),
    ),
    "central": Call(mri.central, lambda: {"values": KSPACE, "shape": (2, 3)},
        {"values": numbers(lambda shape: len(shape) >= 2), "shape": several(COUNT, 2)},
        names=("rows and columns", "within"),
    ),
    "mix_coils": Call(
        mri.mix_coils, lambda: {"matrix": torch.eye(2), "values": KSPACE},
        {"matrix": numbers(lambda shape: len(shape) >= 2), "values": numbers(lambda shape: len(shape) >= 3)},
        names=("coils",),
    ),
    "mvue": Call(mri.mvue, lambda: {"kspace": KSPACE, "maps": MAPS}, {"kspace": coils, "maps": coils}),
    "rss": Call(mri.rss, lambda: {"kspace": KSPACE}, {"kspace": coils}),
    "whitening_matrix": Call(
        mri.whitening_matrix, lambda: {"noise_scan": KSPACE},
        {"noise_scan": numbers(lambda shape: len(shape) >= 2, *COMPLEX)}, names=("samples", "noise scan"),
    ),
    "compression_matrix": Call(
        mri.compression_matrix, lambda: {"kspace": KSPACE, "num_coils": 1}, {"kspace": coils, "num_coils": COUNT},
    ),
    "noise_std_from_border": Call(
        mri.noise_std_from_border, lambda: {"kspace": KSPACE, "border": 0.4},
        {"kspace": coils, "border": real(0, 0.5, open_low=True)},
    ),
    "simulate": Call(
        mri.simulate, lambda: {"magnitude": torch.ones(1, 6, 6), "maps": MAPS, "snr": 10.0},
        {
            "magnitude": numbers(lambda shape: len(shape) == 3), "maps": coils, "snr": POSITIVE, "seed": SEED,
            "shape": either(None, several(COUNT, 2)), "phase_std": NON_NEGATIVE,
            "ids": either(None, lambda value: several(SEED)(value) and len(value) == 1),
        },
        names=("rows and columns",),
    ),
    "undersampled_scans": Call(
        mri.undersampled_scans,
        lambda: {"images": IMAGES, "noise": Noise.of(0, 2), "acceleration": 2.0, "calibration": 4},
        {
            "images": numbers(lambda shape: len(shape) == 4, torch.float32, torch.float64),
            "noise": lambda value: False, "mask": either(*mri.MASKS), "acceleration": real(1), "snr": POSITIVE,
            "num_coils": COUNT, "calibration": either(None, whole(0)),
        },
        lambda scans: scans.truth, ("middle", "measured"),
    ),
    **{
        f"{kind} mask": Call(
            make, lambda: {"shape": (6, 8), "acceleration": 2.0, "calibration": 2},
            {
                "shape": several(COUNT, 2), "acceleration": real(1), "calibration": either(None, whole(0)),
                "seed": SEED,
            },
            names=("middle", "mask"),
        )
        for kind, make in mri.MASKS.items()
    },
    "true_acceleration": Call(mri.true_acceleration, lambda: {"mask": torch.ones(2, 2)}, {"mask": numbers()}),
    "calibration_region": Call(
        mri.calibration_region, lambda: {"mask": torch.ones(2, 2)},
        {"mask": numbers(lambda shape: len(shape) == 2)}, list, names=("zero frequency",),
    ),
    "radial_trajectory": Call(
        mri.radial_trajectory, lambda: {"height": 4, "width": 5, "num_spokes": 2, "samples": 4},
        {"height": COUNT, "width": COUNT, "num_spokes": COUNT, "samples": whole(2)},
    ),
    "density_weights": Call(
        mri.density_weights,
        lambda: {"trajectory": torch.tensor([[0.0, 1.0], [1.0, -0.5]]), "height": 4, "width": 5},
        {"trajectory": numbers(lambda shape: len(shape) == 2), "height": COUNT, "width": COUNT, "iterations": COUNT},
        names=("frequencies",),
    ),
}  # fmt: skip
