"""Likelihoods p(y | x): the noise of a measurement."""

from posterior.likelihoods.additive import GaussianLikelihood, LaplaceLikelihood, StudentTLikelihood
from posterior.likelihoods.base import Likelihood
from posterior.likelihoods.counts import PoissonLikelihood
from posterior.likelihoods.parameters import InverseGamma, LogNormal, ParameterPrior
from posterior.likelihoods.quantised import OneBitLikelihood, SaturatedLikelihood

__all__ = [
    "GaussianLikelihood",
    "InverseGamma",
    "LaplaceLikelihood",
    "Likelihood",
    "LogNormal",
    "OneBitLikelihood",
    "ParameterPrior",
    "PoissonLikelihood",
    "SaturatedLikelihood",
    "StudentTLikelihood",
]
