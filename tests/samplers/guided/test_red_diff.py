import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood, LaplaceLikelihood
from posterior.operators import Inpainting
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers.guided import REDDiff
from samplers.guided.base import ddpm_levels
from tests.problems import DOUBLE
from tests.samplers.case import Case
from tests.samplers.guided.problems import white_problem

SHARED_CASES = {
    "REDDiff": Case(REDDiff(steps=8), calls=(8, 0)),
}


def test_it_is_adam_along_its_gradient() -> None:
    # From Aᵀy/‖A‖²; at each level Aᵀ(Aμ − y) + λ(μ − D(μ + σε, σ)), D of a white Gaussian in closed form
    problem, weight = white_problem(), 0.4
    a, noise = problem.operator, problem.noise(2, 1)
    mean = torch.nn.Parameter(a.adjoint(problem.y) / float(a.norm()) ** 2)
    adam = torch.optim.Adam([mean], lr=0.05, betas=(0.9, 0.99))
    for k, sigma in enumerate(ddpm_levels(12, problem.prior.sigma_min, problem.prior.sigma_max)):
        x = mean.detach()
        noisy = x + sigma * noise.at(k).normal((4,))[0]
        clean = 0.2 + 0.25 / (0.25 + sigma**2) * (noisy - 0.2)
        mean.grad = a.adjoint(a(x) - problem.y) + weight * (x - clean)
        adam.step()
    found = REDDiff(steps=12, weight=weight, learning_rate=0.05).solve(problem, seed=2, progress=False)
    assert torch.allclose(found.x, mean.detach(), atol=1e-7)


def test_what_is_not_measured_comes_to_the_prior_s_mean() -> None:
    # There the gradient is the prior's alone. Adam's steps are at most 0.02 long: five of them.
    prior = GaussianMixturePrior(torch.full((1, 8), 0.7, dtype=DOUBLE), std=0.1)
    seen = torch.arange(8) % 2 == 0
    problem = Posterior(prior, GaussianLikelihood(Inpainting(seen), 0.1), 0.5 * seen.double()[None])
    x = REDDiff(steps=400, learning_rate=0.02).solve(problem, progress=False).x[0]
    assert (x[~seen] - 0.7).abs().max() < 0.1
    assert (x[seen] - 0.5).abs().max() < 0.1


def test_its_report() -> None:
    problem = white_problem()
    estimate = REDDiff(steps=300).solve(problem, progress=False)
    assert float(estimate.nfe) == 300 and float(estimate.nfe_grad) == 0
    trace = estimate.info["loss"]
    assert isinstance(trace, torch.Tensor) and trace.shape == (300, 1) and torch.equal(estimate.loss, trace[-1])
    back = problem.operator.adjoint(problem.y) / float(problem.operator.norm()) ** 2
    assert trace[0, 0] == pytest.approx(0.5 * float((problem.operator(back) - problem.y).square().sum()))


def test_what_it_refuses() -> None:
    problem = white_problem()
    for wrong in ({"weight": 0.0}, {"learning_rate": 0.0}, {"steps": 1}):
        with pytest.raises(InvalidValueError, match="REDDiff needs"):
            REDDiff(**wrong)
    with pytest.raises(IncompatibleError, match="linear operator"):
        REDDiff().solve(Posterior(problem.prior, LaplaceLikelihood(problem.operator, 0.1), problem.y))
