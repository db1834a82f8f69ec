"""Forward operators A: how an image becomes a noiseless measurement."""

from posterior.operators.base import LinearOperator, Operator
from posterior.operators.blur import Blur
from posterior.operators.combine import Composition, Stack
from posterior.operators.dense import Matrix
from posterior.operators.downsampling import Downsampling
from posterior.operators.magnitude import Magnitude
from posterior.operators.pixels import Grayscale, Identity, Inpainting
from posterior.operators.random import GaussianMeasurement

__all__ = [
    "Blur",
    "Composition",
    "Downsampling",
    "GaussianMeasurement",
    "Grayscale",
    "Identity",
    "Inpainting",
    "LinearOperator",
    "Magnitude",
    "Matrix",
    "Operator",
    "Stack",
]
