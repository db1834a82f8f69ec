"""Train the networks that `benchmarks.mri.shift` compares: python -m benchmarks.mri.train_networks FOLDER.

Ctrl-C stops it; the same command goes on from FOLDER/<network>/checkpoint.pt, to the same weights, which are written
there in half precision at the end. Cost: 45 minutes a network on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.mri.train_brain import still_images
from posterior.data import load_brain
from posterior.mri import augmented
from posterior.mri.reconstruction import NETWORKS, save_network
from posterior.training import train_reconstruction

STEPS = {"unet": 16_000, "modl": 5_500, "varnet": 8_000}


def run() -> None:
    """Train one network, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where networks, checkpoints and logs go, a folder each")
    parser.add_argument("--network", choices=NETWORKS, help="one of them; all unless given")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in [arguments.network] if arguments.network else NETWORKS:
        network = train_reconstruction(
            load_brain("training"), arguments.folder / name, validation=still_images("validation"), augment=augmented,
            network=name, mask="random", acceleration=4.0, snr=20.0, num_coils=8, steps=STEPS[name],
        )  # fmt: skip
        save_network(network.half(), arguments.folder / name)


if __name__ == "__main__":
    run()
