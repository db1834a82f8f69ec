"""What every guided sampler owes besides what all samplers do: samples of their own, and clear refusals."""

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.operators import Identity, Inpainting, Operator
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers.base import Sampler
from samplers.guided import DDNM, DPS, MMPS, TMPD, MCGDiff, PiGDM, PnPDM, PredictorCorrector
from samplers.guided.base import Guided
from tests.problems import DOUBLE, gaussian_problem, measure, mixture_problem
from tests.samplers.case import Case
from tests.samplers.cases import each

each_guided = each(lambda case: isinstance(case.method, Guided))
NONLINEAR, OTHER_NOISE = ("DPS", "DAPS", "TDS"), ("DAPS", "TDS")  # which take them; a guided sampler need not


@each_guided
def test_a_sample_does_not_depend_on_how_many_there_are(case: Case) -> None:
    many, few = (case.method.sample(gaussian_problem(4), n, progress=False).x for n in (4, 2))
    assert torch.allclose(many[:2], few, atol=1e-12)


@pytest.mark.parametrize(
    "sampler",
    [DDNM(), DPS(steps=200), MCGDiff(population=50), MMPS(), PiGDM(), PnPDM(), PredictorCorrector(), TMPD()],
    ids=lambda sampler: sampler.name,
)
def test_what_is_not_measured_stays_as_the_prior_has_it(sampler: Sampler) -> None:
    # 32 independent pixels of mean 0.5 and std 0.5, half of them measured: the others know nothing of it, and these
    # samplers then walk down a plain reverse diffusion. (DAPS, DDRM and DiffPIR do not; particles of TDS are few.)
    # 8 measurements, 50 draws, 16 pixels: errors of 0.006 in the mean and 1 % in the std, and 5 % for so few steps.
    prior = GaussianMixturePrior(torch.full((1, 32), 0.5, dtype=DOUBLE), std=0.5)
    seen = torch.arange(32) % 2 == 0
    x = sampler.sample(measure(prior, Inpainting(seen), 0.1, batch=8), 50, progress=False).x[..., ~seen]
    assert abs(x.mean() - 0.5) < 0.05
    assert abs(x.std() / 0.5 - 1) < 0.06


@each_guided
def test_what_they_refuse(case: Case) -> None:
    sampler, problem = case.method, mixture_problem()
    with pytest.raises(InvalidValueError, match="needs steps to be an integer ≥ 2"):
        type(sampler)(steps=1)
    curved = Operator.from_callable(lambda x: x**2, event_shape=(2,), measurement_shape=(2,))
    other = Posterior(problem.prior, GaussianLikelihood(curved, 1.0), torch.zeros(1, 2, dtype=DOUBLE))
    counts = Posterior(problem.prior, PoissonLikelihood(Identity((2,)), 2.0, 0.5), torch.ones(1, 2, dtype=DOUBLE))
    for harder, fits in ((other, NONLINEAR), (counts, OTHER_NOISE)):
        if sampler.name in fits:
            assert torch.isfinite(sampler.sample(harder, 2, progress=False).x).all()
        else:
            with pytest.raises(IncompatibleError, match="takes Gaussian noise"):
                sampler.sample(harder, 2, progress=False)
