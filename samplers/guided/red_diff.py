"""Regularisation by denoising diffusion (RED-diff)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Positive, Several
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.adam import adam
from samplers.curvature import check_linear_gaussian
from samplers.guided.base import ddpm_levels
from samplers.plan import Calls
from samplers.solver import Found, IterativeSolver
from samplers.state import Info, State, per_draw


@dataclass(kw_only=True)
class REDDiffState(State):
    """The image μ, x (1, B, *event), and what Adam knows of it.

    Attributes:
        first, second: Averages of its gradients and of the squares of these, as x.
        loss: Of the image before the last step, (B,).
    """

    first: Tensor = per_draw()
    second: Tensor = per_draw()
    loss: Tensor


@dataclass(frozen=True)
class REDDiff(IterativeSolver[REDDiffState]):
    r"""One image that fits the measurement and is, with noise, what the denoiser would have it be.

    Adam (0.9, 0.99) follows, from noise level to noise level,

    $$ A^T(A\mu - y) + \lambda\,(\mu - D(\mu + \sigma\varepsilon, \sigma)), $$

    the gradient of a variational loss whose distribution is one point: a mode, not a posterior. No gradients of the
    network. The loss of the estimate is ‖y − Aμ‖²/2 before the last step; `converged` says whether that fell by less
    than 1 % over the last tenth of the steps, and `info["loss"]` is its trace, (steps, B).

    Args:
        steps: Noise levels, DDPM's.
        weight: λ.
        learning_rate: Of Adam.

    References:
        Mardani, Song, Kautz & Vahdat 2023, A Variational Perspective on Solving Inverse Problems with Diffusion Models,
        arXiv:2305.04391.
    """

    state_type: ClassVar = REDDiffState
    remedy: ClassVar = "check that the denoiser is finite at its noise levels"
    priors: ClassVar = (ScorePrior,)
    steps: Several = 1000
    weight: Positive = 0.25
    learning_rate: Positive = 0.1

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        check_linear_gaussian(self.name, problem, "DAPS, TDS and TemperedSMC take any likelihood and operator")

    def calls(self, problem: Posterior) -> Calls:
        return Calls(self.steps)

    def init(self, problem: Posterior, noise: Noise) -> REDDiffState:
        operator = problem.operator
        norm = expand_right(operator.norm().to(problem.y.real).reshape(-1), len(problem.event_shape))
        mean = (operator.adjoint(problem.y) / norm**2)[None]
        zero = mean.new_zeros(len(problem))
        return REDDiffState(
            x=mean, first=torch.zeros_like(mean), second=torch.zeros_like(mean), loss=zero, done=zero.bool(),
            progress=zero.clone(),
        )  # fmt: skip

    def step(self, problem: Posterior, state: REDDiffState, noise: Noise) -> tuple[REDDiffState, Info]:
        operator, prior, mean = problem.operator, problem.prior, state.x
        sigma = ddpm_levels(self.steps, prior.sigma_min, prior.sigma_max)[state.step]
        clean = prior.denoise(mean + sigma * noise.normal(problem.event_shape), sigma)
        residual = operator(mean) - problem.y
        slope = operator.adjoint(residual) + self.weight * (mean - clean)
        x, first, second = adam(mean, slope, state.first, state.second, state.step, self.learning_rate, (0.9, 0.99))
        loss = 0.5 * (residual * residual.conj()).real.flatten(2).sum(-1)[0]
        return state.after(self.steps, x=x, first=first, second=second, loss=loss), {"loss": loss}

    def finish(self, problem: Posterior, state: REDDiffState, trace: Info) -> Found:
        losses = trace["loss"].to(state.loss)
        before = losses[-max(2, self.steps // 10) :][0]
        return Found(state.x[0], state.loss, before - state.loss <= 0.01 * before, {"loss": losses})
