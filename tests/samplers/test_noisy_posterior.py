"""The posterior of a noisy image at levels of its own."""

import torch

from posterior.noise import Noise
from posterior.operators import Matrix
from samplers.noisy_posterior import denoised, score
from tests.problems import DOUBLE, gaussian, measure


def test_scores_are_those_of_the_levels_given_and_tell_the_denoised_image() -> None:
    a = torch.tensor([[1.0, 0.5, 0.2, 0.0], [0.0, 0.3, 1.0, 2.0]], dtype=DOUBLE)
    problem = measure(gaussian(4), Matrix(a), 0.3, batch=2)
    z = Noise.of(1, 2, 3, dtype=DOUBLE).normal((4,))
    rho, tau2 = torch.tensor([0.2, 0.7], dtype=DOUBLE), torch.tensor([1.0, 4.0], dtype=DOUBLE)
    image = problem.prior.denoise(z, rho)
    seen = torch.stack([
        torch.linalg.solve(tau2[b] * torch.eye(2) - rho[b] ** 2 * a @ a.T, (problem.y[b] - z[:, b] @ a.T).T).T @ a
        for b in range(2)
    ], 1)  # fmt: skip
    found = score(problem, z, rho, tau2)
    assert torch.allclose(found, (image - z) / rho[:, None] ** 2 + seen)
    assert torch.allclose(denoised(problem, z, found, rho, tau2), image)
