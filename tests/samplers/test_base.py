"""Calls of `sample`: what they refuse, and moments of samples that are made block by block."""

from dataclasses import replace

import pytest
import torch

from posterior.errors import FileFormatError, IncompatibleError, InvalidValueError, TrustWarning
from posterior.noise import Noise
from posterior.operators import Inpainting
from posterior.priors import GeneratorPrior
from samplers import AnnealedLangevin, AuxiliaryGibbs, TemperedSMC
from samplers.auxiliary_kernel import AuxiliaryKernel
from tests.problems import gaussian, measure, mixture_problem

LANGEVIN = AnnealedLangevin(levels=10, sigma_last=0.1)


def test_independent_draws_are_the_same_either_way():
    problem = mixture_problem(2)
    whole = LANGEVIN.sample(problem, 100, seed=3, progress=False)
    moments = LANGEVIN.sample(problem, 100, seed=3, batch_size=32, keep="moments", progress=False)
    assert len(moments) == 100
    assert torch.allclose(moments.mean(), whole.mean(), atol=1e-9, rtol=0)
    assert torch.allclose(moments.std(), whole.std(), atol=1e-9, rtol=0)
    assert torch.allclose(moments.quantile(0.9), whole.quantile(0.9), atol=1e-9, rtol=0)
    assert torch.allclose(moments.nfe, whole.nfe)


@pytest.mark.filterwarnings("ignore::posterior.errors.TrustWarning")
def test_populations_and_chains_start_anew():
    problem = mixture_problem()
    population = TemperedSMC(accuracy="fast", population=24)
    moments = population.sample(problem, 60, batch_size=8, keep="moments", progress=False)
    assert len(moments) == 60
    assert moments.info["log_evidence"].shape == (3, 1)  # 24 + 24 + 12 draws
    assert len(moments.info["log_evidence"].unique()) == 3  # each with noise of its own
    assert len(moments.warnings) == len(set(moments.warnings))
    blocks = population.sample(problem, 513, keep="moments", progress=False)
    assert blocks.info["log_evidence"].shape == (3, 1)  # 256 at a time, unless batch_size says otherwise
    chains = AuxiliaryGibbs(chains=3, burn_in=3, thinning=1, steps=4, prior_steps=5)
    assert len(chains.sample(problem, 30, batch_size=8, keep="moments", progress=False)) == 30


@pytest.mark.filterwarnings("ignore::posterior.errors.TrustWarning")
def test_populations_have_no_sample_of_the_prior_in_common(monkeypatch):
    starts, start = [], AuxiliaryKernel.start

    def spied(kernel, problem, count, noise):
        starts.append(start(kernel, problem, count, noise))
        return starts[-1]

    monkeypatch.setattr(AuxiliaryKernel, "start", spied)
    settings = {"batch_size": 24, "keep": "moments", "progress": False}
    TemperedSMC(accuracy="fast", population=24).sample(mixture_problem(), 48, **settings)
    first, second = (x.flatten(1) for x in starts if len(x) >= 48)  # fewer foretell the levels
    assert torch.cdist(first, second).min() > 0


def test_a_verdict_has_samples_enough_whatever_the_batch_size():
    # Unsaid of one sample at a time: a move that leaves the posterior as it is shrinks what is ten times too wide.
    problem = measure(gaussian(64), Inpainting(torch.arange(64) % 2 == 0), 0.1)

    class Wide(AuxiliaryGibbs):
        """A sampler whose samples are too wide where nothing is seen."""

        def finish(self, problem, state, noise, num_samples):
            kept = state.kept + 10 * noise.normal(problem.event_shape) * (torch.arange(64) % 2)
            return kept, self.convergence(kept.flatten(2))

    wide = Wide(chains=1, burn_in=2, thinning=1, steps=4, prior_steps=5)
    with pytest.warns(TrustWarning, match="a move that leaves the posterior as it is lowers"):
        wide.sample(problem, 32, batch_size=1, keep="moments", progress=False)


def test_a_chain_that_never_moves_is_worth_one_draw():
    # R-hat of one chain of equal draws is undefined, and so is the number that they are worth.
    sampler = AuxiliaryGibbs(chains=2, burn_in=2, thinning=1)
    draws = Noise.of(0).normal((64, 2, 3))[0, 0]  # (S, B, n)
    draws[32:, 1] = draws[32, 1]  # the second chain of the second measurement
    info = sampler.convergence(draws)
    assert float(info["effective_samples"][0]) > 30 and float(info["effective_samples"][1]) == 2
    alone = replace(sampler, chains=1).convergence(draws[:1].expand(64, -1, -1))
    assert alone["effective_samples"].tolist() == [1, 1]


def test_a_stopped_run_goes_on(tmp_path):
    problem, path, calls = mixture_problem(), tmp_path / "run.pt", []
    expected = LANGEVIN.sample(problem, 96, batch_size=32, keep="moments", progress=False)

    def stop(step, state, info):
        calls.append(step)
        if step == 5 and calls.count(5) == 2:  # in the second block
            raise KeyboardInterrupt

    settings = {"batch_size": 32, "keep": "moments", "progress": False, "checkpoint": path}
    with pytest.raises(KeyboardInterrupt):
        LANGEVIN.sample(problem, 96, callback=stop, **settings)
    resumed = LANGEVIN.sample(problem, 96, callback=lambda step, *_: calls.append(step), **settings)
    assert calls.count(5) == 4 and calls.count(4) == 3  # blocks go on, too, from the step that was cut off
    assert torch.equal(resumed.std(), expected.std())
    assert torch.equal(resumed.quantile(0.1), expected.quantile(0.1))
    with pytest.raises(FileFormatError, match="another run"):
        LANGEVIN.sample(problem, 96, progress=False, checkpoint=path)


def test_other_words_are_refused():
    with pytest.raises(InvalidValueError, match="'samples' or 'moments'"):
        LANGEVIN.sample(mixture_problem(), 4, keep="mean", progress=False)


def test_bad_calls_are_refused():
    problem = mixture_problem()
    for options in ({"num_samples": 0}, {"seed": 1.5}, {"batch_size": 2.0}, {"keep": "all"}, {"num_samples": None}):
        with pytest.raises(InvalidValueError, match=f"AnnealedLangevin.sample needs {next(iter(options))} to be"):
            LANGEVIN.sample(problem, progress=False, **options)
    with pytest.raises(InvalidValueError, match="no measurements"):
        LANGEVIN.sample(problem.select([]), 4, progress=False)

    class Generator(GeneratorPrior):
        event_shape = (2,)

    with pytest.raises(IncompatibleError, match="takes a ScorePrior"):
        LANGEVIN.sample(problem.with_prior(Generator()), 4, progress=False)
