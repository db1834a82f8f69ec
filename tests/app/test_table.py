import warnings
from dataclasses import dataclass, replace

import pytest
import torch
from posterior.app.compare import COLUMNS, Row, report, run, table
from torch import Tensor

from posterior.errors import TrustWarning
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from posterior.verdict import Verdict
from tests.tables import cells

SHAPE = (1, 2, 2)


@dataclass(frozen=True)
class Answer:
    """A method whose answer is given."""

    result: Samples | PointEstimate
    name: str = "Answer"

    def __call__(self, problem: Posterior, **options: object) -> Samples | PointEstimate:
        return self.result


def problem() -> Posterior:
    prior = ScorePrior.from_denoiser(lambda x, sigma: x, SHAPE, sigma_max=1.0)
    return Posterior(prior, GaussianLikelihood(Identity(SHAPE), 0.5), torch.zeros(2, *SHAPE))


def samples(size: int) -> Samples:
    """Draws −1 … 1 in equal steps, the same at every pixel."""
    x = torch.linspace(-1, 1, size)[:, None, None, None, None].expand(size, 2, *SHAPE)
    return Samples(x, torch.tensor([10.0, 20.0]), torch.tensor([0.0, 2.0]))


def row(result: Samples | PointEstimate, truth: Tensor | None = None) -> Row:
    answer, row = run("label", problem(), Answer(result), truth=truth, num_samples=19)
    assert answer is result
    return row


def test_draws() -> None:
    truth = torch.zeros(2, *SHAPE)
    truth[0, 0, 0, 0] = 1.5  # one of eight pixels lies outside of the interval
    found = row(samples(19), truth)
    assert found.coverage == pytest.approx(7 / 8)
    # The mean is 0. PSNR of a range of 2: ∞ cannot be averaged, so both images get an error.
    truth[1, 0, 0, 0] = 1.5
    found = row(samples(19), truth)
    assert found.psnr == pytest.approx(10 * torch.log10(torch.tensor(4 / (1.5**2 / 4))).item(), rel=1e-5)
    assert found.misfit == pytest.approx(float(torch.linspace(-1, 1, 19).abs().mean()) / 0.5, rel=1e-5)
    assert found.calls == 16


def test_without_truth_or_with_few_draws() -> None:
    found = row(samples(19))
    assert found.psnr is None
    assert found.coverage is None
    assert row(samples(18), torch.ones(2, *SHAPE)).coverage is None


def test_point_estimates() -> None:
    one = torch.ones(2)
    found = row(PointEstimate(torch.ones(2, *SHAPE), one, one > 0, one, 3 * one), torch.zeros(2, *SHAPE))
    assert found.coverage is None
    assert found.psnr == pytest.approx(10 * torch.log10(torch.tensor(4.0)).item(), rel=1e-5)
    assert found.misfit == pytest.approx(2)
    assert found.calls == 4


def test_warnings_go_into_the_row_and_below_the_table() -> None:
    @dataclass(frozen=True)
    class Doubtful(Answer):
        def __call__(self, problem: Posterior, **options: object) -> Samples | PointEstimate:
            warnings.warn("a reason", TrustWarning, stacklevel=1)
            return self.result

    result = replace(samples(19), verdict=(Verdict("doubtful", ("a reason", "another"), "do this"),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, found = run("label", problem(), Doubtful(result))
    said = [f"Samples: doubtful for measurement(s) 0: {what}; do this" for what in ("a reason", "another")]
    assert found.warnings == tuple(said)
    assert report([found]) == table([found]) + f"\n\nWarnings:\n\n- {said[0]}\n- {said[1]}"
    assert "Warnings" not in report([row(samples(19))])


def test_table() -> None:
    rows = [Row("a", "Long name", 21.27, 0.914, 1.0, 12345.6, 3.21), Row("b", "B", None, None, 0.5, 1, 100)]
    lines = table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert cells(table(rows)) == [
        list(COLUMNS),
        ["a", "Long name", "21.3", "91%", "1.00", "12,346", "3.2"],
        ["b", "B", "–", "–", "0.50", "1", "100.0"],
    ]
