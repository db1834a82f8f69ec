"""Who reconstructs: weights of classical methods tuned on the validation slab, trained networks, posterior samples."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.mri.scans import Cell, Scans, scans_of
from posterior.errors import TrustWarning
from posterior.metrics import nmse, psnr, ssim
from posterior.mri.reconstruction import NETWORKS, ReconstructionNetwork
from posterior.priors.base import Prior
from posterior.reconstruction import problem_of
from posterior.results import Samples
from samplers import KineticLangevin, Solver
from samplers.baselines import CGSense, ConvDecoder, MoDL, UNet, VarNet, ZeroFilled
from samplers.map import Lasso, TotalVariation

TRAINED_NETWORKS = Path(__file__).with_name("networks")
SAMPLES = 19  # whose smallest and largest hold 18 of 20
TUNED: dict[str, Callable[[float], Solver]] = {
    "CG-SENSE": lambda weight: CGSense(weight, replicas=0),
    "wavelet (Haar), l1": lambda weight: Lasso(weight=1e-4 * weight, basis="haar"),
    "total variation": lambda weight: TotalVariation(weight=1e-4 * weight),
}
WEIGHTS = (0.001, 0.003, 0.01, 0.03, 0.1)
TRAINED: dict[str, tuple[Callable[..., Solver], str]] = {
    "U-Net": (UNet, "unet"), "MoDL": (MoDL, "modl"), "VarNet": (VarNet, "varnet"),
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a method made of the scans of a cell.

    Attributes:
        x: Magnitudes (B, H, W).
        seconds: For a slice.
        samples: Those whose mean x is; None of a method that draws none.
    """

    x: Tensor
    seconds: float
    samples: Samples | None = None


def tuned_weights(prior: Prior, quick: bool) -> dict[str, float]:
    """The weights that have the least error on scans of the validation slab, mask and R as in training."""
    scans, best = scans_of(Cell("validation", brain="validation"), 1 if quick else 4), {}
    for name, solver in list(TUNED.items())[: 1 if quick else None]:
        errors = {weight: float(nmse(solved(solver(weight), scans, prior).x, scans.truth).mean()) for weight in WEIGHTS}
        best[name] = min(errors, key=lambda weight: errors[weight])
    return best


def solvers(weights: dict[str, float], decoder_steps: int, quick: bool) -> dict[str, Solver]:
    """Methods that give one image, by name; a decoder is fitted in the first cell alone, for it takes minutes."""
    found: dict[str, Solver] = {"zero-filled": ZeroFilled()}
    found |= {name: TUNED[name](weight) for name, weight in weights.items()}
    if decoder_steps:
        found["ConvDecoder"] = ConvDecoder(channels=8 if quick else 64, steps=decoder_steps)
    return found | {name: kind(_network(folder, quick)) for name, (kind, folder) in TRAINED.items()}


def _network(folder: str, quick: bool) -> ReconstructionNetwork | Path:
    """A network that `train_networks` trained, or a small one as it is before training."""
    if not quick:
        return TRAINED_NETWORKS / folder
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETWORKS[folder](width=4, pools=2).eval().requires_grad_(False)


def solved(solver: Solver, scans: Scans, prior: Prior) -> Result:
    """The image of a solver."""
    problem, began = problem_of(scans.prepared, prior, range(len(scans.prepared))), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        x = solver.solve(problem, progress=False).x
    return Result(_magnitudes(x, scans), (time.perf_counter() - began) / len(x))


def sampled(sampler: KineticLangevin, scans: Scans, prior: Prior, size: int, progress: bool) -> Result:
    """The mean of the magnitudes of posterior samples."""
    problem, began = problem_of(scans.prepared, prior, range(len(scans.prepared))), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = sampler.sample(problem, size, progress=progress)
    seconds = (time.perf_counter() - began) / len(scans.prepared)
    return Result(_magnitudes(samples.x, scans).mean(0), seconds, samples)


def magnitudes_of(samples: Samples, scans: Scans) -> Tensor:
    """Magnitudes of samples in the unit of the scan, (S, B, H, W)."""
    return _magnitudes(samples.x, scans)


def scores(x: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """PSNR in dB, SSIM and NMSE of magnitudes (B, H, W), in units of the truth's largest: (B,) each."""
    peak = truth.amax((1, 2), keepdim=True)
    pair = (x / peak)[:, None], (truth / peak)[:, None]
    return {"PSNR": psnr(*pair, (0.0, 1.0)), "SSIM": ssim(*pair, (0.0, 1.0)), "NMSE": nmse(*pair)}


def _magnitudes(x: Tensor, scans: Scans) -> Tensor:
    scale = torch.tensor([one.scale for one in scans.prepared])[:, None, None]
    return scale * torch.linalg.vector_norm(x, dim=-3)
