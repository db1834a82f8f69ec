import math

import pytest
import torch

from posterior.errors import IncompatibleError, NotFiniteError
from posterior.mri import random_mask
from posterior.operators import MultiCoilMRI
from samplers.baselines import ConvDecoder
from samplers.baselines.conv_decoder import Decoder
from tests.mri.phantom import head
from tests.problems import DOUBLE
from tests.samplers.baselines.scans import operator_of, problem_of, scans, scans_within
from tests.samplers.case import Case

SMALL = ConvDecoder(channels=4, depth=3, steps=5)

SHARED_CASES = {
    "ConvDecoder": Case(SMALL, scans, calls=(0, 0)),
    "ConvDecoder, in a larger field of view": Case(SMALL, scans_within, calls=(0, 0)),
}


def test_the_measurement_of_a_single_coil_is_met_exactly() -> None:
    masks = torch.stack([random_mask((8, 6), 2.0, 1, seed) for seed in range(3)])[:, None]
    maps = torch.polar(torch.full((1, 8, 6), 2.0).double(), torch.linspace(0, 3, 48).double().reshape(1, 8, 6))
    problem = problem_of(MultiCoilMRI(maps, masks))
    estimate = SMALL.solve(problem, progress=False)
    assert torch.allclose(problem.operator(estimate.x), problem.y, atol=1e-12)
    assert (problem.operator.adjoint(problem.y) / 4 - estimate.x).abs().max() > 1e-3  # and what is missing is filled


def test_the_last_step_is_towards_the_measurement() -> None:
    # x̂ = x + Aᴴ(y − Ax) lessens ‖y − Ax‖ unless it is 0, since ‖A‖ ≤ 1; the trace has that of x.
    problem = problem_of(operator_of())
    estimate = SMALL.solve(problem, progress=False)
    residual = problem.likelihood.squared_residual(estimate.x, problem.y) / problem.operator.num_measured
    assert (residual < estimate.loss).all()
    assert torch.equal(estimate.loss, estimate.info["loss"].amin(0)) and estimate.info["loss"].shape == (5, 3)


def test_an_image_is_fitted_better_than_noise() -> None:
    """What makes an untrained network a prior: it fits structure before noise."""
    shape = (24, 20)
    x = torch.stack([head(*shape), torch.zeros(shape, dtype=DOUBLE)]).expand(3, 2, *shape).clone()
    noise = torch.randn(3, 2, *shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    noise *= x.norm() / noise.norm()
    losses = []
    for images in (x, noise):
        problem = problem_of(operator_of(1, shape), 1e-6, images[:1])
        solver = ConvDecoder(channels=8, depth=4, steps=60, learning_rate=0.02)
        losses.append(solver.solve(problem, progress=False).info["loss"])
    image, noisy = (float(loss[-1, 0] / loss[0, 0]) for loss in losses)
    assert image < 0.25 and image < 0.5 * noisy


def test_the_first_image_is_as_large_as_the_zero_filled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(operator_of()).select([0])
    seen = []
    forward = MultiCoilMRI._forward
    with monkeypatch.context() as patch:
        patch.setattr(MultiCoilMRI, "_forward", lambda self, x: seen.append(x.detach()) or forward(self, x))
        trace = SMALL.solve(problem, progress=False).info["loss"]
    assert torch.allclose(seen[0].norm(), problem.operator.adjoint(problem.y).norm())
    for x, loss in zip(seen, trace, strict=False):  # after which the last image is made
        assert torch.allclose(problem.likelihood.squared_residual(x, problem.y) / problem.operator.num_measured, loss)


def test_the_image_of_least_loss_is_kept() -> None:
    problem = problem_of(operator_of())
    estimate = ConvDecoder(channels=4, depth=3, steps=12, learning_rate=1.0).solve(problem, progress=False)
    trace = estimate.info["loss"]
    assert (trace[-1] > 1.2 * estimate.loss).any()  # a step so large that the loss goes up and down
    alone = ConvDecoder(channels=4, depth=3, steps=int(trace[:, 0].argmin()) + 1, learning_rate=1.0)
    assert torch.allclose(alone.solve(problem.select([0]), progress=False).x, estimate.x[:1])


def test_weights_are_drawn_from_the_seed_alone() -> None:
    problem, images = scans(1), []
    for state in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(state)
            images.append(SMALL.solve(problem, progress=False).x)
    assert torch.equal(*images)


def test_sides_grow_geometrically_to_those_of_the_image() -> None:
    decoder = Decoder(3, 5, (64, 2))
    sizes = [layer.size for layer in decoder.layers if isinstance(layer, torch.nn.Upsample)]
    assert sizes == [(8, 2), (16, 2), (32, 2), (64, 2), (64, 2)]
    assert decoder(torch.rand(1, 3, 4, 2)).shape == (1, 2, 64, 2)
    convolutions = 5 * (3 * 3 * 9 + 3) + 2 * 3
    assert sum(p.numel() for p in decoder.parameters()) == convolutions + 5 * 2 * 3


def test_a_loss_that_is_not_finite_is_named() -> None:
    problem = problem_of(operator_of(), std=1e-3)
    problem.ids = ["a", "b", "c"]
    problem.y[1] = math.nan  # behind the problem's back
    with pytest.raises(NotFiniteError, match=r"ConvDecoder's loss: .*\['b'\]; lower learning_rate"):
        SMALL.solve(problem, progress=False)


def test_one_pixel_is_refused() -> None:
    problem = problem_of(MultiCoilMRI(torch.ones(1, 1, 1, dtype=torch.complex128), torch.ones(1, 1, 1, 1)))
    with pytest.raises(IncompatibleError, match="more than one pixel"):
        SMALL.solve(problem, progress=False)
