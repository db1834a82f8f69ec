"""What a job of 100,000 measurements of 320 × 320 pixels would take: arithmetic from its plan, nothing is measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from posterior import load_prior
from posterior.app.config import Config
from posterior.app.jobs.job import Job
from posterior.networks.refinenet import RefineNet
from posterior.tables import markdown_table
from samplers.invariance import moving_calls
from samplers.plan import in_bytes

MEASUREMENTS, SAMPLES, SHAPE = 100_000, 64, (2, 320, 320)
GPUS = (8, 64)
PEAK, REACHED = 156e12, 0.3  # FLOP/s of an A100 in TF32, by NVIDIA's data sheet, and the share that is assumed


def arithmetic(efficiency: float) -> list[str]:
    """A table, and all that it assumes.

    Args:
        efficiency: Of many workers, relative to as many times the pace of one; above 1 it is chance.
    """
    job, kept = Job(config()), Job(config(keep_samples=True))
    (plan,) = job.plans().values()
    verdict = moving_calls(job.specimen[0].select([0]), SAMPLES)
    calls = plan.total_nfe + MEASUREMENTS * verdict
    rows, efficiency = [], min(1.0, efficiency)
    for name, network in networks().items():
        flops = flops_of(network)
        hours = calls * flops / (PEAK * REACHED) / 3600
        parameters = sum(value.numel() for value in network.parameters())
        shared = [f"{hours / efficiency / gpus:,.1f}" for gpus in GPUS]
        rows.append([name, f"{parameters / 1e6:.1f}", f"{flops / 1e9:,.0f}", f"{hours:,.0f}", *shared])
    heads = ["network", "million parameters", "GFLOP a call", "GPU hours", *(f"hours on {gpus} GPUs" for gpus in GPUS)]
    sizes = [sum(axes.nbytes(MEASUREMENTS) for axes in one.layout().values()) for one in (job, kept)]
    height, width = SHAPE[1:]
    return [
        f"## {MEASUREMENTS:,} measurements of {height} × {width} pixels, {SAMPLES} samples each",
        "There was no GPU to measure on. This is the arithmetic of the plan that `posterior run --dry-run` prints.",
        markdown_table(heads, rows, "lrrrrr"),
        "What it assumes:",
        f"""\
- `KineticLangevin()` takes {plan.nfe:,.0f} network calls a sample, and its verdict {verdict} a measurement: {calls:.3g}
  of one image, forward.
- A call takes the FLOP that torch counts, two a multiply-add of convolutions and of matrix products, and nothing else
  takes time: [overhead](measured/overhead.md) is small.
- A GPU is an A100: {PEAK / 1e12:.0f} TFLOP/s in TF32 by its data sheet, of which {REACHED:.0%} are reached.
- Each GPU has a worker, and many are as efficient together as two workers are above, at most 1: they share nothing
  but the folder.
- Start-up, reading, writing, and what is lost with a machine that dies, a shard at the most, take no time.""",
        f"The results are {in_bytes(sizes[0])} before compression: measurements of 8 coils, truths, mean, standard "
        f"deviation and five quantiles. With `keep_samples: true` they are {in_bytes(sizes[1])}.",
    ]


def config(**changes: Any) -> Config:
    """The job, on an exact prior in place of a network: of any prior of this shape, calls and sizes are the same."""
    return Config(
        prior={"name": "gaussian-mixture", "means": torch.zeros(1, *SHAPE).tolist(), "std": 1.0},
        operator="simulated-mri:num_coils=8,acceleration=4",
        likelihood="gaussian:noise_std=0.03",
        data={"name": "simulated", "count": MEASUREMENTS},
        methods=["KineticLangevin"],
        num_samples=SAMPLES,
        batch_size=1,
        **changes,
    )


def networks() -> dict[str, nn.Module]:
    """Networks of complex images, without weights: a small one that is shipped, and a large one of the literature."""
    shipped = load_prior("brain").network
    with torch.device("meta"):
        return {"`brain`, shipped": shipped.to("meta"), "NCSNv2Deepest (Jalal et al. 2021)": RefineNet(SHAPE[0])}


def flops_of(network: nn.Module) -> int:
    """FLOP of a forward call of one image."""
    x = torch.zeros(1, *SHAPE, device="meta")
    label = [] if isinstance(network, RefineNet) else [torch.zeros(1, device="meta")]
    with FlopCounterMode(display=False) as counter:
        network(x, *label)
    return int(counter.get_total_flops())


if __name__ == "__main__":
    print("\n\n".join(arithmetic(1.0)))
