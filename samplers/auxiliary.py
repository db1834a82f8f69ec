"""The auxiliary-variable Gibbs move: exact for a linear-Gaussian likelihood, with draws of p(x0 | z) alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from posterior.errors import IncompatibleError, NoiseLevelError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.priors.base import ScorePrior, expand_right
from posterior.problem import Posterior

# ρ = 0.95 τ/‖A‖: any ρ up to τ/‖A‖ is exact, larger ones mix faster, and at equality the square root in the noise of
# z is not smooth.
_FRACTION = 0.95


@dataclass(frozen=True)
class Denoiser:
    """How p(x0 | x0 + ρε = z) is drawn: by reverse diffusion, or exactly where the prior is analytic.

    Attributes:
        steps: Network calls a draw.
        exact: Whether to use the prior's exact draws instead.
    """

    steps: int
    exact: bool = False

    def __call__(self, prior: ScorePrior, z: Tensor, rho: Tensor, noise: Noise) -> Tensor:
        """Draw x0 given z (S, B, *event) and ρ (B,)."""
        if self.exact:
            return prior.exact_denoise(z, rho, noise)
        return prior.sample_denoised(z, rho, noise, steps=self.steps)


def auxiliary_gibbs(problem: Posterior, x: Tensor, beta: Tensor, noise: Noise, denoiser: Denoiser) -> Tensor:
    r"""One sweep that leaves \(p(x) L(x)^\beta\) invariant, L Gaussian with a linear operator.

    With z = x + ρε and the measurement noise coupled to ε, the x-marginal of p(x, z | y) is exactly p(x | y) for any
    ρ ≤ τ/‖A‖, τ = σ_y/√β. The sweep draws, with κ = ρ²/τ²,

    $$ z \mid x, y \sim N\bigl(x + \kappa A^T(y - Ax),\; \rho^2 (I - \kappa A^T A)\bigr), \qquad
       x \mid z \sim p(x_0 \mid x_0 + \rho\varepsilon = z). $$

    Args:
        problem: The measurements; its likelihood is linear-Gaussian (`check_linear_gaussian`).
        x: Current draws (S, B, *event).
        beta: Inverse temperature of each measurement, (B,), in (0, 1].
        noise: Source of randomness.
        denoiser: How the second conditional is drawn.
    """
    operator, dims = problem.operator, len(problem.event_shape)
    tau = problem.likelihood.noise_std.to(x) / beta.sqrt()
    rho = (_FRACTION * tau / operator.norm().to(x)).clamp_max(problem.prior.sigma_max)
    kappa = (rho / tau) ** 2

    def root(eigenvalue: Tensor) -> Tensor:
        kappas = expand_right(kappa, eigenvalue.ndim).to(eigenvalue)
        return (1 - kappas * eigenvalue).clamp_min(0).sqrt()

    drift = operator.adjoint(problem.y - operator(x))
    white = operator.gram_function(root, noise.use("z").normal(problem.event_shape))
    z = x + expand_right(kappa, dims) * drift + expand_right(rho, dims) * white
    return denoiser(problem.prior, z, rho, noise.use("x"))


def check_linear_gaussian(method: str, problem: Posterior) -> None:
    """Raise unless `auxiliary_gibbs` applies to a problem at β = 1.

    Raises:
        IncompatibleError: The prior is no ScorePrior, or the likelihood is not linear-Gaussian.
        NoiseLevelError: The measurement noise is too small for the prior's smallest noise level.
    """
    prior, likelihood = problem.prior, problem.likelihood
    if not isinstance(prior, ScorePrior):
        raise IncompatibleError(f"{method} takes a ScorePrior, not a {type(prior).__name__}")
    if not isinstance(likelihood, GaussianLikelihood) or not isinstance(likelihood.operator, LinearOperator):
        raise IncompatibleError(
            f"{method} takes Gaussian noise on a linear operator, not {type(likelihood).__name__} on "
            f"{type(likelihood.operator).__name__}"
        )
    rho = _FRACTION * likelihood.noise_std / likelihood.operator.norm().to(likelihood.noise_std)
    if float(rho.min()) < prior.sigma_min:
        raise NoiseLevelError(
            f"{method} denoises at 0.95 σ_y/‖A‖ = {float(rho.min()):.3g}, below {prior.sigma_min:g}, the smallest noise "
            f"level of {type(prior).__name__}: raise noise_std, or use a prior trained to smaller noise levels"
        )
