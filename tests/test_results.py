import numpy as np
import pytest
import torch

from posterior import PointEstimate, Samples
from posterior.errors import FileFormatError, InvalidValueError
from posterior.noise import Noise


def samples(size: int = 99) -> Samples:
    x = Noise.of(0, 3, size, dtype=torch.float64).normal((1, 2, 2))
    return Samples(x, torch.full((3,), 5.0), torch.zeros(3), {"beta": torch.rand(4, 3), "log_evidence": torch.ones(3)})


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
    with pytest.raises(InvalidValueError, match="quantiles"):
        samples().quantile(1.5)


def test_chains():
    draws = Samples(torch.arange(6.0)[:, None], torch.ones(1), torch.ones(1), chains=2)
    assert torch.equal(draws.by_chain()[..., 0], torch.tensor([[0.0, 1, 2], [3, 4, 5]]))


def test_samples_survive_a_file(tmp_path):
    draws = samples()
    back = Samples.load(draws.save(tmp_path / "deep" / "draws"))
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


def test_to_xarray_names_dimensions():
    dataset = samples().to_xarray()
    assert dataset["x"].dims == ("chain", "draw", "measurement", "x_dim_0", "x_dim_1", "x_dim_2")
    assert dataset["beta"].dims == ("step", "measurement")
    assert dataset["log_evidence"].dims == ("measurement",)
    assert np.array_equal(dataset["x"].values[0], samples().x.numpy())
