"""Reconstructed slices as volumes in files: HDF5 as fastMRI has it, NIfTI, and DICOM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posterior.checks import Count, checked
from posterior.data import Geometry, RawFile, write_dicom, write_fastmri, write_nifti
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError, check_finite, warn_caller
from posterior.io.writing import check_writable
from posterior.reconstruction.slices import Reconstruction

_HDF5 = "reconstruction.h5"
_NIFTI = ("mean.nii.gz", "std.nii.gz", "draws.nii.gz")
_DICOM = "dicom"


@checked
def write_volumes(
    slices: Iterable[Reconstruction],
    count: Count,
    folder: str | Path,
    attributes: Mapping[str, Any] | None = None,
    *,
    dicom: bool = False,
) -> list[Path]:
    """Write slices as they come, and then their volumes: magnitudes in the unit of the scan.

    `reconstruction.h5` holds `reconstruction` (the posterior mean), `std` (N, H, W) and `draws` (S, N, H, W), as
    `write_fastmri` says, and as attributes the verdict on each slice and what it was made from. `mean.nii.gz`,
    `std.nii.gz` and `draws.nii.gz` are the same with their place and, as a comment, the verdicts. Draws wait on the
    disk, so that of what is in memory only mean and standard deviation grow with the number of slices. Slices that are
    not evenly spaced on a line have no place as a volume, which a warning says. Where the size of pixels is not known,
    volumes have no unit of lengths.

    Args:
        slices: The slices, as `reconstruct` yields them.
        count: How many there are.
        folder: Where to write.
        attributes: What else the HDF5 file is to say.
        dicom: Whether to write series of DICOM files too, as `write_dicom` does, into the folder `dicom`.

    Returns:
        The files, and the folder `dicom`.

    Raises:
        InvalidValueError: There are more or fewer slices.
        ShapeError: They differ in size or in the number of draws.
        NotFiniteError: Samples of a slice are NaN or infinite.
        FileWriteError: A file cannot be written.
    """
    paths = [Path(folder) / name for name in (_HDF5, *_NIFTI)]
    for path in paths:
        check_writable(path)  # before the work
    seen: list[dict[str, Any]] = []
    mean: list[Tensor] = []
    std: list[Tensor] = []
    places: list[Geometry | None] = []
    draws: Tensor | None = None
    with TemporaryDirectory(dir=folder) as waiting:
        for one in slices:
            own = one.draws.float()
            check_finite(f"samples of {one.prepared.source}", own, f"{one.verdict}; leave the slice out")
            if draws is None:
                shape = (own.shape[0], count, *own.shape[1:])
                draws = torch.from_numpy(np.lib.format.open_memmap(f"{waiting}/draws.npy", "w+", np.float32, shape))
            if own.shape != draws[:, 0].shape or len(mean) == count:
                raise ShapeError(
                    f"{one.prepared.source} has draws {tuple(own.shape)}; expected {tuple(draws[:, 0].shape)}, of "
                    f"{count} slices"
                )
            draws[:, len(mean)] = own
            mean.append(one.mean().float())
            std.append(one.std().float())
            places.append(one.prepared.geometry)
            seen.append(facts_of(one))
        if draws is None or len(mean) != count:
            raise InvalidValueError(f"there are {len(mean)} slices, and {count} were announced")
        means, stds = torch.stack(mean), torch.stack(std)
        columns = {name: [facts[name] for facts in seen] for name in seen[0]}
        write_fastmri(paths[0], means, stds, draws, attributes={**(attributes or {}), **columns})
        comment = "\n".join(f"{facts['source']}: {facts['verdict']}" for facts in seen)
        geometry = _geometry(places)
        for path, values in zip(paths[1:], (means, stds, draws), strict=True):
            write_nifti(path, values, geometry, comment)
        if dicom:
            write_dicom(Path(folder) / _DICOM, means, geometry, std=stds, draws=draws)
            paths.append(Path(folder) / _DICOM)
    return paths


def facts_of(one: Reconstruction) -> dict[str, Any]:
    """What is said of a slice in files and tables: σ is that of k-space in the unit of its file."""
    prepared = one.prepared
    return {
        "source": prepared.source,
        "true_acceleration": prepared.acceleration,
        "noise_std": prepared.noise_std * prepared.scale,
        "noise_from": prepared.noise_from,
        "maps_from": prepared.maps_from,
        "orientation": (prepared.geometry and prepared.geometry.orientation) or "",
        "notes": "; ".join(prepared.notes),
        "misfit": one.misfit,
        "network_calls": one.calls,
        "verdict": str(one.verdict),
    }


def check_one_volume(scan: RawFile, slices: Sequence[int]) -> None:
    """Check that slices of these numbers are of one volume, for what is written is one.

    Raises:
        IncompatibleError: They are of several: contrasts, phases, sets or repetitions.
    """
    if len({scan.volumes[number] for number in slices}) > 1:
        found: dict[str, list[int]] = {}
        for number, name in enumerate(scan.volumes):
            found.setdefault(name, []).append(number)
        listed = "; ".join(f"{name}: {str(numbers).replace(' ', '')}" for name, numbers in found.items())
        raise IncompatibleError(
            f"{scan.path} holds {len(found)} volumes, and one is reconstructed at a time; name slices of one ({listed})"
        )


def _geometry(places: list[Geometry | None]) -> Geometry | None:
    """The geometry of all slices: of spacing alone where they are no stack, and none where not even that is known."""
    known = [place for place in places if place is not None]
    if len(known) < len(places):
        return None
    try:
        return Geometry.stacked(known)
    except IncompatibleError as error:
        warn_caller(f"the volumes are written without a place, and with the spacing of one slice: {error}", UserWarning)
        return replace(known[0], origin=None, axes=None)
