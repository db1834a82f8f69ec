"""The image of undersampled k-space with zeros in what was not measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posterior.checks import Count, checked
from posterior.modes import own_modes
from posterior.operators import MultiCoilMRI
from posterior.priors.base import Prior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from samplers.baselines.estimate import estimate_of
from samplers.baselines.scan import normalised, over_sensitivity, scan_of
from samplers.plan import Calls
from samplers.solver import Solver


@dataclass(frozen=True)
class ZeroFilled(Solver):
    r"""The zero-filled image of Cartesian MRI, what all reconstructions start from.

    $$ \hat x = \sum_c \bar S_c F^{-1} y_c \Big/ \sum_c |S_c|^2 $$

    It is least squares of fully sampled k-space, and 0 where no coil sees anything. Of the prior it uses the event
    shape alone.

    References:
        Pruessmann, Weiger, Scheidegger & Boesiger 1999, SENSE: Sensitivity encoding for fast MRI, Magn. Reson. Med. 42.
    """

    priors: ClassVar = (Prior,)

    def check(self, problem: Posterior) -> None:
        scan_of(self.name, problem, MultiCoilMRI)

    def calls(self, problem: Posterior) -> Calls:
        return Calls(0)

    @checked
    @own_modes()
    def solve(
        self, problem: Posterior, *, seed: int = 0, batch_size: Count | None = None, progress: bool = True
    ) -> PointEstimate:
        """The image of every measurement.

        Args:
            problem: A prior of complex images, a `GaussianLikelihood` on `MultiCoilMRI`, and measurements.
            seed, batch_size, progress: Not used: nothing is random, and takes no time.

        Raises:
            IncompatibleError: The likelihood or the operator is another.
        """
        operator = scan_of(self.name, problem, MultiCoilMRI)
        return estimate_of(problem, over_sensitivity(normalised(operator).adjoint(problem.y), operator))
