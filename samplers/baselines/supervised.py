"""Reconstructions by networks that were trained end to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from tqdm import tqdm

from posterior.checks import Count, checked
from posterior.errors import IncompatibleError, check_finite
from posterior.modes import own_modes
from posterior.mri.reconstruction import (
    MoDLNetwork,
    ReconstructionNetwork,
    ReconstructionUNet,
    VariationalNetwork,
    load_network,
)
from posterior.operators import MultiCoilMRI
from posterior.priors.base import Prior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from samplers.baselines.estimate import estimate_of
from samplers.baselines.scan import normalised, over_sensitivity, scan_of
from samplers.plan import Calls
from samplers.solver import Solver


@dataclass(frozen=True)
class Supervised(Solver):
    """The image that a network of Cartesian MRI, trained end to end, makes of a measurement.

    It takes whatever mask and coil maps the problem has, those that it was trained on or others; maps are normalised to
    a sum of squares of 1 meanwhile. Of the prior it uses the event shape alone, and the noise level it does not see.
    `posterior.training.train_reconstruction` and `posterior train mri` train such networks.

    Args:
        network: The network, or a folder that `save_network` wrote.

    Raises:
        IncompatibleError: The network is of another class.
        FileFormatError: The folder does not hold a readable network.
    """

    architecture: ClassVar[type[ReconstructionNetwork]] = ReconstructionNetwork
    priors: ClassVar = (Prior,)
    network: ReconstructionNetwork | str | Path

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.network, ReconstructionNetwork):
            object.__setattr__(self, "network", load_network(self.network))
        if not isinstance(self.network, self.architecture):
            raise IncompatibleError(
                f"{self.name} needs network to be a {self.architecture.__name__}, got a {type(self.network).__name__}"
            )

    def check(self, problem: Posterior) -> None:
        scan_of(self.name, problem, MultiCoilMRI)

    def calls(self, problem: Posterior) -> Calls:
        return Calls(0)

    @checked
    @own_modes()
    def solve(
        self, problem: Posterior, *, seed: int = 0, batch_size: Count | None = None, progress: bool = True
    ) -> PointEstimate:
        """Reconstruct every measurement; the estimate's `loss` is NaN, for there is none.

        Args:
            problem: A prior of complex images, a `GaussianLikelihood` on `MultiCoilMRI`, and measurements.
            seed: Not used: nothing is random.
            batch_size: Measurements at a time, all of them unless given.
            progress: Whether to show a progress bar.

        Raises:
            IncompatibleError: The likelihood or the operator is another.
            NotFiniteError: The network gives NaN or infinity.
        """
        operator, network = scan_of(self.name, problem, MultiCoilMRI), self.network
        assert isinstance(network, ReconstructionNetwork)
        unit, rows = normalised(operator), torch.arange(len(problem), device=problem.device)
        parts = rows.split(batch_size or max(1, len(problem)))
        images = [
            network(problem.y[part], unit.select(part)) for part in tqdm(parts, disable=not progress, desc=self.name)
        ]
        x = over_sensitivity(torch.cat(images), operator)
        check_finite(f"the image of {self.name}", x, "train its network anew", problem.ids)
        return estimate_of(problem, x)


@dataclass(frozen=True)
class UNet(Supervised):
    """The zero-filled image, cleaned by a trained network: `posterior.mri.ReconstructionUNet`.

    Args:
        network: The network, or a folder that `save_network` wrote.
    """

    architecture: ClassVar = ReconstructionUNet


@dataclass(frozen=True)
class MoDL(Supervised):
    """A trained denoiser and least squares in turn: `posterior.mri.MoDLNetwork`.

    Args:
        network: The network, or a folder that `save_network` wrote.
    """

    architecture: ClassVar = MoDLNetwork


@dataclass(frozen=True)
class VarNet(Supervised):
    """Gradient steps in k-space with trained refinements: `posterior.mri.VariationalNetwork`.

    Args:
        network: The network, or a folder that `save_network` wrote.
    """

    architecture: ClassVar = VariationalNetwork
