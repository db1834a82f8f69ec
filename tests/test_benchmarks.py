"""Every benchmark runs, in its smoke mode."""

import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "calibration",
        "conformal",
        "denoiser",
        "digits",
        "exactness",
        "faces",
        "fairness",
        "flows",
        "flows_digits",
        "gaussian_mixture",
        "gender",
        "generators",
        "guided",
        "latent",
        "learned",
        "linear_gaussian",
        "nonlinear",
        "overhead",
        "peers",
        "photographs",
        "reverse_diffusion",
    ],
)
def test_quick_run(name):
    if name == "peers":
        pytest.importorskip("deepinv", reason="the extra `peers` is not installed")
    benchmark = importlib.import_module(f"benchmarks.{name}")
    text = benchmark.main(True)
    assert text.startswith("# ")
    assert "| ---" in text or "|---" in text
    assert "nan" not in text
    assert "Cost:" in benchmark.__doc__
