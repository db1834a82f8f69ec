"""Least squares over several coils (CG-SENSE), with a map of the noise that it makes larger."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.checks import Count, NonNegative, Positive, Size
from posterior.linalg import conjugate_gradients
from posterior.operators import MultiCoilMRI
from posterior.operators.coils import CoilOperator
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.baselines.reconstruction import Reconstruction
from samplers.baselines.scan import scan_of, sensitivity
from samplers.solver import Found

Inverse = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CGSense(Reconstruction):
    r"""Regularised least squares of MRI with several coils, by conjugate gradients.

    $$ \hat x = \arg\min_x \|y - Ax\|^2 + \lambda\|A\|^2 \|x\|^2 = (A^H A + \lambda\|A\|^2 I)^{-1} A^H y $$

    Of the prior it uses the event shape alone. Trajectories may be of any kind. The estimate's `loss` is what is
    minimised, and `converged` says whether the tolerance was met.

    Reports (in `PointEstimate.info`): g_factor (B, H, W), by how much more than by the shorter scan undersampling
    raises the noise,

    $$ g = \frac{\mathrm{std}(\hat x)}{\mathrm{std}_\text{full}\sqrt R}, \qquad
       \mathrm{std}_\text{full} = \sigma\Big(\sum_c |S_c|^2\Big)^{-1/2}, $$

    with R the true acceleration and std that of the noise in a real component, from reconstructions of noise alone:
    its relative error is \(1/\sqrt{4 \cdot \text{replicas}}\). It is 0 where no coil sees anything, and below 1
    where λ takes noise away, with detail.

    Args:
        weight: λ; with 0 the noise grows with `iterations`, which then regularise in its place.
        iterations: Steps of conjugate gradients at most.
        tolerance: A measurement is finished when the residual of the equation is this fraction of its right-hand side.
        replicas: Reconstructions of noise for the g-factor; with 0 there is none.

    References:
        Pruessmann, Weiger, Börnert & Boesiger 2001, Advances in sensitivity encoding with arbitrary k-space
        trajectories, Magn. Reson. Med. 46.
        Robson et al. 2008, Comprehensive quantification of signal-to-noise ratio and g-factor for image-based and
        k-space-based parallel imaging reconstructions, Magn. Reson. Med. 60 (replicas).
    """

    operators: ClassVar = CoilOperator
    weight: NonNegative = 0.01
    iterations: Count = 50
    tolerance: Positive = 1e-5
    replicas: Size = 32

    def reconstruct(self, problem: Posterior, seed: int, progress: bool) -> Found:
        operator = scan_of(self.name, problem, CoilOperator)
        squared = torch.as_tensor(operator.norm(), dtype=problem.dtype, device=problem.device) ** 2
        weight = expand_right((self.weight * squared).expand(len(problem)), 3)

        def system(v: Tensor) -> Tensor:
            return operator.gram(v) + weight * v

        def solved(b: Tensor) -> Tensor:
            return conjugate_gradients(lambda v: (system(v), v), b, 3, self.iterations, self.tolerance)

        b = operator.adjoint(problem.y)
        x = solved(b)
        residual = problem.likelihood.squared_residual(x, problem.y)
        loss = residual + (weight * x.square()).flatten(1).sum(1)
        # Twice the tolerance, since the residual is computed anew, with the rounding of one product.
        converged = (b - system(x)).flatten(1).norm(dim=1) <= 2 * self.tolerance * b.flatten(1).norm(dim=1)
        info = {}
        if self.replicas:
            info["g_factor"] = _g_factor(problem, operator, solved, self.replicas, seed, progress)
        return Found(x, loss, converged, info)


def _g_factor(
    problem: Posterior, operator: CoilOperator, solved: Inverse, replicas: int, seed: int, progress: bool
) -> Tensor:
    """The g-factor (B, H, W) of the reconstruction that solves for x, given Aᴴy."""
    noise, shape = problem.noise(seed, replicas).use("g-factor"), operator.measurement_shape
    energy = problem.y.real.new_zeros(len(problem), *operator.event_shape[1:])
    for replica in tqdm(range(replicas), disable=not progress, desc="g-factor"):
        white = torch.view_as_complex(replace(noise, draws=noise.draws[replica : replica + 1]).normal((*shape, 2))[0])
        energy += solved(operator.adjoint(white)).square().sum(1) / (2 * replicas)
    whole = shape if isinstance(operator, MultiCoilMRI) else (shape[0], *operator.event_shape[1:])  # of a full scan
    acceleration = math.prod(whole) / torch.as_tensor(operator.num_measured, device=problem.device)
    return (energy / expand_right(acceleration, 2)).sqrt() * sensitivity(operator).squeeze(-3)
