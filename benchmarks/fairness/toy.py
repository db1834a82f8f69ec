"""Two groups, one number: every gap in closed form.

Group a is x = −1, with probability .867, group b is x = 1; y = x + σ_y ε. With t = σ_y²/2 · log(.867/.133), MAP says b
where y > t, so that P(X̂ = b | X = x) = Φ((x − t)/σ_y); sampling says b with probability p(b | y), whose mean given x is
an integral over y, as is the root mean square that is the CPR gap of MAP. TemperedSMC has a narrow Gaussian (0.01) on
each point. There are 2,000 measurements, and 64 samples of each in two runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.fairness import ComponentGroups, Fairness, FairnessStudy
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from samplers import TemperedSMC

SHARES, NOISE, WIDTH = (0.867, 0.133), (0.5, 1.0, 2.0, 10.0), 0.01
HEAD = ["σ_y", "method", "PR gap of b", "formula", "RDP gap", "formula", "CPR gap of b", "formula"]


@dataclass(frozen=True)
class ExactSamples:
    """Samples of the exact posterior of the problem's prior, or of `prior`."""

    prior: GaussianMixturePrior | None = None
    name: str = "exact posterior"

    def __call__(
        self, problem: Posterior, *, num_samples: int = 64, seed: int = 0, batch_size: int | None = None,
        progress: bool = True,
    ) -> Samples:  # fmt: skip
        """Independent samples, without a network call."""
        prior = self.prior or problem.prior
        assert isinstance(prior, GaussianMixturePrior)
        x = prior.posterior(problem.likelihood, problem.y).sample(num_samples, seed=seed).to(problem.y)
        return Samples(x, torch.zeros(len(problem)), torch.zeros(len(problem)))


@dataclass(frozen=True)
class MixtureMAP:
    """The mode of the exact posterior of a mixture whose components are narrow: the mean of the likeliest given y."""

    name: str = "MAP"

    def __call__(
        self, problem: Posterior, *, num_samples: int = 1, seed: int = 0, batch_size: int | None = None,
        progress: bool = True,
    ) -> PointEstimate:  # fmt: skip
        """One image a measurement."""
        assert isinstance(problem.prior, GaussianMixturePrior)
        exact = problem.prior.posterior(problem.likelihood, problem.y)
        best = exact.weights.argmax(1)
        x = torch.stack([exact._components(b)[0][k] for b, k in enumerate(best.tolist())])
        none = torch.zeros(len(problem))
        return PointEstimate(x.reshape(-1, *problem.event_shape).to(problem.y), none, none == 0, none, none)


def closed_form(noise_std: float, sampling: bool) -> tuple[float, float, float]:
    """PR gap of b, RDP gap (recall of a less that of b, in modulus), and CPR gap of b."""
    log_odds = torch.tensor(SHARES[1] / SHARES[0], dtype=torch.float64).log()
    y = torch.linspace(-1 - 9 * noise_std, 1 + 9 * noise_std, 200_001, dtype=torch.float64)
    of_b = torch.sigmoid(log_odds + 2 * y / noise_std**2)
    says_b = of_b if sampling else (of_b > 0.5).double()
    densities = [(-0.5 * ((y - x) / noise_std) ** 2).exp() / noise_std / (2 * torch.pi) ** 0.5 for x in (-1, 1)]
    wrong, right = (float(torch.trapezoid(density * says_b, y)) for density in densities)
    density = SHARES[0] * densities[0] + SHARES[1] * densities[1]
    conditional = float(torch.trapezoid(density * (says_b - of_b) ** 2, y)) ** 0.5
    return SHARES[0] * wrong + SHARES[1] * right - SHARES[1], abs(1 - wrong - right), conditional


def measured(noise_std: float, count: int, methods: list[Method], num_samples: int) -> list[tuple[str, Fairness]]:
    """The library's measures on `count` measurements."""
    means = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    prior = GaussianMixturePrior(means, SHARES, WIDTH)
    truth = prior.exact_sample(1, Noise.of(0, count, dtype=torch.float64))[0]
    likelihood = GaussianLikelihood(Identity((1, 1, 1)), noise_std)
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(1, count, dtype=torch.float64)))
    groups = ComponentGroups(prior, torch.arange(2), ("a", "b"))
    study = FairnessStudy({"toy": (problem, truth)}, methods, groups, truths_from_prior=True)
    return [(one.method, one.fairness) for one in study.run(num_samples, progress=False).findings]


def table(quick: bool) -> list[list[str]]:
    """Rows under `HEAD`."""
    rows, held = [], []
    for noise_std in NOISE[:1] if quick else NOISE:
        methods: list[Method] = [ExactSamples(), MixtureMAP()] + ([] if quick else [TemperedSMC(population=64)])
        for name, found in measured(noise_std, 100 if quick else 2000, methods, 8 if quick else 64):
            formula = closed_form(noise_std, sampling=name != "MAP")
            assert found.conditional is not None
            gaps = [_last(found.representation.value), found.parity.value, _last(found.conditional.value)]
            ends = [(found.representation.low, found.representation.high), (found.parity.low, found.parity.high),
                    (found.conditional.low, found.conditional.high)]  # fmt: skip
            cells = []
            for value, (low, high), known in zip(gaps, ends, formula, strict=True):
                low, high = _last(low), _last(high)
                held.append(float(low) <= known <= float(high))
                cells += [f"{float(value):+.3f} [{float(low):+.3f}, {float(high):+.3f}]", f"{known:+.3f}"]
            rows.append([f"{noise_std:g}", name, *cells])
    rows.append(["", f"intervals that hold the formula: {sum(held)} of {len(held)}", *[""] * 6])
    return rows


def _last(values: Tensor) -> Tensor:
    return values if values.ndim == 0 else values[-1]
