"""The loop: callbacks, precision, network calls of measurements that end early, failures; checkpoints, progress."""

import dataclasses
import os
import re
import signal
import time
from dataclasses import dataclass

import pytest
import torch

from posterior.errors import (
    CheckpointMismatchError,
    FileWriteError,
    InvalidValueError,
    NotFiniteError,
)
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Operator
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from samplers import DPS, AnnealedLangevin, TemperedSMC, run
from samplers.base import Sampler
from samplers.guided import REDDiff
from samplers.levels import pilot_calls
from samplers.state import State
from tests.problems import DOUBLE, mixture_problem

LANGEVIN = AnnealedLangevin(levels=10, sigma_last=0.1)


def test_a_callback_sees_each_step_and_may_change_what_comes_next():
    problem, steps = mixture_problem(2), []

    def stop_one(step, state, info):
        steps.append(step)
        if step == 4:
            return dataclasses.replace(state, x=torch.ones_like(state.x), done=torch.tensor([True, False]))

    samples = LANGEVIN.sample(problem, 3, progress=False, callback=stop_one)
    plain = LANGEVIN.sample(problem, 3, progress=False)
    assert steps == list(range(int(plain.nfe[0])))
    assert (samples.x[:, 0] == 1).all() and not (samples.x[:, 1] == 1).any()
    assert samples.nfe[0] == 5 and samples.nfe[1] == plain.nfe[1]
    assert torch.equal(LANGEVIN.sample(problem, 3, progress=False, callback=lambda *_: None).x, plain.x)

    def spoil(step, state, info):
        return dataclasses.replace(state, x=state.x * torch.nan)

    with pytest.raises(NotFiniteError, match="callback after step 0"):
        LANGEVIN.sample(problem, 3, progress=False, callback=spoil)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: "state", "returned a str"),
        (lambda state: dataclasses.replace(state, x=state.x[..., :1]), r"state whose x is torch.float64 \(3, 2, 1\)"),
        (lambda state: dataclasses.replace(state, x=state.x.half()), "whose x is torch.float16"),
        (lambda state: dataclasses.replace(state, done=True), "whose done is True"),
    ],
)
def test_what_is_no_such_state_cannot_take_its_place(change, message):
    with pytest.raises(InvalidValueError, match=f"the callback after step 0 .*{message}"):
        LANGEVIN.sample(mixture_problem(2), 3, progress=False, callback=lambda step, state, info: change(state))


def test_a_finite_state_whose_sum_overflows_is_not_called_infinite():
    def enlarge(step, state, info):
        return dataclasses.replace(state, x=torch.full_like(state.x, 1e308), done=torch.ones_like(state.done))

    samples = LANGEVIN.sample(mixture_problem(2), 3, progress=False, callback=enlarge)
    assert (samples.x == 1e308).all()


def test_independent_draws_depend_on_their_own_index_only():
    sampler, problem = LANGEVIN, mixture_problem()
    assert torch.equal(sampler.sample(problem, 9, progress=False).x[:4], sampler.sample(problem, 4, progress=False).x)


def test_nan_is_reported_with_its_measurement():
    inner = mixture_problem(batch=3)

    def broken(x, sigma):
        return torch.where(x[:, :1] > 1e3, torch.nan, x / (1 + sigma[:, None] ** 2))

    prior = ScorePrior.from_denoiser(broken, (2,), sigma_max=100.0)
    y = inner.y.clone()
    y[1] = 1e9
    problem = Posterior(prior, inner.likelihood, y, ids=["a", "b", "c"])
    sampler = AnnealedLangevin(levels=5, sigma_last=0.1)
    with pytest.raises(NotFiniteError, match=r"\['b'\]"):
        sampler.sample(problem.select([1]), 4, progress=False)
    samples = sampler.sample(problem, 4, progress=False)
    alone = sampler.sample(problem.select([0, 2]), 4, progress=False)
    assert samples.x[:, 1].isnan().all() and torch.equal(samples.x[:, [0, 2]], alone.x)
    assert (samples.verdict[0], samples.verdict[2]) == alone.verdict
    assert samples.verdict[1].level == "not the posterior" and "NaN or infinite after" in str(samples.verdict[1])
    assert any("measurement(s) b" in warning for warning in samples.warnings)


@dataclass(frozen=True)
class Gradients(Sampler):
    """Two steps with a gradient through the network, for the first measurement; one for the others."""

    def init(self, problem, noise):
        zero = torch.zeros(len(problem), dtype=DOUBLE)
        return State(x=noise.normal(problem.event_shape), done=zero.bool(), progress=zero)

    def step(self, problem, state, noise):
        with torch.enable_grad():
            x = state.x.detach().requires_grad_()
            (grad,) = torch.autograd.grad(problem.prior.denoise(x, 1.0).sum(), x)
        done = torch.tensor([identity != 0 or state.step == 1 for identity in problem.ids])
        return State(x=x.detach() + grad, done=done, progress=done.double()), {
            "step": state.step + 0.0 * state.progress
        }


def test_network_calls_are_counted_for_each_measurement():
    samples = Gradients().sample(mixture_problem(batch=3), 5, progress=False)
    assert samples.nfe.tolist() == [2, 1, 1]
    assert samples.nfe_grad.tolist() == [2, 1, 1]
    assert torch.equal(samples.info["step"].isnan(), torch.tensor([[False, False, False], [False, True, True]]))


class Counted(ScorePrior):
    """The prior of `mixture_problem`, that does something at one of its calls."""

    def __init__(self, at=None, do=lambda: None):
        super().__init__()
        self.inner = mixture_problem().prior
        self.event_shape, self.sigma_data = self.inner.event_shape, self.inner.sigma_data
        self.sigma_min, self.sigma_max = self.inner.sigma_min, self.inner.sigma_max
        self._at, self._do, self._calls = at, do, 0

    def _denoise(self, x, sigma):
        self._calls += 1
        if self._calls == self._at:
            self._do()
        return self.inner._denoise(x, sigma)


def interrupt():
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)  # it comes before this ends


def same(found, expected):
    assert torch.equal(found.x, expected.x) and torch.equal(found.nfe, expected.nfe)
    assert torch.equal(found.nfe_grad, expected.nfe_grad)
    for name, values in expected.info.items():
        assert torch.equal(found.info[name].nan_to_num(-1), values.nan_to_num(-1))


SMC = TemperedSMC(accuracy="fast", population=8)


# What is lost is the verdict's move of 12 calls, or a step: of SMC a sweep of one and a kinetic move of the other.
@pytest.mark.parametrize(
    ("sampler", "most"),
    [(SMC, 20), (LANGEVIN, 12), (DPS(steps=10), 12)],
    ids=["TemperedSMC", "AnnealedLangevin", "DPS"],
)
def test_ctrl_c_at_any_call_loses_the_step_it_came_in_and_nothing_else(sampler, most, tmp_path):
    problem = mixture_problem(2, 0.3)  # of which SMC ends one measurement after two steps, the other after seven
    plain = Counted()
    expected = sampler.sample(problem.with_prior(plain), 4, progress=False)
    calls = plain._calls
    spaced = range(3, calls, max(1, calls // 12))  # two calls are of the identity and of the mean
    for at in spaced:
        path = tmp_path / f"{at}.pt"
        stopped = Counted(at, interrupt)
        with pytest.raises(KeyboardInterrupt):
            sampler.sample(problem.with_prior(stopped), 4, progress=False, checkpoint=path)
        kept, again = path.exists(), Counted()
        same(sampler.sample(problem.with_prior(again), 4, progress=False, checkpoint=path), expected)
        if kept:  # finding out whose the file is takes a call each time
            assert at + again._calls <= calls + most + 3
        assert {file.name for file in tmp_path.iterdir()} == {path.name}
        path.unlink()


def test_a_callback_that_fails_sees_its_step_again(tmp_path):
    problem, path, seen = mixture_problem(2), tmp_path / "run.pt", []

    def shift(step, state, info):
        if step == 7 and seen.count(7) == 0:
            seen.append(step)
            raise ZeroDivisionError
        seen.append(step)
        return dataclasses.replace(state, x=state.x + 0.01)

    expected = LANGEVIN.sample(
        problem, 3, progress=False, callback=lambda s, x, i: dataclasses.replace(x, x=x.x + 0.01)
    )
    with pytest.raises(ZeroDivisionError) as caught:
        LANGEVIN.sample(problem, 3, progress=False, callback=shift, checkpoint=path)
    assert caught.value.__notes__ == [f"what was done is kept in {path}: run the same again to go on"]
    same(LANGEVIN.sample(problem, 3, progress=False, callback=shift, checkpoint=path), expected)
    assert seen == [*range(8), *range(7, len(expected.info["sigma"]))]


def test_the_start_is_kept(tmp_path):
    """What comes before the first step may be a third of the work."""
    problem, path = mixture_problem(2, 0.3), tmp_path / "run.pt"
    steps = []
    whole = Counted()
    expected = SMC.sample(problem.with_prior(whole), 4, progress=False, callback=lambda step, *_: steps.append(step))

    def stop(step, state, info):
        raise KeyboardInterrupt

    first = Counted()
    with pytest.raises(KeyboardInterrupt):
        SMC.sample(problem.with_prior(first), 4, progress=False, callback=stop, checkpoint=path)
    rest = Counted()
    same(SMC.sample(problem.with_prior(rest), 4, progress=False, checkpoint=path), expected)
    one_step = (whole._calls - first._calls) / (len(steps) - 1)
    assert rest._calls < whole._calls - first._calls + 1.5 * one_step + 1


def test_the_answer_to_another_question_is_not_given(tmp_path):
    def question(power):
        operator = Operator.from_callable(lambda x: x[:, :1] ** power, event_shape=(2,), measurement_shape=(1,))
        inner = mixture_problem()
        return Posterior(inner.prior, GaussianLikelihood(operator, 0.7), torch.tensor([[1.5]], dtype=DOUBLE))

    for method in (LANGEVIN, DPS(steps=4)):
        path = tmp_path / f"{method.name}.pt"
        problem = question(1) if method is not LANGEVIN else mixture_problem()
        method.sample(problem, 3, progress=False, checkpoint=path)
        method.sample(problem, 3, progress=False, checkpoint=path)
        for other, part in (
            ({"seed": 1}, "seed"), ({"num_samples": 4}, "number of samples"), ({"keep": "moments"}, "kind"),
        ):  # fmt: skip
            with pytest.raises(CheckpointMismatchError, match=f"another run: different {part};"):
                method.sample(problem, **{"num_samples": 3, "progress": False, "checkpoint": path, **other})
    with pytest.raises(CheckpointMismatchError, match=r"different values of the operator, values of the likelihood;"):
        DPS(steps=4).sample(question(2), 3, progress=False, checkpoint=path)
    with pytest.raises(CheckpointMismatchError, match="different method;"):
        DPS(steps=5).sample(question(1), 3, progress=False, checkpoint=path)
    solver, path = REDDiff(steps=4), tmp_path / "estimate.pt"
    solver.solve(mixture_problem(), progress=False, checkpoint=path)
    with pytest.raises(CheckpointMismatchError, match="different method;"):
        REDDiff(steps=5).solve(mixture_problem(), progress=False, checkpoint=path)


def test_paths_that_cannot_be_written_are_known_before_the_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    prior = Counted()
    problem = mixture_problem().with_prior(prior)
    for path in (tmp_path, tmp_path / "file" / "run.pt"):
        for keep in ("samples", "moments"):
            with pytest.raises(FileWriteError, match="cannot be written"):
                LANGEVIN.sample(problem, 3, keep=keep, progress=False, checkpoint=path)
        with pytest.raises(FileWriteError, match="cannot be written"):
            REDDiff(steps=4).solve(problem, progress=False, checkpoint=path)
    assert prior._calls == 0


def test_the_second_run_on_a_file_is_told(tmp_path):
    problem, path, told = mixture_problem(), tmp_path / "run.pt", []

    def another(step, state, info):
        if step == 3:
            with pytest.raises(FileWriteError, match=f"in use by another run .process {os.getpid()} ") as caught:
                LANGEVIN.sample(problem, 3, progress=False, checkpoint=path)
            told.append(caught)

    LANGEVIN.sample(problem, 3, progress=False, checkpoint=path, callback=another)
    assert len(told) == 1


def test_a_full_disk_costs_the_checkpoint_and_not_the_samples(tmp_path, monkeypatch):
    problem, path = mixture_problem(), tmp_path / "run.pt"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match=r"run\.pt cannot be written: No space left"):
        samples = LANGEVIN.sample(problem, 3, progress=False, checkpoint=path)
    same(samples, LANGEVIN.sample(problem, 3, progress=False))


class Watched(run.tqdm):
    """Progress bars that are remembered, with all that they showed."""

    made: list["Watched"]

    def __init__(self, *args, **kwargs):
        self.shown = []
        super().__init__(*args, **kwargs)
        Watched.made.append(self)

    def display(self, *args, **kwargs):
        self.shown.append(str(self))


@pytest.fixture
def bars(monkeypatch):
    Watched.made = []
    monkeypatch.setattr(run, "tqdm", Watched)
    return Watched.made


def test_the_start_counts_its_calls(bars):
    SMC.sample(mixture_problem(), 4)
    start, steps = bars
    pilots = pilot_calls(mixture_problem(), True, SMC.budget.prior_steps)
    assert start.n == SMC.budget.prior_samples * SMC.draws_at_once(4) * SMC.budget.prior_steps + pilots
    assert re.fullmatch(rf"TemperedSMC, start: 00:\d\d, {start.n} network calls", str(start))
    assert re.fullmatch(r"TemperedSMC: 100%\|█+\| 00:\d\d<00:00, calls=\d+, measurements=1/1", steps.shown[-1])


def test_a_long_start_is_seen(bars):
    SMC.sample(mixture_problem().with_prior(Counted(9, lambda: time.sleep(0.6))), 4)
    assert re.search(r"TemperedSMC, start: 00:00, \d{3,} network calls", bars[0].shown[0])


def test_the_time_left_is_that_of_this_session(bars, tmp_path):
    problem, path = mixture_problem(), tmp_path / "run.pt"

    def stop(step, state, info):
        if float(state.progress) >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LANGEVIN.sample(problem, 3, callback=stop, checkpoint=path)
    bars.clear()
    LANGEVIN.sample(problem, 3, checkpoint=path)
    (steps,) = bars  # nothing starts anew
    assert 0.4 < steps.initial < 0.5
    steps.n, steps.disable = 0.5 * (steps.initial + 1), False  # half of what was left
    steps.start_t = steps._time() - 100.5
    assert "01:40<01:40" in str(steps)


@dataclass(frozen=True)
class Patient(Gradients):
    """Five calls a step."""

    def step(self, problem, state, noise):
        for _ in range(4):
            problem.prior.denoise(state.x, 1.0)
        return super().step(problem, state, noise)


def test_time_goes_on_within_a_step(bars):
    class Slow(Counted):
        def _denoise(self, x, sigma):
            time.sleep(0.11)
            return super()._denoise(x, sigma)

    shown = []
    Patient().sample(mixture_problem().with_prior(Slow()), 2, callback=lambda *_: shown.append(len(bars[-1].shown)))
    assert shown[0] >= 4


def test_seconds_are_those_of_all_sessions(tmp_path, monkeypatch):
    problem, path = mixture_problem(), tmp_path / "run.pt"
    clock = iter(range(10**6))
    monkeypatch.setattr(run.time, "monotonic", lambda: float(next(clock)))
    whole = LANGEVIN.sample(problem, 3, progress=False).provenance.seconds

    def stop(step, state, info):
        if step == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LANGEVIN.sample(problem, 3, progress=False, callback=stop, checkpoint=path)
    resumed = LANGEVIN.sample(problem, 3, progress=False, checkpoint=path).provenance.seconds
    assert abs(resumed - whole) <= 5
