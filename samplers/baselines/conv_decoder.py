"""A convolutional network that was never trained, fitted to one measurement (ConvDecoder)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from posterior.checks import Count, Positive, Several
from posterior.errors import IncompatibleError, check_finite
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from posterior.problem import Posterior
from samplers.baselines.reconstruction import Reconstruction, found
from samplers.baselines.scan import normalised, over_sensitivity, scan_of
from samplers.solver import Found

_START = 4  # pixels along an axis of the coarsest features


@dataclass(frozen=True)
class ConvDecoder(Reconstruction):
    r"""The image of a small untrained network that fits a measurement of Cartesian MRI best.

    $$ \min_\theta \frac1m \|y - A\, s\, G_\theta(z)\|^2, \qquad
       \hat x = x + A^H(y - A x), \quad x = s\, G_\theta(z) $$

    The input z is random and fixed. Each layer of the decoder G enlarges its features to the next of sides that grow
    geometrically, the last but one to those of the image, and puts a 3 × 3 convolution, ReLU and normalisation on them;
    the last makes the two channels of the image of a 1 × 1 convolution. The scale s is such that the first image is as
    large as the zero-filled one. What is measured takes the place of what was fitted at the end: of a single coil
    \(A\hat x = y\). Of all steps the image of least loss is kept. Maps are normalised to
    \(\sum_c |S_c|^2 = 1\) meanwhile. Of the prior it uses the event shape alone.

    The paper's network has 256 channels, at 640 × 368 pixels: 64 are sixteen times as fast.

    Reports (in `PointEstimate.info`): loss (steps, B).

    Args:
        channels: Features of each layer.
        depth: Layers.
        steps: Of Adam.
        learning_rate: Its step size.

    References:
        Darestani & Heckel 2021, Accelerated MRI with un-trained neural networks, arXiv:2007.02471.
    """

    channels: Count = 256
    depth: Several = 7
    steps: Count = 2500
    learning_rate: Positive = 0.008

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if math.prod(problem.event_shape[1:]) == 1:
            raise IncompatibleError(f"{self.name} takes images of more than one pixel")

    def reconstruct(self, problem: Posterior, seed: int, progress: bool) -> Found:
        scan, noise = scan_of(self.name, problem, MultiCoilMRI), problem.noise(seed, 1)
        operator = normalised(scan)
        images, traces = [], []
        with tqdm(total=len(problem) * self.steps, disable=not progress, desc=self.name) as bar:
            for b in torch.arange(len(problem), device=problem.device).split(1):
                image, trace = self._fit(problem.y[b], operator.select(b), noise.select(b), bar)
                check_finite(f"{self.name}'s loss", trace[-1:], "lower learning_rate", [problem.ids[int(b)]])
                images.append(image)
                traces.append(trace)
        x, trace = over_sensitivity(torch.cat(images), scan), torch.stack(traces, 1)
        return found(x)._replace(loss=trace.amin(0), info={"loss": trace})

    def _fit(self, y: Tensor, operator: MultiCoilMRI, noise: Noise, bar: tqdm) -> tuple[Tensor, Tensor]:
        """The image (1, 2, H, W) of one measurement, and its losses (steps,)."""
        shape, measured = operator.event_shape[1:], int(operator.num_measured)
        with torch.random.fork_rng(devices=[]):
            decoder = Decoder(self.channels, self.depth, shape).to(y.real)
        decoder.draw(noise)
        z = noise.use("input").uniform((self.channels, *(min(_START, side) for side in shape)))[0]
        zero_filled = operator.adjoint(y)
        scale = zero_filled.norm() / decoder(z).norm()
        optimiser = torch.optim.Adam(decoder.parameters(), self.learning_rate)
        best, least, trace = zero_filled, torch.full_like(scale, math.inf), []
        for _ in range(self.steps):
            with torch.enable_grad():
                x = scale * decoder(z)
                loss = (y - operator(x)).abs().square().sum() / measured
                optimiser.zero_grad()
                loss.backward()
            optimiser.step()
            loss = loss.detach()
            best, least = torch.where(loss < least, x.detach(), best), torch.minimum(loss, least)
            trace.append(loss)
            bar.update()
        return best + operator.adjoint(y - operator(best)), torch.stack(trace)


class Decoder(nn.Module):
    """The network G of `ConvDecoder`, from features (1, channels, h, w) to an image (1, 2, H, W).

    Args:
        channels, depth: As for `ConvDecoder`.
        shape: (H, W).
    """

    def __init__(self, channels: int, depth: int, shape: Sequence[int]) -> None:
        super().__init__()
        growth = [(side / min(_START, side)) ** (1 / (depth - 1)) for side in shape]
        sizes = [
            [round(min(_START, side) * rate**layer) for side, rate in zip(shape, growth, strict=True)]
            for layer in range(1, depth)
        ]
        layers: list[nn.Module] = []
        for size in [*sizes, shape]:  # the last layer has the size of the one before
            layers += [
                nn.Upsample(tuple(size), mode="nearest"),
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.ReLU(),
                nn.InstanceNorm2d(channels, affine=True),  # batch normalisation of a batch of one
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 2, 1, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        """The image of an input."""
        image: Tensor = self.layers(z)
        return image

    def draw(self, noise: Noise) -> None:
        """Draw first weights, of the law that torch's convolutions begin with, from a source of one row."""
        for place, layer in enumerate(self.layers):
            if isinstance(layer, nn.Conv2d):
                bound = math.prod(layer.weight.shape[1:]) ** -0.5
                for name, values in layer.named_parameters():
                    values.copy_(bound * (2 * noise.use("weights", place, name).uniform(values.shape)[0, 0] - 1))
