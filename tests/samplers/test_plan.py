"""What a plan says of time and memory, and how `max_seconds` chooses by it; test_all.py has the network calls."""

import gc
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from posterior.errors import IncompatibleError, InvalidValueError, TooSlowError, TrustWarning
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity, Inpainting
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from samplers import DPS, AuxiliaryGibbs, KineticLangevin, Plan, TemperedSMC, stopwatch
from samplers.annealing import BUDGETS
from samplers.base import Sampler
from samplers.state import State
from samplers.stopwatch import CountedBytes, Pace, Stopwatch
from tests.problems import mixture_problem
from tests.samplers.case import generated


class Slow(ScorePrior):
    """A denoiser of white images that takes a second an image, on a clock of its own."""

    event_shape, sigma_data, sigma_min, sigma_max = (1, 32, 32), 0.5, 0.01, 80.0

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.shapes = 0.0, []

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.clock += len(x)
        self.shapes.append(len(x))
        return x / (1 + 4 * sigma.reshape(-1, 1, 1, 1) ** 2)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Posterior:
    """Two measurements under the slow prior, whose clock is the plan's."""
    prior = Slow()
    problem = Posterior(prior, GaussianLikelihood(Identity(prior.event_shape), 0.5), torch.zeros(2, 1, 32, 32))
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: prior.clock))
    prior.shapes.clear()
    return problem


def test_seconds_are_those_of_all_calls(slow: Posterior) -> None:
    found = KineticLangevin("fast").plan(slow, 5)
    assert found.total_nfe == 2 * 5 * 60 == found.seconds - 2 * 5 * 12  # the verdict's
    assert slow.prior.shapes == [10, 10]  # one call sets things up, and one is timed
    slow.prior.shapes.clear()
    assert KineticLangevin("fast").plan(slow, 5, batch_size=4).seconds == 2 * 5 * 72
    KineticLangevin("fast").plan(slow, 1000)
    assert slow.prior.shapes == [4, 4, 64, 64]


def test_a_backward_pass_is_timed_with_its_forward_one(monkeypatch: pytest.MonkeyPatch) -> None:
    paces = {False: Pace(1.0, 10.0), True: Pace(3.0, 40.0)}
    monkeypatch.setattr(Stopwatch, "pace", lambda self, rows, backward: paces[backward])
    found = DPS(steps=10).plan(mixture_problem(2), 4)
    assert found.seconds == 3.0 * 10 * 4 * 2 + 1.0 * 4 * 2 * 12  # the verdict's calls are forward
    draws = 64 * 2 * 2 * 8  # as many as the verdict looks at, of two numbers of 8 bytes
    assert found.memory == 40.0 * 4 * 2 + DPS.copies * draws
    assert DPS(steps=10).plan(mixture_problem(2), 4, batch_size=3).memory == 40.0 * 3 + DPS.copies * draws


@pytest.mark.parametrize("sampler", [KineticLangevin("fast"), DPS(steps=5), TemperedSMC("fast", population=64)])
def test_memory_is_right_to_a_factor_of_two(sampler: Sampler) -> None:
    prior = Slow()
    operator = Inpainting.random(prior.event_shape, fraction=0.3)
    problem = Posterior(prior, GaussianLikelihood(operator, 0.5), operator(torch.ones(2, 1, 32, 32)))
    planned = sampler.plan(problem, 128).memory
    gc.collect()
    with CountedBytes() as counter:
        sampler.sample(problem, 128, progress=False)
    assert 0.5 < planned / counter.highest < 2


def test_bytes_that_are_free_again_do_not_count() -> None:
    with CountedBytes() as counter:
        for _ in range(5):
            values = torch.ones(1000)
            values.view(10, 100)  # no bytes of its own
            del values
    assert 4000 <= counter.highest <= 8000 and counter.alive == 0


def test_a_plan_in_words() -> None:
    found = Plan("Method()", 2, 1, 10.0, 20.0, "a guess", 7200.0, 3e9, ("too large",))
    assert str(found) == (
        "Method(), 1 sample of 2 measurements:\n"
        "  about 10 network calls and 20 backward each, 20 and 40 in all; about 2 hours; up to about 3 GB\n"
        "  warning: too large\n"
        "  a guess"
    )
    assert not found.exact
    assert str(Plan("M()", 1, 3, 1e4, 0.0, "", 250.0, 5.0)) == (
        "M(), 3 samples of 1 measurement:\n"
        "  10,000 network calls each, 30,000 in all; about 4.2 minutes; up to about 5 B"
    )


def test_classes_are_told_to_the_network() -> None:
    class Classes(Slow):
        num_classes, probe = 3, False

        def _denoise(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            assert labels.shape == (len(x),)
            return super()._denoise(x, sigma)

    prior = Classes().with_class([0, 2])
    problem = Posterior(prior, GaussianLikelihood(Identity(prior.event_shape), 0.5), torch.zeros(2, 1, 32, 32))
    assert KineticLangevin("fast").plan(problem, 2).nfe == 60


def test_what_does_not_apply_is_refused() -> None:
    with pytest.raises(IncompatibleError):
        KineticLangevin().plan(generated(1))
    with pytest.raises(InvalidValueError, match="multiple of 8"):
        AuxiliaryGibbs().plan(mixture_problem(), 3)

    class Nameless(Sampler[State]):
        """A sampler of a user's, which says nothing of its cost."""

    with pytest.raises(NotImplementedError, match="Nameless does not say what it costs"):
        Nameless().plan(mixture_problem())


def test_the_highest_accuracy_that_is_quick_enough_is_taken(slow: Posterior) -> None:
    for accuracy, budget in BUDGETS.items():
        seconds = 2 * 4 * (budget.calls + 12) + 1e-3  # two measurements, four samples each, and the verdict on them
        with pytest.warns(TrustWarning, match=rf"4 samples by KineticLangevin\(accuracy='{accuracy}'"):
            found = KineticLangevin("fast" if accuracy != "fast" else "high").sample(
                slow, 4, progress=False, max_seconds=seconds
            )
        assert found.provenance is not None and f"accuracy='{accuracy}'" in found.provenance.settings
        assert len(found.x) == 4 and float(found.nfe[0]) == budget.calls


def test_samples_are_fewer_where_no_accuracy_is_quick_enough(slow: Posterior) -> None:
    with pytest.warns(TrustWarning, match=r"max_seconds=300: 2 samples by KineticLangevin\(accuracy='fast'") as told:
        found = KineticLangevin().sample(slow, 64, progress=False, max_seconds=300)
    assert {one.filename for one in told} == {__file__}  # of the run that was chosen as well
    assert len(found.x) == 2  # 2 × 2 × (60 + 12) calls
    chains = AuxiliaryGibbs(chains=2, burn_in=3, thinning=1, steps=4, prior_steps=5)
    seconds = [chains.plan(slow, count).seconds for count in (6, 8)]
    with pytest.warns(TrustWarning, match="6 samples"):
        assert len(chains.sample(slow, 20, progress=False, max_seconds=0.5 * sum(seconds)).x) == 6


def test_nothing_is_begun_that_takes_too_long(slow: Posterior) -> None:
    with pytest.raises(TooSlowError, match=r"'fast'.* takes about 2.4 minutes for 1 sample of 2 measurements"):
        KineticLangevin().sample(slow, 64, progress=False, max_seconds=100)
    with pytest.raises(InvalidValueError, match="leave keep='moments' out"):
        KineticLangevin().sample(slow, 64, progress=False, max_seconds=100, keep="moments")
    with pytest.raises(InvalidValueError, match="leave one of them out"):
        KineticLangevin().sample(slow, 64, progress=False, max_seconds=100, checkpoint="run.pt")
    with pytest.raises(InvalidValueError, match="max_seconds"):
        KineticLangevin().sample(slow, 64, progress=False, max_seconds=0)
    assert max(slow.prior.shapes) <= 64


def test_nothing_changes_where_there_is_time(slow: Posterior, recwarn: pytest.WarningsRecorder) -> None:
    plain = KineticLangevin("high").sample(slow, 2, progress=False)
    timed = KineticLangevin("high").sample(slow, 2, progress=False, max_seconds=1e6)
    assert torch.equal(plain.x, timed.x)
    assert not [w for w in recwarn if "max_seconds" in str(w.message)]


def test_what_is_foretold_by_the_network_keeps_to_the_size_of_its_calls() -> None:
    problem = mixture_problem(3)
    rows, denoise = [], problem.prior._denoise
    problem.prior._denoise = lambda x, sigma: (rows.append(len(x)), denoise(x, sigma))[1]
    TemperedSMC("fast").plan(problem, 4, batch_size=5)
    assert max(rows) <= 5


def test_a_verdict_alone_takes_time(slow: Posterior) -> None:
    found = AuxiliaryGibbs(exact_denoise=True).plan(slow, 8)
    assert (found.total_nfe, found.seconds) == (0, 2 * 8 * 12)
