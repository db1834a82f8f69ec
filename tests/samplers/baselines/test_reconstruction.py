"""What all reconstructions for comparison keep of the protocol of solvers."""

import pytest
import torch

import posterior
from posterior.errors import InvalidValueError, TrustWarning
from posterior.problem import Posterior
from samplers.baselines import CGSense, ConvDecoder, ZeroFilled
from samplers.baselines.reconstruction import Reconstruction
from tests.samplers.baselines.scans import scans
from tests.samplers.baselines.test_supervised import SOLVERS

ALL = [ZeroFilled(), CGSense(iterations=20, replicas=2), ConvDecoder(channels=4, depth=3, steps=5), *SOLVERS]

each = pytest.mark.parametrize("solver", ALL, ids=lambda solver: solver.name)


@each
def test_a_problem_without_measurements_is_refused(solver: Reconstruction) -> None:
    with pytest.raises(InvalidValueError, match="the problem holds no measurements"):
        solver.solve(scans(3).select([]), progress=False)


@each
def test_measurements_are_taken_a_few_at_a_time(solver: Reconstruction, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, inner = [], type(solver).reconstruct

    def spy(self: Reconstruction, problem: Posterior, *rest: object) -> object:
        sizes.append(len(problem))
        return inner(self, problem, *rest)  # type: ignore[arg-type]

    whole = solver.solve(scans(3), progress=False)
    monkeypatch.setattr(type(solver), "reconstruct", spy)
    parts = solver.solve(scans(3), batch_size=2, progress=False)
    assert sizes == [2, 1]
    assert torch.allclose(parts.loss, whole.loss, equal_nan=True) and torch.equal(parts.converged, whole.converged)
    assert whole.info.keys() == parts.info.keys()
    for name, values in whole.info.items():
        assert torch.allclose(parts.info[name], values, atol=1e-9)


@each
def test_an_estimate_says_what_made_it(solver: Reconstruction) -> None:
    problem = scans(2)
    provenance = solver.solve(problem, seed=7, progress=False).provenance
    assert provenance is not None
    assert (provenance.name, provenance.settings, provenance.seed) == (solver.name, repr(solver), 7)
    assert (provenance.operator, provenance.version) == ("MultiCoilMRI", posterior.__version__)
    assert provenance.ids == tuple(problem.ids) and torch.equal(provenance.y, problem.y) and provenance.seconds > 0


def test_an_estimate_that_is_not_to_be_trusted_is_warned_of_where_it_was_asked_for() -> None:
    with pytest.warns(TrustWarning, match="explains the measurement worse than the noise allows") as caught:
        estimate = ZeroFilled().solve(scans(3), progress=False)
    assert [str(one.message) for one in caught] == list(estimate.warnings) and caught[0].filename == __file__
