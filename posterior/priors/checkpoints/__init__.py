"""Checkpoints of other projects, made into folders for `load_prior`; their weights only, their code is never run."""

from posterior.priors.checkpoints.drunet import convert_drunet
from posterior.priors.checkpoints.edm import convert_edm
from posterior.priors.checkpoints.ffdnet import convert_ffdnet
from posterior.priors.checkpoints.galaxygrad import convert_galaxygrad
from posterior.priors.checkpoints.ncsnv2 import convert_ncsnv2
from posterior.priors.checkpoints.score_sde import convert_score_sde
from posterior.priors.checkpoints.stylegan2 import convert_stylegan2

__all__ = [
    "convert_drunet",
    "convert_edm",
    "convert_ffdnet",
    "convert_galaxygrad",
    "convert_ncsnv2",
    "convert_score_sde",
    "convert_stylegan2",
]
