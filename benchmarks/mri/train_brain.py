"""Train a prior of heads: python -m benchmarks.mri.train_brain FOLDER.

Ctrl-C stops it; the same command goes on from FOLDER/checkpoint.pt, to the same weights. The prior is written to FOLDER
at the end; with --steps the number that was reached it is that of a run which was stopped. --start goes on from the
weights of a prior, with other random numbers and step sizes that decay anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from posterior.data import load_brain
from posterior.data.shipped import BrainSlices
from posterior.mri import augmented, complex_images
from posterior.noise import Noise
from posterior.priors import EDMPrior
from posterior.priors.zoo import load_prior, save_prior
from posterior.training import train_score


def still_images(which: BrainSlices) -> Tensor:
    """Slices as they are, with two phases each: complex images (N, 2, 96, 112)."""
    magnitudes = load_brain(which).repeat_interleave(2, 0)
    return complex_images(magnitudes, Noise.of(0, len(magnitudes)))


def run() -> None:
    """Train, or go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the prior, its checkpoint, log and sample sheets go")
    parser.add_argument("--steps", type=int, default=24_000, help="steps in all, over which the step size decays")
    parser.add_argument("--start", help="prior whose weights are the first ones: a name or a folder")
    parser.add_argument("--seed", type=int, default=0, help="of first weights, batches and noise")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--bfloat16", action="store_true", help="faster on CPUs that have instructions for it")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    start = load_prior(arguments.start) if arguments.start else None
    prior = train_score(
        load_brain("training"), arguments.folder, held_out=still_images("validation"), augment=augmented,
        start=cast(EDMPrior | None, start), seed=arguments.seed,
        value_range=(-2.0, 2.0), widths=(32, 48, 88, 96), dropout=0.0, steps=arguments.steps, batch_size=24,
        evaluate_every=1000, autocast=arguments.bfloat16,
    )  # fmt: skip
    save_prior(prior, arguments.folder)


if __name__ == "__main__":
    run()
