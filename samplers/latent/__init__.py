"""Samplers of a generator's latent posterior, p(z | y); `samplers.TemperedSMC` is another."""

from samplers.latent.hmc import HMC
from samplers.latent.langevin import LatentLangevin

__all__ = ["HMC", "LatentLangevin"]
