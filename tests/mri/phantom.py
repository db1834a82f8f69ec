"""A head of ellipses, in the size of the shipped brain prior or smaller."""

import torch
from torch import Tensor


def head(height: int, width: int) -> Tensor:
    """Magnitudes (H, W) in [0, 1], zero outside."""
    rows = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None]
    columns = torch.linspace(-1, 1, width, dtype=torch.float64)

    def ellipse(row: float, column: float, tall: float, wide: float) -> Tensor:
        return (((rows - row) / tall).square() + ((columns - column) / wide).square() < 1).double()

    brain = ellipse(0, 0, 0.75, 0.65)
    ventricles = ellipse(0.1, 0.15, 0.25, 0.1) + ellipse(0.1, -0.15, 0.25, 0.1)
    texture = 0.15 * torch.cos(9 * rows) * torch.sin(11 * columns)
    return 0.3 * ellipse(0, 0, 0.85, 0.75) + brain * (0.5 + texture) - 0.4 * ventricles
