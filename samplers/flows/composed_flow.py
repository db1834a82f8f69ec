"""A second flow that makes the first one draw from the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from posterior.checks import Count, Positive
from posterior.convergence import ess_mean
from posterior.diagnostics.importance import pareto_smoothed
from posterior.errors import NotFiniteError
from posterior.noise import Noise
from posterior.priors.flows import FlowPrior
from posterior.priors.generators import standard_log_prob
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers import population as pop
from samplers.adam import adam
from samplers.base import Sampler
from samplers.flows.pre_generator import PreGenerator
from samplers.plan import Calls
from samplers.state import Info, State

_FEW = 4.0  # draws for each independent one that they stand for, at the most
_K = 0.7  # beyond which importance weights are not to be trusted (Vehtari et al. 2024)
_DECAYS = (0.9, 0.99)  # of Adam
_ANNEALED = 0.5  # of the steps, over which the likelihood is brought in
_STEEP = 10.0  # most that the slope at a draw counts for, in units of its median over draws


@dataclass(kw_only=True)
class ComposedState(State):
    """The pre-generators, and how they are trained; x is the last batch of latents.

    Attributes:
        parameters: Of the pre-generators, (B, P).
        first, second: Adam's averages of their gradients and of the squares of these, (B, P).
        first_temperature: 1/β of the first step, (B,).
    """

    parameters: Tensor
    first: Tensor
    second: Tensor
    first_temperature: Tensor


@dataclass(frozen=True)
class ComposedFlow(Sampler[ComposedState]):
    r"""Draws of x = f(f̂(ε)), f the prior's flow and f̂ a second one that is trained for the measurement at hand.

    f̂ minimises, by Adam, the divergence of \(q(z)\), the law of f̂(ε), from \(p(z \mid y)\), up to log p(y):

    $$ KL(q \,\|\, N(0, I)) - \beta\,E_q \log L(f(z)), $$

    which with Gaussian noise is the paper's \(E\|Af(z) - y\|^2/(2\sigma^2)\), its smoothing σ annealed as β rises to 1
    over the first half of the steps. Slopes of the target are limited to ten times their median over a step's draws,
    and draws where they overflow, as they do far out, count for nothing in that step.

    As q has a density its draws have importance weights, so that the result says by itself how good q is: k̂, the shape
    of their tail (`pareto_smoothed`). Corrected by weights or by Metropolis' rule draws are of the posterior,
    asymptotically and where weights have a variance; k̂ < 0.7 is a sign of it, no proof.

    Args:
        steps: Steps of Adam, on `batch` draws each.
        batch: Draws a step.
        learning_rate: Its peak; it decays by a cosine.
        couplings, hidden: The pre-generator, see `PreGenerator`.
        correction: "none" gives draws of q; "importance" draws again among `candidates` by their smoothed weights;
            "metropolis" runs an independence chain through the candidates, and keeps states at even distances.
        candidates: Draws of q that are weighted, at least; never fewer than samples are wanted.

    Raises (from `sample`): NotFiniteError where what was trained has no finite image.

    Reports (in `Samples.info`): beta, entropy (of q, in nats) and limited (share of draws whose slope was) by step;
    elbo, log_evidence and log_evidence_error (by weights, of one standard deviation), pareto_k; effective_samples and
    acceptance of a correction.

    References:
        Lindgren, Whang & Dimakis 2020, Conditional sampling from invertible generative models with applications to
        inverse problems, arXiv:2002.11743.
    """

    priors: ClassVar = (FlowPrior,)
    exact_for: ClassVar[str] = "any posterior, as candidates grow in number, with a correction; else nothing"
    state_type: ClassVar = ComposedState
    advice: ClassVar = "take more steps or a wider pre-generator, or FlowHMC or TemperedSMC"
    steps: Count = 1000
    batch: Count = 16
    learning_rate: Positive = 0.05
    couplings: Count = 4
    hidden: Count = 32
    correction: Literal["none", "importance", "metropolis"] = "none"
    candidates: Count = 1000

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        steps = self.training_calls()
        return Calls(steps.forward + max(num_samples, self.candidates) + num_samples, steps.backward)

    def training_calls(self) -> Calls:
        """The network evaluations that training takes."""
        backward = self.steps * self.batch
        return Calls(max(2, self.batch) + backward, backward)

    def together(self, num_samples: int) -> int:
        return max(num_samples, self.candidates, self.batch)

    def block(self, num_samples: int, at_once: int) -> int:
        return num_samples  # a trained flow serves them all

    def init(self, problem: Posterior, noise: Noise) -> ComposedState:
        z = noise.for_draws(max(2, self.batch)).normal(problem.event_shape)
        log_likelihood = problem.log_likelihood(z)
        parameters = self.first_parameters(problem, noise.use("parameters"))
        zero = z.new_zeros(len(problem))
        return ComposedState(
            x=z[: self.batch],
            done=zero.bool(),
            progress=zero,
            parameters=parameters,
            first=torch.zeros_like(parameters),
            second=torch.zeros_like(parameters),
            first_temperature=(log_likelihood.amax(0) - log_likelihood.amin(0)).clamp_min(1.0),
        )

    def step(self, problem: Posterior, state: ComposedState, noise: Noise) -> tuple[ComposedState, Info]:
        step, epsilon = state.step, noise.for_draws(self.batch).use("epsilon").normal(problem.event_shape)
        beta = state.first_temperature ** -max(0.0, 1 - step / (_ANNEALED * self.steps))
        with torch.enable_grad():
            leaf = state.parameters.detach().requires_grad_()
            z, log_det = self.composed(problem, leaf, epsilon)
            slope, share = limited(self.target_grad(problem, z.detach(), beta))
            # has the gradient of −log target − log|det|; rows of parameters do not meet, so a sum serves all
            loss = (-(slope * z).flatten(2).sum(-1) - (share > 0) * log_det).mean(0).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        parameters, first, second = adam(state.parameters, gradient, state.first, state.second, step, rate, _DECAYS)
        new = state.after(self.steps, x=z.detach(), parameters=parameters, first=first, second=second)
        entropy = (log_det.detach() - log_standard(epsilon)).mean(0)
        return new, {"beta": beta, "entropy": entropy, "limited": (share < 1).to(entropy).mean(0)}

    def finish(self, problem: Posterior, state: ComposedState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        source = noise.for_draws(max(num_samples, self.candidates))
        epsilon = source.use("epsilon").normal(problem.event_shape)
        z, log_det = self.composed(problem, state.parameters, epsilon)
        log_weights = self.log_target(problem, z) + log_det - log_standard(epsilon)
        broken = log_weights.isnan().any(0)
        if bool(broken.all()):  # where some are not, verdicts name the others
            raise NotFiniteError(
                f"{self.name}: draws of what was trained for measurement(s) {problem.ids} have no finite image: take a "
                "smaller learning_rate, or more steps"
            )
        log_weights = log_weights.masked_fill(broken, 0.0)
        smoothed = pareto_smoothed(log_weights)
        figures = {
            "elbo": log_weights.mean(0),
            "log_evidence": log_weights.logsumexp(0) - math.log(len(z)),
            "log_evidence_error": log_weights.softmax(0).std(0) * len(z) ** 0.5,  # of the mean weight, relative
            "pareto_k": smoothed.k,
        }
        if self.correction == "importance":
            index = pop.systematic(smoothed.log_weights, source.for_draws(1).use("resample").uniform()[0], num_samples)
            index = index.gather(0, noise.for_draws(num_samples).use("order").uniform().argsort(0))
            effective = 1 / smoothed.log_weights.exp().square().sum(0)
            figures["effective_samples"] = 1 / (1 / effective + 1 / num_samples - 1 / len(z))
            z = pop.take(z, index)
        elif self.correction == "metropolis":
            index, figures["acceptance"] = independence_chain(log_weights, source.use("accept").uniform())
            z = pop.take(z, index[(torch.arange(num_samples, device=z.device) + 1) * len(z) // num_samples - 1])
            if num_samples >= 4:
                ess = ess_mean(z[None].flatten(3))
                figures["effective_samples"] = ess.nan_to_num(1.0).amin(-1)  # NaN where all draws are one
        z = self.latents(problem, z[:num_samples])
        z = z.masked_fill(expand_right(broken, z.ndim - 2), torch.nan)
        return z, {name: v.to(z.dtype).masked_fill(broken, torch.nan) for name, v in figures.items()}

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        found = {"what was trained is far from the posterior (pareto_k)": info["pareto_k"] > _K}
        if "effective_samples" in info:
            few = info["effective_samples"] * _FEW < num_samples
            found["the draws stand for few independent ones (effective_samples)"] = few
        return found

    def first_parameters(self, problem: Posterior, noise: Noise) -> Tensor:
        """Parameters (B, P) of what is trained, before it is."""
        return self._pre_generator(problem).init(noise)

    def composed(self, problem: Posterior, parameters: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        r"""What is trained, of ε (S, B, *event): its value, of the same shape, and \(\log|\det|\), (S, B)."""
        z, log_det = self._pre_generator(problem)(parameters, epsilon.flatten(2))
        return z.unflatten(2, problem.event_shape), log_det

    def target_grad(self, problem: Posterior, z: Tensor, beta: Tensor) -> Tensor:
        """Gradient of the logarithm of the target at inverse temperature β (B,)."""
        return expand_right(beta, len(problem.event_shape)) * problem.log_likelihood_grad(z) - z

    def log_target(self, problem: Posterior, z: Tensor) -> Tensor:
        """Logarithm of the target, (S, B), whose integral is p(y)."""
        return problem.log_likelihood(z) + log_standard(z)

    def latents(self, problem: Posterior, z: Tensor) -> Tensor:
        """Latents of the prior's flow."""
        return z

    def _pre_generator(self, problem: Posterior) -> PreGenerator:
        return PreGenerator(math.prod(problem.event_shape), self.couplings, self.hidden)


def limited(slope: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes (S, B, *event), none longer than ten times the median of its measurement, and those not finite zero.

    Where most are not finite they are left as they are, to be found.

    Returns:
        The slopes, and which share of each is left, (S, B).
    """
    length = slope.flatten(2).norm(dim=2)
    limit = _STEEP * length.nan_to_num(nan=torch.inf).median(0).values
    share = (limit / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1).nan_to_num(0.0)
    share = torch.where(limit.isfinite(), share, 1.0)
    left = expand_right(share, slope.ndim - 2)
    return torch.where(left > 0, slope * left, 0.0), share


def independence_chain(log_weights: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Metropolis' rule on proposals that do not depend on the state: which is the state after each.

    Args:
        log_weights: Logarithm of target ÷ proposal density, (N, B); the first is where the chain begins.
        uniform: Uniform draws (N, B).

    Returns:
        Indices (N, B), and the share of proposals that were taken, (B,).

    References:
        Tierney 1994, Markov chains for exploring posterior distributions, Annals of Statistics 22.
    """
    state = torch.zeros_like(log_weights[0], dtype=torch.int64)
    current, path = log_weights[0], [state]
    for number in range(1, len(log_weights)):
        take = uniform[number].log() < log_weights[number] - current
        state, current = torch.where(take, number, state), torch.where(take, log_weights[number], current)
        path.append(state)
    index = torch.stack(path)
    return index, (index[1:] != index[:-1]).to(log_weights).mean(0)


def log_standard(z: Tensor) -> Tensor:
    """Log N(z; 0, I) of latents (S, B, *latent): (S, B)."""
    return standard_log_prob(z, z.ndim - 2)
