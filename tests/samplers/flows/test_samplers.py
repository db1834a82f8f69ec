"""Samplers of flow priors on posteriors that are known."""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior import GaussianLikelihood, Posterior
from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError, TrustWarning
from posterior.networks.image_flow import ImageFlow
from posterior.noise import Noise
from posterior.operators import Identity, Inpainting
from posterior.priors.flows import NetworkFlow
from posterior.results import Samples
from samplers import TemperedSMC
from samplers.base import Sampler
from samplers.flows import PLMCMC, AmbientVI, ComposedFlow, FlowHMC
from samplers.flows.composed_flow import ComposedState, independence_chain, limited
from samplers.latent import HMC, LatentLangevin
from tests.problems import check_moments, mixture_problem
from tests.samplers.case import Case
from tests.samplers.flows.flows import BentFlow, bent_flow_batch, curved_problem, linear_flow_problem
from tests.samplers.latent.generators import linear_posterior, linear_problem
from tests.samplers.latent.test_samplers import check_quadrature

SHARED_CASES = {
    "ComposedFlow": Case(ComposedFlow(steps=6, batch=3, candidates=50), bent_flow_batch),
    "ComposedFlow, importance": Case(
        ComposedFlow(steps=6, batch=3, correction="importance", candidates=50), bent_flow_batch
    ),
    "ComposedFlow, metropolis": Case(
        ComposedFlow(steps=6, batch=3, correction="metropolis", candidates=50), bent_flow_batch
    ),
    "AmbientVI": Case(AmbientVI(steps=6, batch=3, candidates=50), bent_flow_batch),
    "FlowHMC": Case(
        FlowHMC(transport=ComposedFlow(steps=4, batch=3), chains=2, burn_in=8, thinning=1, leapfrogs=2),
        bent_flow_batch,
    ),
    "PLMCMC": Case(PLMCMC(chains=2, burn_in=8, thinning=2), bent_flow_batch),
}

DOUBLE = torch.float64
QUIET = pytest.mark.filterwarnings("ignore::posterior.errors.TrustWarning")
SHORT = ComposedFlow(steps=200)


def image_flow() -> NetworkFlow:
    """A small flow of images, a little bent."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ImageFlow((1, 4, 4), steps=(1,), widths=(4,), dense=1, dense_width=4)
        for parameter in network.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return NetworkFlow(network).double().requires_grad_(False)


@cache
def gaussian_problem() -> Posterior:
    """A measurement 25 times, whose samples can be pooled, and another."""
    two = linear_flow_problem(count=2)
    return Posterior(two.prior, two.likelihood, two.y[[0] * 25 + [1]])


@cache
def trained(method: ComposedFlow, pose: Callable[[], Posterior], count: int) -> tuple[Samples, ComposedState]:
    """Samples, and the training that all corrections of them follow: each is done once."""
    states: list[Any] = []
    samples = method.sample(pose(), count, progress=False, callback=lambda step, state, info: states.append(state))
    return samples, states[-1]


def corrected(method: ComposedFlow, pose: Callable[[], Posterior], count: int, **settings: Any) -> Samples:
    """What another correction makes of the method's training."""
    other, (_, state) = replace(method, **settings), trained(method, pose, count)
    problem = other.target(pose(), None)
    z, info = other.finish(problem, state, problem.noise(0, 1), count)
    calls = torch.zeros(len(problem))
    return Samples(pose().prior(z), calls, calls, info, latent=z)


TRAINED = pytest.mark.parametrize(
    "method", [ComposedFlow(), AmbientVI(learning_rate=0.05)], ids=lambda method: method.name
)


def check_gaussian(samples: Samples) -> None:
    # What a training leaves out of place differs between copies too, and is part of the error.
    problem = gaussian_problem()
    mean, covariance, _ = linear_posterior(problem)
    assert samples.latent is not None
    check_moments(samples.latent[:, :25], mean[0], covariance, within=0.1)
    assert torch.allclose(samples.x, problem.prior(samples.latent))


@TRAINED
def test_a_gaussian_posterior_is_sampled_after_training(method: ComposedFlow) -> None:
    samples, _ = trained(method, gaussian_problem, 1024)
    assert samples.warnings == ()
    check_gaussian(samples)


@QUIET
@pytest.mark.parametrize("method", [ComposedFlow(steps=80), AmbientVI(steps=120, learning_rate=0.05)])
def test_corrections_mend_a_training_that_was_cut_short(method: ComposedFlow) -> None:
    with pytest.raises(AssertionError):
        check_gaussian(trained(method, gaussian_problem, 1024)[0])
    for correction in ("importance", "metropolis"):
        check_gaussian(corrected(method, gaussian_problem, 1024, correction=correction, candidates=10_000))


@pytest.mark.parametrize(
    "method",
    [
        FlowHMC(transport=SHORT, chains=8, burn_in=100, thinning=2, leapfrogs=5),
        HMC(burn_in=150, thinning=2),
        TemperedSMC(population=1024),
    ],
    ids=lambda method: method.name,
)
def test_a_gaussian_posterior_is_sampled(method: Sampler) -> None:
    samples = method.sample(gaussian_problem(), 1024, progress=False)
    assert samples.warnings == ()
    check_gaussian(samples)


@TRAINED
def test_evidence_and_its_bound(method: ComposedFlow) -> None:
    # log p(y) is the mean of 1,024 weights; the bound is below by KL(q ‖ p(z | y)), at most .05 nats a dimension
    _, _, log_evidence = linear_posterior(gaussian_problem())
    info = trained(method, gaussian_problem, 1024)[0].info
    error = info["log_evidence_error"]
    assert (error < 0.02).all() and ((info["log_evidence"] - log_evidence).abs() < 4.5 * error).all()
    assert ((log_evidence - info["elbo"] > -4.5 * error) & (log_evidence - info["elbo"] < 0.05 * 4)).all()


@QUIET
@pytest.mark.slow
def test_curved_posteriors_too() -> None:
    problem, method = curved_problem(), ComposedFlow(correction="importance", candidates=8000)
    check_quadrature(trained(method, curved_problem, 1600)[0], problem)
    check_quadrature(corrected(method, curved_problem, 1600, correction="metropolis", candidates=16000), problem)
    chains = FlowHMC(transport=SHORT, chains=64, burn_in=100, thinning=5, leapfrogs=5)
    check_quadrature(chains.sample(problem, 1600, progress=False), problem)


def test_what_is_badly_trained_says_so() -> None:
    problem = linear_flow_problem(std=0.02)
    with pytest.warns(TrustWarning, match=r"far from the posterior \(pareto_k\)"):
        samples = ComposedFlow(steps=3).sample(problem, 10, progress=False)
    assert (samples.info["pareto_k"] > 0.7).all()
    with pytest.warns(TrustWarning, match="few independent ones"):
        ComposedFlow(steps=3, correction="importance").sample(problem, 1000, progress=False)


def test_slopes_far_beyond_the_others_are_limited() -> None:
    slope = Noise.of(0, 2, 9, dtype=DOUBLE).normal((3, 4))
    slope[0, 0] *= 1e6
    slope[1, 0] = torch.nan
    slope[2, 0] = 1e200  # whose square overflows
    bounded, share = limited(slope)
    length, first = bounded.flatten(2).norm(dim=2), slope[0, 0]
    assert torch.equal(bounded[3:], slope[3:]) and torch.equal(bounded[:, 1], slope[:, 1])
    assert torch.isclose(length[0, 0], 10 * slope[:, 0].flatten(1).norm(dim=1).nan_to_num(nan=torch.inf).median())
    assert torch.allclose(bounded[0, 0] / length[0, 0], first / first.norm())
    assert (bounded[1:3, 0] == 0).all() and (share[1:3, 0] == 0).all() and (share[3:] == 1).all()
    assert share[:, 1].min() == 1 and 0 < share[0, 0] < 1e-4
    slope[:6, 1] = torch.nan  # most of them: not repaired, for the run to find
    assert limited(slope)[0][:6, 1].isnan().all()
    assert (limited(torch.zeros(3, 1, 2))[0] == 0).all()


def test_steps_that_are_too_large_do_not_overflow() -> None:
    class Steep(BentFlow):
        """x = (z_1, z_2 + exp(160 z_1)), whose slopes overflow from 2.2 on: one draw of q in seventy, to begin with."""

        def forward(self, z: Tensor) -> Tensor:
            return torch.stack([z[..., 0], z[..., 1] + (160 * z[..., 0]).exp()], -1)

        decode = forward

    problem = curved_problem()
    steep = Posterior(Steep(), problem.likelihood, problem.y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = ComposedFlow(steps=40, learning_rate=0.2).sample(steep, 8, progress=False)
    assert samples.x.isfinite().all() and 0 < samples.info["limited"].mean() < 0.5


def test_an_independence_chain_has_the_weights_it_is_given() -> None:
    # Proposals are uniform on four states, the target is .1, .2, .3, .4. The chain's acceptance is Σ_ij min(p_i q_j,
    # p_j q_i) = .75: errors are those of about half as many independent draws.
    size = 40_000
    noise, target = Noise.of(0, 2, size, dtype=DOUBLE), torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=DOUBLE)
    proposed = (noise.use("proposal").uniform() * 4).long()
    index, acceptance = independence_chain(target.log()[proposed], noise.use("accept").uniform())
    assert (index <= torch.arange(size)[:, None]).all() and (index.diff(dim=0) >= 0).all()
    for b in range(2):
        found = proposed[index[:, b], b].bincount(minlength=4) / size
        assert ((found - target).abs() < 4.5 * (target * (1 - target) / (size / 2)).sqrt()).all()
    moves = torch.minimum(target[:, None] / 4, target / 4).sum()
    assert ((acceptance - moves).abs() < 4.5 * math.sqrt(0.25 / size)).all()


def test_a_chain_that_never_moves_is_worth_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    # ess_mean of equal values is NaN
    monkeypatch.setattr("samplers.flows.composed_flow.ess_mean", lambda z: torch.full(z.shape[-2:], torch.nan))
    method = ComposedFlow(steps=3, correction="metropolis", candidates=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        info = method.sample(linear_flow_problem(), 8, progress=False).info
    assert (info["effective_samples"] == 1).all()


@QUIET
def test_the_likelihood_is_brought_in_over_the_first_half() -> None:
    beta = ComposedFlow(steps=8, batch=3, candidates=20).sample(linear_flow_problem(), 4, progress=False).info["beta"]
    # from 1/T by equal factors: T^(−1 + k/4)
    assert (beta[0] < 1).all() and (beta[4:] == 1).all()
    assert torch.allclose(beta[:4].log(), beta[0].log() * (1 - torch.arange(4, dtype=DOUBLE) / 4)[:, None])


def test_images_of_bounded_values_stay_there() -> None:
    prior = image_flow()
    likelihood = GaussianLikelihood(Identity((1, 4, 4)), 0.3)
    truth = prior.sample(1, Noise.of(1, 2, dtype=DOUBLE))[0]
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(2, 2, dtype=DOUBLE)))
    ambient = AmbientVI(steps=150).sample(problem, 400, progress=False)
    composed = ComposedFlow(steps=150).sample(problem, 400, progress=False)
    low, high = prior.support
    assert ambient.latent is not None
    assert ambient.x.min() > low and ambient.x.max() < high
    assert torch.allclose(prior(ambient.latent), ambient.x)
    # two bounds of one evidence, and what weights make of them
    assert (ambient.info["log_evidence"] - composed.info["log_evidence"]).abs().max() < 0.3
    assert ((ambient.info["elbo"] < ambient.info["log_evidence"]) & (composed.info["pareto_k"] < 0.7)).all()


def test_langevin_and_hmc_take_flows() -> None:
    samples = LatentLangevin(levels=20).sample(linear_flow_problem(), 8, progress=False)
    assert samples.x.shape == (8, 2, 4)


@QUIET
def test_network_calls_are_counted() -> None:
    problem = linear_flow_problem()
    samples = ComposedFlow(steps=5, batch=4, candidates=20).sample(problem, 10, progress=False)
    # each step a value and its gradient; the start's likelihoods, the candidates', and the images of the draws
    assert (samples.nfe == (5 * 4 + 4 + 20 + 10) / 10).all()
    assert (samples.nfe_grad == 5 * 4 / 10).all()


def test_moments_are_of_one_training() -> None:
    problem = linear_flow_problem(count=1)
    method = ComposedFlow(steps=30, candidates=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        kept = method.sample(problem, 600, keep="moments", progress=False)
        samples = method.sample(problem, 600, progress=False)
    assert torch.allclose(kept.mean().double(), samples.mean(), atol=1e-6)


@pytest.mark.parametrize("method", [ComposedFlow(), AmbientVI(), FlowHMC()], ids=lambda method: method.name)
def test_other_priors_are_refused(method: Sampler) -> None:
    for problem in (mixture_problem(), linear_problem()):
        with pytest.raises(IncompatibleError, match="takes a FlowPrior"):
            method.sample(problem, 8, progress=False)


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        (ComposedFlow, {"steps": 0}),
        (ComposedFlow, {"correction": "some"}),
        (ComposedFlow, {"learning_rate": 0.0}),
        (ComposedFlow, {"hidden": 0}),
        (FlowHMC, {"leapfrogs": 0}),
        (FlowHMC, {"transport": 3}),
    ],
)
def test_settings_are_checked(method: type[Sampler], setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=f"{method.__name__} needs {next(iter(setting))} to be"):
        method(**setting)


def test_a_measurement_s_own_noise_level_is_used() -> None:
    problem = linear_flow_problem(count=2)
    likelihood = GaussianLikelihood(problem.operator, torch.tensor([0.1, 1.0], dtype=DOUBLE))
    wide = Posterior(problem.prior, likelihood, problem.y)
    samples = ComposedFlow(steps=400).sample(wide, 500, progress=False)
    seen: Tensor = problem.operator(samples.x).std(0).mean(-1)
    assert seen[1] > 2 * seen[0]


def test_projected_chains_know_pixels_exactly() -> None:
    problem = curved_problem()
    samples = PLMCMC(chains=64, burn_in=400, thinning=20).sample(problem, 3200, progress=False)
    assert torch.allclose(samples.x[..., 1], problem.y[:, 1].expand(3200, -1), atol=1e-9)
    axis = torch.linspace(-6, 6, 4001, dtype=DOUBLE)
    for b in range(2):
        joint = torch.stack([axis, problem.y[b, 1].expand(4001)], 1)
        weights = problem.prior.log_prob(joint).softmax(0)
        for f in (torch.Tensor.square, torch.abs, torch.tanh):
            mean = weights @ f(axis)
            std = (weights @ f(axis).square() - mean.square()).sqrt()
            found = f(samples.x[:, b, 0])
            # chains of both arms: their own spread of means over 64 chains is the error
            error = torch.maximum(found.unflatten(0, (64, -1)).mean(1).std() / 8, std / 3200**0.5)
            assert abs(float(found.mean() - mean)) < 4.5 * float(error)
    assert (samples.info["acceptance"][-100:].mean(0) > 0.1).all()


def test_the_ratio_of_projected_chains() -> None:
    # log p(x_M, y) + log N(x̃_O; y, a²) − log p(x_M, x̃_O), but for a constant, of the chains' first latents
    problem = curved_problem()
    method = PLMCMC(chains=5, width=0.3)
    state = method.init(problem, problem.noise(0, 5))
    image = problem.prior(state.x)
    seen = torch.stack([image[..., 0], problem.y[:, 1].expand(5, 2)], -1)
    auxiliary = -0.5 * ((image[..., 1] - problem.y[:, 1]) / 0.3) ** 2
    expected = problem.prior.log_prob(seen) + auxiliary - problem.prior.log_prob(image)
    assert torch.allclose(state.log_likelihood, expected)


def test_projected_chains_take_pixels_only() -> None:
    with pytest.raises(IncompatibleError, match="Inpainting"):
        PLMCMC().sample(linear_flow_problem(), 8, progress=False)
    prior = image_flow()
    y = torch.full((1, 1, 4, 4), 1.2, dtype=DOUBLE)
    with pytest.raises(IncompatibleError, match="no image of this prior"):
        PLMCMC().sample(Posterior(prior, GaussianLikelihood(Inpainting(y[0] > 0), 0.1), y), 8, progress=False)
    with pytest.raises(InvalidValueError, match="width"):
        PLMCMC(width=0.0).sample(curved_problem(), 8, progress=False)


def test_images_that_are_not_finite_are_named() -> None:
    class Overflowing(BentFlow):
        def forward(self, z: Tensor) -> Tensor:
            x = super().forward(z)
            return torch.where((x.abs() < 1.5).all(-1, keepdim=True), x, torch.nan)

        decode = forward

    problem = curved_problem()
    method = ComposedFlow(steps=1, batch=1, candidates=200)
    with pytest.raises(NotFiniteError, match=r"measurement\(s\) \[0, 1\]"):
        method.sample(problem.with_prior(Overflowing()), 8, progress=False)


def test_training_counts_for_as_much_of_the_work_as_it_is() -> None:
    training = ComposedFlow(steps=10, batch=8)
    sampler, progress = FlowHMC(transport=training, chains=2, burn_in=4, thinning=1, leapfrogs=2), []
    sampler.sample(
        bent_flow_batch(1), 4, progress=False, callback=lambda step, state, info: progress.append(float(state.progress))
    )
    share = 10 * 8 / (10 * 8 + 2 * (4 + 2) * 2)  # gradients of the training, and of the moves
    expected = [*(share * (k + 1) / 10 for k in range(10)), *(share + (1 - share) * (k + 1) / 6 for k in range(6))]
    assert progress == pytest.approx(expected)
