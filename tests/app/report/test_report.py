"""What a page holds: the arrays of the results, words on what it leaves out, and nothing that files could slip in."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import posterior.app.report.report as report_module
from posterior.app.cli import main
from posterior.app.config import load_config
from posterior.app.jobs.run import run_job
from posterior.app.report.encoding import encode, shrunk
from posterior.app.report.report import report
from posterior.app.report.source import Source
from posterior.app.specification import build
from posterior.diagnostics import principal_components
from posterior.results import Samples
from tests.app.commands.workplace import mistake
from tests.app.jobs.workplace import save_config
from tests.app.report.workplace import FAULT, HOSTILE, blocks, save_results, values


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def reported(ids: list[int] | None = None, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The blocks of a page, and the arrays of the results that it is of."""
    arrays = save_results(Path("results"), **changes)
    return blocks(report(Source(Path("results")), ids)[0]), arrays


def assert_close(array: dict[str, Any], expected: Any) -> None:
    """Half a step of 255 is all that may be lost."""
    assert list(array["shape"]) == list(np.shape(expected))
    np.testing.assert_allclose(values(array), expected, atol=0.501 * (array["high"] - array["low"]) / 255)


@pytest.mark.parametrize("window", [(None, None), (-0.5, 0.5)])
def test_arrays_are_held_to_half_a_step(window: tuple[float | None, float | None]) -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 5))
    low, high = window
    array = encode(x, low, high)
    assert (array["low"], array["high"]) == ((x.min(), x.max()) if low is None else window)
    assert_close(array, np.clip(x, low, high) if low is not None else x)
    np.testing.assert_array_equal(values(encode(np.full((1, 1, 2, 2), 3.0))), np.full((1, 1, 2, 2), 3.0))


def test_shrinking_takes_means_of_blocks() -> None:
    x = np.arange(20.0).reshape(1, 4, 5)
    expected = [[[x[0, :2, :2].mean(), x[0, :2, 2:4].mean(), x[0, :2, 4].mean()],
                 [x[0, 2:, :2].mean(), x[0, 2:, 2:4].mean(), x[0, 2:, 4].mean()]]]  # fmt: skip
    np.testing.assert_allclose(shrunk(x, 2), expected)
    np.testing.assert_array_equal(shrunk(x, 1), x)


def test_a_page_holds_what_the_results_hold() -> None:
    page, arrays = reported()
    assert [page["job"]["measurements"][n]["id"] for n in range(3)] == [10, 11, 12]
    first = page["measurement-0"]
    sampler, solver = first["methods"]
    assert_close(first["truth"], arrays["truth"][:1])
    assert_close(sampler["mean"], arrays["Able/mean"][:1])
    assert_close(sampler["std"], arrays["Able/std"][:1])
    assert_close(sampler["samples"], arrays["Able/samples"][0])
    assert_close(sampler["width"], (arrays["Able/quantiles"][0, 4] - arrays["Able/quantiles"][0, 0])[None])
    assert_close(solver["estimate"], arrays["Baker/estimate"][:1])
    x = torch.from_numpy(arrays["Able/samples"][0])[:, None]
    found = principal_components(Samples(x, torch.zeros(1), torch.zeros(1)), 3)
    assert_close(sampler["components"]["steps"], (found.directions * found.std[..., None, None, None])[:, 0].numpy())
    np.testing.assert_allclose(sampler["components"]["share"], found.share[:, 0], atol=1e-4)
    assert sampler["quality"]["psnr"] == 20.0
    assert page["measurement-1"]["methods"][0]["verdict"] == FAULT
    assert page["measurement-2"]["methods"][0] == {"name": "Able", "error": "it <i>diverged</i>"}
    levels = [one["levels"] for one in page["job"]["measurements"]]
    assert levels == [["sound", "sound"], ["doubtful", "sound"], ["failed", "sound"]]
    assert page["job"]["table"][1][:3] == ["Able", "3", "1"]


def test_a_job_is_run_and_reported() -> None:
    run_job(load_config(save_config(data="simulated:count=2"), {"out": "out"}), progress=False)
    main(["report", "out", "--out=page.html"])
    page = blocks(Path("page.html").read_text(encoding="utf-8"))
    assert (page["job"]["black"], page["job"]["white"]) == (-1, 1)
    assert page["job"]["methods"] == ["DDRM", "PiGDM"]
    assert page["measurement-1"]["methods"][1]["samples"]["shape"] == [4, 1, 1, 3]


def test_an_operator_that_has_changed_is_not_taken_for_that_of_the_job() -> None:
    def marked() -> str:
        text, _ = report(Source(Path("out"), allow_code=True))
        return str(blocks(text)["job"]["notes"])

    np.save("mask.npy", np.array([[[1, 0, 1], [1, 0, 1]]]))
    Path("own.py").write_text(
        "from posterior.operators import Inpainting as I\nmake = lambda s: I.half_image(s, 'top')\n"
    )
    means = [[[[-1, 0.5, 0.2]] * 2]]
    for operator, file in (("mask:path=mask.npy", "mask.npy"), ("own.py:make", "own.py")):
        shutil.rmtree("out", ignore_errors=True)
        prior = {"name": "gaussian-mixture", "means": means, "std": 0.3}
        config = load_config(save_config(prior=prior, data="simulated:count=2", operator=operator), {"out": "out"})
        run_job(config, progress=False, allow_code=True)
        assert "not marked" not in marked()
        before = Path(file).read_bytes()
        if file == "mask.npy":
            np.save(file, np.array([[[1, 0, 0], [1, 0, 1]]]))
        else:
            Path(file).write_bytes(before.replace(b"top", b"bottom"))
        assert "is not marked, since the job cannot be built: the operator" in marked() and "changed since" in marked()
        Path(file).write_bytes(before)
        assert "not marked" not in marked()


def test_a_job_without_samplers() -> None:
    arrays = save_results(Path("results"), size=1)
    manifest = json.loads(Path("results/manifest.json").read_text(encoding="utf-8"))
    del manifest["methods"]["Able"]
    Path("results/manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    text, notes = report(Source(Path("results")))
    (solver,) = blocks(text)["measurement-0"]["methods"]
    assert_close(solver["estimate"], arrays["Baker/estimate"])
    assert notes == []


def test_complex_images_and_colours() -> None:
    page, arrays = reported(shape=(2, 6, 5), size=1, operator="identity", y=(2, 6, 5))
    sampler = page["measurement-0"]["methods"][0]
    assert_close(sampler["samples"], np.hypot(*arrays["Able/samples"][0].swapaxes(0, 1))[:, None])
    assert_close(sampler["mean"], arrays["Able/mean"])  # both parts, to walk from
    assert_close(sampler["std"], arrays["Able/std"].mean(1, keepdims=True))
    assert page["job"]["black"] == 0


def test_a_measurement_that_is_a_picture() -> None:
    page, arrays = reported(size=1)
    y = page["measurement-0"]["measurement"]
    assert_close(y["picture"], arrays["y"][:1])
    missing = np.zeros((1, 1, 6, 5), bool)
    missing[..., 2:] = True
    np.testing.assert_array_equal(values(y["missing"]) > 0.5, missing)
    assert "blue: not measured" in y["note"]


def test_a_measurement_that_is_no_picture_is_shown_by_the_adjoint() -> None:
    page, arrays = reported(size=1, y=(1, 6, 5), kind="complex64", operator="fourier")
    y = page["measurement-0"]["measurement"]
    operator = build("operator", "fourier", event_shape=(1, 6, 5))
    assert_close(y["picture"], operator.adjoint(torch.from_numpy(arrays["y"])))
    assert y["note"].startswith("Aᵀy, the adjoint of complex values 1 × 6 × 5")


def test_what_is_not_shown_is_said() -> None:
    save_results(Path("results"), keep=False, truth=False, samples=5, answered=2, operator="own.py:make", size=4)
    text, notes = report(Source(Path("results")))
    assert "2 of 4 measurements are not answered yet" in notes[0]
    assert "Samples of Able were not kept" in notes[1] and "keep_samples: true" in notes[1]
    assert "A 90 % interval needs 19 samples; there are 5." in notes[2]
    assert "true images are not known" in notes[3]
    assert "--allow_code" in notes[4]
    page = blocks(text)
    assert page["job"]["notes"][:5] == notes
    sampler = page["measurement-0"]["methods"][0]
    assert not {"samples", "components", "width"} & sampler.keys()
    assert sampler["quantiles"]["shape"] == [5, 1, 6, 5]
    assert page["measurement-0"]["truth"] is None


def test_large_results_are_cut_down_to_size(monkeypatch: pytest.MonkeyPatch) -> None:
    save_results(Path("results"), shape=(1, 24, 24), samples=20, size=6)
    source = Source(Path("results"))
    sizes = []
    for most in (1 << 30, 90_000, 24_000, 6_000):
        monkeypatch.setattr(report_module, "_MOST_BYTES", most)
        text, notes = report(source)
        page = blocks(text)
        held = page["measurement-0"]["methods"][0]["samples"]["shape"]
        sizes.append((held[0], held[2], len(page["job"]["measurements"]), len(notes)))
        contents = re.findall(r'<script type="application/json" id="measurement.*?</script>', text, flags=re.S)
        assert sum(map(len, contents)) <= most
    all_of_it, fewer_samples, shrunk_images, fewer_measurements = sizes
    assert all_of_it == (20, 24, 6, 0)
    assert 8 <= fewer_samples[0] < 20 and fewer_samples[1:] == (24, 6, 1)
    assert shrunk_images[1] < 24 and shrunk_images[2] == 6
    assert fewer_measurements[2] < 6


def test_measurements_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    page, arrays = reported(ids=[11, 10])
    assert [one["id"] for one in page["job"]["measurements"]] == [11, 10]
    assert_close(page["measurement-0"]["truth"], arrays["truth"][1:2])
    assert "no answer for measurement 3" in mistake(capsys, main, ["report", "results", "--ids=[3]"])


def test_nothing_from_files_becomes_part_of_the_page() -> None:
    folder = Path("<script>alert(1)")
    save_results(folder, names=(HOSTILE.replace("/", "∕"), "Baker"), operator=HOSTILE)
    text, _ = report(Source(folder))
    assert text.count("<script") == text.count("</script>") == 2 + 3  # job and program, and measurements
    assert "<img" not in text and "<b>" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    assert "<title>Posterior report: &lt;script&gt;alert(1)</title>" in text


def test_the_page_is_whole_and_runs_nothing_else() -> None:
    save_results(Path("results"))
    main(["report", "results", "-o", "page.html"])
    text = Path("page.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no results" in mistake(capsys, main, ["report", "nowhere"])
    save_results(Path("results"), answered=0)
    assert "no measurement is answered yet" in mistake(capsys, main, ["report", "results"])
    manifest = json.loads(Path("results/manifest.json").read_text(encoding="utf-8"))
    for key in ("value_range", "methods", "config"):
        Path("results/manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if k != key}))
        assert "run the job again" in mistake(capsys, main, ["report", "results"])
    for low in (float("nan"), float("-inf"), 1):
        Path("results/manifest.json").write_text(json.dumps(manifest | {"value_range": [low, 1]}))
        assert "run the job again" in mistake(capsys, main, ["report", "results"])
    Path("results/manifest.json").write_text(json.dumps(manifest))
    Path("results/shards").mkdir()
    Path("results/shards/000000.json").write_text('{"known": {"methods": {"Able": [{"quality": NaN, "verdict": 1}]}}}')
    assert "000000.json is damaged" in mistake(capsys, main, ["report", "results"])
    assert "ids name no measurement" in mistake(capsys, main, ["report", "results", "--ids=[]"])
    assert not Path("report.html").exists()


def test_results_that_are_no_images(capsys: pytest.CaptureFixture[str]) -> None:
    save_results(Path("results"), shape=(5, 6, 5), operator="identity")
    assert "a report shows images" in mistake(capsys, main, ["report", "results"])
