"""Draws of latent posteriors have the probabilities that they should, over many problems with known truths."""

from posterior import GaussianLikelihood
from posterior.diagnostics import calibrate
from posterior.operators import Downsampling
from samplers import TemperedSMC
from tests.samplers.map.generators import SHAPE, Small


def test_tempered_smc_is_calibrated_on_a_generator() -> None:
    # Draws thinned from 168 of a population of 256; the checks together reject one right sampler in a hundred or so
    study = calibrate(
        TemperedSMC("fast", population=256), Small(), GaussianLikelihood(Downsampling(SHAPE, 2), 0.3),
        num_problems=100, num_samples=19, thin=8, batch=100, progress=False,
    )  # fmt: skip
    assert study.passed, study.table()
    assert not study.reported["warned"].any()
