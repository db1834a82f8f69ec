"""The auxiliary-variable move: leaves p(x) L(x)^β invariant with draws of p(x0 | z) alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from posterior.errors import IncompatibleError, NoiseLevelError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.curvature import Curvature, has_signs, is_linear_gaussian
from samplers.kernel import KernelCalls, Move
from samplers.state import Info

# ρ²β‖H̄‖ = 0.95²: larger ρ mix faster, and at 1 the proposal's covariance has no inverse.
_FRACTION = 0.95
_OVER_RELAXATION = 0.8
_FIRST = 0.3  # of the largest ρ, where moves can be rejected
FINE = (1 / 8, 1 / 64)  # of the last ρ, for the moves that end a run


@dataclass(frozen=True)
class PriorSampling:
    """How the prior and its conditionals are sampled: by reverse diffusion, or exactly where the prior is analytic.

    Args:
        steps: Network calls for a sample of p(x0 | x0 + ρε = z).
        prior_steps: Network calls for a sample of p(x).
        exact: Whether to use the prior's exact samples instead.
    """

    steps: int
    prior_steps: int = 0
    exact: bool = False

    @property
    def calls(self) -> tuple[int, int]:
        """Network calls for a sample of p(x), and for one of p(x0 | z)."""
        return (0, 0) if self.exact else (self.prior_steps, self.steps)

    def sample(self, prior: ScorePrior, count: int, noise: Noise) -> Tensor:
        """Samples of p(x), (count, B, *event)."""
        if self.exact:
            return prior.exact_sample(count, noise)
        return prior.sample(count, noise, steps=self.prior_steps)

    def sample_denoised(
        self, prior: ScorePrior, z: Tensor, rho: Tensor, noise: Noise, denoised: Tensor | None = None
    ) -> Tensor:
        """Samples of x0 given z (S, B, *event) and ρ (B,), and D(z, ρ) if it is known, which saves a call."""
        if self.exact:
            return prior.exact_denoise(z, rho, noise)
        return prior.sample_denoised(z, rho, noise, steps=self.steps, denoised=denoised)


@dataclass(frozen=True)
class AuxiliaryKernel:
    """Moves of images under a score prior, with a curvature taken at the population's mean.

    Args:
        sampling: How the prior is sampled.
    """

    patience: ClassVar = 8
    refuses: ClassVar = True
    sampling: PriorSampling

    @property
    def calls(self) -> KernelCalls:
        start, move = self.sampling.calls
        return KernelCalls(start, move, move, len(FINE) * move)

    def start(self, problem: Posterior, count: int, noise: Noise) -> Tensor:
        return self.sampling.sample(problem.prior, count, noise)

    def first_scale(self, problem: Posterior) -> float:
        return first_scale(problem)

    def move(self, problem: Posterior, before: Move, beta: Tensor, scale: Tensor, noise: Noise) -> tuple[Move, Info]:
        curvature = Curvature(problem, before.x.mean(0))
        rho = rho_of(problem, curvature, beta, scale)
        return auxiliary_move(problem, before, beta, rho, curvature, self.sampling, noise), {"rho": rho}

    def finish(self, problem: Posterior, last: Move, pilot: Tensor, scale: Tensor, noise: Noise) -> Tensor:
        # Few network calls leave noise of some hundredths of ρ where a pixel is certain: moves of falling ρ remove it.
        # Each draws ε anew: what is carried along has kept that noise, or is the momentum of kinetic moves.
        curvature, beta = Curvature(problem, pilot), torch.ones_like(scale)
        for i, rho in enumerate(fine_rhos(problem.prior, rho_of(problem, curvature, beta, scale))):
            source = noise.use("polish", i)
            last = last._replace(epsilon=source.use("epsilon").normal(problem.event_shape))
            last = auxiliary_move(problem, last, beta, rho, curvature, self.sampling, source)
        return last.x


def auxiliary_move(
    problem: Posterior, before: Move, beta: Tensor, rho: Tensor, curvature: Curvature, sampling: PriorSampling,
    noise: Noise,
) -> Move:  # fmt: skip
    r"""One move that leaves \(p(x) L(x)^\beta\,N(\epsilon; 0, I)\) invariant, for any likelihood L.

    With \(R = (I - \rho^2\beta\bar H)^{1/2}\) the auxiliary variable has the law

    $$ z \mid x = \mu(x) + \rho R \epsilon, \quad \mu(x) = x + \rho^2\beta\,\nabla\log L(x), \quad
       \epsilon \sim N(0, I); \qquad x' \mid z \sim p(x_0 \mid x_0 + \rho\varepsilon = z). $$

    The prior cancels in the Metropolis–Hastings ratio of x′ against x given z, and with \(\epsilon' = R^{-1}(z -
    \mu(x'))/\rho\) it is

    $$ \log r = \beta\log\frac{L(x')}{L(x)} + \frac{\|z - x'\|^2 - \|z - x\|^2}{2\rho^2}
       + \frac{\|\epsilon\|^2 - \|\epsilon'\|^2}{2}. $$

    Where L is Gaussian and the operator measures magnitudes of real numbers, their signs are drawn first, and L(x)^β is
    L(x)^β P(s | x) above (`_given_signs`).

    Where L is Gaussian and the operator linear r = 1: z = x + ρ·noise, with the measurement's noise coupled to it, and
    the move is a Gibbs sweep. ε is carried along and over-relaxed, \(\epsilon \leftarrow -a\epsilon + \sqrt{1 - a^2}\,
    \xi\), which keeps its law and all but doubles the speed at which x moves where y says little. It needs no rescaling
    when β, ρ or H̄ change.

    Args:
        problem: The measurements.
        before: Where the chains are; ε is standard Gaussian to begin with.
        beta: Inverse temperature of each measurement, (B,), in (0, 1].
        rho: Noise level of z, (B,), with ρ²β‖H̄‖ < 1.
        curvature: H̄, which does not depend on x.
        sampling: How x given z is drawn.
        noise: Source of randomness.

    References:
        Titsias & Papaspiliopoulos 2018, Auxiliary gradient-based sampling algorithms, JRSS B 80 (Gaussian priors).
        Adler 1981, Over-relaxation method for the Monte Carlo evaluation of the partition function for multiquadratic
        actions, Phys. Rev. D 23.
    """
    x, dims = before.x, len(problem.event_shape)
    kappa, scale = _drift(rho, beta, curvature), expand_right(rho, dims)
    target = _given_signs(problem, x, beta, noise.use("signs")) if has_signs(problem) else _plain(problem, beta)

    def mu(image: Tensor) -> Tensor:
        return image + expand_right(kappa, dims) * target.grad(image)

    def spectrum(eigenvalue: Tensor) -> Tensor:
        return 1 - expand_right(kappa, eigenvalue.ndim - 1).to(eigenvalue) * eigenvalue

    def length(image: Tensor) -> Tensor:
        return image.flatten(-dims).square().sum(-1)

    fresh = (1 - _OVER_RELAXATION**2) ** 0.5
    epsilon = fresh * noise.use("z").normal(problem.event_shape) - _OVER_RELAXATION * before.epsilon
    z = noisy_image(x, target.grad(x), epsilon, kappa, rho, curvature)
    ahead = sampling.sample_denoised(problem.prior, z, rho, noise.use("x"))
    back = curvature.function(lambda eigenvalue: spectrum(eigenvalue).rsqrt(), (z - mu(ahead)) / scale)
    new = problem.log_likelihood(ahead)
    if is_linear_gaussian(problem):
        return Move(ahead, new, back, torch.ones_like(new))
    log_ratio = target.log_prob(ahead, new) - target.log_prob(x, before.log_likelihood)
    log_ratio = log_ratio + 0.5 * (
        length((z - ahead) / scale) - length((z - x) / scale) + length(epsilon) - length(back)
    )
    accepted = log_ratio.nan_to_num(nan=-torch.inf).clamp_max(0).exp()
    take = noise.use("accept").uniform() < accepted
    wide = expand_right(take, dims)
    return Move(
        torch.where(wide, ahead, x), torch.where(take, new, before.log_likelihood), torch.where(wide, back, epsilon),
        accepted,
    )  # fmt: skip


def noisy_image(x: Tensor, grad: Tensor, epsilon: Tensor, kappa: Tensor, rho: Tensor, curvature: Curvature) -> Tensor:
    """z = x + κ∇log L(x) + ρ(I − κH̄)^½ ε."""
    dims = x.ndim - 2

    def root(eigenvalue: Tensor) -> Tensor:
        return (1 - expand_right(kappa, eigenvalue.ndim - 1).to(eigenvalue) * eigenvalue).sqrt()

    return x + expand_right(kappa, dims) * grad + expand_right(rho, dims) * curvature.function(root, epsilon)


class _Target(NamedTuple):
    """What a move leaves invariant besides the prior.

    Attributes:
        grad: g of images, whose product with ρ²β is the drift; any function keeps the move exact.
        log_prob: log L(x)^β, and of what has been drawn given x, for images and their log p(y | x).
    """

    grad: Callable[[Tensor], Tensor]
    log_prob: Callable[[Tensor, Tensor], Tensor]


def _plain(problem: Posterior, beta: Tensor) -> _Target:
    return _Target(problem.log_likelihood_grad, lambda x, log_likelihood: beta * log_likelihood)


def _given_signs(problem: Posterior, x: Tensor, beta: Tensor, noise: Noise) -> _Target:
    r"""The target once the lost signs of y = |u| + σn, u = Ax, have been drawn: L(x)^β P(s | x).

    $$ P(s \mid x) = \prod_i \frac{1}{1 + e^{-2\kappa_i s_i u_i}}, \quad \kappa = \beta y/\sigma^2 $$

    It is \(N(sy; Ax, \sigma^2/\beta)\) but for a factor that lies between ½ and 1 for each positive y, so that its
    gradient makes a drift with which nearly all moves are accepted.
    """
    inner, likelihood = problem.operator.operator, problem.likelihood
    dims = len(inner.measurement_shape)
    kappa = expand_right(beta / likelihood.noise_std.to(x) ** 2, dims) * problem.y
    positive = noise.uniform(inner.measurement_shape) < torch.sigmoid(2 * kappa * inner(x))
    signs = 2 * positive.to(x) - 1  # of the precision of x, whatever torch's default
    linear = GaussianLikelihood(inner, likelihood.noise_std)

    def log_prob(image: Tensor, log_likelihood: Tensor) -> Tensor:
        terms = torch.nn.functional.logsigmoid(2 * kappa * signs * inner(image))
        return beta * log_likelihood + likelihood.measured(terms).flatten(-dims).sum(-1)

    return _Target(lambda image: linear.grad(image, signs * problem.y), log_prob)


def _drift(rho: Tensor, beta: Tensor, curvature: Curvature) -> Tensor:
    """κ = ρ²β, or where ρ is larger than the curvature allows 0.95²/‖H̄‖: any κ leaves the target invariant."""
    kappa, most = rho**2 * beta, _FRACTION**2 / curvature.norm
    return torch.where(kappa > 1.001 * most, most, kappa)


def rho_of(problem: Posterior, curvature: Curvature, beta: Tensor, scale: Tensor) -> Tensor:
    """The ρ of a move that is a fraction `scale` of the largest, but no less than the prior's smallest level: (B,)."""
    return (scale * largest_rho(problem, curvature, beta)).clamp_min(problem.prior.sigma_min)


def largest_rho(problem: Posterior, curvature: Curvature, beta: Tensor) -> Tensor:
    """The largest ρ of a move, (B,): 0.95/√(β‖H̄‖), or the prior's largest noise level."""
    return (_FRACTION * (beta * curvature.norm).rsqrt()).clamp_max(problem.prior.sigma_max)


def fine_rhos(prior: ScorePrior, rho: Tensor) -> list[Tensor]:
    """The smaller ρ, (B,) each, of the moves that end a run whose last ρ is given, (B,)."""
    return [(part * rho).clamp_min(2 * prior.sigma_min).minimum(rho) for part in FINE]


def first_scale(problem: Posterior) -> float:
    """With what fraction of the largest ρ to begin: all where every move is accepted."""
    return 1.0 if is_linear_gaussian(problem) else _FIRST


def check_auxiliary(method: str, problem: Posterior, fraction: float = _FRACTION) -> None:
    """Raise unless `auxiliary_move`, or what denoises at a fraction of σ_y/‖A‖, applies to a problem at β = 1.

    Raises:
        IncompatibleError: The prior is no ScorePrior.
        NoiseLevelError: The measurement noise is too small for the prior's smallest noise level.
    """
    prior = problem.prior
    if not isinstance(prior, ScorePrior):
        raise IncompatibleError(f"{method} takes a ScorePrior, not a {type(prior).__name__}")
    if is_linear_gaussian(problem):  # elsewhere the curvature is known once the run is on
        std = problem.likelihood.noise_std
        rho = fraction * std / problem.operator.norm().to(std)
        if float(rho.min()) < prior.sigma_min:
            raise NoiseLevelError(
                f"{method} denoises at {fraction:.2g} σ_y/‖A‖ = {float(rho.min()):.3g}, below {prior.sigma_min:g}, the "
                f"smallest noise level of {type(prior).__name__}: raise noise_std, or use a prior of smaller ones"
            )
