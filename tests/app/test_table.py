import csv
from pathlib import Path

import pytest
import torch

from posterior.app.table import rows, save_csv, table
from posterior.diagnostics.quality import quality
from posterior.errors import FileWriteError
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from posterior.verdict import Verdict
from tests.tables import cells

SHAPE = (1, 2, 2)
TRUTH = torch.full((2, *SHAPE), 0.5)


def problem() -> Posterior:
    prior = ScorePrior.from_denoiser(lambda x, sigma: x, SHAPE, sigma_max=1.0)
    return Posterior(prior, GaussianLikelihood(Identity(SHAPE), 0.5), torch.zeros(2, *SHAPE), ids=["a", 7])


def samples() -> Samples:
    x = torch.linspace(-1, 1, 20)[:, None, None, None, None].expand(20, 2, *SHAPE)
    verdict = (Verdict(), Verdict("doubtful", ("a reason",), "do this"))
    return Samples(x, torch.tensor([1000.0, 20.0]), torch.tensor([234.0, 2.0]), verdict=verdict)


def estimate() -> PointEstimate:
    one = torch.ones(2)
    return PointEstimate(torch.ones(2, *SHAPE), one, one > 0, one, 3 * one)


def test_a_row_for_each_measurement_and_method() -> None:
    found = [*rows(problem(), "A", samples(), TRUTH), *rows(problem(), "B", estimate(), TRUTH)]
    assert [(row.measurement, row.method) for row in found] == [("a", "A"), (7, "A"), ("a", "B"), (7, "B")]
    likelihood = problem().likelihood
    assert found[1].quality == quality(samples(), 1, problem().y, truth=TRUTH, likelihood=likelihood)
    head, first, second, *_, last = cells(table(found))
    assert head[2:] == [
        "PSNR (dB)", "90 % coverage", "misfit (σ)", "effective samples", "network calls", "verdict",
    ]  # fmt: skip
    assert first == ["a", "A", "12.0", "100%", f"{found[0].quality.misfit:.2f}", "20", "1,234", "sound"]
    assert second[-1] == "doubtful"
    assert last == ["7", "B", "12.0", "–", "2.00", "–", "4", "–"]


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    assert cells(table(rows(problem(), "B", estimate())))[0] == ["measurement", "method", "misfit (σ)", "network calls"]


def test_the_same_in_a_file(tmp_path: Path) -> None:
    found = rows(problem(), "A, with a comma", samples(), TRUTH) + rows(problem(), "B", estimate())
    path = save_csv(found, tmp_path / "new" / "summary.csv")
    with path.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["method"] for row in written] == ["A, with a comma"] * 2 + ["B"] * 2
    assert [float(row["psnr_db"]) for row in written[:2]] == [row.quality.psnr for row in found[:2]]
    assert written[1]["verdict"] == "doubtful" and written[2]["psnr_db"] == written[2]["effective_samples"] == ""
    assert [each.name for each in path.parent.iterdir()] == ["summary.csv"]
    with pytest.raises(FileWriteError):
        save_csv(found, tmp_path)
