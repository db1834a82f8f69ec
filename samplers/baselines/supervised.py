"""Reconstructions by networks that were trained end to end."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from posterior.errors import IncompatibleError, check_finite
from posterior.modes import check_evaluation
from posterior.mri.reconstruction import (
    MoDLNetwork,
    ReconstructionNetwork,
    ReconstructionUNet,
    VariationalNetwork,
    load_network,
)
from posterior.operators import MultiCoilMRI
from posterior.problem import Posterior
from samplers.baselines.reconstruction import Reconstruction, found
from samplers.baselines.scan import normalised, over_sensitivity, scan_of
from samplers.solver import Found


@dataclass(frozen=True)
class Supervised(Reconstruction):
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
        super().check(problem)
        assert isinstance(self.network, ReconstructionNetwork)
        check_evaluation(f"the network of {self.name}", self.network)

    def reconstruct(self, problem: Posterior, seed: int, progress: bool) -> Found:
        operator = scan_of(self.name, problem, MultiCoilMRI)
        x = over_sensitivity(self.network_on(problem.device)(problem.y, normalised(operator)), operator)
        check_finite(f"the image of {self.name}", x, "train its network anew", problem.ids)
        return found(x)

    def network_on(self, device: torch.device) -> ReconstructionNetwork:
        """The network, or a copy of it where its weights are on another device."""
        assert isinstance(self.network, ReconstructionNetwork)
        here = all(values.device == device for values in self.network.parameters())
        return self.network if here else deepcopy(self.network).to(device)


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
