"""Variational inference on images themselves, for comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.flows.composed_flow import ComposedFlow


@dataclass(frozen=True)
class AmbientVI(ComposedFlow):
    r"""A flow q of images trained on \(KL(q \,\|\, p(x \mid y))\), where `ComposedFlow` has one of latents.

    The prior's density is all that is used of it, \(\log p(x)\) and its gradient through the inverse of its flow; the
    rest, corrections and reports included, is as in `ComposedFlow`. Where the prior's images have bounds q has them
    too, by a sigmoid.

    References:
        Lindgren, Whang & Dimakis 2020, arXiv:2002.11743 (the baseline "ambient VI").
    """

    def composed(self, problem: Posterior, parameters: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        h, log_det = super().composed(problem, parameters, epsilon)
        low, high = problem.prior.support
        if math.isfinite(high - low):
            share, width = h.sigmoid(), high - low
            log_det = log_det + (math.log(width) + share.log() + (1 - share).log()).flatten(2).sum(-1)
            h = low + width * share
        return h.flatten(2).unflatten(2, problem.prior.event_shape), log_det

    def target_grad(self, problem: Posterior, z: Tensor, beta: Tensor) -> Tensor:
        slope = expand_right(beta, len(problem.prior.event_shape)) * problem.likelihood.grad(z, problem.y)
        with torch.enable_grad():
            x = z.detach().requires_grad_()
            log_prior = problem.prior.log_prob(x)
        return slope + torch.autograd.grad(log_prior.sum(), x)[0]

    def log_target(self, problem: Posterior, z: Tensor) -> Tensor:
        return problem.likelihood.log_prob(z, problem.y) + problem.prior.log_prob(z)

    def latents(self, problem: Posterior, z: Tensor) -> Tensor:
        return problem.prior.inverse(z)
