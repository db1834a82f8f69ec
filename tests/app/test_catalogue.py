import re
from pathlib import Path

import pytest
import torch

from posterior.app.catalogue import methods, operators
from posterior.app.registry import SAMPLERS, SOLVERS
from posterior.app.specification import build
from posterior.errors import PosteriorError
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity
from posterior.priors import Prior
from posterior.problem import Posterior
from tests.app.named import text_of
from tests.problems import DOUBLE, mixture
from tests.samplers.flows.flows import LinearFlow
from tests.samplers.latent.generators import Linear


def test_methods_stand_by_the_kinds_of_prior() -> None:
    lines = methods("sampler").splitlines()
    assert "  AmbientVI, ComposedFlow, FlowHMC, PLMCMC (flows)" in lines
    assert "  HMC, LatentLangevin (generators and flows)" in lines
    assert "  BlockGibbs, TemperedSMC (score priors, generators and flows)" in lines
    lines = methods("solver").splitlines()
    assert (
        "  CSGM, HandVoroninski, ILO, LayerwiseInversion, PULSE, RobustCSGM, SemanticGuidance (generators and flows)"
        in lines
    )
    assert "  BM3D, CGSense, ConvDecoder, Lasso, MoDL, TotalVariation, UNet, VarNet, ZeroFilled (any prior)" in lines


@pytest.mark.parametrize("name", list(SAMPLERS | SOLVERS))
@pytest.mark.parametrize("prior", [mixture(), Linear(), LinearFlow()], ids=["score", "generator", "flow"])
def test_methods_take_those_kinds_and_refuse_others(name: str, prior: Prior, tmp_path: Path) -> None:
    method = build("method", text_of(name, tmp_path))
    y = torch.zeros(1, *prior.event_shape, dtype=DOUBLE)
    problem, message = Posterior(prior, GaussianLikelihood(Identity(prior.event_shape), 1.0), y), ""
    try:
        method.check(problem)
    except PosteriorError as error:
        message = str(error)
    refused = re.search(r"takes a \w*Prior.*, not a", message) is not None
    assert refused != isinstance(prior, method.priors)


def test_operators_stand_with_their_arguments() -> None:
    lines = operators().splitlines()
    assert "  half:keep=top|bottom|left|right" in lines
    assert lines[1].startswith("  Blur:")
