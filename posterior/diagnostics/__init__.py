"""How far samples can be trusted."""

from posterior.diagnostics.discrepancy import (
    covariance_error,
    energy_distance,
    mean_error,
    mode_weight_error,
    sliced_wasserstein,
    sliced_wasserstein_floor,
)

__all__ = [
    "covariance_error",
    "energy_distance",
    "mean_error",
    "mode_weight_error",
    "sliced_wasserstein",
    "sliced_wasserstein_floor",
]
