"""Generator networks as priors."""

from __future__ import annotations

from torch import Tensor, nn

from posterior.errors import IncompatibleError
from posterior.priors.base import GeneratorPrior


class NetworkGenerator(GeneratorPrior):
    """The push-forward of N(0, I) by a generator network.

    Latents of another precision than the network's are converted on the way in, and images back on the way out.

    Args:
        network: Has `latent_shape`, `event_shape` and `layers`, modules whose composition it is (`VAEDecoder`,
            `DCGANGenerator`). It is put in evaluation mode: batch normalisation would couple images.

    Raises:
        IncompatibleError: The network lacks one of these.
    """

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

    def forward(self, z: Tensor) -> Tensor:
        """G(z): (..., *latent_shape) → (..., *event_shape)."""
        return super().forward(z.to(self.dtype)).to(z.dtype)
