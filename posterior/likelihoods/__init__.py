"""Likelihoods p(y | x): the noise of a measurement."""

from posterior.likelihoods.additive import GaussianLikelihood, LaplaceLikelihood, StudentTLikelihood
from posterior.likelihoods.base import Likelihood
from posterior.likelihoods.categorical import CategoricalLikelihood
from posterior.likelihoods.counts import PoissonLikelihood
from posterior.likelihoods.joint import JointLikelihood
from posterior.likelihoods.parameters import InverseGamma, LogNormal, ParameterPrior
from posterior.likelihoods.quantised import OneBitLikelihood, SaturatedLikelihood
from posterior.likelihoods.quantiser import QuantisedLikelihood

__all__ = [
    "CategoricalLikelihood",
    "GaussianLikelihood",
    "InverseGamma",
    "JointLikelihood",
    "LaplaceLikelihood",
    "Likelihood",
    "LogNormal",
    "OneBitLikelihood",
    "ParameterPrior",
    "PoissonLikelihood",
    "QuantisedLikelihood",
    "SaturatedLikelihood",
    "StudentTLikelihood",
]
