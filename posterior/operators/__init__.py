"""Forward operators A: how an image becomes a noiseless measurement."""

from posterior.operators.base import Composition, LinearOperator, Operator
from posterior.operators.blur import Blur
from posterior.operators.callables import CallableOperator, LinearCallableOperator
from posterior.operators.deepinv import from_deepinv
from posterior.operators.dense import Matrix
from posterior.operators.downsampling import Downsampling
from posterior.operators.fourier import Fourier
from posterior.operators.interferometry import Visibilities
from posterior.operators.magnitude import Magnitude
from posterior.operators.mri import MultiCoilMRI
from posterior.operators.non_cartesian import NonCartesianMRI
from posterior.operators.pixels import Grayscale, Identity, Inpainting
from posterior.operators.random import GaussianMeasurement
from posterior.operators.scaled import Scaled
from posterior.operators.stack import Stack
from posterior.operators.sum import Sum
from posterior.operators.tomography import Radon

# What `Operator.from_…` make: base.py cannot import classes that derive from its own.
Operator.from_deepinv = staticmethod(from_deepinv)
Operator._of_function, LinearOperator._of_function = CallableOperator, LinearCallableOperator

__all__ = [
    "Blur",
    "Composition",
    "Downsampling",
    "Fourier",
    "GaussianMeasurement",
    "Grayscale",
    "Identity",
    "Inpainting",
    "LinearOperator",
    "Magnitude",
    "Matrix",
    "MultiCoilMRI",
    "NonCartesianMRI",
    "Operator",
    "Radon",
    "Scaled",
    "Stack",
    "Sum",
    "Visibilities",
]
