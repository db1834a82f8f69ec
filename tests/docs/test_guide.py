"""Every code block of the guide runs, with fewer samples than it says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from posterior import GaussianLikelihood, Posterior, load_prior
from posterior.data import load_brain, load_digits
from posterior.mri import MoDLNetwork
from posterior.networks.unet import UNet
from posterior.noise import Noise
from posterior.operators import Identity, Inpainting
from posterior.priors import ScorePrior
from posterior.priors.edm import EDMPrior
from posterior.priors.zoo import save_prior
from posterior.results import Samples
from posterior.verdict import LEVELS
from samplers.baselines import MoDL
from samplers.guided import MMPS
from tests.docs.blocks import ROOT, pages_with_code, run
from tests.priors.checkpoints import originals

SMALL = {'load_prior("digits")': 'load_prior("./small")'}  # a network that was never trained
SAMPLE = "--prior ./small --num_samples 2 --progress false"
FEW = f"--sampler TemperedSMC:accuracy=fast,population=8 {SAMPLE}"
CALIBRATE = "--prior ./small --num_problems 2 --num_samples 3 --progress false"
SHAPE = (1, 28, 28)
ELSEWHERE = {"README.md", "docs/first_ten_minutes.md", "docs/mri.md", "docs/reader_study.md"}  # tests/test_docs.py
HERE = {
    "docs/prior.md", "docs/checkpoints.md", "docs/operator.md", "docs/noise.md", "docs/samplers.md",
    "docs/checks.md", "docs/time.md", "docs/many.md", "docs/report.md", "docs/saving.md", "docs/fairness.md",
    "docs/command_line.md", "docs/robust.md",
    "docs/add_sampler.md", "docs/add_operator.md", "docs/add_prior.md",
}  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files that pages take for granted, and a small prior in place of `digits`."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_prior(EDMPrior(UNet(1, (8,), 1, patch=7), SHAPE, sigma_data=0.5), "small")
    digits, rng = load_digits()[0].numpy(), np.random.default_rng(0)
    np.savez("images.npz", np.concatenate([digits, digits[:10]]))
    np.savez("held-out.npz", digits[:3])
    np.save("digit-measured.npy", digits[:1].reshape(1, 1, 7, 4, 7, 4).mean((3, 5)))
    matrix = rng.standard_normal((10, 784)).astype(np.float32) / 28
    np.save("A.npy", matrix)
    np.save("y.npy", (digits[:1].reshape(1, -1) @ matrix.T + 0.1 * rng.standard_normal((1, 10))).astype(np.float32))
    pixels = ((digits[4, 0] + 1) * 127.5).round().astype(np.uint8)
    Image.fromarray(pixels).save("digit.png")
    Path("photos").mkdir()
    Image.fromarray(np.stack([pixels] * 3, -1)).resize((60, 40)).save("photos/photo.png")


def test_no_page_is_left_out() -> None:
    assert pages_with_code() == ELSEWHERE | HERE


def test_your_prior() -> None:
    found = run(
        "docs/prior.md",
        {},
        {
            "train score": "--widths [8] --steps 2 --batch_size 4 --progress false",
            "priors check": "--num_draws 3 --levels [1] --progress false",
        },
        {"network": lambda x, t: torch.zeros_like(x)},
    )
    assert load_prior("my-prior").event_shape == SHAPE
    # the mean of a measured block is nearly that of the posterior mean
    blocks = found["likelihood"].operator(found["exact"].mean().to(found["y"]))
    assert float((blocks - found["y"]).abs().mean()) < 0.5


def test_checkpoints_of_other_projects() -> None:
    torch.save(originals.state_dict("drunet"), "drunet_color.pth")
    with open("eqx_hsc_ScoreNet32.eqx", "wb") as file:
        for array in (*originals.state_dict("galaxygrad").values(), torch.tensor(10.0)):
            np.save(file, array.numpy())
    torch.save(originals.state_dict("NCSNv2"), "checkpoint_100000.pth")
    side = originals.CASES["NCSNv2"]["event_shape"][1]
    run("docs/checkpoints.md", {"--size 384": f"--size {side}"}, {})
    assert load_prior("photos").event_shape == (3, 96, 96)
    assert load_prior("galaxies").event_shape == (1, 12, 12)
    assert load_prior("knees").value_range == (0, 1)


def test_your_operator() -> None:
    found = run("docs/operator.md", {}, {"sample": SAMPLE})
    x = load_digits()[0][:1]
    torch.testing.assert_close(found["operator"](x), x.mean((1, 2)))
    assert found["B"].measurement_shape == (784 + 10,)
    assert Samples.load("results/sample/samples.npz").x.shape == (2, 1, *SHAPE)


def test_your_noise() -> None:
    found = run(
        "docs/noise.md",
        SMALL | {"population=64": "population=8", "problem, 64": "problem, 8", "burn_in=20": "burn_in=2"},
        {"sample": FEW},
    )
    assert found["samples"].x.shape == (16, 1, *SHAPE)
    assert set(found["samples"].parameters) == {"noise_std", "std"}
    assert Samples.load("results/sample/samples.npz").provenance.likelihood == "PoissonLikelihood"


def test_which_sampler() -> None:
    slices = load_brain("test")[:2, :, 64:128, 88:136]
    for name in ("training.npz", "validation.npz"):
        np.savez(name, (255 * slices).byte().numpy())
    flags = "--num_coils 2 --acceleration 2 --calibration 8 --steps 1 --evaluate_every 1 --progress false"
    run("docs/samplers.md", {}, {"train mri": flags})
    assert isinstance(MoDL("modl").network, MoDLNetwork)


def test_when_measurements_are_wrong() -> None:
    smaller = {
        "steps=300": "steps=60",
        "steps=500": "steps=3",
        "population=64": "population=8",
        "honest, 64": "honest, 8",
    }
    flags = "--num_measurements [9] --num_pairs 2 --num_problems 1 --steps 2 --restarts 1 --progress false"
    found = run("docs/robust.md", smaller, {"theory": flags})
    assert found["wrong"].shape == (4, 400) and found["wrong"][:, ::20].all()  # 30 is twenty of any residual
    assert found["samples"].x.shape == (8, 4, 1, 28, 28)
    z = Noise.of(0, 3).normal((20,))[0]
    assert float((found["inverted"].latent - z).abs().max()) < 1e-3
    assert Path("results/theory/theory.png").exists()


def test_is_it_right(capsys: pytest.CaptureFixture[str]) -> None:
    smaller = SMALL | {"population=64": "population=8", "problem, 64": "problem, 8"}
    smaller |= {"num_problems=99": "num_problems=19", "steps=15": "steps=3"}
    check = "--prior ./small --num_problems 19 --num_samples 2 --progress false"
    found = run("docs/checks.md", smaller, {"calibrate": CALIBRATE, "check": check})
    assert "sound problems" in str(found["check"])
    assert [one.level in LEVELS for one in found["samples"].verdict] == [True]
    assert 0 <= float(found["share"]) <= 1
    said = capsys.readouterr().out
    assert "truths drawn from the prior" in said
    assert "held-out" in said


def test_how_long_does_it_take(capsys: pytest.CaptureFixture[str]) -> None:
    smaller = SMALL | {"problem, 16, max": "problem, 2, max", "max_seconds=600": "max_seconds=6000"}
    found = run("docs/time.md", smaller, {"sample": "--prior ./small --num_samples 2"})
    assert found["samples"].nfe.tolist() == [301]  # of the highest accuracy that is quick enough
    assert "not for this problem: FlowHMC" in capsys.readouterr().out
    assert not Path("results").exists()


def test_many_measurements(capsys: pytest.CaptureFixture[str]) -> None:
    Path("configs").symlink_to(ROOT / "configs")
    changes = "--num_samples 2 --set prior=./small --set methods.0.population=8 --set likelihood.noise_std=3"
    changes += " --progress false"
    found = run("docs/many.md", {"--workers 2": "--workers 1"}, {"run": changes})
    assert found["samples"].x.shape == (2, 2, *SHAPE)
    assert {"posterior", "sample_stats", "observed_data"} <= set(found["tree"].children)
    assert "network calls" in capsys.readouterr().out


def test_reports() -> None:
    Path("configs").symlink_to(ROOT / "configs")
    changes = "--num_samples 2 --set prior=./small --set data.count=2 --set methods.0.population=8"
    changes += " --set likelihood.noise_std=3 --progress false"
    run("docs/report.md", {}, {"run": changes})
    assert "<html" in Path("report.html").read_text(encoding="utf-8")


def test_saving_and_sharing() -> None:
    found = run("docs/saving.md", SMALL | {"problem, 64": "problem, 4"}, {})
    assert list(found["samples"].provenance.ids) == ["four", "five"]
    assert len(found["samples"]) == 4


def test_fairness() -> None:
    found = run("docs/fairness.md", {"[::4]": "[:4]", "num_samples=16": "num_samples=4"}, {})
    assert len(found["truth"]) == 4


@pytest.mark.integration
def test_the_command_line() -> None:
    smaller = {
        "--noise_std 0.1 --sampler TemperedSMC:": "--prior ./small --sampler TemperedSMC:accuracy=fast,",
        "population=64": "population=8",
        "--sampler HMC": "--sampler HMC:burn_in=2,thinning=1,chains=2",
        "ilo:restarts=4": "ilo:restarts=1,steps=[2,2,2]",
    }
    run(
        "docs/command_line.md",
        smaller,
        {
            "sample": "--num_samples 2 --progress false",
            "sample --image digit.png --sampler": "--prior ./small",
            "sample --measurement": "--sampler MMPS --prior ./small",
            "sample --image photos/": "--sampler TemperedSMC:accuracy=fast,population=8 --prior ./small",
            "solve": "--progress false",
            "calibrate": CALIBRATE,
            "fairness": "--num_images 4 --num_samples 2 --methods [CSGM,TemperedSMC:accuracy=fast] --progress false",
        },
    )
    made = {str(path) for path in Path("results").iterdir()}
    assert made == {"results/sample", "results/solve", "results/calibrate", "results/fairness"}


def test_the_smallest_sampler() -> None:
    found = run("docs/add_sampler.md", {}, {})
    problem = Posterior(load_prior("./small"), GaussianLikelihood(Identity(SHAPE), 10.0), torch.zeros(2, *SHAPE))
    samples = found["PriorSamples"]().sample(problem, 2, progress=False)
    assert samples.x.shape == (2, 2, *SHAPE)
    assert samples.nfe.tolist() == [40.0, 40.0]


def test_the_smallest_operator() -> None:
    """Against the dot product that defines an adjoint, and an image that is turned by hand."""
    flip = run("docs/add_operator.md", {}, {})["Flip"](SHAPE)
    x, y = torch.randn(2, 3, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close((flip(x) * y).sum(), (x * flip.adjoint(y)).sum())
    assert torch.equal(flip(x)[..., 0, :], x[..., -1, :])
    assert torch.equal(flip.gram_function(torch.sqrt, x), x)
    problem = Posterior(load_prior("./small"), GaussianLikelihood(flip, 0.1), x[:1].float())
    assert problem.likelihood.is_linear


def test_the_smallest_prior() -> None:
    """White images, half of them seen: the posterior mean of a pixel is y s²/(s² + σ²), or nothing."""
    prior = run("docs/add_prior.md", {}, {})["White"]((1, 4, 4))
    assert isinstance(prior, ScorePrior)
    x = torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(prior.denoise(x, torch.full((5,), 0.5)), x / 2)
    likelihood = GaussianLikelihood(Inpainting.half_image((1, 4, 4), keep="top"), 0.5)
    y = likelihood.simulate(x[:1], Noise.of(0, 1))
    samples = MMPS().sample(Posterior(prior, likelihood, y), 400, progress=False)
    assert float((samples.mean() - y / 2).abs().max()) < 5 * 0.5 / 400**0.5  # of 16 pixels, standard deviation ≤ 0.5
