"""Samplers for flow priors; those of generators' latents (`samplers.latent`, `samplers.TemperedSMC`) take flows too."""

from samplers.flows.ambient import AmbientVI
from samplers.flows.composed_flow import ComposedFlow
from samplers.flows.flow_hmc import FlowHMC
from samplers.flows.pl_mcmc import PLMCMC

__all__ = ["PLMCMC", "AmbientVI", "ComposedFlow", "FlowHMC"]
