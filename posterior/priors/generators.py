"""Generators as priors: push-forwards of a Gaussian latent."""

from __future__ import annotations

import math
from typing import overload

import torch
from torch import Tensor, nn

from posterior.checks import Size, checked
from posterior.errors import IncompatibleError, NotFiniteError
from posterior.noise import Noise
from posterior.priors.base import Prior
from posterior.probe import trial_rows, try_out
from posterior.shapes import check_values

_State = Tensor | tuple[Tensor, ...]  # what goes from one layer of a generator to the next: rows (N, …) each


class GeneratorPrior(Prior):
    r"""A prior that is the push-forward of \(z \sim N(0, I)\) by a generator, x = G(z).

    Subclasses define `latent_shape` and `layers`; G is the layers one after the other, so that a method can enter
    the generator anywhere.

    Attributes:
        latent_shape: Shape of one latent z.
        layers: Modules whose composition is G, each a map of a batch (N, …), or of a tuple of such.
    """

    latent_shape: tuple[int, ...]
    layers: nn.ModuleList

    def forward(self, z: Tensor) -> Tensor:
        """G(z): (..., *latent_shape) → (..., *event_shape)."""
        check_values(f"z, given to {type(self).__name__},", z, self.latent_shape)
        lead = z.shape[: z.ndim - len(self.latent_shape)]
        return self.run(z.reshape(-1, *self.latent_shape)).reshape(*lead, *self.event_shape)

    @overload
    def run(self, h: _State, start: int = 0, stop: None = None) -> Tensor: ...

    @overload
    def run(self, h: _State, start: int = 0, *, stop: int) -> _State: ...

    @overload
    def run(self, h: _State, start: int, stop: int) -> _State: ...

    def run(self, h: _State, start: int = 0, stop: int | None = None) -> _State:
        """Layers start … stop−1 (to the last unless given) applied to rows h, the input of layer `start`.

        Rows are (N, …), or a tuple of such where more than one tensor goes from a layer to the next. Layers are given
        them in their own precision, and copies, which they may overwrite; what is returned is in the rows' precision.
        """
        dtype = (h if isinstance(h, Tensor) else h[0]).dtype
        h = _copied(h, self.precision or dtype)
        for layer in list(self.layers)[start:stop]:
            h = layer(h)
        return _copied(h, dtype)

    def _try_out(self, dtype: torch.dtype) -> None:
        name = f"the generator {type(self).__name__}"
        if not bool(try_out(name, self, trial_rows(self.latent_shape, dtype, self.device)).isfinite().all()):
            raise NotFiniteError(f"{name} gives NaN or infinity for latents of N(0, I)")

    def decode(self, state: Tensor) -> Tensor:
        """The images x = G(z): (..., *latent_shape) → (..., *event_shape)."""
        return self(state)

    def latent_log_prob(self, z: Tensor) -> Tensor:
        r"""Log-density of latents, \(\log N(z; 0, I)\): (..., *latent_shape) → (...)."""
        return standard_log_prob(z, len(self.latent_shape))

    @checked
    def sample(self, num_samples: Size, noise: Noise) -> Tensor:
        """Draw images G(z): (num_samples, B, *event_shape), B the ids of `noise`."""
        return self(noise.for_draws(num_samples).normal(self.latent_shape).to(self.dtype))


def _copied(h: _State, dtype: torch.dtype) -> _State:
    return h.to(dtype, copy=True) if isinstance(h, Tensor) else tuple(part.to(dtype, copy=True) for part in h)


def standard_log_prob(z: Tensor, dims: int) -> Tensor:
    r"""\(\log N(z; 0, I)\) over the last `dims` axes."""
    return -0.5 * (z.flatten(z.ndim - dims).square() + math.log(2 * math.pi)).sum(-1)


class NetworkGenerator(GeneratorPrior):
    """The push-forward of N(0, I) by a generator network.

    Args:
        network: Has `latent_shape`, `event_shape` and `layers`, modules whose composition it is (`VAEDecoder`,
            `DCGANGenerator`). It is put in evaluation mode: batch normalisation would couple images.

    Raises:
        IncompatibleError: The network lacks one of these.
    """

    settings = ()

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        missing = [name for name in ("latent_shape", "event_shape", "layers") if not hasattr(network, name)]
        if missing:
            raise IncompatibleError(
                f"{type(network).__name__} has no {', '.join(missing)}; give the network these attributes, or subclass "
                "GeneratorPrior"
            )
        self.network = network
        for name in ("latent_shape", "event_shape"):
            setattr(self, name, tuple(getattr(network, name)))
        self.eval()

    @property
    def layers(self) -> nn.ModuleList:  # type: ignore[override]
        """Modules whose composition is G; they belong to `network`."""
        layers = self.network.layers
        assert isinstance(layers, nn.ModuleList)
        return layers
