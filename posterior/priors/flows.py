"""Flows as priors: invertible maps of a Gaussian latent, whose images have a density."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from posterior.errors import IncompatibleError
from posterior.priors.generators import GeneratorPrior, NetworkGenerator, standard_log_prob
from posterior.shapes import check_values


class FlowPrior(GeneratorPrior):
    r"""A prior that is the push-forward of \(z \sim N(0, I)\) by an invertible map, x = f(z), with a density of images.

    $$ \log p(x) = \log N(f^{-1}(x); 0, I) + \log\left|\det \frac{\partial f^{-1}}{\partial x}\right| $$

    Subclasses define `latent_shape` and `layers`, as generators do, so that whatever samples a generator's latent
    samples that of a flow. Each layer also has `inverse`, which maps its output, rows (N, …), to its input and to the
    logarithm of the absolute determinant of that map, (N,).

    Attributes:
        support: Bounds between which all values of images lie.
    """

    support: tuple[float, float] = (-math.inf, math.inf)

    @staticmethod
    def from_zuko(flow: Any) -> FlowPrior:
        """A prior of a zuko flow of vectors (`zuko.flows.NSF(features=2, passes=2)`, trained), whose base is N(0, I).

        Coupling flows (passes=2) are as fast one way as the other; autoregressive ones draw an entry at a time.

        Raises:
            IncompatibleError: Its base is another distribution, or it wants a context.
        """
        return _ZukoPrior(flow)

    def inverse_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Latents z with f(z) = x, (..., *latent_shape), and \(\log|\det \partial z/\partial x|\), (...).

        Args:
            x: Images (..., *event_shape). Where one is no f(z) the logarithm is −∞.

        Raises:
            ShapeError: x does not end in the prior's event shape.
        """
        check_values(f"x, given to {type(self).__name__}.inverse,", x, self.event_shape)
        lead = x.shape[: x.ndim - len(self.event_shape)]
        h = x.reshape(-1, *self.event_shape).to(self.precision or x.dtype, copy=True)
        total = h.new_zeros(len(h))
        layers: list[Any] = list(self.layers)
        for layer in reversed(layers):
            h, log_det = layer.inverse(h)
            total = total + log_det
        return h.reshape(*lead, *self.latent_shape).to(x.dtype), total.reshape(lead).to(x.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """Latents z with f(z) = x: (..., *event_shape) → (..., *latent_shape)."""
        return self.inverse_and_log_det(x)[0]

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of images, log p(x): (..., *event_shape) → (...)."""
        z, log_det = self.inverse_and_log_det(x)
        return self.latent_log_prob(z) + log_det


class NetworkFlow(NetworkGenerator, FlowPrior):
    """The flow of a network whose layers are invertible (`ImageFlow`, `VectorFlow`).

    Args:
        network: Has `latent_shape`, `event_shape` and `layers`, modules with `inverse`.

    Raises:
        IncompatibleError: The network lacks one of these.
    """

    settings = ()

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        lacking = [type(layer).__name__ for layer in self.layers if not hasattr(layer, "inverse")]
        if lacking:
            raise IncompatibleError(
                f"layers of {type(network).__name__} have no inverse ({', '.join(lacking)}): it is a generator, no flow"
            )
        self.support = getattr(network, "support", self.support)


class _ZukoPrior(FlowPrior):
    def __init__(self, flow: Any) -> None:
        from posterior.networks.vector_flow import ZukoLayer

        super().__init__()
        base = flow.base()
        shape = tuple(base.event_shape)
        probe = torch.linspace(-2.0, 2.0, 5)[:, None].expand(5, *shape).to(next(flow.parameters()))
        if len(shape) != 1 or not torch.allclose(base.log_prob(probe), standard_log_prob(probe, 1)):
            raise IncompatibleError("the base of a flow prior is N(0, I) of vectors; fold another into the transforms")
        try:
            flow().log_prob(probe)
        except (TypeError, RuntimeError) as error:
            raise IncompatibleError(
                f"a prior is a flow without context; this {type(flow).__name__} wants one"
            ) from error
        self.event_shape = self.latent_shape = shape
        self.layers = nn.ModuleList([ZukoLayer(flow.transform)])
        self.eval()
