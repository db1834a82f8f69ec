import warnings

import pytest
import torch

from posterior.errors import InvalidValueError, TrustWarning
from posterior.likelihoods import GaussianLikelihood, StudentTLikelihood
from posterior.operators import Matrix
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers import AuxiliaryMH, ReplicaExchange
from samplers.replica_exchange import ReplicaState, _even_ladder
from tests.problems import DOUBLE, check_copies, check_moments, mixture, mixture_problem
from tests.samplers.case import Case

SHARED_CASES = {
    "ReplicaExchange": Case(ReplicaExchange(chains=2, replicas=3, burn_in=8, thinning=1, steps=4, prior_steps=5)),
}

ROTATED = Matrix(1.3 * torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=DOUBLE))


def two_modes() -> Posterior:
    """Two far modes of prior weights ¼ and ¾, of which y, seen with little noise across, favours neither much."""
    prior = GaussianMixturePrior(torch.tensor([[-4.0, 0.0], [4.0, 0.0]], dtype=DOUBLE), [0.25, 0.75], std=0.3)
    likelihood = GaussianLikelihood(Matrix(torch.tensor([[0.05, 1.0]], dtype=DOUBLE)), 0.1)
    return Posterior(prior, likelihood, torch.tensor([[0.05]], dtype=DOUBLE))


PROBLEMS = {
    "three": mixture_problem(batch=2),
    "two": two_modes(),
    "outliers": Posterior(mixture(), StudentTLikelihood(ROTATED, 0.4, 3.0), torch.tensor([[0.5, 1.0]], dtype=DOUBLE)),
}


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("name", PROBLEMS)
def test_weights_of_separate_modes(name: str, exact: bool) -> None:
    problem = PROBLEMS[name]
    truth = problem.prior.posterior(problem.likelihood, problem.y)
    sampler = ReplicaExchange(chains=400, replicas=6, burn_in=60, exact_denoise=exact)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = sampler.sample(problem, 4000, progress=False)
    for b in range(len(problem)):  # chains are independent copies of each measurement
        x = samples.x[:, b].unflatten(0, (400, 10)).transpose(0, 1)
        shares = problem.prior.responsibilities(x).mean(0)
        check_copies(shares, truth.weights[b], within=0.12, bias=1e-3 if exact else 0.01)  # of reverse diffusion
        check_moments(x, truth.mean()[b], truth.covariance()[b], within=0.35, bias=1e-3 if exact else 0.02)
    assert (samples.info["round_trips"] > 0).all() and (samples.info["round_trips"] < 0.5).all()
    assert samples.chains == 400
    assert (samples.nfe == 0).all() == exact


def test_it_mixes_where_single_chains_do_not() -> None:
    problem = two_modes()
    replicas = ReplicaExchange(exact_denoise=True).sample(problem, 200, progress=False)
    with pytest.warns(TrustWarning, match="disagree"):
        chains = AuxiliaryMH(chains=16, exact_denoise=True).sample(problem, 800, progress=False)
    right = [s.x.unflatten(0, (-1, 50))[..., 0] > 0 for s in (replicas, chains)]
    changes = [which.diff(dim=1).sum() for which in right]
    assert changes[0] > 10 and changes[1] == 0  # changes of mode
    assert right[1].any() and not right[1].all()  # of 16 chains some begin in each, but for one seed in 2¹⁵


@pytest.mark.parametrize("replicas", [2, 3, 8])
def test_the_ladder_goes_from_the_prior_to_the_posterior(replicas: int) -> None:
    problem, states = mixture_problem(batch=3), []
    sampler = ReplicaExchange(chains=2, replicas=replicas, burn_in=20, thinning=1, exact_denoise=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = sampler.sample(problem, 20, progress=False, callback=lambda step, state, info: states.append(state))
    for state in states:
        assert isinstance(state, ReplicaState) and state.beta.shape == (3, replicas)
        assert (state.beta[:, 0] == 0).all() and (state.beta[:, -1] == 1).all()
        assert (state.beta.diff(dim=1) > 0).all()
        assert torch.allclose(state.log_likelihood[..., -1], problem.log_likelihood(state.x[:, :, -1]))
    assert replicas == 2 or not torch.equal(states[0].beta, states[19].beta)
    # The ladder moves after 5 and 10 steps, and rejections are then counted anew.
    for begun, end in ((0, 4), (5, 9), (10, 30)):
        for k in range(begun, end):
            assert ((states[k].rejected > 0) | (replicas == 2)).any() and (states[k].rejected <= k + 1 - begun).all()
    assert (states[4].rejected == 0).all() and (states[9].rejected == 0).all()
    assert all(torch.equal(state.beta, states[19].beta) for state in states[20:])
    # Kept are the coldest replicas after burn-in, those of one chain one after the other.
    expected = torch.stack([state.x[:, :, -1] for state in states[20:]], 1)
    assert torch.equal(samples.x.unflatten(0, (2, 10)), expected)
    assert samples.info["rejection"].shape == (30, 3)
    assert ((samples.info["rejection"] >= 0) & (samples.info["rejection"] <= 1)).all()


def test_an_even_ladder() -> None:
    beta = torch.tensor([[0.0, 0.01, 0.1, 0.4, 1.0]], dtype=DOUBLE)
    even = torch.full((1, 4), 0.3, dtype=DOUBLE)
    assert torch.allclose(_even_ladder(beta, even), beta, rtol=1e-8)
    # All rejections lie between 0.1 and 0.4: there the new places go, evenly in β^¼.
    new = _even_ladder(beta, torch.tensor([[0.0, 0.0, 0.8, 0.0]], dtype=DOUBLE))
    assert (new[:, 0] == 0).all() and (new[:, -1] == 1).all() and (new.diff(dim=1) > 0).all()
    assert torch.allclose(new[0, 1:-1] ** 0.25, torch.linspace(0.1**0.25, 0.4**0.25, 5, dtype=DOUBLE)[1:-1], atol=2e-3)
    nothing = _even_ladder(beta, torch.zeros(1, 4, dtype=DOUBLE))
    assert (nothing.diff(dim=1) > 0).all() and (nothing[:, -1] == 1).all()


def test_the_ladder_evens_out_rejections() -> None:
    problem, states = two_modes(), []
    ReplicaExchange(chains=50, replicas=6, burn_in=60, thinning=2, exact_denoise=True).sample(
        problem, 2500, progress=False, callback=lambda step, state, info: states.append(state)
    )
    rejected = (states[-1].rejected - states[59].rejected) / 100
    # Rates are estimated from 30 steps of 50 chains, 0.5/√1500 each or less; they need not agree better than to 0.1.
    assert rejected.max() - rejected.min() < 0.1


def test_bad_settings_are_refused() -> None:
    problem = mixture_problem()
    for setting in ({"chains": 0}, {"replicas": 1}, {"burn_in": 1}, {"thinning": 0}):
        with pytest.raises(InvalidValueError, match=f"ReplicaExchange needs {next(iter(setting))} to be"):
            ReplicaExchange(**setting)
    with pytest.raises(InvalidValueError, match="num_samples must be a multiple of 4, not 6"):
        ReplicaExchange().sample(problem, 6, progress=False)
