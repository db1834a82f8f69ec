"""What an import costs."""

import subprocess
import sys

import pytest

HEAVY = (
    "matplotlib", "torchvision", "diffusers", "lpips", "xarray", "PIL", "pandas", "zarr", "ray",
    "sigpy", "numba", "h5py", "nibabel", "ismrmrd", "pydicom",
)  # fmt: skip


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            "posterior, posterior.data, posterior.diagnostics, posterior.figures, posterior.metrics, "
            "posterior.mri, posterior.operators, posterior.priors, posterior.reconstruction, posterior.training, "
            "samplers, samplers.map",
            (*HEAVY, "jsonargparse", "yaml"),
        ),
        ("posterior.app.cli", HEAVY),
    ],
)
def test_heavy_packages_are_not_imported(modules: str, absent: tuple[str, ...]) -> None:
    # What torch imports itself, which differs between its versions, is not ours to keep out.
    code = f"import sys, torch; known = set(sys.modules); import {modules}; print(*set(sys.modules) - known)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "posterior.problem" in loaded
    assert not {name.partition(".")[0] for name in loaded} & set(absent)
