import math

import pytest
import torch
from torch import Tensor

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood, LaplaceLikelihood
from posterior.noise import Noise
from posterior.operators import GaussianMeasurement, Identity, Inpainting, Matrix
from posterior.operators.base import LinearOperator
from posterior.problem import LatentPosterior, Posterior
from samplers.map import CSGM, RobustCSGM
from samplers.map.restarts import Search
from samplers.map.robust import block_means
from tests.samplers.case import Case, generated
from tests.samplers.map.generators import DOUBLE, SHAPE, Same, Small

SHARED_CASES = {"RobustCSGM": Case(RobustCSGM(restarts=2, steps=5), generated, (22, 20))}

COUNT, STD = 120, 0.01


def planted(operator: LinearOperator, std: float = STD, count: int = 4) -> tuple[Posterior, Tensor]:
    """Measurements of images that the generator makes."""
    noise, prior = Noise.of(3, count, dtype=DOUBLE), Small()
    likelihood = GaussianLikelihood(operator, std)
    truth = prior.sample(1, noise.use("truth"))[0].detach()
    return Posterior(prior, likelihood, likelihood.simulate(truth, noise)), truth


def corrupted(problem: Posterior, share: float) -> tuple[Posterior, Tensor]:
    """The problem with some entries grossly wrong, and which."""
    noise = Noise.of(4, len(problem), dtype=DOUBLE)
    wrong = noise.use("where").uniform((COUNT,))[0].argsort(-1) < round(share * COUNT)
    gross = 10 + 10 * noise.use("gross").uniform((COUNT,))[0]
    return Posterior(problem.prior, problem.likelihood, problem.y + wrong * gross), wrong


def error(x: Tensor, truth: Tensor) -> float:
    return float((x - truth).square().mean().sqrt())


SOLVER = RobustCSGM(restarts=3, steps=200)


def test_gross_errors_do_not_move_it() -> None:
    problem, truth = planted(GaussianMeasurement(SHAPE, COUNT).double())
    clean = error(SOLVER.solve(problem, progress=False).x, truth)
    assert clean < 5 * STD  # CSGM's own is about σ √(k/m ‖A‖⁻²), or a few σ; the efficiency of medians is a half
    plain = CSGM(restarts=3, steps=200, learning_rate=0.1)
    wrong, _ = corrupted(problem, 0.1)
    # by 1000 σ and more in a tenth of the entries, whose own mean square would be that of a noise of 500 σ
    assert error(SOLVER.solve(wrong, progress=False).x, truth) < 10 * STD
    assert error(plain.solve(wrong, progress=False).x, truth) > 30 * STD


def test_an_operator_with_heavy_tails() -> None:
    uniform = Noise.of(5, 1, dtype=DOUBLE).uniform((COUNT, 16))[0, 0]
    heavy = torch.tan(math.pi * (uniform - 0.5)) / COUNT**0.5  # Cauchy: no variance
    problem, truth = planted(Matrix(heavy, SHAPE))
    wrong, _ = corrupted(problem, 0.05)
    assert error(SOLVER.solve(wrong, progress=False).x, truth) < 0.05


def test_large_blocks_allow_fewer_errors() -> None:
    # of blocks of 30, four to a partition, (1 − 0.1)³⁰ = 4 % are without an error: the median never is
    problem, truth = planted(GaussianMeasurement(SHAPE, COUNT).double())
    wrong, _ = corrupted(problem, 0.1)
    small, large = (
        error(RobustCSGM(restarts=2, steps=150, block_size=size).solve(wrong, progress=False).x, truth)
        for size in (4, 30)
    )
    assert large > 3 * small


def test_block_means() -> None:
    values = torch.arange(8, dtype=DOUBLE)[None, None, None]
    order = torch.tensor([[3.0, 1, 2, 0, 7, 6, 5, 4], [0.0, 1, 2, 3, 4, 5, 6, 7]], dtype=DOUBLE)[None, None]
    seen = torch.ones(1, 1, 8, dtype=torch.bool)
    # in the first order entries are 3 1 2 0 7 6 5 4: in turn to two blocks, 3 2 7 5 and 1 0 6 4
    assert block_means(values, order, seen, 4)[0, 0].tolist() == [[4.25, 2.75], [3.0, 4.0]]
    assert block_means(values, order, seen, 3).shape[-1] == 2  # 8 // 3 blocks of 4
    assert block_means(values, order, seen, 100)[0, 0].tolist() == [[3.5], [3.5]]
    two = torch.stack([seen, torch.arange(8)[None, None] >= 4], 0)[:, 0]  # of a second measurement four are seen
    found = block_means(values.expand(1, 2, 1, 8), order.expand(1, 2, 2, 8), two, 4)
    assert found[0, 1, :, 0].tolist() == [5.5, 5.5] and found[0, 1, :, 1].isnan().all()
    assert torch.equal(found[0, 0], block_means(values, order, seen, 4)[0, 0])


def game(problem: Posterior, z: Tensor, rival: Tensor, order: Tensor, weight: float) -> Tensor:
    """The loss of the docstring for one pair of latents (k,), whose images they are, by loops."""
    squares, theirs = ((problem.y[0] - v).square() for v in (z, rival))
    medians = []
    for numbers in order:
        entries, blocks = numbers.argsort(), len(numbers) // 5
        means = torch.stack([(squares - theirs)[entries[j::blocks]].mean() for j in range(blocks)])
        medians.append(means.sort().values[(blocks - 1) // 2])
    return torch.stack(medians).mean() + weight * (z.square().sum() - rival.square().sum())


def test_steps_follow_the_game() -> None:
    class Wide(Same):
        def __init__(self) -> None:
            super().__init__()
            self.latent_shape = self.event_shape = (35,)

    noise = Noise.of(6, 1, dtype=DOUBLE)
    y = noise.normal((35,))[0]
    problem = LatentPosterior(Posterior(Wide(), GaussianLikelihood(Identity((35,)), 0.7), y))
    pair, order = noise.use("pair").normal((2, 35)), noise.use("order").uniform((8, 35))
    solver = RobustCSGM(restarts=1, steps=10)
    with torch.enable_grad():
        z, rival = (v.clone().requires_grad_() for v in pair[0, 0])
        slopes = torch.autograd.grad(game(problem, z, rival, order[0, 0], 0.7**2 / 35), (z, rival))
        both = pair.clone().requires_grad_()
        value = solver.loss(problem, both, order)
        (found,) = torch.autograd.grad(value.sum(), both)
    assert torch.allclose(found[0, 0], torch.stack(slopes))
    assert value.item() == pytest.approx((y - pair[0, 0, 0]).square().median().item())
    state = solver.init(problem, noise)
    start = state.h.clone()
    moved: Search = solver.step(problem, state, noise)[0]
    with torch.enable_grad():
        both = start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(solver.loss(problem, both, noise.use("blocks").uniform((8, 35))).sum(), both)
    # Adam's first step is its rate, against the slope of z and along that of the rival
    expected = -0.1 * slope.sign() * torch.tensor([1.0, -1.0])[:, None]
    assert torch.allclose(moved.h - start, expected, atol=1e-4)  # but for Adam's 10⁻⁸


def test_masks_count_what_is_measured() -> None:
    mask = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.7
    problem, _ = planted(Inpainting(mask, SHAPE), 0.1, 3)
    solver = RobustCSGM(restarts=2, steps=30)
    whole = solver.solve(problem, progress=False)
    alone = solver.solve(problem.select([2]), progress=False)
    assert torch.allclose(whole.x[2], alone.x[0], atol=1e-9)
    squares = (problem.y - whole.x).square()
    expected = torch.stack([one[seen].median() for one, seen in zip(squares, mask, strict=True)])
    assert torch.allclose(whole.loss, expected)


def test_other_likelihoods_are_refused() -> None:
    problem = generated()
    with pytest.raises(IncompatibleError, match="CSGM takes any likelihood"):
        RobustCSGM().solve(Posterior(problem.prior, LaplaceLikelihood(problem.operator, 0.1), problem.y))
