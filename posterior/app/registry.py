"""Everything that can be built by its name: samplers, solvers, operators, likelihoods, priors and data.

A class is registered by being in the `__all__` of its package. Functions that make one are registered here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from torch import nn

import samplers.baselines
import samplers.flows
import samplers.guided
import samplers.latent
import samplers.map
from posterior import likelihoods, operators
from posterior.app.arrays import load_array
from posterior.app.datasets import Data, digits, fashion, measurements, pictures, simulated
from posterior.fairness import load_classifier
from posterior.likelihoods import (
    CategoricalLikelihood,
    GaussianLikelihood,
    JointLikelihood,
    LaplaceLikelihood,
    Likelihood,
    OneBitLikelihood,
    ParameterPrior,
    PoissonLikelihood,
    QuantisedLikelihood,
    SaturatedLikelihood,
    StudentTLikelihood,
)
from posterior.mri import random_maps, random_mask
from posterior.operators import (
    Blur,
    GaussianMeasurement,
    Inpainting,
    LinearOperator,
    Matrix,
    MultiCoilMRI,
    Operator,
    Radon,
    Visibilities,
)
from posterior.priors import EmpiricalPrior, GaussianMixturePrior, ProductPrior, SpikePrior
from posterior.priors.base import Prior
from posterior.priors.zoo import list_priors, load_prior
from samplers import AnnealedLangevin, Sampler, Solver

T = TypeVar("T")


def mask(event_shape: Sequence[int], path: Path) -> Operator:
    """Inpainting with a mask from an npy file: true or 1 where measured, false or 0 elsewhere."""
    return Inpainting(load_array(path), event_shape)


def matrix(event_shape: Sequence[int], path: Path) -> Operator:
    """A dense matrix (m, n) from an npy file."""
    values = load_array(path)
    return Matrix(values if values.is_complex() else values.float(), event_shape)


def classifier(event_shape: Sequence[int], folder: str) -> Operator:
    """The log-odds of a shipped classifier, by its name, or of one that `save_classifier` wrote, by its folder."""
    found = load_classifier(folder)
    shrunk = nn.AdaptiveAvgPool2d((found.event_shape[1], found.event_shape[2]))  # as the classifier itself does
    network = nn.Sequential(shrunk, found.network).eval()
    return Operator.from_callable(network, event_shape=event_shape, measurement_shape=[len(found.names)])


def simulated_mri(event_shape: Sequence[int], num_coils: int = 8, acceleration: float = 4.0, seed: int = 0) -> Operator:
    """MRI of coils at random places that measures random columns, as `posterior mri simulate` has them."""
    height, width = event_shape[-2:]
    return MultiCoilMRI(
        random_maps(num_coils, height, width, seed=seed), random_mask((height, width), acceleration, seed=seed)
    )


def _public(base: type[T], *packages: ModuleType) -> dict[str, Callable[..., T]]:
    """The classes that derive from `base` in the packages' `__all__`, by name."""
    found = {name: getattr(package, name) for package in packages for name in package.__all__}
    abstract = (base, LinearOperator)  # which no one builds
    classes = {name: one for name, one in sorted(found.items()) if isinstance(one, type)}
    return {name: one for name, one in classes.items() if issubclass(one, base) and one not in abstract}


_METHODS = (samplers, samplers.guided, samplers.latent, samplers.flows, samplers.map, samplers.baselines)

SAMPLERS = _public(Sampler, *_METHODS) | {"AnnealedLangevin.jalal2021": AnnealedLangevin.jalal2021}
SOLVERS = _public(Solver, *_METHODS)
OPERATORS = _public(Operator, operators) | {
    "Matrix": matrix,
    "box": Inpainting.box,
    "classifier": classifier,
    "gaussian": GaussianMeasurement,
    "gaussian-blur": Blur.gaussian,
    "half": Inpainting.half_image,
    "interferometer": Visibilities.of_array,
    "mask": mask,
    "motion-blur": Blur.motion,
    "random": Inpainting.random,
    "ricker": Blur.ricker,
    "simulated-mri": simulated_mri,
    "tomography": Radon.equispaced,
}
LIKELIHOODS = _public(Likelihood, likelihoods) | {
    "categorical": CategoricalLikelihood,
    "gaussian": GaussianLikelihood,
    "joint": JointLikelihood,
    "laplace": LaplaceLikelihood,
    "one-bit": OneBitLikelihood,
    "poisson": PoissonLikelihood,
    "quantised": QuantisedLikelihood,
    "saturated": SaturatedLikelihood,
    "student-t": StudentTLikelihood,
}
PARAMETERS = _public(ParameterPrior, likelihoods)
SHIPPED: dict[str, Callable[..., Prior]] = {name: partial(load_prior, name) for name in list_priors()}
PRIORS = SHIPPED | {
    "empirical": EmpiricalPrior,
    "gaussian-mixture": GaussianMixturePrior,
    "product": ProductPrior,
    "spikes": SpikePrior,
}
DATA: dict[str, Callable[..., Data]] = {
    "digits": digits,
    "fashion": fashion,
    "measurements": measurements,
    "pictures": pictures,
    "simulated": simulated,
}

REGISTERED: dict[str, dict[str, Callable[..., Any]]] = {
    "sampler": SAMPLERS,
    "solver": SOLVERS,
    "method": SAMPLERS | SOLVERS,
    "operator": OPERATORS,
    "likelihood": LIKELIHOODS,
    "parameter": PARAMETERS,
    "prior": PRIORS,
    "data": DATA,
}
