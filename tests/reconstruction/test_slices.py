import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from posterior import GaussianLikelihood
from posterior.data import RawFile, RawSlice
from posterior.errors import CheckpointMismatchError, IncompatibleError, InvalidValueError, PosteriorError
from posterior.operators import MultiCoilMRI
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from posterior.reconstruction import Reconstruction, prepare, reconstruct
from posterior.results import Samples
from samplers import KineticLangevin
from samplers.map import CSGM
from tests.reconstruction.scans import HEIGHT, SHAPE, WIDTH, prior, scan

DRAWS = 60


@dataclass
class Watched:
    """A sampler that notes which slices it was given, and is stopped before one of them."""

    stop: int | None = field(default=None, compare=False)  # checkpoints do not tell these apart
    seen: list[list[Any]] = field(default_factory=list, compare=False)
    name: str = "Watched"

    def __call__(self, problem: Posterior, **options: Any) -> Samples:
        if self.stop in problem.ids:
            raise KeyboardInterrupt
        self.seen.append(list(problem.ids))
        return KineticLangevin("fast").sample(problem, **options)


def done(sampler: Any = None, **options: Any) -> list[Reconstruction]:
    usual: dict[str, Any] = {"num_samples": 3, "progress": False}
    return list(reconstruct(scan(), prior(), sampler or KineticLangevin("fast"), **usual | options))


def test_samples_are_of_the_posterior_in_the_unit_of_the_file() -> None:
    results = done(KineticLangevin(), num_samples=DRAWS, batch=2)
    assert [one.number for one in results] == [0, 1, 2]
    for one, raw in zip(results, scan(), strict=True):
        prepared = prepare(raw)
        likelihood = GaussianLikelihood(MultiCoilMRI(prepared.maps, prepared.mask), prepared.noise_std)
        exact = prior().posterior(likelihood, prepared.y[None])
        errors = (one.x.mean(0) / prepared.scale - exact.mean()[0]) / exact.std()[0]
        # The mean of N exact draws is off by 1/√N on average, and varies by a tenth or two as pixels go together.
        assert float(errors.square().mean().sqrt()) < 1.5 / math.sqrt(DRAWS)
        spread = (one.x / prepared.scale).std(0).square().sum() / exact.std()[0].square().sum()
        assert float(spread) == pytest.approx(1, abs=0.15)  # over some thirty directions: √(2/30N) = 3 %
        assert one.verdict.level == "sound"
        assert one.misfit == pytest.approx(1, abs=0.15)
        assert one.calls == 159


def test_k_space_of_double_precision_with_maps_of_single() -> None:
    double = replace(scan()[0], kspace=scan()[0].kspace.to(torch.complex128))
    one, *_ = reconstruct([double], prior(), KineticLangevin("fast"), num_samples=3, progress=False)
    torch.testing.assert_close(one.x.float(), done(slices=[0])[0].x, rtol=1e-3, atol=1e-2)


def test_statistics_are_of_magnitudes() -> None:
    one, *_ = done(num_samples=19)
    size = one.x.square().sum(1).sqrt()
    torch.testing.assert_close(one.draws, size)
    torch.testing.assert_close(one.mean(), size.mean(0))
    torch.testing.assert_close(one.std(), size.std(0))
    low, high = one.interval(0.9)  # the extremes of 19
    torch.testing.assert_close(torch.stack([low, high]), torch.stack([size.amin(0), size.amax(0)]))
    with pytest.raises(InvalidValueError, match="draws"):
        one.interval(0.95)


def test_neighbours_batches_and_choices_do_not_change_a_slice() -> None:
    alone, together, last = done(), done(batch=3), done(slices=[2, 1])
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one.x, other.x, rtol=1e-3, atol=1e-2)
    assert [one.number for one in last] == [2, 1]
    torch.testing.assert_close(last[0].x, alone[2].x, rtol=1e-3, atol=1e-2)
    assert not torch.equal(done(seed=1)[0].x, alone[0].x)


def test_one_batch_is_in_memory() -> None:
    """A slice is read when it is due."""
    read = []

    def slice_of(index: int) -> RawSlice:
        read.append(index)
        return scan()[index]

    file = RawFile(Path("a scan"), 3, slice_of)
    each = reconstruct(file, prior(), KineticLangevin("fast"), num_samples=2, batch=2, progress=False)
    assert read == []
    next(each)
    assert read == [0, 1]
    assert len(list(each)) == 2
    assert read == [0, 1, 2]


def test_finished_slices_are_not_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    with pytest.raises(KeyboardInterrupt) as stop:
        done(Watched(stop=2), checkpoints=folder)
    assert any(f"kept in {folder}" in note for note in stop.value.__notes__)
    assert sorted(path.name for path in folder.glob("*.pt")) == ["000.pt", "001.pt"]
    sampler = Watched()
    results = done(sampler, checkpoints=folder, batch=2)
    assert sampler.seen == [[2]]
    for one, other in zip(results, done(), strict=True):
        torch.testing.assert_close(one.x, other.x, rtol=1e-3, atol=1e-2)
        assert (one.misfit, one.calls) == (pytest.approx(other.misfit, rel=1e-3), other.calls)
        assert one.verdict == other.verdict


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({"seed": 1}, "seed"),
        ({"num_samples": 4}, "number of samples"),
        ({"sampler": KineticLangevin("high")}, "method"),
    ],
)
def test_finished_slices_of_another_run(tmp_path: Path, options: dict[str, Any], differs: str) -> None:
    done(checkpoints=tmp_path, slices=[0])
    with pytest.raises(CheckpointMismatchError, match=f"different {differs}"):
        done(**options, checkpoints=tmp_path)


@pytest.mark.parametrize("part", ["kspace", "noise", "maps"])
def test_finished_slices_of_another_scan(tmp_path: Path, part: str) -> None:
    done(checkpoints=tmp_path, slices=[0])
    other = [replace(one, **{part: 2 * getattr(one, part)}) for one in scan()]
    with pytest.raises(CheckpointMismatchError, match="different scan"):
        list(reconstruct(other, prior(), KineticLangevin("fast"), num_samples=3, checkpoints=tmp_path, progress=False))


@pytest.mark.parametrize(("part", "name"), [("scale", "scale"), ("noise_std", "noise level")])
def test_finished_slices_that_are_prepared_in_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, name: str
) -> None:
    done(checkpoints=tmp_path, slices=[0])

    def other(*args: Any) -> Any:
        prepared = prepare(*args)
        return replace(prepared, **{part: 2 * getattr(prepared, part)})

    monkeypatch.setattr("posterior.reconstruction.slices.prepare", other)
    with pytest.raises(CheckpointMismatchError, match=f"different {name};"):
        done(checkpoints=tmp_path, slices=[0])


def test_finished_slices_of_another_prior_or_field_of_view(tmp_path: Path) -> None:
    done(checkpoints=tmp_path, slices=[0])
    options: dict[str, Any] = {"num_samples": 3, "progress": False, "checkpoints": tmp_path}
    with pytest.raises(CheckpointMismatchError, match="different prior"):
        list(
            reconstruct(
                scan(), GaussianMixturePrior(torch.zeros(1, *SHAPE), std=1.0), KineticLangevin("fast"), **options
            )
        )
    with pytest.raises(CheckpointMismatchError, match="different matrix"):
        done(checkpoints=tmp_path, shape=(10, WIDTH), window=True)


def test_finished_slices_outlive_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of another number of threads."""
    done(checkpoints=tmp_path)
    rounded = "posterior.reconstruction.slices.prepare"

    def other(*args: Any) -> Any:
        prepared = prepare(*args)
        close = {name: getattr(prepared, name) * (1 + 1e-6) for name in ("y", "maps", "scale", "noise_std")}
        return replace(prepared, **close)

    monkeypatch.setattr(rounded, other)
    monkeypatch.setattr(KineticLangevin, "step", None)
    list(reconstruct(scan(), prior(), KineticLangevin("fast"), num_samples=3, checkpoints=tmp_path, progress=False))


def test_slices_that_diverge_keep_their_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = KineticLangevin.step

    def step(self: Any, problem: Any, state: Any, noise: Any) -> Any:
        state, info = whole(self, problem, state, noise)
        if 1 in problem.ids:
            state.x[:, problem.ids.index(1)] = math.nan
        return state, info

    monkeypatch.setattr(KineticLangevin, "step", step)
    results = done(batch=3)
    assert [one.verdict.level == "not the posterior" for one in results][1]
    assert [bool(one.x.isfinite().all()) for one in results] == [True, False, True]


def _grey() -> GaussianMixturePrior:
    return GaussianMixturePrior(torch.zeros(1, 1, HEIGHT, WIDTH), std=1.0)


def _larger() -> GaussianMixturePrior:
    return GaussianMixturePrior(torch.zeros(1, 2, 4, 12), std=1.0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_grey, r"needs a prior of complex images, (2, H, W); this one gives images of shape (1, 8, 6)"),
        (
            _larger,
            "a scan, slice 0: the image has 8 × 6 pixels (2.00 × 3.00 mm), the prior gives 4 × 12: ask for the matrix "
            "[4,12] to reconstruct it from the middle of k-space, with pixels of another size (4.00 × 1.50 mm)",
        ),
    ],
)
def test_priors_that_do_not_fit(model: Callable[[], GaussianMixturePrior], message: str) -> None:
    with pytest.raises(IncompatibleError, match=re.escape(message)):
        list(reconstruct(scan(), model(), KineticLangevin("fast"), progress=False))


def test_a_prior_of_another_matrix_that_is_asked_for() -> None:
    each = reconstruct(scan(), _larger(), KineticLangevin("fast"), num_samples=2, shape=(4, 12), progress=False)
    assert next(each).mean().shape == (4, 12)


def test_a_prior_of_the_middle_that_is_asked_for() -> None:
    model = GaussianMixturePrior(torch.zeros(1, 2, 6, 4), std=1.0)
    each = reconstruct(scan(), model, KineticLangevin("fast"), num_samples=2, window=True, progress=False)
    one = next(each)
    assert one.mean().shape == one.prepared.zero_filled().shape[1:] == (6, 4)
    assert one.prepared.mask.shape == (HEIGHT, WIDTH)
    both = reconstruct(scan(), model, KineticLangevin("fast"), num_samples=2, shape=(7, 9), window=True, progress=False)
    assert next(both).prepared.mask.shape == (7, 9)


def test_what_is_refused() -> None:
    few = replace(scan()[1], kspace=scan()[1].kspace[:2], maps=scan()[1].maps[:2], noise=scan()[1].noise[:2])
    with pytest.raises(IncompatibleError, match="differ in coils"):
        list(reconstruct([scan()[0], few], prior(), KineticLangevin("fast"), batch=2, progress=False))
    for numbers in ([3], [], [0, 0]):
        with pytest.raises(InvalidValueError, match="slices are some of 0 … 2, each once"):
            done(slices=numbers)
    with pytest.raises(InvalidValueError, match="num_samples"):  # of one there is no standard deviation
        reconstruct(scan(), prior(), KineticLangevin("fast"), num_samples=1)
    with pytest.raises(PosteriorError, match="takes a GeneratorPrior"):
        done(CSGM())
