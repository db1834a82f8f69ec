"""The posterior predictive check: whether a measurement looks like those that the model itself would make."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from posterior.checks import checked
from posterior.diagnostics.verdict import DOUBTFUL, misfit_of
from posterior.errors import ShapeError
from posterior.problem import Posterior
from posterior.results import Samples

_LEVEL = 0.05  # of the p-value


@dataclass(frozen=True)
class PredictiveCheck:
    """A measurement compared with measurements simulated from its draws, for each of B.

    Attributes:
        p_value: Two-sided p-value (B,): small if y fits the draws much worse, or much better, than the replicates do.
        observed: Mean over draws of the discrepancy −log p(y | x), (B,).
        replicated: The same of the replicates, (B,).
        spread: Standard deviation of the replicates' discrepancy over draws, (B,).
        deviation: The difference in standard deviations, (B,), as `misfit_of` has it: it decides where draws
            are too few for a p-value below 5 %.
        num_samples: Draws S.
        ids: Names of the measurements.
    """

    p_value: Tensor
    observed: Tensor
    replicated: Tensor
    spread: Tensor
    deviation: Tensor
    num_samples: int
    ids: list[int | str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self._line(b) for b in range(len(self.p_value)))

    def _line(self, b: int) -> str:
        p, observed, replicated, spread, deviation = (
            float(values[b]) for values in (self.p_value, self.observed, self.replicated, self.spread, self.deviation)
        )
        start = f"measurement {self.ids[b]}: y "
        evidence = f"p = {p:.2g}; −log p(y | x) is {observed:.4g}, of the model's own {replicated:.4g} ± {spread:.2g}"
        gross = not abs(deviation) < DOUBTFUL
        if p >= _LEVEL and not gross and 2 / (self.num_samples + 1) >= _LEVEL:
            return (
                f"{start}cannot be judged by {self.num_samples} draws, take at least {round(2 / _LEVEL)} ({evidence})"
            )
        if p >= _LEVEL and not gross:
            return f"{start}looks like the model's own measurements ({evidence})"
        if observed > replicated:
            return (
                f"{start}fits the draws worse than the model's own measurements would ({evidence}): more noise than "
                "the likelihood says, another operator, an image the prior does not know, or a sampler short of its aim"
            )
        return (
            f"{start}fits the draws better than the model's own measurements would ({evidence}): less noise than the "
            "likelihood says"
        )


@checked
def predictive_check(samples: Samples, problem: Posterior, seed: int = 0) -> PredictiveCheck:
    r"""Compare y with one replicate from each draw, \(y^{rep}_s \sim p(y \mid x_s)\), by T(y, x) = −log p(y | x).

    $$ p_+ = \frac{1 + \#\{s: T(y^{rep}_s, x_s) \ge T(y, x_s)\}}{S + 1}, \qquad p = \min(1, 2 \min(p_+, p_-)) $$

    with \(p_-\) of the opposite inequality: noise may be less than the likelihood says, or more. The draws have seen y,
    so p is not uniform for a true model: it gathers about its middle, and p ≤ α has a probability of at most 2α
    (Meng 1994), as a rule far less. A small p is evidence against prior, likelihood or sampler; a large one is none
    in favour: what the measurement does not see, or T not weigh, is not checked, and noise that is less than stated
    shows only where y has many more values than the posterior leaves free. `check_model` finds more, at the cost of
    other problems.

    Args:
        samples: Draws (S, B, *event_shape) of the problem's posteriors, such as any `Sampler` gives.
        problem: Prior, likelihood and measurements.
        seed: Of the replicates' noise.

    Raises:
        ShapeError: The draws are not of as many measurements, or of other images.

    References:
        Gelman, Meng & Stern 1996, Posterior predictive assessment of model fitness via realized discrepancies,
        Statistica Sinica 6. Meng 1994, Posterior predictive p-values, Annals of Statistics 22.
    """
    x = samples.x
    expected = (len(problem), *problem.event_shape)
    if tuple(x.shape[1:]) != expected:
        raise ShapeError(f"draws have shape {tuple(x.shape)}; expected (S, {', '.join(map(str, expected))})")
    # Where parameters were sampled too, at their means, as the verdict has it.
    problem = problem.with_parameters(**{name: values.mean(0) for name, values in samples.parameters.items()})
    with torch.no_grad():
        replicates = problem.likelihood.simulate(x, problem.noise(seed, len(x)).use("predictive check"))
        observed = -problem.log_likelihood(x)
        # A draw's replicate is one measurement a draw, which `log_prob` takes for its batch.
        pairs = zip(x, replicates, strict=True)
        replicated = torch.stack([-problem.likelihood.log_prob(draw, y) for draw, y in pairs])
    size = len(x) + 1
    upper = (1 + (replicated >= observed).sum(0)) / size
    lower = (1 + (replicated <= observed).sum(0)) / size
    p_value = (2 * torch.minimum(upper, lower)).clamp_max(1)
    spread = replicated.std(0, correction=0)
    deviation = misfit_of(problem, x).deviation
    means = observed.mean(0), replicated.mean(0)
    return PredictiveCheck(p_value, *means, spread, deviation, len(x), list(problem.ids))
