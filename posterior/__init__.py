"""Samples of P(x | y) for imaging inverse problems, how far they can be trusted, and point estimates beside them."""

from posterior.likelihoods import (
    GaussianLikelihood,
    LaplaceLikelihood,
    OneBitLikelihood,
    PoissonLikelihood,
    SaturatedLikelihood,
    StudentTLikelihood,
)
from posterior.moments import Moments
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples

__version__ = "0.1.0"
__all__ = [
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "Moments",
    "OneBitLikelihood",
    "PointEstimate",
    "PoissonLikelihood",
    "Posterior",
    "Samples",
    "SaturatedLikelihood",
    "StudentTLikelihood",
    "load_prior",
]
