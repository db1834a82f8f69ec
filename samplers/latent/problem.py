"""The posterior of a generator's latent, as a problem of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.problem import Posterior


class LatentPosterior(Posterior):
    r"""The posterior \(p(z \mid y) \propto N(z; 0, I)\, p(y \mid G(z))\) of the latents of B measurements.

    Its events are latents: `event_shape` is the prior's `latent_shape`, and the likelihood is a function of z. Draws
    of it, decoded, are draws of p(x | y) under the push-forward of N(0, I) by G.
    """

    @classmethod
    def of(cls, problem: Posterior) -> LatentPosterior:
        """That of a problem whose prior is a `GeneratorPrior`."""
        new = cls._replace(problem.prior, problem.likelihood, problem.y, problem.ids)
        assert isinstance(new, LatentPosterior)
        return new

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one latent."""
        return self.prior.latent_shape

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Log p(y | G(z)) for latents (..., B, *latent_shape): (..., B)."""
        return super().log_likelihood(self.prior.decode(x))

    def log_likelihood_grad(self, x: Tensor) -> Tensor:
        """Gradient of log p(y | G(z)) in z, same shape as the latents (S, B, *latent_shape)."""
        draws, measurements = x.shape[:2]
        at_once = getattr(self.prior, "batch_size", None) or draws * measurements
        if draws * measurements > at_once:  # what a gradient needs is held for one network call at a time
            if draws > 1:
                return torch.cat([self.log_likelihood_grad(part) for part in x.split(max(1, at_once // measurements))])
            some = torch.arange(measurements, device=x.device).split(at_once)
            return torch.cat([self.select(part).log_likelihood_grad(x[:, part]) for part in some], 1)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            image = self.prior.decode(x)
        return torch.autograd.grad(image, x, super().log_likelihood_grad(image.detach()))[0]
