"""Scans of a phantom, written by the libraries of their formats."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import torch
from ismrmrd import xsd
from torch import Tensor

from posterior.mri import birdcage_maps
from posterior.noise import Noise
from posterior.operators.fourier import centred_fft

SLICES, COILS, ROWS, COLUMNS = 3, 4, 12, 10
FIELD = (240.0, 150.0, 5.0)  # of the image, in mm
SPACING = (5.0, 20.0, 15.0)  # slice, rows, columns
MAPS = birdcage_maps(COILS, ROWS, COLUMNS)


def images() -> Tensor:
    """Complex images (SLICES, ROWS, COLUMNS), without symmetry."""
    return torch.complex(*Noise.of(3).uniform((2, SLICES, ROWS, COLUMNS))[0, 0]) + 0.1


def kspace(oversampling: int = 1) -> Tensor:
    """(SLICES, COILS, oversampling · ROWS, COLUMNS), of images with nothing above and below them."""
    full = torch.zeros(SLICES, COILS, oversampling * ROWS, COLUMNS, dtype=torch.complex64)
    start = full.shape[-2] // 2 - ROWS // 2
    full[..., start : start + ROWS, :] = MAPS * images()[:, None]
    return centred_fft(full)


def _limits(last: int, centre: int) -> xsd.limitType:
    return xsd.limitType(minimum=0, maximum=last, center=centre)


def header(oversampling: int = 2, **changes: Any) -> xsd.ismrmrdHeader:
    """What a scanner says of this scan; `changes` are those of its encoding."""

    def space(samples: int, field: float) -> xsd.encodingSpaceType:
        matrix = xsd.matrixSizeType(x=samples, y=COLUMNS, z=1)
        return xsd.encodingSpaceType(
            matrixSize=matrix, fieldOfView_mm=xsd.fieldOfViewMm(x=field, y=FIELD[1], z=FIELD[2])
        )

    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=_limits(COLUMNS - 1, COLUMNS // 2), slice=_limits(SLICES - 1, 0)
    )
    encoding = {
        "encodedSpace": space(oversampling * ROWS, oversampling * FIELD[0]),
        "reconSpace": space(ROWS, FIELD[0]),
        "encodingLimits": limits,
        "trajectory": xsd.trajectoryType.CARTESIAN,
    }
    return xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000),
        encoding=[xsd.encodingType(**encoding | changes)],
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor="Phantom Inc.", systemFieldStrength_T=1.5, relativeReceiverNoiseBandwidth=0.8
        ),
        sequenceParameters=xsd.sequenceParametersType(TR=[500.0], TE=[12.0]),
    )


def write_hdf5(path: Path, arrays: dict[str, Any], **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            file[key] = values
        file.attrs.update(attributes)
    return path


def fastmri_arrays(oversampling: int = 2) -> dict[str, Any]:
    return {
        "kspace": kspace(oversampling).numpy(),
        "ismrmrd_header": xsd.ToXML(header(oversampling)),
        "reconstruction_rss": images().abs().numpy(),
    }


def lines(columns: Sequence[int] = range(COLUMNS)) -> list[ismrmrd.Acquisition]:
    """Acquisitions of all slices, one after the other, with oversampling."""
    values = kspace(2).numpy()
    found = []
    for index in range(SLICES):
        for column in columns:
            line = ismrmrd.Acquisition.from_array(np.ascontiguousarray(values[index, :, :, column]))
            line.idx.slice, line.idx.kspace_encode_step_1 = index, column
            line.center_sample, line.sample_time_us = ROWS, 4.0
            line.position[:] = (1.0, 2.0, 3.0 + 6 * index)
            line.read_dir[:], line.phase_dir[:], line.slice_dir[:] = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
            found.append(line)
    return found


def noise_scan(samples: int = 400) -> ismrmrd.Acquisition:
    """Noise of variance 1 in each part, of half the image's bandwidth."""
    values = torch.view_as_complex(Noise.of(5).normal((COILS, samples, 2))[0, 0])
    scan = ismrmrd.Acquisition.from_array(values.to(torch.complex64).numpy())
    scan.sample_time_us = 8.0
    scan.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    return scan


def write_ismrmrd(
    path: Path, acquisitions: Sequence[ismrmrd.Acquisition] | None = None, head: xsd.ismrmrdHeader | None = None
) -> Path:
    path.unlink(missing_ok=True)
    dataset = ismrmrd.Dataset(str(path))
    dataset.write_xml_header(xsd.ToXML(header() if head is None else head))
    for acquisition in lines() if acquisitions is None else acquisitions:
        dataset.append_acquisition(acquisition)
    dataset.close()
    return path


def edit(path: Path, change: Callable[[h5py.File], object]) -> Path:
    """Change an HDF5 file in its place."""
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def write_bart(base: Path, values: np.ndarray[Any, Any], dims: Sequence[int]) -> Path:
    """Numbers in columns first, by numpy, and the header that BART writes."""
    np.asfortranarray(values).astype(np.complex64).T.tofile(base.with_suffix(".cfl"))
    sizes = "".join(f"{size} " for size in dims)
    base.with_suffix(".hdr").write_text(
        f"# Dimensions\n{sizes}\n# Command\nphantom x\n# Files\n >x\n# Creator\nBART v0.8\n"
    )
    return base.with_suffix(".cfl")


def bart_values() -> tuple[np.ndarray[Any, Any], list[int]]:
    """k-space in BART's order: readout, phase, 1, coils, …, slices in the fourteenth dimension."""
    values = kspace().numpy().transpose(2, 3, 1, 0)
    return values, [ROWS, COLUMNS, 1, COILS, *[1] * 9, SLICES, 1, 1]


def parallel(acceleration: int, mode: xsd.calibrationModeType | None = None) -> xsd.parallelImagingType:
    factor = xsd.accelerationFactorType(kspace_encoding_step_1=acceleration, kspace_encoding_step_2=1)
    return xsd.parallelImagingType(accelerationFactor=factor, calibrationMode=mode)


def flagged(acquisition: ismrmrd.Acquisition, flag: int) -> ismrmrd.Acquisition:
    acquisition.setFlag(flag)
    return acquisition
