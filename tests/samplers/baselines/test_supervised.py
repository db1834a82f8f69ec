from pathlib import Path

import pytest
import torch

from posterior.errors import FileFormatError, IncompatibleError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood
from posterior.mri import (
    MoDLNetwork,
    ReconstructionNetwork,
    ReconstructionUNet,
    VariationalNetwork,
    random_maps,
    save_network,
)
from posterior.operators import Identity, MultiCoilMRI
from posterior.problem import Posterior
from samplers.baselines import MoDL, UNet, VarNet
from tests.mri.networks import drawn
from tests.problems import DOUBLE
from tests.samplers.baselines.scans import operator_of, problem_of, scans, scans_within
from tests.samplers.case import Case

NETWORKS = {
    UNet: ReconstructionUNet(2, 1),
    MoDL: MoDLNetwork(2, 1, iterations=2, products=4),
    VarNet: VariationalNetwork(2, 2, 1),
}
SOLVERS = [solver(drawn(network)) for solver, network in NETWORKS.items()]

SHARED_CASES = {
    name: Case(solver, problem, calls=(0, 0), seeded=False)
    for solver in SOLVERS
    for name, problem in {solver.name: scans, f"{solver.name}, in a larger field of view": scans_within}.items()
}

each = pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.name)
Any = UNet | MoDL | VarNet


def network_of(solver: Any) -> ReconstructionNetwork:
    assert isinstance(solver.network, ReconstructionNetwork)
    return solver.network


@each
def test_it_is_what_the_network_makes(solver: Any) -> None:
    problem = problem_of(operator_of())
    estimate = solver.solve(problem, progress=False)
    x = network_of(solver)(problem.y, problem.operator)
    assert torch.allclose(estimate.x[..., 1:, :], x[..., 1:, :])  # no coil sees the first row
    assert (estimate.x[..., 0, :] == 0).all()
    assert estimate.loss.isnan().all() and estimate.x.dtype == DOUBLE


@each
def test_the_gain_of_the_maps_does_not_matter(solver: Any) -> None:
    one, other = (problem_of(operator_of(gain=gain), 1e-9) for gain in (1.0, 5.0))  # y of the other is 5 times as large
    x, y = (solver.solve(problem, progress=False).x for problem in (one, other))
    assert torch.allclose(x, y, atol=1e-6)


@each
@pytest.mark.parametrize("mask", [torch.tensor([1, 0, 1, 1, 0, 1]), (torch.arange(48) % 3 < 2).reshape(8, 6)])
@pytest.mark.parametrize("coils", [1, 3])
def test_masks_and_maps_may_be_those_of_all_measurements(solver: Any, mask: torch.Tensor, coils: int) -> None:
    maps = random_maps(coils, 8, 6, 0, DOUBLE)
    each_its_own = MultiCoilMRI(maps.expand(3, coils, 8, 6), mask.expand(3, 1, 8, 6))
    problem = problem_of(each_its_own)
    shared = GaussianLikelihood(MultiCoilMRI(maps, mask), 0.1)
    x = solver.solve(Posterior(problem.prior, shared, problem.y), progress=False).x
    assert torch.allclose(x, solver.solve(problem, progress=False).x)


@each
def test_a_network_is_read_from_its_folder(solver: Any, tmp_path: Path) -> None:
    save_network(network_of(solver), tmp_path)
    problem = problem_of(operator_of())
    x = solver.solve(problem, progress=False).x
    for folder in (tmp_path, str(tmp_path)):
        assert torch.equal(type(solver)(folder).solve(problem, progress=False).x, x)


def test_a_network_follows_the_measurements_to_their_device(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, solver = problem_of(operator_of()), UNet(drawn(ReconstructionUNet(2, 1)))
    elsewhere = solver.network_on(torch.device("meta"))
    assert {values.device.type for values in elsewhere.parameters()} == {"meta"}
    assert {values.device.type for values in network_of(solver).parameters()} == {"cpu"}
    assert solver.network_on(problem.device) is solver.network
    asked = []
    monkeypatch.setattr(UNet, "network_on", lambda self, device: asked.append(device) or self.network)
    solver.solve(problem, progress=False)
    assert asked == [problem.device]


def test_a_network_in_training_mode_is_refused() -> None:
    network = drawn(ReconstructionUNet(2, 1))
    network.network.last = torch.nn.Sequential(torch.nn.Dropout(0.5), network.network.last)
    UNet(network.eval()).check(scans())
    with pytest.raises(IncompatibleError, match=r"the network of UNet is in training mode.*Dropout"):
        UNet(network.train()).solve(scans(), progress=False)


def test_the_network_is_of_the_method() -> None:
    with pytest.raises(IncompatibleError, match="MoDL needs network to be a MoDLNetwork, got a ReconstructionUNet"):
        MoDL(ReconstructionUNet(2, 1))
    with pytest.raises(FileFormatError, match="save_network"):
        VarNet("nowhere")


@each
def test_other_operators_are_refused(solver: Any) -> None:
    problem = problem_of(operator_of())
    likelihood = GaussianLikelihood(Identity((2, 8, 6)), 0.1)
    with pytest.raises(IncompatibleError, match=f"{solver.name} takes Gaussian noise on MultiCoilMRI"):
        solver.solve(Posterior(problem.prior, likelihood, torch.ones(1, 2, 8, 6, dtype=DOUBLE)), progress=False)


def test_a_network_that_gives_nan_is_named() -> None:
    network = drawn(ReconstructionUNet(2, 1))
    network.network.last.weight.data.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="the image of UNet"):
        UNet(network).solve(problem_of(operator_of()), progress=False)
