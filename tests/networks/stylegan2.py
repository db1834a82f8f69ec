"""A small StyleGAN2 generator of random weights, none of which is zero."""

import torch

from posterior.networks.stylegan2 import StyleGAN2Generator
from posterior.noise import Noise


def small_network(latents: str = "z", size: int = 32, dtype: torch.dtype = torch.float64) -> StyleGAN2Generator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = StyleGAN2Generator(size, 16, 2, max_channels=16, latents=latents)
        for name, parameter in network.named_parameters():  # biases and noise strengths that begin as zeros
            if name.endswith("bias") or "noise" in name:
                parameter.data += 0.3 * torch.randn_like(parameter)
    if latents == "w+":
        network.fit_styles(Noise.of(0), 1000)
    return network.to(dtype).eval()
