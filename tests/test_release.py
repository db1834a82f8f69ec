"""What is released: a wheel that works by itself outside the clone, small enough, with its licences and one version."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import posterior

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 90_000_000
SAMPLE = "sample --image digit.npy --operator downsampling:factor=4 --sampler DDRM --num_samples 2 --progress false"


def run(*command: str | Path, cwd: Path) -> str:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the source distribution, as they are uploaded."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    assert [path.name for path in out.glob("*.tar.gz")] == [f"posterior_samplers-{posterior.__version__}.tar.gz"]
    (found,) = out.glob("*.whl")
    return found


@pytest.mark.integration
def test_the_wheel_holds_what_it_should(wheel: Path) -> None:
    assert wheel.name == f"posterior_samplers-{posterior.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < MOST_BYTES
    names = zipfile.ZipFile(wheel).namelist()
    tracked = run("git", "ls-files", "posterior", "samplers", cwd=ROOT).split()
    assert set(tracked) <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"posterior", "samplers"}
    licences = {re.sub(r".*dist-info/licenses/", "", name) for name in names if "dist-info/licenses/" in name}
    shipped = {name for name in tracked if name.endswith("LICENSE")}
    assert licences == {"LICENSE", "posterior/assets/README.md", *shipped}


@pytest.mark.integration
def test_the_wheel_works_outside_the_clone(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, to which the packages that it needs are lent, and not the clone's own code."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, wheel, cwd=tmp_path)
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (purelib / "lent.pth").write_text(sysconfig.get_path("purelib"))
    where = run(python, "-c", "import posterior, samplers; print(posterior.__file__, samplers.__file__)", cwd=tmp_path)
    assert [Path(path).parents[1] for path in where.split()] == [purelib, purelib]
    command = tmp_path / "env/bin/posterior"
    assert "digits-vae" in run(command, "priors", "list", cwd=tmp_path)
    get_digit = "import numpy; from posterior.data import load_digits; numpy.save('digit.npy', load_digits()[0][4])"
    run(python, "-c", get_digit, cwd=tmp_path)
    assert "figures: results/sample/000.png" in run(command, *SAMPLE.split(), cwd=tmp_path)


def test_the_version_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "posterior.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", posterior.__version__)


def test_the_citation_is_complete() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["license"] == "MIT"
