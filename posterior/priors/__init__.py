"""Priors: score models, generators and flows, and analytic ones with exact posteriors."""

from posterior.priors.adapters import FlowMatchingPrior, VariancePreservingPrior
from posterior.priors.base import Prior
from posterior.priors.diffusers import from_diffusers
from posterior.priors.edm import EDMPrior
from posterior.priors.empirical import EmpiricalPrior
from posterior.priors.exact import ExactPosterior
from posterior.priors.flows import FlowPrior
from posterior.priors.function import FunctionPrior
from posterior.priors.gaussian_mixture import GaussianMixturePrior
from posterior.priors.generators import GeneratorPrior
from posterior.priors.product import ProductPosterior, ProductPrior
from posterior.priors.pyramid import PyramidPrior
from posterior.priors.score_prior import ScorePrior
from posterior.priors.sde import OrnsteinUhlenbeckPrior, VESDEPrior, VPSDEPrior
from posterior.priors.spikes import SpikePosterior, SpikePrior

# Here, because these make priors of classes that extend ScorePrior, whose module cannot import them.
ScorePrior.from_diffusers = staticmethod(from_diffusers)
ScorePrior._of_function = FunctionPrior

__all__ = [
    "EDMPrior",
    "EmpiricalPrior",
    "ExactPosterior",
    "FlowMatchingPrior",
    "FlowPrior",
    "GaussianMixturePrior",
    "GeneratorPrior",
    "OrnsteinUhlenbeckPrior",
    "Prior",
    "ProductPosterior",
    "ProductPrior",
    "PyramidPrior",
    "ScorePrior",
    "SpikePosterior",
    "SpikePrior",
    "VESDEPrior",
    "VPSDEPrior",
    "VariancePreservingPrior",
]
