import dataclasses

import numpy as np
import pytest
import torch

from posterior import PointEstimate, Samples
from posterior.convergence import ess_bulk
from posterior.errors import FileFormatError, InvalidValueError, ShapeError
from posterior.noise import Noise
from posterior.provenance import Provenance
from posterior.verdict import Verdict

VERDICT = (Verdict(), Verdict("doubtful", ("ρ is off",), "take more"), Verdict("too few to tell", ("few",)))


def samples(size: int = 99) -> Samples:
    x = Noise.of(0, 3, size, dtype=torch.float64).normal((1, 2, 2))
    info = {"beta": torch.rand(4, 3), "log_evidence": torch.ones(3)}
    return Samples(x, torch.full((3,), 5.0), torch.zeros(3), info, verdict=VERDICT)


def test_moments_and_quantiles():
    draws = samples()
    assert torch.allclose(draws.mean(), draws.x.mean(0))
    assert torch.allclose(draws.std(), draws.x.std(0))
    assert torch.allclose(draws.quantile(0.5), draws.x.median(0).values)
    assert draws.quantile(torch.tensor([0.1, 0.9])).shape == (2, 3, 1, 2, 2)


def test_credible_interval_holds_its_level():
    # 19 draws and the truth are exchangeable: it lies inside the 90 % interval with probability 18/20.
    x = Noise.of(0, 4000, 20, dtype=torch.float64).normal(())
    low, high = Samples(x[1:], torch.ones(4000), torch.ones(4000)).credible_interval(0.9)
    inside = ((x[0] >= low) & (x[0] <= high)).double().mean()
    assert abs(inside - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 4000)


def test_credible_interval_needs_enough_draws():
    with pytest.raises(InvalidValueError, match="at least 19"):
        samples(18).credible_interval(0.9)
    with pytest.raises(InvalidValueError, match="level"):
        samples().credible_interval(1.0)
    with pytest.raises(InvalidValueError, match="q to be"):
        samples().quantile(1.5)
    for q in (torch.tensor([[0.5]]), torch.tensor([])):
        with pytest.raises(InvalidValueError, match="q lie"):
            samples().quantile(q)


def test_chains():
    draws = Samples(torch.arange(6.0)[:, None], torch.ones(1), torch.ones(1), chains=2)
    assert torch.equal(draws.by_chain()[..., 0], torch.tensor([[0.0, 1, 2], [3, 4, 5]]))


def test_samples_survive_a_file(tmp_path):
    draws = samples()
    back = Samples.load(draws.save(tmp_path / "deep" / "draws"))
    assert back.verdict == draws.verdict == VERDICT
    assert torch.equal(back.x, draws.x)
    assert torch.equal(back.nfe, draws.nfe)
    assert back.info.keys() == draws.info.keys()
    assert torch.equal(back.info["beta"], draws.info["beta"])
    assert back.chains == 1
    assert back.latent is None


def test_point_estimates_survive_a_file(tmp_path):
    estimate = PointEstimate(
        torch.ones(2, 3), torch.zeros(2), torch.tensor([True, False]), torch.ones(2), torch.ones(2),
        {"loss": torch.ones(5, 2)}, torch.rand(2, 4),
    )  # fmt: skip
    back = PointEstimate.load(estimate.save(tmp_path / "estimate.npz"))
    assert torch.equal(back.converged, estimate.converged)
    assert torch.equal(back.latent, estimate.latent)
    assert torch.equal(back.info["loss"], estimate.info["loss"])


def test_bad_files_are_refused(tmp_path):
    path = samples().save(tmp_path / "draws.npz")
    with pytest.raises(FileFormatError, match=r"use Samples\.load"):
        PointEstimate.load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileFormatError, match="not a saved Samples"):
        Samples.load(path)
    with pytest.raises(FileFormatError, match="nowhere"):
        Samples.load(tmp_path / "nowhere.npz")
    np.save(tmp_path / "array.npy", np.ones(2))
    with pytest.raises(FileFormatError, match="not a saved Samples"):
        Samples.load(tmp_path / "array.npy")
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(FileFormatError, match="not a saved Samples"):
        Samples.load(tmp_path / "other.npz")


def test_to_xarray_has_the_groups_of_arviz() -> None:
    draws = samples(98)
    y = torch.complex(torch.ones(3, 2), torch.zeros(3, 2))
    source = Provenance("A", "A()", "P", "L", "O", 0, (7, 8, 9), y, 1.0, "0")
    tree = dataclasses.replace(draws, chains=2, provenance=source).to_xarray()
    assert tree["posterior/x"].dims == ("chain", "draw", "measurement", "x_dim_0", "x_dim_1", "x_dim_2")
    assert tree["sample_stats/beta"].dims == ("step", "measurement")
    assert tree["sample_stats/log_evidence"].dims == ("measurement",)
    assert tree["posterior"].coords["measurement"].values.tolist() == [7, 8, 9]
    assert tree["observed_data/y_real"].dims == ("measurement", "y_dim_0")
    assert float(tree["observed_data/y_imag"].max()) == 0
    assert np.array_equal(tree["posterior/x"].values[1], draws.x[49:].numpy())
    # as ArviZ opens it, its effective sample sizes are ours
    arviz = pytest.importorskip("arviz_stats")
    theirs = arviz.ess(tree, method="bulk")["x"].values
    ours = ess_bulk(draws.x.reshape(2, 49, 3, 1, 2, 2))
    np.testing.assert_allclose(theirs, ours, rtol=1e-6)
    assert "observed_data" not in samples().to_xarray()


def bernoulli(share: float, size: int, batch: int) -> Samples:
    x = (Noise.of(1, batch, size, dtype=torch.float64).uniform((2,)) < share).double()
    return Samples(x, torch.ones(batch), torch.ones(batch))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_probability_is_as_accurate_as_it_says(share: float) -> None:
    estimate, error = bernoulli(share, 100, 2000).probability(lambda x: x[:, 0] > 0.5)
    assert estimate.shape == error.shape == (2000,)
    # Agresti and Coull: two errors about the centre (100 p̂ + 2)/104 cover 95 % of the time, more at small p
    centre = (100 * estimate + 2) / 104
    assert ((centre - share).abs() <= 2 * error).double().mean() > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 2000)
    assert (error > 0).all()


def test_a_probability_of_zero_or_one_has_an_error() -> None:
    draws = samples(100)
    for estimate, error in (draws.probability(lambda x, s=s: x.flatten(1).sum(1) > s) for s in (1e9, -1e9)):
        assert (estimate == estimate.round()).all()
        # about the rule of three: 3/n at 95 %
        assert torch.allclose(2 * error, torch.full((3,), 2 * np.sqrt(2 / 104 * 102 / 104 / 104)).double())


def test_expectation_and_its_error() -> None:
    draws = samples(4000)
    mean, error = draws.expectation(lambda x: torch.stack([x[:, 0, 0, 0], x[:, 0, 0, 1] ** 2], 1))
    assert mean.shape == error.shape == (3, 2)
    # std/√S of N(0, 1) and χ²₁, within 4 √(κ/4S) of themselves: 2 and 14 are the excess kurtoses plus 2
    expected = torch.tensor([1.0, 2**0.5], dtype=torch.float64) / 4000**0.5
    assert torch.allclose(error / expected, torch.ones(3, 2).double(), atol=4 * (14 / 4 / 4000) ** 0.5)
    assert ((mean - torch.tensor([0.0, 1.0])).abs() < 4 * error).all()


def test_dependent_draws_have_larger_errors() -> None:
    x = samples(400).x.repeat_interleave(10, 0)  # each draw ten times in a row
    chains = Samples(x, torch.ones(3), torch.ones(3), chains=4)
    independent = Samples(x, torch.ones(3), torch.ones(3))
    reported = Samples(x, torch.ones(3), torch.ones(3), {"effective_samples": torch.tensor([400.0, 40.0, 1e9])})

    def first(images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, 0]

    small = independent.expectation(first)[1]
    # an estimate from 400 values: within a third
    assert torch.allclose(chains.expectation(first)[1] / small, torch.full((3,), 10**0.5).double(), rtol=0.33)
    # no more draws than there are
    ratio = torch.tensor([10**0.5, 10.0, 1.0], dtype=torch.float64)
    assert torch.allclose(reported.expectation(first)[1] / small, ratio, rtol=1e-6)
    hit, never = (lambda images, s=s: images[:, 0, 0, 0] > s for s in (0.0, 1e9))
    assert (chains.probability(hit)[1] > 2 * independent.probability(hit)[1]).all()
    # Chains that never see the event do not tell how they mix: the images say it.
    assert (chains.probability(never)[1] > 4 * independent.probability(never)[1]).all()
    assert reported.probability(never)[1][1] > 0.02


def test_events_and_functions_that_make_no_sense() -> None:
    draws = samples()
    with pytest.raises(InvalidValueError, match="truth value"):
        draws.probability(lambda x: x[:, 0, 0, 0])
    with pytest.raises(InvalidValueError, match="truth value"):
        draws.probability(lambda x: x > 0)
    with pytest.raises(ShapeError, match="one for each"):
        draws.expectation(lambda x: x.mean(0))
    with pytest.raises(ShapeError, match="one for each"):
        draws.expectation(lambda x: 0.5)
    with pytest.raises(InvalidValueError, match="complex"):
        draws.expectation(lambda x: x * 1j)
    with pytest.raises(InvalidValueError, match="two draws"):
        samples(1).expectation(lambda x: x)
