import pytest
import torch

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.mri import mvue
from posterior.operators import Identity, MultiCoilMRI
from posterior.problem import Posterior
from samplers.baselines import ZeroFilled
from tests.samplers.baselines.scans import images_of, operator_of, problem_of, scans, scans_within
from tests.samplers.case import Case

SHARED_CASES = {
    "ZeroFilled": Case(ZeroFilled(), scans, calls=(0, 0), seeded=False),
    "ZeroFilled, in a larger field of view": Case(ZeroFilled(), scans_within, calls=(0, 0), seeded=False),
}


def test_of_fully_sampled_kspace_it_is_the_image_whatever_the_gain() -> None:
    maps = operator_of(gain=3.0).maps
    operator = MultiCoilMRI(maps, torch.ones(3, 1, *maps.shape[-2:], dtype=torch.bool))
    estimate = ZeroFilled().solve(problem_of(operator, std=1e-9), progress=False)
    assert torch.allclose(estimate.x, images_of(), atol=1e-6)
    assert estimate.loss.isnan().all() and estimate.converged.all()


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_it_is_the_unbiased_image_of_least_variance_with_zeros(gain: float) -> None:
    problem = problem_of(operator_of(gain=gain))
    assert torch.allclose(gain * ZeroFilled().solve(problem).x, mvue(problem.y, problem.operator.maps))


def test_an_image_that_does_not_explain_its_measurement_is_doubtful() -> None:
    found = ZeroFilled().solve(scans(3)).verdict
    assert [one.level for one in found] == ["doubtful"] * 3
    assert "explains the measurement worse than the noise allows" in str(found[0])


def test_other_operators_and_likelihoods_are_refused() -> None:
    problem = scans(1)
    operator = Identity(problem.event_shape)
    for likelihood in (GaussianLikelihood(operator, 0.1), PoissonLikelihood(operator, 2.0, 0.5)):
        with pytest.raises(IncompatibleError, match="ZeroFilled takes Gaussian noise on MultiCoilMRI, not"):
            ZeroFilled().solve(Posterior(problem.prior, likelihood, torch.ones(1, 2, 8, 6).double()))
