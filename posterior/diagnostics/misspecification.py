r"""Whether a model, prior, operator and noise, is that of a measurement, told without the truth.

If it is, the measurement is one more of those that the model makes, and all that a method makes of it has the same law
as of these. So discrepancies of a measurement from its samples are compared with those of *sound* problems, drawn from
the model and answered by the same method: an exact test, whether or not the method is.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.checks import Count, checked
from posterior.diagnostics.calibration import draw_truth
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError, TrustWarning
from posterior.likelihoods import Likelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.priors.base import Prior
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.results import Samples

_LEVEL = 0.05
_BANDS, _HALVES = 4, 2  # parts of y by frequency, and by place along each axis
_NOISE = (0.1, 0.3, 1.0)  # levels of the prior at which samples are denoised, in its standard deviations


@dataclass(frozen=True)
class SoundProblems:
    """Discrepancies of problems whose model is right, by which others are judged.

    Attributes:
        discrepancies: By name, (N,) each.
        num_samples: Of how many samples they are.
        method: What made these.
    """

    discrepancies: dict[str, Tensor]
    num_samples: int
    method: str


@dataclass(frozen=True)
class ModelCheck:
    """Measurements compared with those that the model itself would make.

    Attributes:
        p_value: Of each measurement, (B,): at most α with probability α where the model is right.
        deviations: Of each discrepancy, by name, in standard deviations over sound problems: (B,) each.
        num_sound: Sound problems N; no p-value is below 1/(N + 1).
        ids: Names of the measurements.
    """

    p_value: Tensor
    deviations: dict[str, Tensor]
    num_sound: int
    ids: list[int | str] = field(default_factory=list)

    @property
    def passed(self) -> Tensor:
        """Whether no fault of the model is found at 5 %, (B,)."""
        return self.p_value > _LEVEL

    def __str__(self) -> str:
        return "\n".join(self._line(b) for b in range(len(self.p_value)))

    def _line(self, b: int) -> str:
        start = f"measurement {self.ids[b]}: y looks "
        p = f"p = {float(self.p_value[b]):.2g}, by {self.num_sound} sound problems"
        if bool(self.passed[b]):
            return f"{start}like the model's own measurements ({p})"
        found = {name: float(values[b]) for name, values in self.deviations.items()}
        worst = sorted(found, key=lambda name: -abs(found[name]))[:3]
        said = "; ".join(f"{name} {found[name]:+.1f}" for name in worst)
        return f"{start}unlike the model's own measurements ({p}); in standard deviations: {said}"


@torch.no_grad()
def discrepancies(samples: Samples, problem: Posterior, seed: int = 0) -> dict[str, Tensor]:
    r"""Cube roots of mean squares that tell a measurement from those of its model, by name, (B,) each.

    Of the residuals \(r_s = (y - E[y \mid x_s])/\text{std}[y \mid x_s]\) of samples: all of them, and those of parts of
    y, halves along its last two axes and four bands of frequency; in each band also their mean over samples, which is
    what no sample explains, and y itself. Where the prior has a denoiser, also the score: the error
    \(\|x_s - D(x_s + \sigma\varepsilon, \sigma)\|\) at three noise levels, which is large for images that the prior
    does not know, at three network calls a sample. Cube roots of mean squares of noise are nearly Gaussian.
    """
    x, y, likelihood = samples.x, problem.y, problem.likelihood
    if samples.parameters:  # each sample at its own
        own = [likelihood.with_parameters(**{k: v[s] for k, v in samples.parameters.items()}) for s in range(len(x))]
        residual = torch.stack([one.residual(one.noiseless(x[s]), y) for s, one in enumerate(own)])
    else:
        residual = likelihood.residual(likelihood.noiseless(x), y)
    residual = likelihood.measured(residual)
    found = {"residual": _mean_square(residual), "y": _mean_square(y[None])}
    axes = [axis for axis in range(max(2, residual.ndim - 2), residual.ndim) if residual.shape[axis] >= _HALVES]
    for axis in axes:
        for place, part in enumerate(residual.tensor_split(_HALVES, axis)):
            found[f"residual, half {place + 1} of axis {axis - 2}"] = _mean_square(part)
    if axes:
        for name, values in (("residual", residual), ("mean residual", residual.mean(0, keepdim=True)), ("y", y[None])):
            spectrum, band = torch.fft.fftn(values, dim=axes, norm="ortho"), _bands(residual, axes)
            found |= {f"{name}, frequency band {k + 1}": _mean_square(spectrum * (band == k)) for k in range(_BANDS)}
    if isinstance(problem.prior, ScorePrior):
        noise = problem.noise(seed, len(x)).use("misspecification")
        for factor in _NOISE:
            level = torch.as_tensor(factor * problem.prior.sigma_data, dtype=x.dtype, device=x.device)
            level = level.clamp(problem.prior.sigma_min, problem.prior.sigma_max)
            noisy = x + level * noise.use(str(factor)).normal(problem.event_shape)
            found[f"score at σ = {factor:g} of the prior's"] = _mean_square(x - problem.prior.denoise(noisy, level))
    return {name: values.double().cpu() ** (1 / 3) for name, values in found.items()}


@checked
def sound_problems(
    method: Method,
    prior: Prior,
    likelihood: Likelihood,
    *,
    truth: Tensor | None = None,
    num_problems: Count = 99,
    num_samples: Count = 16,
    seed: int = 0,
    batch: Count = 33,
    batch_size: Count | None = None,
    progress: bool = True,
) -> SoundProblems:
    """Problems of a model, answered by a method, by which its user's own measurements are judged (`check_model`).

    Args:
        method: What makes samples, which need not be exact.
        prior, likelihood: The model. Parameters that the method samples are drawn from their priors.
        truth: Images (N, *event_shape) that the prior has not seen, to allow for its own faults; draws of the prior
            unless given.
        num_problems: Problems N, or as many as images: 19 give a p-value of 5 %, 99 a sharper test.
        num_samples: Samples of each.
        seed: Of truths, measurements and samples.
        batch: Problems answered at a time.
        batch_size: Images a network call, passed to the method.
        progress: Whether to show a progress bar.

    Raises:
        InvalidValueError: Fewer than 19 problems, or too few samples.
        IncompatibleError: The method gives one image and no samples, or truths cannot be drawn from the prior.
        ShapeError: Truths are of another shape.
    """
    count = num_problems if truth is None else min(num_problems, len(truth))
    if count < 19 or num_samples < 2:
        raise InvalidValueError(f"19 sound problems and 2 samples are the least; got {count} and {num_samples}")
    if truth is not None and tuple(truth.shape[1:]) != tuple(prior.event_shape):
        raise ShapeError(f"truth has shape {tuple(truth.shape)}; expected (N, *{tuple(prior.event_shape)})")
    dtype = prior.dtype if truth is None else truth.dtype
    parts: list[dict[str, Tensor]] = []
    with tqdm(total=count, desc=f"sound problems, {method.name}", disable=not progress) as bar:
        for start in range(0, count, batch):
            ids: list[int | str] = [-1 - n for n in range(start, min(start + batch, count))]  # no one else has them
            noise = Noise.of(seed, ids, 1, device=prior.device, dtype=dtype).use("sound problems")
            known = draw_truth(prior, noise.use("truth")) if truth is None else truth[start : start + len(ids)]
            unknown = getattr(method, "parameters", {})
            theta = {name: one.sample(noise.use("parameter", name))[0] for name, one in unknown.items()}
            y = likelihood.with_parameters(**theta).simulate(known.to(prior.device), noise)
            problem = Posterior(prior, likelihood, y, ids)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TrustWarning)  # of a method that need not be exact
                result = method(problem, num_samples=num_samples, seed=seed, batch_size=batch_size, progress=False)
            if not isinstance(result, Samples):
                raise IncompatibleError(f"{method.name} gives one image a measurement, not samples: nothing to compare")
            parts.append(discrepancies(result, problem, seed))
            bar.update(len(ids))
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return SoundProblems(found, num_samples, method.name)


@checked
def check_model(samples: Samples, problem: Posterior, sound: SoundProblems, seed: int = 0) -> ModelCheck:
    r"""Test whether the model is that of the measurements, by their samples and by sound problems.

    A measurement and the N sound problems are N + 1 problems of one law, if the model is right. How far each is from
    the others is said by \(M = \max_k |T_k|\), with \(T_k\) its `discrepancies`, standardised, and by their Mahalanobis
    distance; the smaller of the two's ranks is ranked again:

    $$ p = \frac{\#\{n: Q_n \le Q_0\}}{N + 1}, \qquad
       Q_n = \min\big(\#\{m: M_m \ge M_n\},\ \#\{m: D_m \ge D_n\}\big). $$

    All N + 1 play the same part, so p is at most α with a probability of at most α. A small p is evidence against
    prior, operator or noise; a large one is none in favour of what the measurement does not show.

    Args:
        samples: By the method of the sound problems, as many or more.
        problem: The measurements, and the model in question.
        sound: Of the same model, by `sound_problems`.
        seed: Of the noise at which samples are denoised.

    Raises:
        InvalidValueError: There are fewer samples than in the sound problems, or their discrepancies are others.
        ShapeError: Samples are not of as many measurements, or of other images.

    References:
        Robins, van der Vaart & Ventura 2000, Asymptotic distribution of p values in composite null models, JASA 95
        (why posterior predictive p-values, which are not calibrated so, have little power).
    """
    expected = (len(problem), *problem.event_shape)
    if tuple(samples.x.shape[1:]) != expected:
        raise ShapeError(f"samples have shape {tuple(samples.x.shape)}; expected (S, {', '.join(map(str, expected))})")
    if len(samples) < sound.num_samples:
        raise InvalidValueError(f"sound problems have {sound.num_samples} samples each, and here are {len(samples)}")
    chosen = torch.arange(sound.num_samples, device=samples.x.device) * len(samples) // sound.num_samples
    own = Samples(
        samples.x[chosen], samples.nfe, samples.nfe_grad,
        parameters={name: values[chosen] for name, values in samples.parameters.items()},
    )  # fmt: skip
    found = discrepancies(own, problem, seed)
    if found.keys() != sound.discrepancies.keys():
        raise InvalidValueError("the sound problems are of another model: their discrepancies have other names")
    reference = torch.stack(list(sound.discrepancies.values()), 1)  # (N, K)
    values = torch.stack(list(found.values()), 1)  # (B, K)
    mean, std = reference.mean(0), reference.std(0).clamp_min(1e-9)
    p_value = torch.stack([_p_value(torch.cat([one[None], reference])) for one in values])
    deviations = dict(zip(found, ((values - mean) / std).unbind(1), strict=True))
    return ModelCheck(p_value, deviations, len(reference), list(problem.ids))


def _p_value(values: Tensor) -> Tensor:
    """The p-value of the first of exchangeable rows (N + 1, K)."""
    centred = values - values.mean(0)
    spread = centred.square().mean(0).sqrt()
    standard = torch.where(spread > 1e-9, centred / spread, 0.0)
    correlation = standard.mT @ standard / len(values)
    share = values.shape[1] / sum(values.shape)  # of the diagonal, since few rows do not tell the correlations
    inverse = torch.linalg.inv((1 - share) * correlation + share * torch.eye(len(correlation), dtype=values.dtype))
    distance = torch.einsum("nk,kl,nl->n", standard, inverse, standard)
    rank = torch.minimum(_places(standard.abs().amax(1)), _places(distance))
    return (rank <= rank[0]).double().mean()


def _places(values: Tensor) -> Tensor:
    """How many of the values (N,) are at least as large as each."""
    return (values >= values[:, None]).sum(1)


def _mean_square(values: Tensor) -> Tensor:
    """Over samples and entries of (S, B, ...): (B,)."""
    return values.abs().square().transpose(0, 1).flatten(1).mean(1)


def _bands(values: Tensor, axes: list[int]) -> Tensor:
    """The band 0 … 3 of each frequency, from low to high by octaves below the largest, broadcastable to values."""
    radius = torch.zeros((), device=values.device)
    for axis in axes:
        frequency = torch.fft.fftfreq(values.shape[axis], device=values.device).abs() * 2
        radius = torch.maximum(radius, frequency.reshape(-1, *[1] * (values.ndim - 1 - axis)))
    edges = torch.tensor([0.125, 0.25, 0.5], device=values.device)
    return torch.bucketize(radius, edges, right=True)
