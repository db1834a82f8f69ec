"""The image of undersampled k-space with zeros in what was not measured."""

from __future__ import annotations

from dataclasses import dataclass

from posterior.operators import MultiCoilMRI
from posterior.problem import Posterior
from samplers.baselines.reconstruction import Reconstruction, found
from samplers.baselines.scan import normalised, over_sensitivity, scan_of
from samplers.solver import Found


@dataclass(frozen=True)
class ZeroFilled(Reconstruction):
    r"""The zero-filled image of Cartesian MRI, what all reconstructions start from.

    $$ \hat x = \sum_c \bar S_c F^{-1} y_c \Big/ \sum_c |S_c|^2 $$

    It is least squares of fully sampled k-space, and 0 where no coil sees anything. Of the prior it uses the event
    shape alone.

    References:
        Pruessmann, Weiger, Scheidegger & Boesiger 1999, SENSE: Sensitivity encoding for fast MRI, Magn. Reson. Med. 42.
    """

    def reconstruct(self, problem: Posterior, seed: int, progress: bool) -> Found:
        operator = scan_of(self.name, problem, MultiCoilMRI)
        return found(over_sensitivity(normalised(operator).adjoint(problem.y), operator))
