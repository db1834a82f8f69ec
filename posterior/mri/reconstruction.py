"""Networks that make an image of the measurement of an MRI scan, trained end to end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posterior.checks import Count, check_value
from posterior.io.folders import construct, entry, load_weights, read_config, registered, save_folder
from posterior.linalg import shifted_inverse
from posterior.networks.normalised_unet import NormalisedUNet
from posterior.operators.mri import MultiCoilMRI

_TOLERANCE = 1e-12  # of conjugate gradients: so small that they take all of their steps


class ReconstructionNetwork(nn.Module):
    r"""A map from a measurement and its operator to an image, \((y, A) \mapsto x\), whose output scales as y does.

    Args:
        settings: What the network is built with, by name: integers of at least 1.

    Raises:
        InvalidValueError: A setting is no such integer.
    """

    def __init__(self, **settings: int) -> None:
        super().__init__()
        self.config = {name: check_value(type(self).__name__, name, value, Count) for name, value in settings.items()}

    def forward(self, y: Tensor, operator: MultiCoilMRI) -> Tensor:
        """Images (B, 2, H, W) of measurements (B, C, H′, W′), with maps whose sum of squares is 1 or 0 anywhere."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.config.items())})"


class ReconstructionUNet(ReconstructionNetwork):
    r"""A U-Net that cleans the zero-filled image, \(x = A^H y + U(A^H y)\).

    Args:
        width, pools: See `NormalisedUNet`.

    References:
        Zbontar et al. 2018, fastMRI: An Open Dataset and Benchmarks for Accelerated MRI, arXiv:1811.08839.
        Jin, McCann, Froustey & Unser 2017, Deep Convolutional Neural Network for Inverse Problems in Imaging,
        arXiv:1611.03679 (the residual form).
    """

    def __init__(self, width: int = 16, pools: int = 4) -> None:
        super().__init__(width=width, pools=pools)
        self.network = NormalisedUNet(2, width, pools)

    def forward(self, y: Tensor, operator: MultiCoilMRI) -> Tensor:
        """The zero-filled image and the network's correction."""
        x = operator.adjoint(y)
        return x + self.network(x)


class MoDLNetwork(ReconstructionNetwork):
    r"""A denoiser and the measurement in turn, K times with the same weights: MoDL.

    $$ z_k = x_k + U(x_k), \qquad x_{k+1} = (A^H A + \lambda I)^{-1} (A^H y + \lambda z_k), \qquad x_0 = A^H y $$

    with λ learned, the inverse by conjugate gradients, and gradients through it by conjugate gradients again. The
    denoiser is a U-Net; that of the paper is five convolutions of 64 features.

    Args:
        width, pools: Of the denoiser, see `NormalisedUNet`.
        iterations: K.
        products: Steps of conjugate gradients.

    References:
        Aggarwal, Mani & Jacob 2019, MoDL: Model-Based Deep Learning Architecture for Inverse Problems,
        arXiv:1712.02862.
    """

    def __init__(self, width: int = 16, pools: int = 4, iterations: int = 5, products: int = 10) -> None:
        super().__init__(width=width, pools=pools, iterations=iterations, products=products)
        self.iterations, self.products = iterations, products
        self.network = NormalisedUNet(2, width, pools)
        self.log_weight = nn.Parameter(torch.tensor(math.log(0.05)))

    def forward(self, y: Tensor, operator: MultiCoilMRI) -> Tensor:
        """The last of the images x_k."""
        seen, weight = operator.adjoint(y), self.log_weight.exp()
        x = seen
        for _ in range(self.iterations):
            z = x + self.network(x)
            x = shifted_inverse(operator.gram, weight, seen + weight * z, 3, self.products, _TOLERANCE)
        return x


class VariationalNetwork(ReconstructionNetwork):
    r"""Gradient steps in k-space, each with a refinement of its own: the end-to-end variational network.

    $$ k_{t+1} = k_t - \eta_t M (k_t - y) + F S\, U_t(S^H F^{-1} k_t), \qquad k_0 = y, \qquad x = S^H F^{-1} k_T $$

    with the step sizes η_t learned. Coil maps S are those of the operator; in the paper a network estimates them.

    Args:
        cascades: T.
        width, pools: Of each refinement, see `NormalisedUNet`.

    References:
        Sriram et al. 2020, End-to-End Variational Networks for Accelerated MRI Reconstruction, arXiv:2004.06688.
    """

    def __init__(self, cascades: int = 6, width: int = 13, pools: int = 3) -> None:
        super().__init__(cascades=cascades, width=width, pools=pools)
        self.networks = nn.ModuleList([NormalisedUNet(2, width, pools) for _ in range(cascades)])
        self.steps = nn.Parameter(torch.ones(cascades))

    def forward(self, y: Tensor, operator: MultiCoilMRI) -> Tensor:
        """The image of the last k-space."""
        k = y
        for cascade in range(len(self.networks)):
            k = self.cascade(cascade, k, y, operator)
        return operator.transform_adjoint(k)

    def cascade(self, cascade: int, k: Tensor, y: Tensor, operator: MultiCoilMRI) -> Tensor:
        """What a cascade makes of k-space k (B, C, H′, W′)."""
        correction = self.networks[cascade](operator.transform_adjoint(k))
        return k - self.steps[cascade] * (operator.mask * k - y) + operator.transform(correction)


NETWORKS: dict[str, type[ReconstructionNetwork]] = {
    "unet": ReconstructionUNet,
    "modl": MoDLNetwork,
    "varnet": VariationalNetwork,
}


def save_network(network: ReconstructionNetwork, folder: str | Path) -> Path:
    """Write a network to a folder: `config.json` and `weights.safetensors`."""
    name = next(name for name, kind in NETWORKS.items() if type(network) is kind)
    config: dict[str, Any] = {"class": name, "config": network.config}
    return save_folder(folder, config, network)


def load_network(folder: str | Path) -> ReconstructionNetwork:
    """Read a network, in evaluation mode and without parameter gradients.

    Raises:
        FileFormatError: The folder does not hold a readable one.
    """
    path = Path(folder) / "config.json"
    config = read_config(path, "save_network", "class and config")
    settings = entry(config, "config", dict, path)
    with torch.random.fork_rng(devices=[]):  # weights, soon replaced, must not advance the global generator
        network: ReconstructionNetwork = construct(registered(config, NETWORKS, path), path, **settings)
    load_weights(network, path.parent)
    return network.eval().requires_grad_(False)
