"""What holds for every sampler and solver: batch sizes, seeds, neighbours, network calls, checkpoints."""

import copy

import pytest
import torch
from torch import Tensor

from posterior.app.registry import SAMPLERS, SOLVERS
from posterior.errors import FileFormatError, NotFiniteError, TrustWarning
from posterior.methods import Method
from posterior.priors import FlowPrior, ScorePrior
from posterior.problem import Posterior
from samplers.base import Sampler
from samplers.block_gibbs import BlockGibbs
from samplers.chains import ChainSampler
from samplers.invariance import moving_calls
from samplers.metering import Meter
from samplers.solver import IterativeSolver
from samplers.state import Info, State
from tests.samplers.case import Case
from tests.samplers.cases import CASES, each
from tests.samplers.odd import oddly_set, uneven_problem


def run(case: Case, problem: Posterior, count: int = 8, **options: object) -> tuple[Tensor, Tensor, Tensor]:
    """Images with measurements first, (B, …), and the network evaluations that they took, (B,) each."""
    found = case.method(problem, num_samples=count, progress=False, **options)
    x = found.x.movedim(1, 0) if isinstance(case.method, Sampler) else found.x
    assert torch.isfinite(x).all() and len(x) == len(found.nfe) == len(found.nfe_grad) == len(problem)
    return x, found.nfe, found.nfe_grad


def test_every_registered_name_has_a_case() -> None:
    assert {name.partition(",")[0] for name in CASES} == set(SAMPLERS) | set(SOLVERS)
    assert all(name.startswith(case.method.name) and isinstance(case.method, Method) for name, case in CASES.items())


@each()
def test_results_do_not_depend_on_the_batch_size(case: Case) -> None:
    problem = case.problem(3)
    whole, nfe, nfe_grad = run(case, problem, 32)
    for size in (1, 3, 7):
        part, forward, backward = run(case, problem, 32, batch_size=size)
        assert torch.allclose(part, whole, atol=1e-9, rtol=0)
        assert torch.equal(forward, nfe) and torch.equal(backward, nfe_grad)


@each(lambda case: isinstance(case.method, ChainSampler))
def test_chains_of_one_draw_say_that_they_cannot_tell(case: Case) -> None:
    assert isinstance(case.method, ChainSampler)
    with pytest.warns(TrustWarning, match="too few to tell .* fewer than four draws of a chain"):
        samples = case.method.sample(case.problem(2), case.method.chains, progress=False)
    for name in ("r_hat", "r_hat_limit", "effective_samples"):
        assert samples.info[name].isnan().all() and samples.info[name].shape == (2,)
    assert all("fewer than four draws" in " ".join(verdict.findings) for verdict in samples.verdict)


@each()
def test_odd_settings_do_not_depend_on_the_batch_size_or_on_neighbours(case: Case) -> None:
    """What rounding does to products of different shapes stays rounding, relative to the largest value."""
    case = case._replace(method=oddly_set(case.method))
    problem = uneven_problem(case)
    draws = 12 if isinstance(case.method, BlockGibbs) else 9  # which takes no fewer chains than four
    whole = run(case, problem, draws)[0]
    near = 1e-9 * max(1.0, float(whole.abs().max()))
    for size in (1, 3, 10_000):
        assert torch.allclose(run(case, problem, draws, batch_size=size)[0], whole, atol=near, rtol=0)
    apart = run(case, problem.select([0, 2]), draws, batch_size=3)[0]
    assert torch.allclose(apart, whole[[0, 2]], atol=near, rtol=0)


@each()
def test_seeds_reproduce(case: Case) -> None:
    problem = case.problem(2)
    zero, one = run(case, problem, seed=0)[0], run(case, problem, seed=1)[0]
    assert torch.equal(zero, run(case, problem)[0])  # the default
    assert torch.equal(zero, one) != case.seeded


@each()
def test_a_measurement_does_not_see_its_neighbours(case: Case) -> None:
    problem = case.problem(3)
    whole, alone = run(case, problem), run(case, problem.select([1]))
    assert torch.allclose(whole[0][1:2], alone[0], atol=1e-9, rtol=0)
    assert whole[1][1] == alone[1][0] and whole[2][1] == alone[2][0]
    louder = copy.copy(problem)
    louder.y = problem.y * torch.tensor([2.0, 1.0, 0.0]).to(problem.y).reshape(-1, *[1] * (problem.y.ndim - 1))
    assert torch.allclose(run(case, louder)[0][1:2], alone[0], atol=1e-9, rtol=0)


@each()
def test_the_problem_and_the_global_random_state_are_left_alone(case: Case) -> None:
    problem, before = case.problem(2), torch.random.get_rng_state()
    y, weights = problem.y.clone(), copy.deepcopy(problem.prior.state_dict())
    run(case, problem)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(problem.y, y)
    assert all(torch.equal(value, weights[name]) for name, value in problem.prior.state_dict().items())


@each()
def test_network_calls_are_those_that_were_made(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, count = case.problem(2), 4 if isinstance(case.method, Sampler) else 1
    prior, rows = problem.prior, [0, 0]

    def back(grad: Tensor) -> None:
        rows[1] += len(grad)

    def spy(owner: object, name: str) -> None:
        inner = getattr(owner, name)

        def call(first: Tensor, *rest: Tensor) -> Tensor | tuple[Tensor, ...]:
            out = inner(first, *rest)
            one = out[0] if isinstance(out, tuple) else out
            rows[0] += len(first)
            if one.requires_grad:
                one.register_hook(back)
            return out

        monkeypatch.setattr(owner, name, call)

    if isinstance(prior, ScorePrior):
        mean = prior.mean()
        monkeypatch.setattr(prior, "mean", lambda: mean)  # one image for all samples: not a cost of any of them
        spy(prior, "_denoise")
    else:
        spy(prior.layers[-1], "forward")  # the last layer is part of every call, wherever it enters
    if isinstance(prior, FlowPrior):
        spy(prior, "inverse_and_log_det")
    _, nfe, nfe_grad = run(case, problem, count)
    if isinstance(case.method, Sampler):
        rows[0] -= len(problem) * moving_calls(problem, count)  # those of the verdict are not the sampler's
    assert [round(float(calls.sum()) * count, 6) for calls in (nfe, nfe_grad)] == rows


@each(lambda case: case.calls is not None)
def test_the_bill(case: Case) -> None:
    _, nfe, nfe_grad = run(case, case.problem(1), 4)
    assert (float(nfe), float(nfe_grad)) == case.calls


@each()
def test_a_plan_is_what_the_run_takes(case: Case) -> None:
    problem, sampler = case.problem(2), isinstance(case.method, Sampler)
    count = 8 if sampler else 1
    plan = case.method.plan(problem, count) if sampler else case.method.plan(problem)
    _, nfe, nfe_grad = run(case, problem, count)
    if plan.exact:
        planned = torch.tensor([plan.nfe, plan.nfe_grad])
        assert torch.allclose(torch.stack([nfe, nfe_grad], 1), planned.double())
    assert (plan.num_samples, plan.measurements) == (count, 2) and plan.memory > 0
    assert (plan.seconds > 0) == (plan.nfe > 0)
    assert plan.method == repr(case.method) and plan.method in str(plan) and plan.caveat in str(plan)


@each(lambda case: case.calls != (0, 0))
def test_a_network_that_gives_nan_is_an_error(case: Case) -> None:
    problem, prior = case.problem(2), case.problem(1).prior
    problem.ids = ["a", "b"]
    if isinstance(problem.prior, ScorePrior):
        mean = prior.mean()
        problem.prior.mean = lambda: mean  # of what is given to be finite
        problem.prior._denoise = lambda x, sigma: prior._denoise(x, sigma) * torch.nan
    else:
        problem.prior.layers[-1].forward = lambda h: prior.layers[-1](h) * torch.nan
    with pytest.raises(NotFiniteError, match=r"measurement\(s\) \['a', 'b'\]; ."):
        run(case, problem)


@each(lambda case: isinstance(case.method, Sampler | IterativeSolver))
def test_progress_rises_and_is_whole_at_the_end_alone(case: Case) -> None:
    states = []

    def watch(step: int, state: State, info: Info) -> None:
        states.append((state.progress.clone(), state.done.clone()))

    problem, options = case.problem(2), {"progress": False, "callback": watch}
    if isinstance(case.method, Sampler):
        case.method.sample(problem, 8, **options)
    else:
        case.method.solve(problem, **options)
    progress, done = (torch.stack(values) for values in zip(*states, strict=True))
    assert (progress > 0).all() and (progress.diff(dim=0) >= 0).all()
    assert torch.equal(progress == 1, done) and done[-1].all()


@each(lambda case: isinstance(case.method, Sampler | IterativeSolver) and case.calls != (0, 0))
def test_progress_is_the_share_of_the_work_that_is_done(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, steps = [0], [(0.0, 0)]
    inner = Meter._at_once

    def counted(meter: Meter, function: object, size: int, *rows: Tensor) -> tuple[Tensor, ...]:
        calls[0] += len(rows[0])
        return inner(meter, function, size, *rows)

    def watch(step: int, state: State, info: Info) -> None:
        steps.append((float(state.progress.mean()), calls[0]))

    monkeypatch.setattr(Meter, "_at_once", counted)
    problem, options = case.problem(1), {"progress": False, "callback": watch}
    if isinstance(case.method, Sampler):
        case.method.sample(problem, 24, **options)
    else:
        case.method.solve(problem, **options)
    progress, work = (torch.tensor(values, dtype=torch.float64) for values in zip(*steps, strict=True))
    begun = work[1] - (work[2] - work[1])  # after the start, whose calls are counted apart
    share = (work[1:] - begun) / (work[-1] - begun)
    assert (progress[1:] - share).abs().max() < 0.1


@each(lambda case: isinstance(case.method, Sampler))
def test_a_stopped_run_goes_on(case: Case, tmp_path, monkeypatch) -> None:
    sampler, problem, path = case.method, case.problem(2), tmp_path / "run.pt"
    expected = sampler.sample(problem, 40, progress=False)
    monkeypatch.setattr("samplers.run._SAVE_EVERY", 0.0)

    def stop(step, state, info):
        if step == 1 and path.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.sample(problem, 40, progress=False, callback=stop, checkpoint=path)
    resumed = sampler.sample(problem, 40, progress=False, checkpoint=path)
    again = sampler.sample(problem, 40, progress=False, checkpoint=path)  # a finished run is read back
    for result in (resumed, again):
        assert torch.equal(result.x, expected.x)
        assert torch.equal(result.nfe, expected.nfe)
        assert all(torch.equal(result.info[k].nan_to_num(-1), v.nan_to_num(-1)) for k, v in expected.info.items())
    with pytest.raises(FileFormatError, match="another run"):
        sampler.sample(problem, 40, seed=1, progress=False, checkpoint=path)
    other = problem.with_prior(copy.deepcopy(problem.prior))
    next(iter(other.prior.state_dict().values())).mul_(1.1)
    with pytest.raises(FileFormatError, match="another run"):
        sampler.sample(other, 40, progress=False, checkpoint=path)
    path.write_bytes(b"nonsense")
    with pytest.raises(FileFormatError, match="delete it"):
        sampler.sample(problem, 40, progress=False, checkpoint=path)
