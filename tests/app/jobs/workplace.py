"""A small job on an exact prior, and what its results are compared by."""

from pathlib import Path

import yaml

SMALL = {
    "prior": {"name": "gaussian-mixture", "means": [[[[-1, 0.5, 0.2]]], [[[1, -0.5, 0.1]]]], "std": 0.3},
    "operator": "half:keep=left",
    "likelihood": "gaussian:noise_std=0.5",
    "data": "simulated:count=10",
    "methods": ["DDRM:steps=3", {"name": "PiGDM", "steps": 3}],
    "num_samples": 4,
    "shard_size": 3,
    "keep_samples": True,
}


def save_config(name: str = "job.yaml", **changes: object) -> Path:
    """Write the small job's config, with changes."""
    Path(name).write_text(yaml.safe_dump(SMALL | changes), encoding="utf-8")
    return Path(name)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a job's results by name, without records of shards, which say how long these took."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "shards"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "manifest.json"}
