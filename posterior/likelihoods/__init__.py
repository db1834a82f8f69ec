"""Likelihoods p(y | x): the noise of a measurement."""

from posterior.likelihoods.additive import GaussianLikelihood, LaplaceLikelihood, StudentTLikelihood
from posterior.likelihoods.base import Likelihood
from posterior.likelihoods.counts import PoissonLikelihood
from posterior.likelihoods.quantised import OneBitLikelihood, SaturatedLikelihood

__all__ = [
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "Likelihood",
    "OneBitLikelihood",
    "PoissonLikelihood",
    "SaturatedLikelihood",
    "StudentTLikelihood",
]
