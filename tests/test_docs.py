"""The documents: their links, their form, the classes that they name, and the README's example."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.text import Text

from posterior.app.cli import main
from posterior.app.commands.priors import CONVERTERS
from posterior.app.registry import LIKELIHOODS, OPERATORS, PRIORS, SAMPLERS, SOLVERS
from posterior.networks.unet import UNet
from posterior.priors.edm import EDMPrior
from posterior.priors.zoo import save_prior
from tests.test_notebooks import MACHINE_PATHS

ROOT = Path(__file__).resolve().parents[1]
MEASURED = [ROOT / "docs/exactness.md", *sorted((ROOT / "docs/measured").glob("*.md"))]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [*DOCS, *sorted((ROOT / "posterior/assets").rglob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        found = page.parent / target if target else page
        assert target.startswith("https://") or found.exists(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"
    assert not re.search(r"@[A-Z]+@", text)


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_no_document_names_a_place_on_a_machine(page: Path) -> None:
    assert not MACHINE_PATHS.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", MEASURED, ids=name_of)
def test_measured_pages_open_with_their_finding(page: Path) -> None:
    title, finding, *parts = page.read_text(encoding="utf-8").split("\n\n")
    assert re.fullmatch(r"# [^.?!]+", title)
    assert re.fullmatch(r"[`A-Z][^#!]*\.", finding)
    assert "## How it was measured" in parts
    assert re.match(r"Measured by `python -m benchmarks\.\w+\.\w+` in ", parts[-1])
    # a run whose numbers differ needs another finding
    numbers = re.compile(r"\d+(?:\.\d+)?")
    assert set(numbers.findall(finding)) <= set(numbers.findall("\n\n".join(parts)))


def test_the_readme_s_example_runs() -> None:
    """With half of its particles, in seconds; its verdicts are sound either way."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
    smaller = {"population=128": "population=64", "seed=0)": "seed=0, progress=False)", "restarts=4": "restarts=1"}
    for written, instead in smaller.items():
        assert written in code
        code = code.replace(written, instead)
    found: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), found)
    samples, low, high = (found[name] for name in ("samples", "low", "high"))
    assert samples.x.shape == (64, 1, 1, 28, 28)
    assert samples.mean().shape == low.shape == (1, 1, 28, 28)
    assert bool((low <= high).all())
    assert [one.level for one in samples.verdict] == ["sound"]
    assert "12 of 64 samples" in [text.get_text() for text in found["figure"].findobj(Text)]


def test_the_first_ten_minutes_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block in turn, with fewer samples and without the installation."""
    text = (ROOT / "docs/first_ten_minutes.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"__name__": "first_ten_minutes"}
    levels, commands = [], 0
    for language, code in re.findall(r"```(python|sh)\n(.*?)```", text, flags=re.S):
        if language == "python":
            code = re.sub(r"\.sample\((.*), 64\)", r".sample(\1, 16, progress=False)", code)
            exec(compile(code, "first_ten_minutes.md", "exec"), found)
            levels += [one.level for one in found["samples"].verdict] if "samples" in found else []
        elif code.startswith("posterior "):
            main([*shlex.split(code)[1:], "--num_samples", "4", "--progress", "false"])
            commands += 1
    assert commands == 1
    assert levels == ["sound"] * 4
    assert Path("results/sample/000.png").exists()
    assert Path("columns.npz").exists()


def test_from_scanner_to_posterior_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every block in turn, with a small prior that was never trained, few samples, and without the installation."""
    text = (ROOT / "docs/mri.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_prior(EDMPrior(UNet(2, (8,), 1, patch=4), (2, 24, 28), sigma_data=0.5), "small")
    smaller = {
        "[96,112]": "[24,28]", "--acceleration 4 --calibration 16": "--acceleration 2 --calibration 8",
        "--prior brain": "--prior ./small", '("brain")': '("./small")',
        "--accuracy standard": "--accuracy fast", '("standard")': '("fast")',
    }  # fmt: skip
    for written, instead in smaller.items():
        assert written in text
        text = text.replace(written, instead)
    found: dict[str, Any] = {"__name__": "mri"}
    commands = []
    for language, code in re.findall(r"```(python|sh)\n(.*?)```", text, flags=re.S):
        if language == "python":
            exec(compile(code.replace("checkpoints=", "progress=False, checkpoints="), "mri.md", "exec"), found)
        elif code.startswith("posterior "):
            words = shlex.split(code)[1:]
            main([*words, *(["--progress=false"] if "recon" in words else [])])
            commands.append(words[1])
    assert commands == ["simulate", "recon", "coils"]
    said = capsys.readouterr().out
    assert re.search(
        r"scan.h5, slice 0: true R [\d.]+; noise [\d.]+, from the border of k-space; coil maps: ESPIRiT", said
    )
    files = {"mean.nii.gz", "std.nii.gz", "draws.nii.gz", "reconstruction.h5", "summary.csv", "000.png", "slices"}
    assert files == {path.name for path in Path("recon").iterdir()}
    assert Path("maps.cfl").exists()
    assert found["one"].calls == 60


def test_the_reader_study_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its images, its study.yaml, readers in place of a server that waits for them, and the analysis."""
    client = pytest.importorskip("starlette.testclient").TestClient
    from posterior.app.study.answers import Answers
    from posterior.app.study.plan import read_plan
    from posterior.app.study.server import study_app

    text = (ROOT / "docs/reader_study.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    (study,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.S)
    exec(compile(code, "reader_study.md", "exec"), {})
    Path("study.yaml").write_text(study)
    plan = read_plan(Path("study.yaml"))
    answers = Answers.create(plan)
    reader = client(study_app(answers))
    for token in answers.invite().values():
        headers = {"authorization": f"Bearer {token}"}
        trial = reader.get("/trial", headers=headers).json()
        while ranking := trial["images"]:
            answer = {"ranking": ranking, "milliseconds": 1}
            trial = reader.post("/answer", headers=headers, json=answer).json()
    main(["study", "analyse", "study.yaml"])
    said = capsys.readouterr().out
    assert re.search(r"\| head +\| +8 \|", said)
    assert "preliminary" not in said
    written = set(re.findall(r"`((?:analysis|answers|ranks)\.\w+)`", text))
    assert written == {path.name for path in Path("results").iterdir() if path.suffix != ".sqlite"}


@pytest.mark.parametrize(
    ("page", "registered"),
    [
        ("docs/samplers.md", SAMPLERS | SOLVERS),
        ("docs/operator.md", OPERATORS),
        ("docs/noise.md", LIKELIHOODS),
        ("docs/prior.md", PRIORS),
    ],
    ids=["methods", "operators", "likelihoods", "priors"],
)
def test_every_class_and_every_prior_is_documented(page: str, registered: dict[str, object]) -> None:
    """Functions that make one are not: their names begin with a small letter, or have a dot."""
    text = (ROOT / page).read_text(encoding="utf-8")
    names = [name for name in registered if name in PRIORS or (name[0].isupper() and "." not in name)]
    assert not [name for name in names if not re.search(rf"[`.]{name}[`(]", text)]


@pytest.mark.parametrize("name", CONVERTERS)
def test_every_converter_is_documented(name: str) -> None:
    (row,) = re.findall(r"^\| a checkpoint of .*$", (ROOT / "docs/prior.md").read_text(encoding="utf-8"), flags=re.M)
    assert re.search(rf"(?<![\w-]){name.replace('-', '_')}\b", row, flags=re.I)
