"""Every benchmark runs, in its smoke mode."""

import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "exactness.calibration",
        "fairness.conformal",
        "exactness.denoiser",
        "exactness.digits",
        "exactness.exactness",
        "fairness.faces",
        "fairness.fairness",
        "flows.flows",
        "flows.flows_digits",
        "exactness.gaussian_mixture",
        "fairness.gender",
        "generators.generators",
        "exactness.guided",
        "exactness.latent",
        "fairness.learned",
        "exactness.linear_gaussian",
        "exactness.nonlinear",
        "exactness.overhead",
        "peers.peers",
        "exactness.photographs",
        "exactness.reverse_diffusion",
    ],
)
def test_quick_run(name):
    if name == "peers.peers":
        pytest.importorskip("deepinv", reason="the extra `peers` is not installed")
    benchmark = importlib.import_module(f"benchmarks.{name}")
    text = benchmark.main(True)
    assert text.startswith("# ")
    assert "| ---" in text or "|---" in text
    assert "nan" not in text
    assert "Cost:" in benchmark.__doc__
