"""Denoising by block matching (BM3D), through its authors' package."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tqdm import tqdm

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity
from posterior.problem import Posterior
from samplers.baselines.reconstruction import Reconstruction, found
from samplers.solver import Found


@dataclass(frozen=True)
class BM3D(Reconstruction):
    """Denoising by block matching and collaborative filtering, for Gaussian noise on the image itself.

    It needs the package `bm3d`, which is free for non-commercial use only and is not installed with this library:
    `pip install bm3d` (the extra `bm3d`), once its licence has been read. Of the prior it uses the event shape alone:
    one channel, or three, which are taken for red, green and blue.

    References:
        Dabov, Foi, Katkovnik & Egiazarian 2007, Image denoising by sparse 3-D transform-domain collaborative
        filtering, IEEE Trans. Image Process. 16.
        Mäkinen, Azzari & Foi 2020, Collaborative filtering of correlated noise: exact transform-domain variance for
        improved shrinkage and patch matching, IEEE Trans. Image Process. 29 (the package).
    """

    def check(self, problem: Posterior) -> None:
        likelihood, operator, shape = problem.likelihood, problem.operator, problem.event_shape
        if not (isinstance(likelihood, GaussianLikelihood) and isinstance(operator, Identity)):
            raise IncompatibleError(
                f"{self.name} denoises: it takes Gaussian noise on Identity, not {type(likelihood).__name__} on "
                f"{type(operator).__name__}"
            )
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise IncompatibleError(f"{self.name} takes images (1 or 3, H, W), not events of shape {shape}")

    def reconstruct(self, problem: Posterior, seed: int, progress: bool) -> Found:
        try:
            from bm3d import bm3d, bm3d_rgb
        except ImportError as error:
            raise IncompatibleError(
                f"{self.name} needs the package bm3d: pip install bm3d (free for non-commercial use only)"
            ) from error
        std = problem.likelihood.noise_std.expand(len(problem)).tolist()
        images = []
        for y, level in zip(
            tqdm(problem.y.cpu().double().numpy(), disable=not progress, desc=self.name), std, strict=True
        ):
            pixels = bm3d(y[0], level)[..., None] if len(y) == 1 else bm3d_rgb(y.transpose(1, 2, 0), level)
            images.append(torch.as_tensor(pixels).reshape(*y.shape[1:], len(y)).permute(2, 0, 1))
        return found(torch.stack(images).to(problem.y))
