"""What every guided sampler owes: reproducible draws that do not see batches or neighbours, and honest bills."""

import math

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.operators import Blur, Identity, Inpainting, Operator
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers.base import Sampler
from samplers.guided import (
    DAPS,
    DDNM,
    DDRM,
    DPS,
    MMPS,
    TDS,
    TMPD,
    DiffPIR,
    MCGDiff,
    PiGDM,
    PnPDM,
    PnPLangevin,
    PredictorCorrector,
)  # fmt: skip
from samplers.guided.base import Guided
from tests.problems import DOUBLE, gaussian_problem, measure, mixture_problem

SHORT: list[Guided] = [
    DAPS(steps=5, ode_steps=2, langevin_steps=3),
    DDNM(steps=8),
    DDRM(steps=8),
    DPS(steps=8, step_size=0.1),
    DiffPIR(steps=8),
    MCGDiff(steps=8, population=16),
    MMPS(steps=8),
    PiGDM(steps=8),
    PnPDM(steps=4, burn_out=2),
    PnPLangevin(steps=4, langevin_steps=4),
    PredictorCorrector(steps=8),
    TDS(steps=8, population=16),
    TMPD(steps=8),
]
each = pytest.mark.parametrize("sampler", SHORT, ids=lambda sampler: sampler.name)


@each
def test_draws_repeat_and_batches_do_not_matter(sampler: Sampler) -> None:
    problem = mixture_problem(3)
    first = sampler.sample(problem, 5, seed=0, progress=False)
    again = sampler.sample(problem, 5, seed=0, batch_size=2, progress=False)
    assert first.x.shape == (5, 3, 2) and torch.isfinite(first.x).all()
    assert torch.allclose(first.x, again.x, atol=1e-9) and torch.equal(first.nfe, again.nfe)
    assert not torch.allclose(first.x, sampler.sample(problem, 5, seed=1, progress=False).x)


@each
def test_a_measurement_does_not_see_its_neighbours(sampler: Sampler) -> None:
    problem = mixture_problem(3)
    whole = sampler.sample(problem, 4, progress=False).x
    alone = sampler.sample(problem.select([1]), 4, progress=False).x
    assert torch.allclose(whole[:, 1], alone[:, 0], atol=1e-9)
    loud = GaussianLikelihood(problem.operator, torch.tensor([0.1, 0.7, 5.0], dtype=DOUBLE))
    beside = sampler.sample(Posterior(problem.prior, loud, problem.y), 4, progress=False).x
    assert torch.allclose(whole[:, 1], beside[:, 1], atol=1e-9)


@each
def test_a_draw_does_not_depend_on_how_many_there_are(sampler: Sampler) -> None:
    problem = gaussian_problem(4)
    if sampler.draws_at_once(4) == 4:
        many, few = (sampler.sample(problem, n, progress=False).x for n in (4, 2))
        assert torch.allclose(many[:2], few, atol=1e-12)
    else:
        assert torch.equal(*(sampler.sample(problem, n, progress=False).x[:2] for n in (4, 2)))


CALLS = {
    "DAPS": (10, 0), "DDNM": (8, 0), "DDRM": (8, 0), "DPS": (8, 8), "DiffPIR": (8, 0), "MCGDiff": (8 * 4, 0),
    "PiGDM": (8, 8), "PnPDM": (36, 0), "PnPLangevin": (8, 0),
    "PredictorCorrector": (15, 0), "TDS": (8 * 4, 8 * 4),
    "TMPD": (8, 8 * 2),
}  # fmt: skip


@each
def test_the_bill(sampler: Sampler) -> None:
    samples = sampler.sample(gaussian_problem(4), 4, progress=False)  # of 16 particles
    if sampler.name == "MMPS":  # two numbers are measured: conjugate gradients end after two iterations at the most
        assert float(samples.nfe) == 8 and 8 <= float(samples.nfe_grad) <= 16
    else:
        assert (float(samples.nfe), float(samples.nfe_grad)) == CALLS[sampler.name]


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
    draws = sampler.sample(measure(prior, Inpainting(seen), 0.1, batch=8), 50, progress=False).x[..., ~seen]
    assert abs(draws.mean() - 0.5) < 0.05
    assert abs(draws.std() / 0.5 - 1) < 0.06


@each
def test_what_they_refuse(sampler: Guided) -> None:
    problem = mixture_problem()
    with pytest.raises(InvalidValueError, match="at least 2 steps"):
        type(sampler)(steps=1).sample(problem, 2, progress=False)
    curved = Operator.from_callable(lambda x: x**2, event_shape=(2,), measurement_shape=(2,))
    other = Posterior(problem.prior, GaussianLikelihood(curved, 1.0), torch.zeros(1, 2, dtype=DOUBLE))
    counts = Posterior(problem.prior, PoissonLikelihood(Identity((2,)), 2.0, 0.5), torch.ones(1, 2, dtype=DOUBLE))
    for harder, fits in ((other, ("DPS", "DAPS", "TDS")), (counts, ("DAPS", "TDS"))):
        if sampler.name in fits:
            assert torch.isfinite(sampler.sample(harder, 2, progress=False).x).all()
        else:
            with pytest.raises(IncompatibleError, match="takes Gaussian noise"):
                sampler.sample(harder, 2, progress=False)


def test_spectra_that_are_not_known_are_refused() -> None:
    shape = (1, 4, 4)
    prior = GaussianMixturePrior(torch.zeros(1, *shape, dtype=DOUBLE))
    mirrored = Blur.gaussian(shape, 0.5, boundary="reflect").double()
    problem = Posterior(prior, GaussianLikelihood(mirrored, 0.1), torch.zeros(1, *shape, dtype=DOUBLE))
    for sampler in (DDRM(), DDNM(), MCGDiff()):
        with pytest.raises(IncompatibleError, match="spectrum"):
            sampler.sample(problem, 2, progress=False)
    assert math.isfinite(float(PiGDM(steps=4).sample(problem, 2, progress=False).x.sum()))
