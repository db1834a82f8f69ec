"""From what the coils of a scanner measured of a slice to what a sampler takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posterior.checks import Shape, checked
from posterior.data import Geometry, RawSlice
from posterior.errors import InvalidValueError, ShapeError
from posterior.linalg import conjugate_gradients
from posterior.mri import (
    calibration_region,
    central,
    espirit_maps,
    mix_coils,
    noise_std_from_border,
    true_acceleration,
    whitening_matrix,
)  # fmt: skip
from posterior.mri.kspace import divided
from posterior.operators import MultiCoilMRI
from posterior.reconstruction.grid import kspace_on, maps_on, mask_on, placed_on

_FEWEST, _MOST = 6, 32  # rows and columns of a middle from which maps are estimated; more add noise and time
_QUANTILE = 0.99
_STEPS, _TOLERANCE = 8, 1e-4  # of conjugate gradients; noise grows with steps, aliasing falls


@dataclass(frozen=True, eq=False)
class Prepared:
    r"""A slice as samplers take it: white noise of known strength, coil maps, and values in the unit of a prior.

    Attributes:
        source: The file and the image in it.
        y: k-space (C, H′, W′), complex, whitened, divided by `scale`.
        maps: Coil sensitivities (C, H, W) that go with it, \(\sum_c |S_c|^2\) 1, or 0 where there is no image.
        mask: True where k-space is measured, (H′, W′).
        noise_std: σ of y in each real component.
        scale: What an image is multiplied by to be in the unit of the file again.
        noise_from: What σ was taken from.
        maps_from: What the maps were taken from.
        geometry: Spacing, and place if known, of the image's pixels; None if not even the spacing is known.
        whitening: What the file's coils were multiplied by, (C, C); None if by nothing.
        notes: What the file's reader inferred, averaged, or left out.
    """

    source: str
    y: Tensor
    maps: Tensor
    mask: Tensor
    noise_std: float
    scale: float
    noise_from: str
    maps_from: str
    geometry: Geometry | None
    whitening: Tensor | None
    notes: Sequence[str] = ()

    @property
    def acceleration(self) -> float:
        """The true acceleration: frequencies over those that are measured."""
        return true_acceleration(self.mask)

    def zero_filled(self) -> Tensor:
        """The image of what was measured, zeros elsewhere, in the unit of the file: (2, H, W)."""
        return self.scale * MultiCoilMRI(self.maps, self.mask, self.mask.shape).adjoint(self.y)


@checked
def prepare(raw: RawSlice, shape: Shape | None = None, window: Shape | None = None) -> Prepared:
    r"""Whiten a slice's noise, find its coil maps, bring it to a matrix, and scale it.

    With a noise scan coils are mixed by \(|\det W|^{-1/C}\, W\), W the `whitening_matrix`, so that values keep their
    unit and σ is \(|\det W|^{-1/C}\); without one σ is estimated from the border of k-space, for equal and independent
    noise of the coils. Maps are the slice's own, or ESPIRiT's of the fully sampled middle: that of calibration lines
    that were measured apart, if there are any, or of k-space. They are divided by \(\sqrt{\sum_c |S_c|^2}\), so that
    images are root-sum-of-squares magnitudes.

    The scale is the 0.99-quantile of the image's magnitude, which priors for MRI have as 1. The image is the MVUE; of
    undersampled k-space, whose zero-filled MVUE is too dark, eight steps of conjugate gradients stand for it.

    Args:
        raw: The slice.
        shape: (H′, W′) of the field of view: the middle of k-space, or with zeros around it that count as not measured.
            Pixels have another size then. That of k-space unless given.
        window: (H, W) of the image, the middle of the field of view, where there is nothing else in it: what lies
            around it is not left out, but supposed to be empty. All of it unless given.

    Raises:
        ShapeError: The shape or the window is not (H, W), or the window is larger.
        InvalidValueError: There are no maps and too few rows or columns of the middle are measured in full to estimate
            any; or too few of the border for σ; or the noise scan does not tell the noise of all coils.
    """
    kspace, mask = raw.kspace, raw.mask.expand(raw.kspace.shape[-2:])
    size = tuple(kspace.shape[-2:] if shape is None else shape)
    seen = size if window is None else tuple(window)
    if len(size) != 2 or len(seen) != 2 or any(n > m for n, m in zip(seen, size, strict=True)):
        raise ShapeError(f"a slice is reconstructed on (H, W) pixels, or a window in them; got {size} and {seen}")
    known, maps_from = raw.maps, "file"
    try:
        whitening, std, noise_from = _noise(raw)
        if whitening is not None:
            kspace = mix_coils(whitening, kspace)
            known = None if known is None else mix_coils(whitening, known)
        std = std * (size[0] * size[1] / kspace[0].numel()) ** 0.5  # as k-space is scaled
        kspace, mask = kspace_on(kspace, size), mask_on(mask, size)
        if known is None and raw.calibration is not None:
            apart = raw.calibration if whitening is None else mix_coils(whitening, raw.calibration)
            apart = kspace_on(apart, size)
            known, maps_from = _estimated_maps(apart, (apart != 0).any(0), std, "calibration lines measured apart")
        elif known is None:
            known, maps_from = _estimated_maps(kspace, mask, std, "k-space")
        else:
            known = maps_on(known, size)
    except InvalidValueError as error:
        raise InvalidValueError("; ".join([f"{raw.source}: {error}", *raw.notes])) from error
    known = central(known, seen)
    known = divided(known, known.abs().square().sum(0).sqrt())
    image = _unfolded(MultiCoilMRI(known, mask, size), kspace)
    scale = float(torch.linalg.vector_norm(image, dim=0).flatten().quantile(_QUANTILE))
    if not scale > 0:
        raise InvalidValueError(f"{raw.source}: the image is zero in nearly all pixels; no scale can be taken from it")
    return Prepared(
        source=raw.source,
        y=kspace / scale,
        maps=known,
        mask=mask,
        noise_std=std / scale,
        scale=scale,
        noise_from=noise_from,
        maps_from=maps_from,
        geometry=None if raw.geometry is None else placed_on(raw.geometry, tuple(raw.kspace.shape[-2:]), size, seen),
        whitening=whitening,
        notes=raw.notes,
    )


@checked
def coil_maps(raw: RawSlice) -> tuple[Tensor, str]:
    """Sensitivities of a slice's own coils, not whitened ones, by ESPIRiT; and what they were taken from.

    Returns:
        Maps (C, H, W), and words.

    Raises:
        InvalidValueError: As for `prepare`.
    """
    prepared = prepare(replace(raw, maps=None))
    if prepared.whitening is None:
        return prepared.maps, prepared.maps_from
    maps = mix_coils(torch.linalg.inv(prepared.whitening), prepared.maps)
    return divided(maps, maps.abs().square().sum(0).sqrt()), prepared.maps_from


def _noise(raw: RawSlice) -> tuple[Tensor | None, float, str]:
    """What whitens the coils and keeps their unit, the noise's standard deviation then, and what it is taken from."""
    if raw.noise is None:
        return None, float(noise_std_from_border(raw.kspace)), "border of k-space"
    matrix = whitening_matrix(raw.noise)
    std = float((-matrix.diagonal().real.log().mean()).exp())
    return std * matrix, std, "noise scan"


def _estimated_maps(kspace: Tensor, mask: Tensor, std: float, source: str) -> tuple[Tensor, str]:
    rows, columns = calibration_region(mask)
    if min(rows, columns) < _FEWEST:
        raise InvalidValueError(
            f"coil maps are estimated from the middle of {source}, of which {rows} × {columns} are measured in full; "
            f"it takes {_FEWEST} × {_FEWEST}: give coil maps"
        )
    rows, columns = min(rows, _MOST), min(columns, _MOST)
    maps = espirit_maps(kspace, (rows, columns), noise_std=std)
    if not bool(maps.any()):
        raise InvalidValueError(
            f"coil maps are estimated from the middle of {source}, which is noise alone; give coil maps"
        )
    return maps, f"ESPIRiT of the middle {rows} × {columns}{'' if source == 'k-space' else f' of {source}'}"


def _unfolded(operator: MultiCoilMRI, y: Tensor) -> Tensor:
    """The least-squares image (2, H, W), stopped early."""
    return conjugate_gradients(lambda v: (operator.gram(v), v), operator.adjoint(y), 3, _STEPS, _TOLERANCE)
