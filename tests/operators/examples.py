"""Operators of every kind, on images (3, 4, 6), some with a mask for each of two measurements."""

import torch
from torch import nn

from posterior.noise import Noise
from posterior.operators import (
    Blur,
    Composition,
    Downsampling,
    GaussianMeasurement,
    Grayscale,
    Identity,
    Inpainting,
    Magnitude,
    Matrix,
    Operator,
    Stack,
)

EVENT = (3, 4, 6)


def masks(*lead: int) -> torch.Tensor:
    """Half of the pixels, for each of `lead` measurements."""
    mask = torch.rand(*lead, *EVENT, generator=torch.Generator().manual_seed(3)) < 0.5
    mask[..., 0, 0, 0] = True
    return mask


def fourier() -> Operator:
    """The two-dimensional Fourier transform of each channel."""
    return Operator.from_callable(torch.fft.fft2, event_shape=EVENT, measurement_shape=EVENT, linear=True)


def square() -> Operator:
    """Squares, by a function that works in any precision."""
    return Operator.from_callable(torch.square, event_shape=EVENT, measurement_shape=EVENT)


def network() -> Operator:
    """A convolution with random weights, by a module."""
    convolution = nn.Conv2d(3, 2, 3, bias=False)
    weights = Noise.of(4).normal(tuple(convolution.weight.shape))[0, 0]
    convolution.load_state_dict({"weight": weights})
    return Operator.from_callable(convolution, event_shape=EVENT, measurement_shape=(2, 2, 4), linear=True)


LINEAR = {
    "identity": lambda: Identity(EVENT),
    "mask": lambda: Inpainting(masks()),
    "masks": lambda: Inpainting(masks(2), EVENT),
    "blur": lambda: Blur.gaussian(EVENT, 0.7, "reflect"),
    "periodic blur": lambda: Blur.gaussian(EVENT, 0.7),
    "mean": lambda: Downsampling(EVENT, 2),
    "bicubic": lambda: Downsampling(EVENT, 2, "bicubic"),
    "grayscale": lambda: Grayscale(EVENT),
    "dense": lambda: GaussianMeasurement(EVENT, 9),
    "circulant": lambda: GaussianMeasurement(EVENT, 9, kind="circulant"),
    "matrix": lambda: Matrix(Noise.of(2).normal((5, 72))[0, 0], EVENT),
    "network": network,
}
COMPOSED = {
    "composition": lambda: Composition(Grayscale(EVENT), Inpainting(masks(2), EVENT)),
    "complex": lambda: Inpainting(masks(2), EVENT) @ fourier(),
    "stack": lambda: Stack([Inpainting(masks(2), EVENT), Identity(EVENT)]),
    "complex stack": lambda: Stack([fourier(), Inpainting(masks(2), EVENT) @ fourier()]),
}
NONLINEAR = {
    "square": square,
    "composition of squares": lambda: square() @ Inpainting(masks(2), EVENT),
    "magnitude": lambda: Magnitude(Inpainting(masks(2), EVENT)),
    "phase retrieval": lambda: Magnitude(Inpainting(masks(2), EVENT) @ fourier()),
}
ALL = {**LINEAR, **COMPOSED, **NONLINEAR}
