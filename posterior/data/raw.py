"""Raw data of magnetic resonance imaging in any of the formats that are read here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from posterior.checks import checked
from posterior.data.bart import read_bart
from posterior.data.fastmri import read_fastmri
from posterior.data.hdf5 import open_hdf5
from posterior.data.ismrmrd import read_ismrmrd
from posterior.data.kspace import RawFile
from posterior.errors import FileFormatError

_BART = (".cfl", ".hdr")
_HDF5 = (".h5", ".hdf5", ".mrd")


@checked
def read_kspace(path: str | Path, maps: str | Path | None = None) -> RawFile:
    """The slices of a file of raw data: fastMRI or ISMRMRD, told apart by what they hold, or BART (.cfl, .hdr).

    Args:
        path: The file.
        maps: Coil maps of its slices, an array of BART's with the dimensions of k-space, in place of the file's own.

    Raises:
        FileFormatError: The file is none of these, or what their readers raise it for; or there are maps of other
            slices.
        IncompatibleError: A package that the format needs is not installed.
    """
    path = Path(path)
    scan = _read(path)
    if maps is None:
        return scan
    known = read_bart(maps)
    if len(known) != len(scan):
        raise FileFormatError(f"{maps} holds coil maps of {len(known)} slices, and {path} has {len(scan)}")
    return RawFile(path, len(scan), lambda index: replace(scan[index], maps=known[index].kspace), scan.volumes)


def _read(path: Path) -> RawFile:
    if path.suffix in _BART:
        return read_bart(path)
    if path.suffix not in _HDF5:
        raise FileFormatError(
            f"{path} is not a kind of raw data that is read here: {', '.join(_HDF5)} (fastMRI, ISMRMRD) or "
            f"{', '.join(_BART)} (BART)"
        )
    with open_hdf5(path, "raw data") as file:
        is_fastmri, keys = "kspace" in file, list(file)
        is_ismrmrd = any("xml" in part for part in file.values() if hasattr(part, "keys"))
    if is_fastmri:
        return read_fastmri(path)
    if is_ismrmrd:
        return read_ismrmrd(path)
    raise FileFormatError(
        f"{path} has neither `kspace`, as fastMRI has, nor `dataset/xml`, as ISMRMRD has; it has "
        f"{', '.join(keys) or 'nothing'}"
    )
