"""The loop: callbacks, precision, network calls of measurements that end early, failures."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood
from posterior.networks.unet import UNet
from posterior.operators import Inpainting
from posterior.priors import GeneratorPrior, ScorePrior
from posterior.priors.edm import EDMPrior
from posterior.problem import Posterior
from samplers import DDRM, AnnealedLangevin
from samplers.base import Sampler
from samplers.state import State
from tests.problems import DOUBLE, mixture_problem

LANGEVIN = AnnealedLangevin(levels=10, sigma_last=0.1)


def test_a_callback_sees_each_step_and_may_change_what_comes_next():
    problem, steps = mixture_problem(2), []

    def stop_one(step, state, info):
        steps.append(step)
        if step == 4:
            return dataclasses.replace(state, x=torch.ones_like(state.x), done=torch.tensor([True, False]))

    samples = LANGEVIN.sample(problem, 3, progress=False, callback=stop_one)
    plain = LANGEVIN.sample(problem, 3, progress=False)
    assert steps == list(range(int(plain.nfe[0])))
    assert (samples.x[:, 0] == 1).all() and not (samples.x[:, 1] == 1).any()
    assert samples.nfe[0] == 5 and samples.nfe[1] == plain.nfe[1]
    assert torch.equal(LANGEVIN.sample(problem, 3, progress=False, callback=lambda *_: None).x, plain.x)

    def spoil(step, state, info):
        return dataclasses.replace(state, x=state.x * torch.nan)

    with pytest.raises(NotFiniteError, match="callback after step 0"):
        LANGEVIN.sample(problem, 3, progress=False, callback=spoil)


def test_a_finite_state_whose_sum_overflows_is_not_called_infinite():
    def enlarge(step, state, info):
        return dataclasses.replace(state, x=torch.full_like(state.x, 1e308), done=torch.ones_like(state.done))

    samples = LANGEVIN.sample(mixture_problem(2), 3, progress=False, callback=enlarge)
    assert (samples.x == 1e308).all()


def test_independent_draws_depend_on_their_own_index_only():
    sampler, problem = LANGEVIN, mixture_problem()
    assert torch.equal(sampler.sample(problem, 9, progress=False).x[:4], sampler.sample(problem, 4, progress=False).x)


def test_a_network_in_half_precision_leaves_the_state_as_it_is():
    network = UNet(1, (8, 16), 1)
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():  # the last layer of a new one is zero
        nn.init.normal_(parameter, std=0.1, generator=draw)
    prior = EDMPrior(network, (1, 8, 8), sigma_data=0.5, sigma_max=20.0).eval().requires_grad_(False)
    likelihood = GaussianLikelihood(Inpainting.half_image((1, 8, 8), keep="top"), 0.3)
    problem = Posterior(prior, likelihood, torch.zeros(2, 1, 8, 8))
    single = DDRM(steps=4).sample(problem, 3, progress=False)
    half = DDRM(steps=4).sample(problem.with_prior(prior.bfloat16()), 3, progress=False)
    assert half.x.dtype == torch.float32
    assert not torch.equal(half.x, single.x)
    assert (half.x - single.x).square().mean().sqrt() < 0.05  # eight bits, 0.4 % a layer


def test_nan_is_reported_with_its_measurement():
    inner = mixture_problem(batch=3)

    def broken(x, sigma):
        return torch.where(x[:, :1] > 1e3, torch.nan, x / (1 + sigma[:, None] ** 2))

    prior = ScorePrior.from_denoiser(broken, (2,), sigma_max=100.0)
    y = inner.y.clone()
    y[1] = 1e9
    problem = Posterior(prior, inner.likelihood, y, ids=["a", "b", "c"])
    sampler = AnnealedLangevin(levels=5, sigma_last=0.1)
    with pytest.raises(NotFiniteError, match=r"\['b'\]"):
        sampler.sample(problem.select([1]), 4, progress=False)
    samples = sampler.sample(problem, 4, progress=False)
    alone = sampler.sample(problem.select([0, 2]), 4, progress=False)
    assert samples.x[:, 1].isnan().all() and torch.equal(samples.x[:, [0, 2]], alone.x)
    assert (samples.verdict[0], samples.verdict[2]) == alone.verdict
    assert samples.verdict[1].level == "not the posterior" and "NaN or infinite after" in str(samples.verdict[1])
    assert any("measurement(s) b" in warning for warning in samples.warnings)


@dataclass(frozen=True)
class Gradients(Sampler):
    """Two steps with a gradient through the network, for the first measurement; one for the others."""

    def init(self, problem, noise):
        zero = torch.zeros(len(problem), dtype=DOUBLE)
        return State(x=noise.normal(problem.event_shape), done=zero.bool(), progress=zero)

    def step(self, problem, state, noise):
        with torch.enable_grad():
            x = state.x.detach().requires_grad_()
            (grad,) = torch.autograd.grad(problem.prior.denoise(x, 1.0).sum(), x)
        done = torch.tensor([identity != 0 or state.step == 1 for identity in problem.ids])
        return State(x=x.detach() + grad, done=done, progress=done.double()), {
            "step": state.step + 0.0 * state.progress
        }


def test_network_calls_are_counted_for_each_measurement():
    samples = Gradients().sample(mixture_problem(batch=3), 5, progress=False)
    assert samples.nfe.tolist() == [2, 1, 1]
    assert samples.nfe_grad.tolist() == [2, 1, 1]
    assert torch.equal(samples.info["step"].isnan(), torch.tensor([[False, False, False], [False, True, True]]))


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
