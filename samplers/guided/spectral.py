"""Guidance by the spectrum of the operator, for DDRM and DDNM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.errors import IncompatibleError
from posterior.problem import Posterior
from samplers.base import StateT
from samplers.guided.base import Guided, noise_variance


@dataclass(frozen=True)
class Spectral(Guided[StateT]):
    """A sampler that treats each spectral component of the image on its own, by functions of AᵀA that jump."""

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if not problem.operator.knows_spectrum:
            raise IncompatibleError(
                f"{self.name} needs the spectrum of AᵀA, which {type(problem.operator).__name__} does not know; give "
                "its matrix, as Matrix(A), or take PiGDM, DiffPIR or TemperedSMC, which do without"
            )

    def tiny(self, problem: Posterior) -> Tensor:
        """Eigenvalues of AᵀA that count as zero, ()."""
        norm = problem.operator.norm().max().to(problem.device, problem.dtype)
        return norm**2 * (100 * torch.finfo(problem.dtype).eps)

    def known(self, problem: Posterior, values: Tensor, sigma: float) -> Tensor:
        """Whether components with these eigenvalues of AᵀA are measured at less noise than σ."""
        return (values > self.tiny(problem)) & (sigma**2 * values >= noise_variance(problem, values.ndim))
