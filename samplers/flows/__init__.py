"""Samplers for flow priors; those of generators' latents (`samplers.latent`, `samplers.TemperedSMC`) take flows too."""

from samplers.flows.ambient import AmbientVI
from samplers.flows.composed_flow import ComposedFlow
from samplers.flows.flow_hmc import FlowHMC

__all__ = ["AmbientVI", "ComposedFlow", "FlowHMC"]
