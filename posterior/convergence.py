"""Convergence of Markov chains: whether they have mixed, and how many independent draws theirs are worth.

Draws are (chains, draws, *shape), as `Samples.by_chain` gives them; each entry of `shape` is judged on its own, in
double precision. All of it follows Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, Rank-normalization, folding,
and localization: an improved R̂ for assessing convergence of MCMC, Bayesian Analysis 16(2), arXiv:1903.08008.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from posterior.checks import Real, Share, checked
from posterior.errors import InvalidValueError, ShapeError, check_finite

_CHUNK = 1 << 21  # values held at a time
_ALIKE = 0.5  # correlation of neighbouring draws for which a limit of R̂ makes allowance
_FEWEST = 4  # draws a chain: two for each half


@checked
def rhat(draws: Real) -> Tensor:
    r"""Rank-normalised split R̂: how much wider all chains together are than each half of a chain, 1 if they agree.

    $$ \hat R = \sqrt{\frac{N - 1}{N} + \frac{B}{N W}} $$

    with B/N the variance between the means of the 2M half chains of N draws and W their mean variance, of the normal
    scores of x and of \(|x - \mathrm{median}|\); the larger of the two. Below 1.01 is good.

    Args:
        draws: Draws (chains, draws, *shape). One chain is compared with itself.

    Returns:
        R̂ (*shape); NaN where all draws are equal, for then nothing tells a chain that mixes from one that is stuck,
        and infinity where each half chain is constant, but not the same as the others.

    Raises:
        InvalidValueError: A chain has fewer than 4 draws.
        NotFiniteError: A draw is NaN or infinite.
        ShapeError: draws has fewer than two dimensions.
    """

    def of(x: Tensor) -> Tensor:
        x = _split(x)
        folded = (x - _median(x)).abs()
        return torch.maximum(_scale_reduction(_normal_scores(x)), _scale_reduction(_normal_scores(folded)))

    return _by_entry(of, draws)


@checked
def rhat_limit(draws: Real, probability: Share = 0.01) -> Tensor:
    r"""What the largest R̂ of all entries exceeds with this probability, though all chains are of one law: ().

    Of independent Gaussian draws, 2M half chains of N, R̂ has a law of its own, by

    $$ \hat R^2 = \frac{N - 1 + F}{N}, \qquad F = \frac{B}{W} \sim F_{2M - 1,\, 2M(N - 1)}; $$

    draws of which each has the correlation ρ with the next one multiply F by \(v(N - 1)/(N - v)\), with
    \(v = 1 + 2\sum_{t<N}(1 - t/N)\rho^t\). ρ is the mean over entries of what is found within chains, so that chains
    which disagree do not change it, and at most a half: slower chains are not excused. Entries, and R̂'s two halves,
    share the probability evenly.

    Args:
        draws: Draws (chains, draws, *shape), the entries those of one image.
        probability: Of a false alarm.

    Raises:
        InvalidValueError, NotFiniteError, ShapeError: As for `rhat`.
    """
    from scipy.stats import f as law  # here, since to import it takes a second

    rho = _by_entry(_neighbours, draws).nanmean().nan_to_num(0.0)  # NaN of entries that are constant
    chains, half, entries = 2 * len(draws), draws.shape[1] // 2, math.prod(draws.shape[2:])
    # the mean of a short chain is part of what it is correlated with (Marriott & Pope 1954, Biometrika 41)
    length = draws.shape[1]
    rho = ((length * rho + 1) / max(1, length - 3)).clamp(0, _ALIKE)
    lags = torch.arange(1, half, dtype=rho.dtype, device=rho.device)
    widened = 1 + 2 * ((1 - lags / half) * rho**lags).sum()
    factor = widened * (half - 1) / (half - widened)
    quantile = float(law.isf(probability / (2 * max(1, entries)), chains - 1, chains * (half - 1)))
    return ((half - 1 + factor * quantile) / half).sqrt()


@checked
def ess_bulk(draws: Real) -> Tensor:
    r"""Effective sample size for the centre of the distribution: `ess_mean` of the normal scores of the draws.

    Arguments, errors and the value for constant draws are those of `ess_mean`.
    """
    return _by_entry(lambda x: _ess(_normal_scores(_split(x))), draws)


@checked
def ess_tail(draws: Real) -> Tensor:
    r"""Effective sample size for the tails: the smaller of those of \(1\{x \le q\}\) at the 5 % and the 95 % quantile.

    Arguments, errors and the value for constant draws are those of `ess_mean`.
    """

    def of(x: Tensor) -> Tensor:
        ordered = x.flatten(1).sort(1).values
        # a quantile between two order statistics parts the draws as the lower one does
        places = [int(q * (ordered.shape[1] - 1) + 1e-9) for q in (0.05, 0.95)]
        parts = [_ess(_split((x <= ordered[:, place, None, None]).to(x))) for place in places]
        return torch.minimum(*parts)

    return _by_entry(of, draws)


@checked
def ess_mean(draws: Real) -> Tensor:
    r"""Effective sample size for the mean: as many independent draws give it the same Monte-Carlo error.

    $$ S \Big/ \Big(1 + 2 \sum_{t=1}^{T} \hat\rho_t\Big), \qquad
       \hat\rho_t = 1 - \frac{W - \tfrac1{2M} \sum_m \hat\gamma_{m,t}}{\widehat{\mathrm{var}}^+} $$

    with γ̂ the autocovariances of the half chains, the sum cut off and smoothed as Geyer's initial monotone sequence.
    More than S for antithetic chains, at most \(S \log_{10} S\).

    Args:
        draws: Draws (chains, draws, *shape), S in all.

    Returns:
        The number (*shape); S where all draws are equal, which is then no sign of mixing.

    Raises:
        InvalidValueError: A chain has fewer than 4 draws.
        NotFiniteError: A draw is NaN or infinite.
        ShapeError: draws has fewer than two dimensions.

    References:
        Geyer 1992, Practical Markov Chain Monte Carlo, Statistical Science 7(4).
    """
    return _by_entry(lambda x: _ess(_split(x)), draws)


@checked
def mcse_mean(draws: Real) -> Tensor:
    r"""Monte-Carlo standard error of the mean of all draws, \(\mathrm{std}(x)/\sqrt{\mathrm{ESS}}\): (*shape).

    Arguments and errors are those of `ess_mean`; 0 where all draws are equal.
    """
    return _by_entry(lambda x: x.flatten(1).std(1) / _ess(_split(x)).sqrt(), draws)


def _by_entry(function: Callable[[Tensor], Tensor], draws: Tensor) -> Tensor:
    """Apply a function of (P, chains, draws) → (P,) to the entries, some at a time."""
    if draws.ndim < 2:
        raise ShapeError(f"draws has shape {tuple(draws.shape)}; expected (chains, draws, *shape)")
    chains, length = draws.shape[:2]
    if chains < 1 or length < _FEWEST:
        raise InvalidValueError(f"convergence needs at least {_FEWEST} draws a chain, got {chains} chains of {length}")
    check_finite("draws", draws, "find out where they arose")
    rows = draws.reshape(chains, length, -1)
    parts = rows.split(max(1, _CHUNK // (chains * length)), 2)
    return torch.cat([function(part.permute(2, 0, 1).double()) for part in parts]).reshape(draws.shape[2:])


def _split(x: Tensor) -> Tensor:
    """Each chain as its two halves, (P, 2M, N); the middle draw of an odd number is left out."""
    half = x.shape[2] // 2
    return torch.cat([x[..., :half], x[..., -half:]], 1)


def _median(x: Tensor) -> Tensor:
    return x.flatten(1).quantile(0.5, dim=1)[:, None, None]


def _normal_scores(x: Tensor) -> Tensor:
    r"""\(\Phi^{-1}((r - 3/8)/(S + 1/4))\) of the ranks r over all chains, those of ties their mean (equation 14)."""
    rows = x.flatten(1).contiguous()
    ordered = rows.sort(1).values
    below = torch.searchsorted(ordered, rows)
    not_above = torch.searchsorted(ordered, rows, right=True)
    rank = (below + not_above + 1) / 2
    return torch.special.ndtri((rank.double() - 3 / 8) / (rows.shape[1] + 1 / 4)).reshape(x.shape)


def _scale_reduction(x: Tensor) -> Tensor:
    """R̂ of chains as they are, (P, M, N) → (P,) (equations 1–4)."""
    length = x.shape[2]
    between, within = length * x.mean(2).var(1), x.var(2).mean(1)
    value = ((between / within + length - 1) / length).sqrt()
    return torch.where(_constant(x), torch.nan, value)


def _neighbours(x: Tensor) -> Tensor:
    """Correlation of each draw with the next of its chain, (P, M, N) → (P,)."""
    x = x - x.mean(2, keepdim=True)
    return (x[..., 1:] * x[..., :-1]).sum((1, 2)) / x.square().sum((1, 2))


def _ess(x: Tensor) -> Tensor:
    """Effective sample size of chains as they are, (P, M, N) → (P,) (equations 10–13)."""
    chains, length = x.shape[1:]
    size = chains * length
    covariance = _autocovariance(x)
    within = covariance[:, :1] * length / (length - 1)
    total = covariance[:, :1] + x.mean(2).var(1)[:, None]
    rho = 1 - (within - covariance) / total
    rho[:, 0] = 1
    # Geyer: sums of neighbours, as long as they are positive, made to decrease
    last = (length - 3) // 2 if length > 2 else 0
    pairs = rho[:, : 2 * last].unflatten(1, (last, 2)).sum(2)
    positive = (pairs > 0).cumprod(1)
    kept = positive.sum(1, keepdim=True)
    tau = -1 + 2 * (pairs.cummin(1).values if last else pairs).mul(positive).sum(1)
    # The first pair left out still improves the estimate by its even term (arviz-stats, Stan).
    even, odd = (rho.gather(1, (2 * kept + i).clamp_max(length - 1))[:, 0] for i in (0, 1))
    tau = tau + torch.where((even > 0) | (even + odd >= 0), even, 0.0)
    value = size / tau.clamp_min(1 / math.log10(size))
    return torch.where(_constant(x), float(size), value)


def _autocovariance(x: Tensor) -> Tensor:
    """Autocovariances at lags 0 … N−1, averaged over chains: (P, M, N) → (P, N)."""
    length = x.shape[2]
    spectrum = torch.fft.rfft(x - x.mean(2, keepdim=True), n=2 * length)
    return torch.fft.irfft(spectrum.abs().square().mean(1), n=2 * length)[:, :length] / length


def _constant(x: Tensor) -> Tensor:
    return x.amax((1, 2)) == x.amin((1, 2))
