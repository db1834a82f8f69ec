"""The auxiliary-variable Gibbs move: exact for a linear-Gaussian likelihood, with draws of p(x0 | z) alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from posterior.errors import IncompatibleError, NoiseLevelError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.priors.base import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right

# ρ = 0.95 τ/‖A‖: any ρ up to τ/‖A‖ is exact, larger ones mix faster, and at equality R has no inverse.
_FRACTION = 0.95
_OVER_RELAXATION = 0.8


@dataclass(frozen=True)
class ConditionalDraw:
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


def auxiliary_gibbs(
    problem: Posterior, x: Tensor, epsilon: Tensor, beta: Tensor, noise: Noise, draw: ConditionalDraw
) -> tuple[Tensor, Tensor]:
    r"""One sweep that leaves \(p(x) L(x)^\beta\,N(\epsilon; 0, I)\) invariant, L Gaussian with a linear operator.

    With z = x + ρ·noise, and the measurement noise coupled to it, the x-marginal of p(x, z | y) is exactly p(x | y) for
    any ρ ≤ τ/‖A‖, τ = σ_y/√β. Its conditionals are, with κ = ρ²/τ² and \(R = (I - \kappa A^T A)^{1/2}\),

    $$ z \mid x, y = \mu(x) + \rho R \epsilon, \quad \mu(x) = x + \kappa A^T(y - Ax), \quad \epsilon \sim N(0, I);
       \qquad x \mid z \sim p(x_0 \mid x_0 + \rho\varepsilon = z). $$

    ε is carried along and over-relaxed, \(\epsilon \leftarrow -a\epsilon + \sqrt{1 - a^2}\,\xi\), which keeps its law
    and all but doubles the speed at which x moves where y says little; after x is drawn,
    \(\epsilon = R^{-1}(z - \mu(x))/\rho\). It needs no rescaling when β changes.

    Args:
        problem: The measurements; its likelihood is linear-Gaussian (`check_linear_gaussian`).
        x: Current draws (S, B, *event).
        epsilon: Current ε, of the same shape; standard Gaussian to begin with.
        beta: Inverse temperature of each measurement, (B,), in (0, 1].
        noise: Source of randomness.
        draw: How x given z is drawn.

    References:
        Adler 1981, Over-relaxation method for the Monte Carlo evaluation of the partition function for multiquadratic
        actions, Phys. Rev. D 23.
    """
    operator, dims = problem.operator, len(problem.event_shape)
    tau = problem.likelihood.noise_std.to(x) / beta.sqrt()
    rho = (_FRACTION * tau / operator.norm().to(x)).clamp_max(problem.prior.sigma_max)
    kappa, scale = (rho / tau) ** 2, expand_right(rho, dims)

    def mu(image: Tensor) -> Tensor:
        return image + expand_right(kappa, dims) * operator.adjoint(problem.y - operator(image))

    def spectrum(eigenvalue: Tensor) -> Tensor:
        return 1 - expand_right(kappa, eigenvalue.ndim).to(eigenvalue) * eigenvalue

    xi = noise.use("z").normal(problem.event_shape)
    epsilon = (1 - _OVER_RELAXATION**2) ** 0.5 * xi - _OVER_RELAXATION * epsilon
    z = mu(x) + scale * operator.gram_function(lambda eigenvalue: spectrum(eigenvalue).sqrt(), epsilon)
    x = draw(problem.prior, z, rho, noise.use("x"))
    epsilon = operator.gram_function(lambda eigenvalue: spectrum(eigenvalue).rsqrt(), (z - mu(x)) / scale)
    return x, epsilon


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
            f"{method} denoises at 0.95 σ_y/‖A‖ = {float(rho.min()):.3g}, below {prior.sigma_min:g}, the smallest "
            f"noise level of {type(prior).__name__}: raise noise_std, or use a prior trained to smaller noise levels"
        )
