"""Everything that can be constructed, with arguments that are right and the values that each of them may have."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from posterior import likelihoods, operators, priors
from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, LinearOperator, Matrix, Operator
from posterior.priors import GeneratorPrior, Prior, ScorePrior
from posterior.problem import Posterior
from tests.fuzz.oracle import Allowed, Call, anything, either, flag, numbers, real, several, whole
from tests.fuzz.settings import COUNT, NON_NEGATIVE, POSITIVE, SEED


def _image(operator: Operator) -> Tensor:
    """What an operator, and its adjoint, make of an image."""
    x = torch.linspace(-1, 1, torch.Size(operator.event_shape).numel(), dtype=operator.dtype or torch.float32)
    y = operator(x.reshape(1, *operator.event_shape))
    assert y.shape[1:] == operator.measurement_shape
    return operator.adjoint(y) if isinstance(operator, LinearOperator) else y


def _operator(function: Callable[..., Operator], arguments: dict[str, Any], **allowed: Allowed) -> Call:
    return Call(
        function,
        lambda: arguments,
        allowed,
        _image,
        ("measures no pixel", "hidden box", "expected", "operator", "Downsampling by"),
    )


def _of_operator(value: Any) -> bool:
    return isinstance(value, LinearOperator)


SHAPE = several(COUNT)
EVENT = (3, 4, 4)
MATRIX = torch.tensor([[1.0, 0.6], [0.2, 0.3]])
MAPS = torch.ones(2, 3, 4, dtype=torch.complex64)
COMPLEX = torch.complex64, torch.complex128
FLOATING = torch.float16, torch.bfloat16, torch.float32, torch.float64
IMAGE_SHAPE = several(COUNT, 2)
BOUNDARY = either("circular", "reflect")
POSITIVES = either(POSITIVE, several(POSITIVE, 1))  # a number, or one for each measurement

OPERATORS: dict[str, Call] = {
    "Identity": _operator(operators.Identity, {"event_shape": EVENT}, event_shape=SHAPE),
    "Grayscale": _operator(operators.Grayscale, {"event_shape": EVENT}, event_shape=SHAPE),
    "Blur": _operator(
        operators.Blur, {"event_shape": EVENT, "kernel": torch.ones(2, 2)},
        event_shape=IMAGE_SHAPE, boundary=BOUNDARY,
        kernel=numbers(lambda shape: len(shape) in (2, 3), torch.float32, torch.float64),
    ),
    "Blur.gaussian": _operator(
        operators.Blur.gaussian, {"event_shape": EVENT, "std": 1.0},
        event_shape=IMAGE_SHAPE, std=POSITIVES, boundary=BOUNDARY,
    ),
    "Blur.motion": _operator(
        operators.Blur.motion, {"event_shape": EVENT, "length": 2.0, "angle": 30.0},
        event_shape=IMAGE_SHAPE, length=real(1), angle=real(), boundary=BOUNDARY,
    ),
    "Blur.ricker": _operator(
        operators.Blur.ricker, {"event_shape": EVENT, "frequency": 0.2},
        event_shape=IMAGE_SHAPE, frequency=real(0, 0.5, open_low=True, open_high=True), boundary=BOUNDARY,
    ),
    "Downsampling": _operator(
        operators.Downsampling, {"event_shape": EVENT, "factor": 2, "kind": "mean"},
        event_shape=IMAGE_SHAPE, factor=COUNT, kind=either("mean", "bicubic"),
    ),
    "GaussianMeasurement": _operator(
        operators.GaussianMeasurement, {"event_shape": EVENT, "num_measurements": 2},
        event_shape=SHAPE, num_measurements=COUNT, seed=SEED, kind=either("dense", "circulant"),
    ),
    "Inpainting": _operator(
        Inpainting, {"mask": torch.tensor([True, False]), "event_shape": (3, 2)},
        mask=numbers(), event_shape=either(None, SHAPE),
    ),
    "Inpainting.box": _operator(
        Inpainting.box, {"event_shape": EVENT, "top": 0, "left": 1, "height": 2, "width": 2},
        event_shape=IMAGE_SHAPE, top=whole(0), left=whole(0), height=COUNT, width=COUNT,
    ),
    "Inpainting.half_image": _operator(
        Inpainting.half_image, {"event_shape": EVENT, "keep": "top"},
        event_shape=IMAGE_SHAPE, keep=either("top", "bottom", "left", "right"),
    ),
    "Inpainting.random": _operator(
        Inpainting.random, {"event_shape": EVENT, "fraction": 0.5},
        event_shape=SHAPE, fraction=real(0, 1, open_low=True), seed=SEED,
    ),
    "Matrix": _operator(
        Matrix, {"matrix": MATRIX},
        matrix=numbers(lambda shape: len(shape) == 2, *FLOATING), event_shape=either(None, SHAPE),
    ),
    "Magnitude": _operator(operators.Magnitude, {"operator": Matrix(MATRIX)}, operator=_of_operator),
    "MultiCoilMRI": _operator(
        operators.MultiCoilMRI, {"maps": MAPS},
        maps=numbers(lambda shape: len(shape) in (3, 4), *COMPLEX), mask=either(None, numbers()),
    ),
    "NonCartesianMRI": _operator(
        operators.NonCartesianMRI, {"maps": MAPS, "trajectory": torch.tensor([[0.0, 1.0], [1.5, -0.5]])},
        maps=numbers(lambda shape: len(shape) in (3, 4), *COMPLEX),
        trajectory=numbers(lambda shape: len(shape) in (2, 3)),
    ),
    "Radon": _operator(
        operators.Radon, {"event_shape": EVENT, "angles": [0.0, 30.0]},
        event_shape=IMAGE_SHAPE, angles=either(several(real(), 1), numbers(lambda shape: len(shape) == 1)),
    ),
    "Radon.equispaced": _operator(
        operators.Radon.equispaced, {"event_shape": EVENT, "num_views": 3}, event_shape=IMAGE_SHAPE, num_views=COUNT,
    ),
    "Sum": _operator(operators.Sum, {"event_shape": (2, 3)}, event_shape=SHAPE),
    "Visibilities": _operator(
        operators.Visibilities, {"event_shape": EVENT, "frequencies": torch.tensor([[0.0, 1.0], [1.5, -0.5]])},
        event_shape=IMAGE_SHAPE,
        frequencies=numbers(lambda shape: len(shape) == 2, torch.float32, torch.float64),
    ),
    "Visibilities.of_array": _operator(
        operators.Visibilities.of_array, {"event_shape": EVENT, "num_antennas": 3},
        event_shape=IMAGE_SHAPE, num_antennas=whole(2), hours=POSITIVE, num_times=COUNT,
        declination=real(-90, 90), longest=real(0, 1, open_low=True, open_high=True),
    ),
    "Composition": _operator(
        operators.Composition, {"outer": Matrix(MATRIX), "inner": Matrix(MATRIX)},
        outer=_of_operator, inner=_of_operator,
    ),
    "Scaled": _operator(
        operators.Scaled, {"operator": Matrix(MATRIX), "factor": 2.0}, operator=_of_operator, factor=POSITIVES
    ),
    "Stack": _operator(
        operators.Stack, {"operators": [Matrix(MATRIX), Matrix(MATRIX)]}, operators=several(_of_operator, 1),
    ),
    "Operator.from_callable": _operator(
        Operator.from_callable, {"function": torch.square, "event_shape": (2,), "measurement_shape": (2,)},
        event_shape=SHAPE, measurement_shape=SHAPE, linear=flag, probe=flag,
        dtype=either(None, lambda value: isinstance(value, torch.dtype)), device=either(None, "cpu"),
    ),
}  # fmt: skip


def _measure(likelihood: Likelihood) -> Tensor:
    """The log-likelihood of what is measured of an image."""
    likelihood, x = likelihood.double(), torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    y = likelihood.simulate(x, Noise.of(0, dtype=torch.float64))
    Posterior(PRIOR, likelihood, y)
    return torch.cat([likelihood.log_prob(x, y), likelihood.grad(x, y).flatten()])


def _likelihood(
    kind: Callable[..., Likelihood], others: Mapping[str, Allowed] = MappingProxyType({}), **parameters: Any
) -> Call:
    either_end = either(real(), several(real(), 1))
    allowed: dict[str, Allowed] = {name: either_end if name in ("low", "high") else POSITIVES for name in parameters}
    allowed |= others
    allowed["operator"] = lambda value: isinstance(value, Operator)
    return Call(kind, lambda: {"operator": Matrix(MATRIX), **parameters}, allowed, _measure)


GAUSSIAN = likelihoods.GaussianLikelihood(Matrix(MATRIX), 0.1)
LIKELIHOODS: dict[str, Call] = {
    "CategoricalLikelihood": _likelihood(likelihoods.CategoricalLikelihood),
    "GaussianLikelihood": _likelihood(likelihoods.GaussianLikelihood, noise_std=0.1),
    "JointLikelihood": Call(
        likelihoods.JointLikelihood,
        lambda: {"parts": [GAUSSIAN, GAUSSIAN]},
        {"parts": several(lambda value: isinstance(value, Likelihood), 1)},
        _measure,
    ),
    "LaplaceLikelihood": _likelihood(likelihoods.LaplaceLikelihood, scale=0.1),
    "OneBitLikelihood": _likelihood(likelihoods.OneBitLikelihood, noise_std=0.1),
    "PoissonLikelihood": _likelihood(likelihoods.PoissonLikelihood, gain=2.0, background=0.5),
    "QuantisedLikelihood": _likelihood(
        likelihoods.QuantisedLikelihood,
        {"levels": lambda value: whole(2)(value) and value <= 256},
        noise_std=0.1,
        low=-0.1,
        high=0.2,
        levels=4,
    ),
    "SaturatedLikelihood": _likelihood(likelihoods.SaturatedLikelihood, noise_std=0.1, low=-0.1, high=0.2),
    "StudentTLikelihood": _likelihood(likelihoods.StudentTLikelihood, scale=0.1, degrees=3.0),
}


PRIOR = priors.GaussianMixturePrior(torch.zeros(1, 2, dtype=torch.float64))


class Shrink(nn.Module):
    """A network of images and labels, without parameters."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Half of the image."""
        return 0.5 * x


def _draw(prior: Prior) -> Tensor:
    """Images of the prior."""
    prior.check(torch.float32)
    if isinstance(prior, ScorePrior):
        return torch.cat([prior.sample(1, Noise.of(0), steps=3).flatten(), prior.mean().flatten()])
    assert isinstance(prior, GeneratorPrior)
    return prior.sample(1, Noise.of(0))


def _prior(kind: Callable[..., Prior], arguments: dict[str, Any], **allowed: Allowed) -> Call:
    return Call(kind, lambda: arguments, allowed, _draw, ("sigma_m", "images"))


def _network(value: Any) -> bool:
    return isinstance(value, nn.Module)


LEVELS: dict[str, Allowed] = {
    "sigma_data": POSITIVE,
    "sigma_min": POSITIVE,
    "sigma_max": POSITIVE,
    "event_shape": SHAPE,
}
SMALL = {"network": Shrink(), "event_shape": (1, 2, 2), "sigma_data": 0.5}
MEANS = torch.tensor([[-1.0, 0.5], [1.0, 0.0]])

MIXTURE = priors.GaussianMixturePrior(MEANS, std=0.5)


def _score_prior(value: Any) -> bool:
    return isinstance(value, ScorePrior)


PRIORS: dict[str, Call] = {
    "GaussianMixturePrior": _prior(
        priors.GaussianMixturePrior, {"means": MEANS, "std": 0.5},
        means=numbers(lambda shape: len(shape) >= 2, *FLOATING), std=NON_NEGATIVE,
        weights=either(None, several(NON_NEGATIVE), numbers()),
        covariance=either(None, numbers((2, 2), *FLOATING)),
    ),
    "EmpiricalPrior": _prior(
        priors.EmpiricalPrior, {"images": MEANS, "std": 0.1},
        images=numbers(lambda shape: len(shape) >= 2, *FLOATING), std=NON_NEGATIVE,
        weights=either(None, several(NON_NEGATIVE), numbers()),
    ),
    "ProductPrior": _prior(
        priors.ProductPrior, {"first": MIXTURE, "second": MIXTURE}, first=_score_prior, second=_score_prior,
    ),
    "SpikePrior": _prior(
        priors.SpikePrior, {"event_shape": (1, 5), "rate": 0.2, "std": 1.0},
        event_shape=SHAPE, rate=real(0, 1, open_low=True, open_high=True), std=POSITIVE,
    ),
    "EDMPrior": _prior(
        priors.EDMPrior, SMALL, network=_network, clip=flag, value_range=several(real(), 2), **LEVELS
    ),
    "VESDEPrior": _prior(
        priors.VESDEPrior, {**SMALL, "sigma_min": 0.01, "sigma_max": 50.0},
        network=_network, value_range=several(real(), 2), **LEVELS,
    ),
    "OrnsteinUhlenbeckPrior": _prior(
        priors.OrnsteinUhlenbeckPrior, {**SMALL, "sigma_min": 0.01, "sigma_max": 50.0},
        network=_network, value_range=several(real(), 2), **LEVELS,
    ),
    "VPSDEPrior": _prior(
        priors.VPSDEPrior, SMALL,
        network=_network, event_shape=SHAPE, sigma_data=POSITIVE,
        sigma_min=either(None, POSITIVE), sigma_max=either(None, POSITIVE),
    ),
    "PyramidPrior": _prior(
        priors.PyramidPrior, {**SMALL, "event_shape": (1, 8, 8), "sigma_min": 0.01, "sigma_network": 1.0},
        network=_network, event_shape=SHAPE, sigma_data=POSITIVE, sigma_min=POSITIVE, sigma_network=POSITIVE,
    ),
    "VariancePreservingPrior": _prior(
        priors.VariancePreservingPrior,
        {"predict": Shrink(), "event_shape": (1, 2, 2), "alphas_cumprod": torch.linspace(0.999, 0.001, 20)},
        predict=callable, event_shape=SHAPE, alphas_cumprod=numbers(lambda shape: len(shape) == 1),
        prediction=either("epsilon", "sample", "v_prediction"), sigma_data=POSITIVE, clip=either(None, POSITIVE),
    ),
    "FlowMatchingPrior": _prior(
        priors.FlowMatchingPrior, {"predict": Shrink(), "event_shape": (1, 2, 2)},
        predict=callable, event_shape=SHAPE, sigma_data=POSITIVE,
        s_min=real(0, 1, open_low=True, open_high=True), s_max=real(0, 1, open_low=True, open_high=True),
    ),
    "ScorePrior.from_denoiser": _prior(
        ScorePrior.from_denoiser, {"denoise": Shrink(), "event_shape": (2,), "sigma_max": 50.0},
        denoise=anything, probe=flag, dtype=either(None, lambda value: isinstance(value, torch.dtype)),
        device=either(None, "cpu"), **LEVELS,
    ),
}  # fmt: skip

CONSTRUCTORS = {**OPERATORS, **LIKELIHOODS, **PRIORS}
