"""Variational inference on images themselves, for comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from posterior.checks import Positive
from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.flows.composed_flow import ComposedFlow
from samplers.plan import Calls

_DRAWS = 64  # of the prior, for its moments
_NARROW = 0.1  # of their standard deviations: where the first draws are
_EDGE = 1e-6  # of the way between bounds, which images keep


@dataclass(frozen=True)
class AmbientVI(ComposedFlow):
    r"""A flow q of images trained on \(KL(q \,\|\, p(x \mid y))\), where `ComposedFlow` has one of latents.

    The prior's density is all that is used of it, \(\log p(x)\) and its gradient through the inverse of its flow; the
    rest, corrections and reports included, is as in `ComposedFlow`. q begins at the mean of 64 images of the prior,
    with a tenth of their standard deviation in every value; where images have bounds q has them too, by a sigmoid.
    Its draws reach images that the prior hardly has, whose log p(x) overflows if steps are large: hence a learning
    rate that is a fifth of `ComposedFlow`'s, which suits vectors.

    References:
        Lindgren, Whang & Dimakis 2020, arXiv:2002.11743 (the baseline "ambient VI").
    """

    learning_rate: Positive = 0.01

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        forward, backward, *_ = super().calls(problem, num_samples)
        return Calls(forward + _DRAWS + num_samples, backward)  # images of the start, and latents of the samples

    def first_parameters(self, problem: Posterior, noise: Noise) -> Tensor:
        images = problem.prior(noise.for_draws(_DRAWS).use("images").normal(problem.event_shape)).flatten(2)
        low, high = problem.prior.support
        if math.isfinite(high - low):
            images = ((images - low) / (high - low)).logit(eps=_EDGE)
        moments = torch.cat([images.mean(0), (_NARROW * images.std(0)).log()], 1)
        return torch.cat([super().first_parameters(problem, noise), moments], 1)

    def composed(self, problem: Posterior, parameters: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        size = epsilon[0, 0].numel()
        trained, moments = parameters.tensor_split([-2 * size], 1)
        mean, log_std = moments.detach().chunk(2, 1)  # fixed: they give a step of the training its size in each value
        h, log_det = super().composed(problem, trained, epsilon)
        h, log_det = mean + log_std.exp() * h.flatten(2), log_det + log_std.sum(-1)
        low, high = problem.prior.support
        if math.isfinite(high - low):
            width = high - low
            log_det = log_det + (math.log(width) + functional.logsigmoid(h) + functional.logsigmoid(-h)).sum(-1)
            h = low + width * h.sigmoid()
        return h.unflatten(2, problem.prior.event_shape), log_det

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
