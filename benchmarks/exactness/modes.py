"""Weights of modes at two sizes of image, against exact ones, and what weighing costs a posterior of one mode.

The prior is a mixture of four Gaussian fields (0.4, 0.3, 0.2, 0.1) with one power-law spectrum and pixel std 0.5; their
means are smooth fields, of which the part that the operator does not see has a root mean square of 0.3 (correlation
length 2 pixels) or 0.1, and the part that it may see (length 1 pixel) a squared separation of 6 in y, averaged over
pairs: modes are well apart in the posterior, and their weights are known from the evidence of each. Means and mask come
from seed 0; the measurements are the first 20 of truths 0, 1, … of the prior whose exact weights have an entropy of 0.5
nats and more. σ = 0.1; 4× block means, a quarter of the pixels, or Fourier columns (the central ones and some 18 % of
the others). Each run is of 96 chains; the error is the total variation between the exact weights and the mean of the
prior's own p(k | x) over samples, averaged over measurements, ± its standard error; that of exact samples is the mean
of 200 sets of 96. The posterior of one mode is that of the same field with one mean: its total variance over pixels,
relative to the exact one, and the squared error of the mean of 96 samples, relative to that of as many exact ones.
Settings were chosen on other seeds. Cost: 25 minutes on a core that others use too; --quick: seconds.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from benchmarks.common.pages import page, run
from benchmarks.exactness.fields import hartley, power_law
from posterior.errors import TrustWarning
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, Fourier, Inpainting, LinearOperator
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from posterior.results import Samples
from posterior.shapes import expand_right
from posterior.tables import markdown_table
from samplers import KineticLangevin

FINDING = (
    "Without weights the shares of four modes are off by 0.280 to 0.456 in total variation, of 96 chains; with "
    "`modes=True` by 0.077 to 0.123 in 200 network calls, where as many exact samples are off by 0.048 to 0.054. "
    "Where trial chains of equal weight differ by more than 0.80 nats the run warns: between 2/20 and 19/20 of the "
    "runs do. A posterior of one mode keeps its variance and the error of its mean."
)
SEED, NOISE_STD, SEPARATION, ENTROPY, CHAINS, TARGET = 0, 0.1, 6.0, 0.5, 96, 0.13
WEIGHTS = (0.4, 0.3, 0.2, 0.1)


class FieldMixture(ScorePrior):
    """A mixture of Gaussian fields with one spectrum.

    Args:
        power: Variances of the coefficients (H, W) in Hartley's basis.
        means: (K, 1, H, W).
        weights: (K,).
    """

    power: Tensor
    centres: Tensor
    log_weights: Tensor

    def __init__(self, power: Tensor, means: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.event_shape = (1, *power.shape)
        self.means = means
        centred = means - self.mean_of(weights, means)
        self.sigma_data = float((power.mean() + (weights @ centred.square().mean((1, 2, 3)))).sqrt())
        self.sigma_min, self.sigma_max = 1e-4 * self.sigma_data, 10 * math.sqrt(power.numel()) * self.sigma_data
        self.register_buffer("power", power)
        self.register_buffer("centres", hartley(means))
        self.register_buffer("log_weights", weights.log())

    @staticmethod
    def mean_of(weights: Tensor, means: Tensor) -> Tensor:
        """Σ w_k μ_k."""
        return (expand_right(weights, 3) * means).sum(0)

    def mean(self) -> Tensor:
        """The mean image."""
        return hartley(self.mean_of(self.log_weights.exp(), self.centres))

    def modes(self, x: Tensor, noise: float | Tensor = 0.0) -> Tensor:
        """p(k | x) of images (N, 1, H, W) in white noise of this variance, () or (N, 1, 1, 1): (N, K)."""
        c, precision = hartley(x), (1 / (self.power + noise)).reshape(-1, *self.event_shape)
        products = (precision * c).flatten(1) @ self.centres.flatten(1).T
        squares = precision.flatten(1) @ self.centres.square().flatten(1).T
        return (self.log_weights + products - 0.5 * squares).softmax(1)

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        noise = expand_right(sigma**2, 3)
        if bool((sigma == sigma[0]).all()):
            noise = noise[:1]
        centre = (self.modes(x, noise) @ self.centres.flatten(1)).reshape(x.shape)
        return hartley(centre + self.power / (self.power + noise) * (hartley(x) - centre))

    def exact_sample(self, num_samples: int, noise: Noise) -> Tensor:
        noise = noise.for_draws(num_samples)
        cumulative = self.log_weights.exp().cumsum(0)
        k = torch.searchsorted(cumulative / cumulative[-1], noise.use("mode").uniform().to(cumulative))
        c = self.centres[k] + self.power.sqrt() * noise.use("value").normal(self.event_shape).to(self.power)
        return hartley(c)


def solve(power: Tensor, operator: LinearOperator, residual: Tensor) -> Tensor:
    """(A C Aᵀ + σ²)⁻¹ of residuals (N, *measurement_shape), by conjugate gradients."""

    def product(v: Tensor) -> Tensor:
        return operator(hartley(power * hartley(operator.adjoint(v)))) + NOISE_STD**2 * v

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return expand_right((u.conj() * v).real.flatten(1).sum(1), u.ndim - 1)

    x, r = torch.zeros_like(residual), residual
    p, rr = r, dot(r, r)
    smallest = 1e-16 * rr
    while bool((rr > smallest).any()):
        step = p if not bool(rr.any()) else product(p)
        length = torch.where(rr > 0, rr / dot(p, step), 0.0)
        x, r = x + length * p, r - length * step
        new = dot(r, r)
        p, rr = r + torch.where(rr > 0, new / rr, 0.0) * p, new
    return x


def quadratic(power: Tensor, operator: LinearOperator, residual: Tensor) -> Tensor:
    """rᵀ(A C Aᵀ + σ²)⁻¹r, (N,)."""
    return (residual.conj() * solve(power, operator, residual)).real.flatten(1).sum(1)


def operators(side: int) -> dict[str, LinearOperator]:
    """The three by name."""
    shape, noise = (1, side, side), Noise.of(SEED, ["masks"], dtype=torch.float64)
    columns = noise.use("columns").uniform((side,))[0, 0] < 0.18
    columns[side // 2 - side // 25 : side // 2 + side // 25 + 1] = True
    return {
        "4× block means": Downsampling(shape, 4).double(),
        "a quarter of the pixels": Inpainting(noise.use("pixels").uniform((side, side))[0, 0] < 0.25, shape),
        "Fourier columns": Fourier(shape, columns.expand(side, side)),
    }


def mixture(side: int, operator: LinearOperator, hidden: float) -> FieldMixture:
    """Four fields whose means differ by `hidden` where the operator does not see it."""
    power, weights = power_law(side), torch.tensor(WEIGHTS, dtype=torch.float64)
    frequency = torch.fft.fftfreq(side, dtype=torch.float64)
    square = (2 * math.pi) ** 2 * (frequency[:, None] ** 2 + frequency**2)
    noise = Noise.of(SEED, ["means"], len(WEIGHTS), dtype=torch.float64)

    def smooth(name: str, length: float) -> Tensor:
        return hartley(torch.exp(-0.5 * length**2 * square) * hartley(noise.use(name).normal((1, side, side))[:, 0]))

    far, near = smooth("hidden", 2.0), smooth("seen", 1.0)
    far = operator.gram_function(lambda values: (values < 1e-9).to(values), far)
    pairs = torch.stack([near[i] - near[j] for i in range(len(near)) for j in range(i)])
    seen = quadratic(power, operator, operator(pairs)).mean()
    means = hidden * far / far.square().mean().sqrt() + (SEPARATION / seen).sqrt() * near
    return FieldMixture(power, means, weights)


def measured(prior: FieldMixture, operator: LinearOperator, count: int) -> tuple[Posterior, Tensor]:
    """The first measurements of uncertain modes, in single precision, and the exact weights (B, K)."""
    likelihood, truths = GaussianLikelihood(operator, NOISE_STD), 3 * count
    noise = Noise.of(SEED, truths, dtype=torch.float64)
    y = likelihood.simulate(prior.exact_sample(1, noise.use("truth"))[0], noise)
    residual = operator.restrict((y[:, None] - operator(prior.means)).flatten(0, 1))
    weights = (prior.log_weights - 0.5 * quadratic(prior.power, operator, residual).unflatten(0, (truths, -1))).softmax(
        1
    )
    entropy = torch.special.entr(weights).sum(1)
    kept = (entropy >= ENTROPY).nonzero().flatten()[:count]
    problem = Posterior(prior, likelihood, y[kept], kept.tolist())
    return problem.to(dtype=torch.float32), weights[kept]


def sampled(problem: Posterior, modes: bool, chains: int) -> Samples:
    """A run without its warnings, which are counted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        return KineticLangevin(modes=modes).sample(problem, chains, progress=False)


def mode_error(samples: Samples, problem: Posterior, exact: Tensor) -> Tensor:
    """Total variation between the exact weights and those of the samples, (B,)."""
    found = problem.prior.modes(samples.x.flatten(0, 1)).double().unflatten(0, samples.x.shape[:2]).mean(0)
    return 0.5 * (found - exact).abs().sum(1)


def exact_error(exact: Tensor, chains: int) -> float:
    """The same of exact samples."""
    uniform = Noise.of(0, ["exact"], 200, dtype=torch.float64).uniform((len(exact), chains))[:, 0]
    k = torch.searchsorted(exact.cumsum(1), uniform.transpose(0, 1).flatten(1)).clamp_max(exact.shape[1] - 1)
    shares = torch.nn.functional.one_hot(k.unflatten(1, (200, chains)), exact.shape[1]).double().mean(2)
    return float(0.5 * (shares - exact[:, None]).abs().sum(2).mean())


def one_mode(side: int, operator: LinearOperator, count: int, chains: int) -> list[list[str]]:
    """What weighing costs a Gaussian field: rows of variance, error of the mean, lineages."""
    power = power_law(side)
    prior = FieldMixture(power, torch.zeros(1, 1, side, side, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    likelihood, noise = GaussianLikelihood(operator, NOISE_STD), Noise.of(SEED + 1, count, dtype=torch.float64)
    y = likelihood.simulate(prior.exact_sample(1, noise.use("truth"))[0], noise)
    problem = Posterior(prior, likelihood, y)

    def regressed(residual: Tensor) -> Tensor:
        return hartley(power * hartley(operator.adjoint(solve(power, operator, residual))))

    exact_mean = regressed(y)
    # tr Cov[x | y], by as many exact draws of E[(x − E[x | y])²] as there are chains
    draws = Noise.of(2, 1, 512, dtype=torch.float64)
    x = prior.exact_sample(512, draws)[:, 0]
    own = likelihood.simulate(x[:, None], draws.use("y"))[:, 0]
    total = (x - regressed(own)).square().flatten(1).sum(1).mean()
    rows = []
    for modes in (False, True):
        samples = sampled(problem.to(dtype=torch.float32), modes, chains)
        found = samples.x.double()
        variance = found.var(0).flatten(1).sum(1) / total
        error = (found.mean(0) - exact_mean).square().flatten(1).sum(1) / (total / chains)
        lineages = f"{float(samples.info['lineages'].mean()):.0f}" if modes else "–"
        spread = f"{float(samples.info['log_weight_spread'].mean()):.2f}" if modes else "–"
        rows.append([
            f"{side}²", "with" if modes else "without", f"{float(variance.mean()):.3f}", f"{float(error.mean()):.2f}",
            lineages, spread, f"{float(samples.nfe.mean()):.0f}",
        ])  # fmt: skip
    return rows


def main(quick: bool) -> str:
    """The two tables, as Markdown."""
    sides, count, chains = ((16,), 2, 24) if quick else ((32, 64), 20, CHAINS)
    rows, single = [], []
    for side in sides:
        for name, operator in operators(side).items():
            for hidden in (0.3,) if quick or side == 64 else (0.1, 0.3):
                problem, exact = measured(mixture(side, operator, hidden), operator, count)
                runs = [sampled(problem, modes, chains) for modes in (False, True)]
                without, weighed = (mode_error(samples, problem, exact) for samples in runs)
                info, calls = runs[1].info, float(runs[1].nfe.mean())
                rows.append([
                    f"{side}²", name, f"{hidden}", f"{exact_error(exact, chains):.3f}",
                    *(f"{float(e.mean()):.3f} ± {float(e.std() / math.sqrt(len(e))):.3f}" for e in (without, weighed)),
                    f"{float(info['lineages'].mean()):.0f}", f"{float(info['log_weight_spread'].mean()):.2f}",
                    f"{int(info['warned'].sum())}/{len(exact)}", f"{calls:.0f}",
                ])  # fmt: skip
                print(rows[-1], flush=True)
            single += [[name, *row] for row in one_mode(side, operator, 2 if quick else 6, chains)]
            print(*single[-2:], flush=True)
    heads = [
        "size", "measured", "hidden", "exact samples", "without weights", "with weights", "lineages", "spread, nats",
        "warned", "calls",
    ]  # fmt: skip
    parts = [
        "## Four modes", "Total variation of the weights of modes.", markdown_table(heads, rows, align="lll"),
        f"Target: {TARGET} at 200 network calls or fewer.", "## One mode",
        markdown_table(
            ["measured", "size", "weights", "variance", "error of mean", "lineages", "spread, nats", "calls"],
            single, align="lll",
        ),
    ]  # fmt: skip
    return page("Weights of modes", FINDING, parts, __doc__ or "")


if __name__ == "__main__":
    run(main, "modes.md", __doc__ or "")
