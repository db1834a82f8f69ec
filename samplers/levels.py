r"""How many levels tempering will take, foretold before the work from a few samples of the prior.

A level ends where the conditional effective sample size has fallen to a given fraction e, which for small steps is
\(\Delta\beta^2\operatorname{Var}_\beta\log L = -\log e\), so that

$$ \text{levels} = \frac{1}{\sqrt{-\log e}} \int \operatorname{sd}_\beta(\log L)\,d\beta . $$

With H the likelihood's curvature and C_β the covariance of images at β, \(M = \beta H^{1/2} C_\beta H^{1/2}\), that
variance is \(\operatorname{tr}(\tfrac32 M^2 - M^3)/\beta^2\) where the prior is Gaussian, on average over measurements.
It is taken as the larger of two: that of the Gaussian whose covariance is that of a few samples of the prior, and that
of what a sample's own surroundings leave open, \(C_\beta = \rho^2\partial_x D(x_0 + \rho\varepsilon, \rho)\) with
\(\rho^2 = 1/(\beta\|H\|)\). The first sees modes and broad directions, but no more of them than it has samples; the
second all that are fine, where H is about as large as its norm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.curvature import Curvature, is_linear_gaussian
from samplers.kernel import Kernel

_DECADES, _EACH = 12, 8  # of β, and points in each
_PROBES = 8  # noise levels at which the denoiser is probed
_WIDE = 10.0  # the first of them, in units of sigma_data
_VALUES, _FEWEST, _MOST = 1 << 14, 4, 16  # entries of the samples together, and their number
_MANY = 256  # samples where there is no denoiser to probe, or samples are free
_TOO_FEW = 10  # lineages that are left at the end, below which a problem is too large
_PRIOR_WEIGHT = 5.0  # levels after which a prediction is corrected by half of what it was off by
_APART = 0.1  # distance of a finite difference, in units of ρ


def pilots(problem: Posterior, probe: bool) -> int:
    """How many samples of the prior the prediction is made from."""
    return min(_MOST, max(_FEWEST, _VALUES // math.prod(problem.event_shape))) if probe else _MANY


def pilot_calls(problem: Posterior, probe: bool, start: int) -> int:
    """Network calls that the prediction takes for a measurement, where a sample of the prior takes `start`."""
    return pilots(problem, probe) * (start + (2 * _PROBES if probe else 0))


def spread(problem: Posterior, kernel: Kernel, probe: bool, noise: Noise) -> Tensor:
    """β sd_β(log L) at inverse temperatures that rise by equal factors to 1, (B, K).

    Args:
        problem: The posterior that is sampled.
        kernel: What makes samples of the prior.
        probe: Whether to probe the denoiser; else more samples are made.
        noise: Source of randomness.
    """
    count, source = pilots(problem, probe), noise.use("pilot")
    x = problem.images(kernel.start(problem, count, source)).nan_to_num(0.0, 0.0, 0.0)
    curvature = Curvature(problem, x.mean(0))
    beta = _temperatures(x)
    rooted = curvature.root(x - x.mean(0)).flatten(2)
    gram = torch.einsum("sbi,tbi->bst", rooted, rooted.conj()).real.double() / (len(x) - 1)
    known = torch.linalg.eigvalsh(gram.nan_to_num(0.0, 0.0, 0.0)).clamp_min(0)[:, None]  # (B, 1, S)
    left = known / (1 + beta[:, None] * known)
    variance = (0.5 * left**2 + (1 + known) / (1 + beta[:, None] * known) ** 2 * left).sum(-1) * beta**2
    if probe:
        variance = variance.maximum(_within(problem, x, curvature, beta, source.for_draws(count)))
    return variance.nan_to_num(0.0, 0.0, 0.0).sqrt()


def levels_from(spread: Tensor, beta: Tensor, ess: float) -> Tensor:
    """Levels from inverse temperature β (B,) to 1, (B,)."""
    grid = _temperatures(spread).log()
    steps = 0.5 * (spread[:, 1:] + spread[:, :-1]) * grid.diff()
    ahead = torch.nn.functional.pad(steps.flip(1).cumsum(1).flip(1), (0, 1))
    place = (beta.double().log() - grid[0]) / (grid[1] - grid[0])
    low = place.floor().clamp(0, len(grid) - 2).long()[:, None]
    share = (place[:, None] - low).clamp(0, 1)
    found = (1 - share) * ahead.gather(1, low) + share * ahead.gather(1, low + 1)
    return found[:, 0] / math.sqrt(-math.log(ess))


def share_made(moves: int, taken: Tensor, total: Tensor, ahead: Tensor, last: Tensor) -> Tensor:
    """The share of all moves that is made, as the levels so far correct the prediction, (B,).

    Args:
        moves: Moves made.
        taken: Of these, below β = 1, (B,).
        total: Levels that were ahead at the start, (B,).
        ahead: Levels that are ahead, (B,).
        last: Moves still to be made at β = 1, (B,).
    """
    correction = (taken + _PRIOR_WEIGHT) / ((total - ahead).clamp_min(0) + _PRIOR_WEIGHT)
    return moves / (moves + correction * ahead + last)


def first_temperature(spread: Tensor, samples: float) -> Tensor:
    """β to which importance weights lead that leave one of so many samples, (B,)."""
    below = (spread**2 < math.log(samples)).long().cumprod(1).sum(1)
    grid = _temperatures(spread)
    return grid[below.clamp_max(len(grid) - 1)]


def too_large(problem: Posterior, levels: Tensor, size: int, ess: float) -> tuple[str, ...]:
    """A sentence that says so, and what to do, where a population will not outlive its levels (B,); else none.

    A level leaves a fraction e of the effective sample size, and L of them descendants of about N/(1 + L(1/e − 1)) of N
    particles.
    """
    left = size / (1 + levels * (1 / ess - 1))
    few = left < min(_TOO_FEW, size / 8)  # a small population is meant to be rough
    if not bool(few.any()):
        return ()
    remedy = "take a larger population or accuracy='high'"
    if is_linear_gaussian(problem) and isinstance(problem.prior, ScorePrior):
        remedy = "take KineticLangevin, whose network calls do not grow with the problem, or a larger population"
    names = ", ".join(str(problem.ids[b]) for b in few.nonzero().flatten().tolist())
    return (
        f"the problem is too large for {size} particles in measurement(s) {names}: about {float(levels.max()):.0f} "
        f"levels leave descendants of about {float(left.min()):.0f}; {remedy}",
    )


def _temperatures(like: Tensor) -> Tensor:
    return torch.logspace(-_DECADES, 0, _DECADES * _EACH + 1, dtype=torch.float64, device=like.device)


def _within(problem: Posterior, x: Tensor, curvature: Curvature, beta: Tensor, noise: Noise) -> Tensor:
    """Tr(3/2 M² − M³) at β (K,), of C_β around each sample x (S, B, *event), on average: (B, K)."""
    prior, dims = problem.prior, len(problem.event_shape)
    last = curvature.norm.clamp_min(torch.finfo(x.dtype).tiny).rsqrt()
    first = (_WIDE * prior.sigma_data * torch.ones_like(last)).maximum(last)
    found, places = [], []
    for k in range(_PROBES):
        wanted = first * (last / first) ** (k / (_PROBES - 1))
        rho = wanted.clamp(prior.sigma_min, prior.sigma_max)
        own, wide = noise.use("probe", k), expand_right(rho, dims)
        z = x + wide * own.normal(problem.event_shape)
        shape = problem.operator.measurement_shape
        white = own.use("real").normal(shape)
        if problem.operator.is_complex:
            white = torch.complex(white, own.use("imaginary").normal(shape))
        unit = expand_right(last, dims)  # 1/√‖H‖
        step = _APART * wide * unit * curvature.root_adjoint(white)
        slope = (prior.denoise(z + step, rho) - prior.denoise(z - step, rho)) / (2 * _APART * wide)
        seen = curvature.root(unit * slope)
        once = (white * seen.conj()).real.flatten(2).sum(-1).mean(0)  # tr M, of eigenvalues in [0, 1]
        twice = (seen * seen.conj()).real.flatten(2).sum(-1).mean(0)  # tr M²
        thrice = (twice**2 / once.clamp_min(1e-12)).minimum(twice)  # tr M³ at the least, by Cauchy and Schwarz
        found.append(1.5 * twice - thrice)
        places.append(-2 * (wanted / last).log())  # log β
    values, at = torch.stack(found, 1).double(), torch.stack(places, 1).double()
    return _interpolated(beta.log(), at, values)


def _interpolated(wanted: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Values at `wanted` (K,) of lines through `values` at rising `at`, (B, P) each: (B, K); 0 before the first."""
    wanted = wanted.expand(len(at), -1).contiguous()
    high = torch.searchsorted(at.contiguous(), wanted).clamp(1, at.shape[1] - 1)
    left, right = at.gather(1, high - 1), at.gather(1, high)
    share = ((wanted - left) / (right - left).clamp_min(1e-12)).clamp(0, 1)
    line = (1 - share) * values.gather(1, high - 1) + share * values.gather(1, high)
    return torch.where(wanted < at[:, :1] - 1e-9, 0.0, line)
