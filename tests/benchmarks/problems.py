"""A Lévy process of two points by quadrature over its increments, atoms included."""

import torch
from torch import Tensor

from benchmarks.exactness.levy_increments import Increments


def quadrature(law: Increments, matrix: Tensor, y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Mean and std (2,) of x = (u₁, u₁ + u₂) given y = matrix @ x + sigma · noise, in units of the increments."""
    step = 0.04
    midpoints = torch.arange(-30, 30, step, dtype=torch.float64) + step / 2
    values = torch.cat([midpoints.new_zeros(1), midpoints])
    masses = torch.cat([midpoints.new_tensor([1 - law.share]), law.share * step * law.density(midpoints)])
    x1, x2 = values[:, None].expand(-1, len(values)), values[:, None] + values
    residuals = [y[i] - row[0] * x1 - row[1] * x2 for i, row in enumerate(matrix)]
    weights = masses[:, None] * masses * torch.exp(-sum(r.square() for r in residuals) / (2 * sigma**2))
    weights = weights / weights.sum()
    mean = torch.stack([(weights * x).sum() for x in (x1, x2)])
    square = torch.stack([(weights * x.square()).sum() for x in (x1, x2)])
    return mean, (square - mean.square()).sqrt()
