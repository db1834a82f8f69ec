"""What holds for every sampler: batch sizes, seeds, neighbours, checkpoints, network calls, failures."""

import copy
import dataclasses
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from posterior.errors import FileFormatError, IncompatibleError, InvalidValueError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.methods import Method
from posterior.networks.unet import UNet
from posterior.operators import Inpainting, Matrix
from posterior.priors import GeneratorPrior, ScorePrior
from posterior.priors.edm import EDMPrior
from posterior.problem import Posterior
from samplers import DDRM, AnnealedLangevin, AuxiliaryGibbs, AuxiliaryMH, ReplicaExchange, TemperedSMC
from samplers.base import Sampler
from samplers.flows import PLMCMC, AmbientVI, ComposedFlow, FlowHMC
from samplers.latent import HMC, LatentLangevin
from samplers.state import State
from tests.problems import DOUBLE, mixture, mixture_problem
from tests.samplers.flows.flows import BentFlow, linear_flow_problem, pixels_problem
from tests.samplers.latent.generators import bent_problem, linear_problem

COUNTS = PoissonLikelihood(Matrix(torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=DOUBLE)), 2.0, 0.5)
SAMPLERS = [
    TemperedSMC(accuracy="fast", population=24),
    AuxiliaryGibbs(chains=2, burn_in=3, thinning=1, steps=4, prior_steps=5),
    AuxiliaryMH(chains=4, burn_in=3, thinning=1, steps=4, prior_steps=5),
    ReplicaExchange(chains=2, replicas=3, burn_in=8, thinning=1, steps=4, prior_steps=5),
    AnnealedLangevin(levels=10, sigma_last=0.1),
    AnnealedLangevin(levels=10, sigma_last=0.1, form="code", step_size=0.2),
]
LANGEVIN = SAMPLERS[4]
LATENT = [
    TemperedSMC(accuracy="fast", population=16),
    HMC(chains=2, burn_in=10, thinning=1, leapfrogs=2),
    LatentLangevin(levels=5, steps=2),
]
FLOWS = [
    ComposedFlow(steps=6, batch=3, correction="importance", candidates=50),
    ComposedFlow(steps=6, batch=3, correction="metropolis", candidates=50),
    AmbientVI(steps=6, batch=3, candidates=50),
    FlowHMC(transport=ComposedFlow(steps=4, batch=3), chains=2, burn_in=8, thinning=1, leapfrogs=2),
    PLMCMC(chains=2, burn_in=8, thinning=2),
]
ALL = [*SAMPLERS, *LATENT, *FLOWS]
each_sampler = pytest.mark.parametrize("sampler", ALL, ids=lambda s: f"{s.name}-{ALL.index(s)}")


def problem_of(sampler: Sampler, batch: int = 1) -> Posterior:
    """Gaussian measurements, counts where moves are accepted or not, and a generator where there is to be a latent."""
    if sampler in LATENT:
        return linear_problem(count=3).select(range(batch))
    if isinstance(sampler, PLMCMC):
        return pixels_problem(count=3).select(range(batch))
    if sampler in FLOWS:
        return linear_flow_problem(count=3).select(range(batch))
    if not isinstance(sampler, AuxiliaryMH) or isinstance(sampler, AuxiliaryGibbs):
        return mixture_problem(batch)
    return Posterior(mixture(), COUNTS, torch.tensor([[2.0, 1.0], [0.0, 4.0], [5.0, 5.0]], dtype=DOUBLE)[:batch])


@each_sampler
def test_draws_do_not_depend_on_the_batch_size(sampler):
    problem = problem_of(sampler, 3)
    if sampler in [*LATENT, *FLOWS]:
        # Without products of matrices, which round as their number of rows says: in gradients of some thousands by
        # 1e-12, which trajectories multiply.
        bent, y = bent_problem(), torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, -0.5]], dtype=DOUBLE)
        problem = Posterior(bent.prior if sampler in LATENT else BentFlow(), bent.likelihood, y)
    whole = sampler.sample(problem, 32, progress=False)
    for size in (1, 3, 7):
        part = sampler.sample(problem, 32, batch_size=size, progress=False)
        assert torch.allclose(part.x, whole.x, atol=1e-9, rtol=0)
        assert torch.equal(part.nfe, whole.nfe)


@each_sampler
def test_seeds_reproduce(sampler):
    problem = problem_of(sampler, 2)
    zero = sampler.sample(problem, 8, seed=0, progress=False)
    assert torch.equal(zero.x, sampler.sample(problem, 8, progress=False).x)
    assert not torch.equal(zero.x, sampler.sample(problem, 8, seed=1, progress=False).x)


@each_sampler
def test_a_measurement_does_not_see_its_neighbours(sampler):
    problem = problem_of(sampler, 3)
    whole = sampler.sample(problem, 8, progress=False)
    alone = sampler.sample(problem.select([1]), 8, progress=False)
    assert torch.allclose(whole.x[:, 1:2], alone.x, atol=1e-9, rtol=0)
    assert whole.nfe[1] == alone.nfe[0]


@each_sampler
def test_global_random_state_is_left_alone(sampler):
    problem, before = problem_of(sampler), torch.random.get_rng_state()
    sampler.sample(problem, 8, progress=False)
    assert torch.equal(torch.random.get_rng_state(), before)


@each_sampler
def test_a_stopped_run_goes_on(sampler, tmp_path, monkeypatch):
    problem, path = problem_of(sampler, 2), tmp_path / "run.pt"
    expected = sampler.sample(problem, 40, progress=False)
    monkeypatch.setattr("samplers.run._SAVE_EVERY", 0.0)

    def stop(step, state, info):
        if step == 1 and path.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.sample(problem, 40, progress=False, callback=stop, checkpoint=path)
    resumed = sampler.sample(problem, 40, progress=False, checkpoint=path)
    again = sampler.sample(problem, 40, progress=False, checkpoint=path)  # a finished run is read back
    for result in (resumed, again):
        assert torch.equal(result.x, expected.x)
        assert torch.equal(result.nfe, expected.nfe)
        assert all(torch.equal(result.info[k].nan_to_num(-1), v.nan_to_num(-1)) for k, v in expected.info.items())
    with pytest.raises(FileFormatError, match="another run"):
        sampler.sample(problem, 40, seed=1, progress=False, checkpoint=path)
    other = problem.with_prior(copy.deepcopy(problem.prior))
    next(iter(other.prior.state_dict().values())).mul_(1.1)
    with pytest.raises(FileFormatError, match="another run"):
        sampler.sample(other, 40, progress=False, checkpoint=path)
    path.write_bytes(b"nonsense")
    with pytest.raises(FileFormatError, match="delete it"):
        sampler.sample(problem, 40, progress=False, checkpoint=path)


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


def test_samplers_are_methods():
    assert all(isinstance(sampler, Method) for sampler in SAMPLERS)
    problem = mixture_problem()
    called = SAMPLERS[0](problem, num_samples=4, seed=2, progress=False)
    assert torch.equal(called.x, SAMPLERS[0].sample(problem, 4, seed=2, progress=False).x)


def test_nan_is_reported_with_its_measurement():
    inner = mixture_problem(batch=3)

    def broken(x, sigma):
        return torch.where(x[:, :1] > 1e3, torch.nan, x / (1 + sigma[:, None] ** 2))

    prior = ScorePrior.from_denoiser(broken, (2,), sigma_max=100.0)
    y = inner.y.clone()
    y[1] = 1e9
    problem = Posterior(prior, inner.likelihood, y, ids=["a", "b", "c"])
    with pytest.raises(NotFiniteError, match=r"\['b'\]"):
        AnnealedLangevin(levels=5, sigma_last=0.1).sample(problem, 4, progress=False)


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
    with pytest.raises(InvalidValueError, match="at least 1"):
        SAMPLERS[0].sample(problem, 0, progress=False)
    with pytest.raises(InvalidValueError, match="no measurements"):
        SAMPLERS[0].sample(problem.select([]), 4, progress=False)

    class Generator(GeneratorPrior):
        event_shape = (2,)

    with pytest.raises(IncompatibleError, match="takes a ScorePrior"):
        LANGEVIN.sample(problem.with_prior(Generator()), 4, progress=False)
