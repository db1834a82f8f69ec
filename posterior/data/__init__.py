"""Images: shipped ones, those in files, and raw data of magnetic resonance imaging.

The packages that formats of imaging need come with the extra `mri`, and are imported when a file is read.
"""

from posterior.data.bart import read_bart, read_cfl, write_cfl
from posterior.data.cifar import load_cifar10
from posterior.data.dicom import read_dicom, write_dicom
from posterior.data.fastmri import read_fastmri, write_fastmri, write_kspace
from posterior.data.geometry import Geometry, Volume
from posterior.data.images import load_images
from posterior.data.ismrmrd import read_ismrmrd
from posterior.data.kspace import RawFile, RawSlice
from posterior.data.nifti import read_nifti, write_nifti
from posterior.data.raw import read_kspace
from posterior.data.shipped import load_brain, load_digits, load_fashion

__all__ = [
    "Geometry",
    "RawFile",
    "RawSlice",
    "Volume",
    "load_brain",
    "load_cifar10",
    "load_digits",
    "load_fashion",
    "load_images",
    "read_bart",
    "read_cfl",
    "read_dicom",
    "read_fastmri",
    "read_ismrmrd",
    "read_kspace",
    "read_nifti",
    "write_cfl",
    "write_dicom",
    "write_fastmri",
    "write_kspace",
    "write_nifti",
]
