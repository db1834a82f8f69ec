"""Samplers of the deepinv library on our problems: units, operators and denoisers in its conventions.

deepinv's samplers assume images of about unit variance, DiffPIR those in [0, 1], so each gets the problem in the units
it assumes: x = scale · x' + shift. The operator goes in with its full singular value decomposition, from which every
method of deepinv that asks for one profits. Denoisers are called in float32, as deepinv does everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import deepinv as dinv
import torch
from deepinv.sampling import (
    DDRM,
    DPS,
    ULA,
    ALDDataFidelity,
    DiffPIR,
    MomentMatchingDataFidelity,
    PiGDMDataFidelity,
    PosteriorDiffusion,
    SKRock,
    VariancePreservingDiffusion,
)
from deepinv.sampling.sde_solver import AncestralSolver
from torch import Tensor

from posterior.operators import Inpainting
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior

FIDELITIES = {"PiGDM": PiGDMDataFidelity, "MMPS": MomentMatchingDataFidelity, "ALD": ALDDataFidelity}


@dataclass
class Peer:
    """A sampler of deepinv, with settings by its own names ("steps" is the number of noise levels).

    Attributes:
        method: DDRM, DiffPIR, DPS, PiGDM, MMPS (deepinv's MomentMatching), ALD, ULA or SKRock.
        settings: Those that differ from the defaults.
        calls: Denoiser calls a sample of the last run, and backward passes.
    """

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    calls: float = 0.0

    def sample(self, problem: Posterior, size: int, seed: int = 0) -> Tensor:
        """Samples of the first measurement, (size, *event_shape)."""
        torch.manual_seed(seed)
        prior, scale, shift = problem.prior, problem.prior.sigma_data, 0.0
        if self.method == "DiffPIR":  # which clips to [0, 1]
            half = prior.value_range[1]
            if isinstance(prior, GaussianMixturePrior):
                half = float(prior.exact_sample(1000, problem.noise(0, 1000).use("range")).abs().max())
            scale, shift = 2 * half, -half
        denoiser = Denoiser(problem, scale, shift)
        physics, shape = physics_of(problem, scale)
        flat = torch.full(problem.event_shape, shift, dtype=problem.dtype)
        y = ((problem.y[0] - problem.operator(flat)) / scale).float().reshape(1, *shape)
        x = self.run(denoiser, physics, y.expand(size, *shape).clone())
        self.calls = (denoiser.rows + denoiser.grad_rows) / size
        return x.detach().to(problem.dtype).reshape(size, *problem.event_shape) * scale + shift

    @torch.no_grad()
    def run(self, denoiser: Callable[..., Tensor], physics: Any, y: Tensor) -> Tensor:
        """Samples (size, C, H, W), of measurements that deepinv's operator makes."""
        options = {name: value for name, value in self.settings.items() if name not in ("steps", "sigma_max")}
        if self.method == "DDRM":
            levels = torch.linspace(self.settings.get("sigma_max", 1.0), 0, self.settings.get("steps", 100)).numpy()
            return DDRM(denoiser, sigmas=levels, **options)(y, physics)
        if self.method == "DiffPIR":
            return DiffPIR(
                denoiser, dinv.optim.data_fidelity.L2(), max_iter=self.settings.get("steps", 100), **options
            )(y, physics)
        if self.method == "DPS":
            model = DPS(denoiser, num_steps=self.settings.get("steps", 1000), minus_one_one=False, **options)
            model.data_fidelity.clip = None  # to [−1, 1], where images of unit variance are not
            return model(y, physics)
        if self.method in FIDELITIES:
            times = torch.linspace(1, 0, self.settings.get("steps", 100) + 1, dtype=torch.float64)
            return PosteriorDiffusion(
                FIDELITIES[self.method](**options), denoiser, VariancePreservingDiffusion(alpha=1.0),
                AncestralSolver(times), minus_one_one=False,
            )(y, physics)  # fmt: skip
        kind = {"ULA": ULA, "SKRock": SKRock}[self.method]
        noise_std, level = float(physics.noise_model.sigma), options.get("sigma", 0.05)
        lipschitz = float(physics.mask.max()) ** 2 / noise_std**2 + 1 / level**2
        chains = kind(
            dinv.optim.prior.ScorePrior(denoiser), dinv.optim.data_fidelity.L2(sigma=noise_std), clip=None,
            max_iter=self.settings.get("steps", 1000 if self.method == "ULA" else 100), save_chain=1,
            **{"step_size": 1 / lipschitz, "thinning": 1} | options,
        )  # fmt: skip
        chains.sample(y, physics)
        return chains.get_chain()[-1]["x"]


class Denoiser(dinv.models.Denoiser):
    """A prior's denoiser in other units, which counts its calls."""

    def __init__(self, problem: Posterior, scale: float, shift: float) -> None:
        super().__init__()
        self.prior, self.dtype = problem.prior, problem.dtype
        self.scale, self.shift = scale, shift
        self.rows = self.grad_rows = 0

    def forward(self, x: Tensor, sigma: Tensor | float, *args: Any, **kwargs: Any) -> Tensor:
        """D(x, σ) of x (N, C, H, W); levels out of the prior's range are moved to its ends."""
        level = torch.as_tensor(sigma, dtype=self.dtype).reshape(-1) * self.scale
        level = level.clamp(self.prior.sigma_min, self.prior.sigma_max).expand(len(x))
        rows = x.to(self.dtype).reshape(-1, *self.prior.event_shape) * self.scale + self.shift
        self.rows += len(rows)
        out = (self.prior.denoise(rows, level) - self.shift) / self.scale
        if out.requires_grad:
            out.register_hook(self._count)
        return out.reshape(x.shape).to(x.dtype)

    def _count(self, grad: Tensor) -> None:
        self.grad_rows += grad.shape[0]


def physics_of(problem: Posterior, scale: float) -> tuple[Any, tuple[int, ...]]:
    """The operator with its noise, and the shape of a measurement: deepinv's own for masks, else with dense factors."""
    operator, n = problem.operator, math.prod(problem.event_shape)
    noise = dinv.physics.GaussianNoise(float(problem.likelihood.noise_std) / scale)
    if isinstance(operator, Inpainting):
        mask = operator(torch.ones(problem.event_shape, dtype=problem.dtype)).float()
        return dinv.physics.Inpainting(problem.event_shape, mask=mask, noise_model=noise), problem.event_shape
    basis = torch.eye(n, dtype=problem.dtype).reshape(n, *problem.event_shape)
    matrix = operator(basis).reshape(n, -1).T
    u, singular, vt = torch.linalg.svd(matrix.double(), full_matrices=True)
    rank = len(singular)
    u, v = u[:, :rank].float(), vt.T.float()
    image = problem.event_shape if len(problem.event_shape) == 3 else (1, 1, n)
    mask = torch.zeros(1, 1, 1, n)
    mask[..., :rank] = singular.float()
    physics = dinv.physics.DecomposablePhysics(
        U=lambda c: c[..., :rank] @ u.T.to(c),
        U_adjoint=lambda y: torch.nn.functional.pad(y @ u.to(y), (0, n - rank)),
        V=lambda c: (c.flatten(1) @ v.T.to(c)).reshape(-1, *image),
        V_adjoint=lambda x: (x.flatten(1) @ v.to(x)).reshape(-1, 1, 1, n),
        mask=mask, img_size=image, noise_model=noise,
    )  # fmt: skip
    return physics, (1, 1, len(matrix))
