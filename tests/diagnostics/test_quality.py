"""A few numbers on how good a result is."""

import math
from dataclasses import replace

import pytest
import torch

from posterior.diagnostics.quality import quality
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity
from posterior.results import PointEstimate, Samples
from posterior.verdict import Verdict

SHAPE = (1, 2, 2)
Y = torch.zeros(2, *SHAPE)


def samples(size: int) -> Samples:
    """Samples −1 … 1 in equal steps, the same at every pixel."""
    x = torch.linspace(-1, 1, size)[:, None, None, None, None].expand(size, 2, *SHAPE)
    return Samples(x, torch.tensor([10.0, 20.0]), torch.tensor([0.0, 2.0]))


def test_samples() -> None:
    truth = torch.zeros(2, *SHAPE)
    truth[1, 0, 0, 0] = 1.5  # one of four pixels lies outside of the interval
    found = [quality(samples(19), b, Y, truth=truth) for b in range(2)]
    assert [one.coverage for one in found] == [1, 3 / 4]
    assert [one.psnr for one in found] == pytest.approx([math.inf, 10 * math.log10(4 / (1.5**2 / 4))], rel=1e-5)
    assert [one.calls for one in found] == [10, 22]
    assert found[0].misfit is None and found[0].verdict is None


def test_misfit_is_in_units_of_the_noise_of_each_measurement() -> None:
    likelihood = GaussianLikelihood(Identity(SHAPE), torch.tensor([0.5, 2.0]))
    found = [quality(samples(19), b, Y, likelihood=likelihood).misfit for b in range(2)]
    mean = float(torch.linspace(-1, 1, 19).abs().mean())
    assert found == pytest.approx([mean / 0.5, mean / 2], rel=1e-5)


def test_what_is_not_known() -> None:
    found = quality(samples(18), 0, Y)
    assert (found.psnr, found.coverage, found.effective_samples) == (None, None, 18)
    assert quality(samples(18), 0, Y, truth=Y + 1).coverage is None
    latents = GaussianLikelihood(Identity((3,)), 0.5)
    assert quality(samples(18), 0, torch.zeros(2, 3), likelihood=latents).misfit is None
    assert quality(replace(samples(20), chains=2), 0, Y).effective_samples is None
    unknown = {"effective_samples": torch.tensor([math.nan, 3.0])}
    assert [quality(replace(samples(20), info=unknown), b, Y).effective_samples for b in range(2)] == [None, 3]


def test_point_estimates() -> None:
    one, likelihood = torch.ones(2), GaussianLikelihood(Identity(SHAPE), 0.5)
    verdict = (Verdict(), Verdict("doubtful", ("a fault",), ""))
    estimate = PointEstimate(torch.ones(2, *SHAPE), one, one > 0, one, 3 * one, verdict=verdict)
    found = quality(estimate, 1, Y, truth=Y, likelihood=likelihood)
    assert found.psnr == pytest.approx(10 * math.log10(4.0), rel=1e-5)
    assert (found.coverage, found.effective_samples, found.calls) == (None, None, 4)
    assert found.misfit == pytest.approx(2)
    assert str(found) == "PSNR 6.0 dB · misfit 2.00 σ · network calls 4 · doubtful"


@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 1, 2, 2)])
def test_traces_and_pairs_of_images_have_one_psnr(shape: tuple[int, ...]) -> None:
    x = torch.linspace(-1, 1, 19).reshape(19, *[1] * (1 + len(shape))).expand(19, 1, *shape)
    truth = torch.full((1, *shape), 0.5)
    found = quality(Samples(x, torch.ones(1), torch.zeros(1)), 0, torch.zeros(1, *shape), truth=truth)
    assert found.psnr == pytest.approx(10 * math.log10(4 / 0.25), rel=1e-5)
