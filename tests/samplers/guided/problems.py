"""Problems of guided samplers whose posteriors, denoisers and spectra are known."""

from collections.abc import Callable

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, GaussianMeasurement, Inpainting, Matrix, Operator
from posterior.operators.tight import TightOperator
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from tests.problems import DOUBLE, measure


def white_problem(noise_std: float = 0.3) -> Posterior:
    """A white Gaussian of mean 0.2 and std 0.5 under a matrix of unequal singular values."""
    prior = GaussianMixturePrior(torch.full((1, 4), 0.2, dtype=DOUBLE), std=0.5)
    matrix = torch.tensor([[1.0, 0.5, 0.0, -0.5], [0.0, 0.3, 0.3, 0.1]], dtype=DOUBLE)
    y = torch.tensor([[0.9, -0.4]], dtype=DOUBLE)
    return Posterior(prior, GaussianLikelihood(Matrix(matrix), noise_std), y)


class Coefficients(TightOperator):
    """A quarter of the Fourier coefficients of an image (1, side, side), each with its conjugate."""

    known: Tensor

    def __init__(self, side: int) -> None:
        super().__init__((1, side, side), (1, side, side), scale=1.0)
        self.is_complex = True
        known = torch.rand(side, side, generator=torch.Generator().manual_seed(0)) < 0.14
        self.register_buffer("known", known | known.flip(0, 1).roll((1, 1), (0, 1)))

    def _forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft2(x, norm="ortho") * self.known

    def _adjoint(self, y: Tensor) -> Tensor:
        return torch.fft.ifft2(y * self.known, norm="ortho").real


def power_law_problem(kind: str, noise_std: float, side: int = 16) -> Posterior:
    """A field of spectrum 1/f² and pixel std 0.5: most of its variance is in a few directions, far wider than a pixel.

    Args:
        kind: A quarter of the "pixels", all but a "box", 4 × 4 "means", a quarter of the "Fourier" coefficients, or a
            random "matrix" of a quarter as many rows.
        noise_std: σ_y.
        side: Pixels.
    """
    shape, grid = (1, side, side), torch.fft.fftfreq(side, dtype=DOUBLE) * side
    power = 1 / (grid[:, None] ** 2 + grid**2).clamp_min(1)
    waves = torch.fft.fft2(torch.eye(side**2, dtype=DOUBLE).reshape(-1, side, side))
    covariance = torch.fft.ifft2(waves * (power / power.mean() * 0.5**2)).real.reshape(side**2, side**2)
    prior = GaussianMixturePrior(torch.zeros(1, *shape, dtype=DOUBLE), covariance=(covariance + covariance.mT) / 2)
    box = torch.ones(shape, dtype=torch.bool)
    box[:, side // 4 : -side // 4, side // 4 : -side // 4] = False
    operators: dict[str, Callable[[], Operator]] = {
        "pixels": lambda: Inpainting.random(shape, 0.25, seed=0),
        "box": lambda: Inpainting(box),
        "means": lambda: Downsampling(shape, 4).double(),
        "Fourier": lambda: Coefficients(side),
        "matrix": lambda: GaussianMeasurement(shape, side**2 // 4, seed=0).double(),
    }
    return measure(prior, operators[kind](), noise_std)


def orthogonal_problem() -> Posterior:
    """A white Gaussian under orthogonal rows of different lengths."""
    white = white_problem()
    operator = Matrix(torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 0.6, 0.8, 0.0]], dtype=DOUBLE))
    return Posterior(white.prior, GaussianLikelihood(operator, 0.3), white.y)


def spectral(samples: int = 5) -> tuple[Posterior, Tensor, Tensor, Tensor, Tensor]:
    """The white problem with A = U S Vᵀ: singular values s (2,), V (4, 4), images x, and ȳ = S⁻¹Uᵀy."""
    problem = white_problem()
    u, s, vt = torch.linalg.svd(problem.operator.matrix)
    x = Noise.of(0, 1, samples, dtype=DOUBLE).normal((4,))
    return problem, s, vt.mT, x, (problem.y @ u) / s
