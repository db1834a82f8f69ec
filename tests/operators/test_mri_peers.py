"""Operators of MRI against those of sigpy and torchkbnufft, on the same arrays."""

import math
import warnings

import numpy as np
import pytest
import sigpy as sp
import torch
from sigpy.mri.linop import Sense

from posterior.mri import birdcage_maps
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI, NonCartesianMRI
from tests.operators.checks import assert_close, random_images, random_measurements

SHAPES = [(8, 10), (9, 7)]


def frequencies(shape: tuple[int, int]) -> torch.Tensor:
    """60 frequencies in all of k-space."""
    uniform = Noise.of(4, dtype=torch.float64).uniform((60, 2))[0, 0]
    return (uniform - 0.5) * torch.tensor(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_cartesian_is_sigpys_sense(shape: tuple[int, int]) -> None:
    maps = birdcage_maps(4, *shape, dtype=torch.float64)
    mask = torch.arange(shape[1]) % 3 == 0
    operator, sense = MultiCoilMRI(maps, mask), Sense(maps.numpy(), weights=mask.numpy().astype(float))
    x, y = random_images(operator), random_measurements(operator)
    assert_close(operator(x), torch.as_tensor(sense(torch.complex(*x).numpy())), 1e-12)
    image = torch.as_tensor(sense.H(operator.restrict(y).numpy()))
    assert_close(operator.adjoint(y), torch.stack([image.real, image.imag]), 1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_non_cartesian_is_sigpys_sense(shape: tuple[int, int]) -> None:
    maps, trajectory = birdcage_maps(4, *shape, dtype=torch.float64), frequencies(shape)
    operator = NonCartesianMRI(maps, trajectory)
    coils = sp.linop.Multiply(shape, maps.numpy())
    sense = sp.linop.NUFFT(coils.oshape, trajectory.numpy(), oversamp=2, width=8) * coils
    x, y = random_images(operator), random_measurements(operator)
    assert_close(operator(x), torch.as_tensor(sense(torch.complex(*x).numpy())), 1e-5)
    image = torch.as_tensor(sense.H(y.numpy()))
    assert_close(operator.adjoint(y), torch.stack([image.real, image.imag]), 1e-5)
    # What sigpy's own operator of MRI uses: a narrower kernel on a smaller grid.
    rough = Sense(maps.numpy(), coord=trajectory.numpy())(torch.complex(*x).numpy())
    assert np.linalg.norm(rough - operator(x).numpy()) < 0.01 * np.linalg.norm(rough)


@pytest.mark.parametrize("shape", SHAPES)
def test_non_cartesian_is_torchkbnuffts(shape: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit and of sparse tensors
        import torchkbnufft

        maps, trajectory = birdcage_maps(4, *shape, dtype=torch.float64), frequencies(shape)
        operator = NonCartesianMRI(maps, trajectory)
        x, y = random_images(operator), random_measurements(operator)
        radians = (2 * math.pi * trajectory / torch.tensor(shape)).T
        setting = {"im_size": shape, "numpoints": 12, "dtype": torch.complex128}
        table = torchkbnufft.calc_tensor_spmatrix(radians, shape, numpoints=12)
        scale = 1 / math.sqrt(math.prod(shape))
        forward = torchkbnufft.KbNufft(**setting)(
            torch.complex(*x)[None, None], radians, interp_mats=table, smaps=maps[None]
        )[0]
        back = torchkbnufft.KbNufftAdjoint(**setting)(y[None], radians, interp_mats=table, smaps=maps[None])[0, 0]
    assert_close(operator(x), scale * forward, 1e-9)
    assert_close(operator.adjoint(y), scale * torch.stack([back.real, back.imag]), 1e-9)
