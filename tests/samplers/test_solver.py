"""What holds for every iterative solver: checkpoints, callbacks, active measurements, memory, errors."""

import copy
import dataclasses

import pytest
import torch

from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from samplers.guided import REDDiff
from samplers.map import CSGM, ILO, PULSE, Lasso, TotalVariation
from samplers.solver import IterativeSolver
from tests.problems import mixture_problem
from tests.samplers.map.generators import DOUBLE, outside_problem, small_problem

LBFGS = CSGM(restarts=3, steps=15, optimiser="lbfgs", learning_rate=1.0)
SEARCHES = [
    CSGM(restarts=3, steps=12),
    CSGM(restarts=3, steps=12, optimiser="sgd", learning_rate=1e-4),
    LBFGS,
    PULSE(restarts=3, steps=12),
    ILO(restarts=3, steps=(5, 4, 4)),
    ILO(restarts=2, steps=(5, 4, 4), temperature=1e-3),
]
CONVEX = [Lasso(), TotalVariation(), Lasso(basis="haar", steps=20)]
SOLVERS = [*SEARCHES, *CONVEX, REDDiff(steps=12)]
each = pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: f"{s.name}-{SOLVERS.index(s)}")
each_search = pytest.mark.parametrize("solver", SEARCHES, ids=lambda s: f"{s.name}-{SEARCHES.index(s)}")


def problem_of(solver: IterativeSolver) -> Posterior:
    """Three measurements that convex solvers finish one after the other."""
    if isinstance(solver, REDDiff):
        return mixture_problem(3)
    std = torch.tensor([0.02, 0.1, 0.5], dtype=DOUBLE)
    problem = outside_problem() if isinstance(solver, ILO) else small_problem()
    return Posterior(problem.prior, GaussianLikelihood(problem.operator, std), problem.y)


def same(found, expected) -> None:
    for name in ("x", "loss", "converged", "nfe", "nfe_grad", *(["latent"] if expected.latent is not None else [])):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert found.info.keys() == expected.info.keys()
    assert all(torch.equal(found.info[name], values) for name, values in expected.info.items())


@each
@pytest.mark.parametrize("killed_after", [0, 5, 11])
def test_a_killed_run_goes_on(solver, killed_after, tmp_path, monkeypatch):
    problem, path = problem_of(solver), tmp_path / "run.pt"
    expected = solver.solve(problem, seed=2, progress=False)
    monkeypatch.setattr("samplers.run._SAVE_EVERY", 0.0)
    steps = []

    def kill(step, state, info):
        if step == killed_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver.solve(problem, seed=2, progress=False, callback=kill, checkpoint=path)
    resumed = solver.solve(
        problem, seed=2, progress=False, callback=lambda step, *_: steps.append(step), checkpoint=path
    )
    assert steps[0] == killed_after  # that step was not kept; those before it are not taken again
    same(resumed, expected)
    again = solver.solve(problem, seed=2, progress=False, callback=kill, checkpoint=path)  # a finished run is read back
    same(again, expected)
    with pytest.raises(FileFormatError, match="another run"):
        solver.solve(problem, seed=3, progress=False, checkpoint=path)


@each
def test_a_callback_may_stop_all(solver):
    problem = problem_of(solver)

    def stop(step, state, info):
        return dataclasses.replace(state, done=torch.ones_like(state.done)) if step == 6 else None

    plain = solver.solve(problem, progress=False)
    stopped = solver.solve(problem, progress=False, callback=stop)
    assert torch.isfinite(stopped.x).all() and torch.isfinite(stopped.loss).all()
    assert (stopped.nfe < plain.nfe).all() or solver in CONVEX
    if solver in SEARCHES:  # a round of ILO ends without a gradient
        assert (stopped.nfe_grad == solver.restarts * (6 if isinstance(solver, ILO) else 7)).all()
    if solver in CONVEX:
        same(stopped, dataclasses.replace(solver, steps=7).solve(problem, progress=False))
    same(solver.solve(problem, progress=False, callback=lambda *_: None), plain)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if not isinstance(s, ILO)], ids=lambda s: s.name)
def test_a_measurement_that_is_stopped_leaves_the_others_alone(solver):
    problem = problem_of(solver)

    def stop(step, state, info):
        which = torch.tensor([False, True, False]) if len(state.done) == 3 else torch.tensor([True])
        return dataclasses.replace(state, done=state.done | which) if step == 3 else None

    plain = solver.solve(problem, progress=False)
    stopped = solver.solve(problem, progress=False, callback=stop)
    alone = solver.solve(problem.select([1]), progress=False, callback=stop)
    assert torch.allclose(stopped.x[[0, 2]], plain.x[[0, 2]], atol=1e-9)
    assert torch.allclose(stopped.x[1], alone.x[0], atol=1e-9)
    assert torch.equal(stopped.nfe_grad[[0, 2]], plain.nfe_grad[[0, 2]]) and stopped.nfe_grad[1] == alone.nfe_grad[0]
    if solver is not LBFGS:  # whose line search goes on for all rows until it ends for the last
        assert torch.equal(stopped.nfe[[0, 2]], plain.nfe[[0, 2]]) and stopped.nfe[1] == alone.nfe[0]


@pytest.mark.parametrize("solver", CONVEX[:2], ids=lambda s: s.name)
def test_finished_measurements_take_no_more_steps(solver):
    problem, taken = problem_of(solver), []

    class Counted(type(problem.operator)):
        def forward(self, x):
            taken.append(x.shape[-4])
            return super().forward(x)

    problem.operator.__class__ = Counted
    trace = solver.solve(problem, progress=False).info["loss"]
    steps = [int((trace[:, b] != trace[-1, b]).sum()) for b in range(3)]
    assert len(set(steps)) == 3 and 1 in taken and 2 in taken
    assert all((trace[count:, b] == trace[-1, b]).all() for b, count in enumerate(steps))


@each_search
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_the_memory_of_gradients_is_bounded_by_the_batch_size(solver, batch_size):
    problem = problem_of(solver)
    problem = problem.with_prior(copy.deepcopy(problem.prior))
    held, most = 0, 0

    def forward(module, inputs, output):
        nonlocal held, most
        assert len(output) <= batch_size
        if output.requires_grad:
            held, most = held + len(output), max(most, held + len(output))
            output.register_hook(backward)

    def backward(grad):
        nonlocal held
        held -= len(grad)

    problem.prior.layers[-1].register_forward_hook(forward)
    found = solver.solve(problem, batch_size=batch_size, progress=False)
    whole = solver.solve(problem_of(solver), progress=False)
    assert most == min(batch_size, 3) and held == 0  # four rows are one of each measurement at a time
    assert torch.allclose(found.x, whole.x, atol=1e-9)
    assert torch.equal(found.nfe, whole.nfe) and torch.equal(found.nfe_grad, whole.nfe_grad)


def test_an_image_that_is_not_finite_is_named_with_what_to_do():
    problem = mixture_problem(3)
    prior = ScorePrior.from_denoiser(
        lambda x, sigma: torch.where(x[:, :1] > 1e3, torch.nan, x / (1 + sigma[:, None] ** 2)), (2,), sigma_max=100.0
    )
    y = problem.y.clone()
    y[1] = 1e9
    problem = Posterior(prior, problem.likelihood, y, ids=["a", "b", "c"])
    with pytest.raises(NotFiniteError, match=r"REDDiff at step 0: .*\['b'\]; check that the denoiser"):
        REDDiff(steps=5).solve(problem, progress=False)


@each
def test_calls_without_sense_are_refused(solver):
    problem = problem_of(solver)
    with pytest.raises(InvalidValueError, match=f"{solver.name}.solve needs batch_size"):
        solver.solve(problem, batch_size=0, progress=False)
    with pytest.raises(InvalidValueError, match="no measurements"):
        solver.solve(problem.select([]), progress=False)
