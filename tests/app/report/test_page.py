"""The page in a browser, from a file: by keys, by mouse, without errors, and open to all (WCAG 2.2 AA by axe-core)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posterior.app.cli import main
from posterior.fairness import fairness
from tests.app.report.workplace import HOSTILE, save_results
from tests.browser import violations

pytestmark = pytest.mark.integration
HEIGHT, WIDTH = 6, 5


def opened(page: Any, folder: Path, **changes: Any) -> dict[str, Any]:
    """Open the report of some results, which are returned."""
    arrays = save_results(folder, **changes)
    main(["report", str(folder), f"--out={folder}.html"])
    page.goto(Path(f"{folder}.html").resolve().as_uri())
    page.locator("body[data-ready]").wait_for()
    return arrays


@pytest.fixture
def arrays(page: Any, tmp_path: Path) -> dict[str, Any]:
    return opened(page, tmp_path / "results")


def panel(page: Any, title: str) -> Any:
    """The first panel with some title."""
    return page.locator("figure.panel").filter(has=page.locator("figcaption", has_text=title)).first


def pixels(page: Any, title: str) -> np.ndarray:
    """What is painted, (H, W, 4)."""
    code = """c => {
        const context = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
        context.drawImage(c, 0, 0);
        return [c.height, c.width, ...context.getImageData(0, 0, c.width, c.height).data];
    }"""
    height, width, *found = panel(page, title).locator("canvas").evaluate(code)
    return np.array(found).reshape(height, width, 4)


def assert_shows(page: Any, title: str, image: np.ndarray) -> None:
    """A panel shows an image (1, H, W), black at −1 and white at 1, to a level or two of 255."""
    grey = np.clip((image[0] + 1) / 2, 0, 1) * 255
    assert np.abs(pixels(page, title)[..., :3] - grey[..., None]).max() < 3


def probe_at(page: Any, row: int, column: int, title: str = "Mean") -> None:
    box = panel(page, title).locator(".view").bounding_box()
    x, y = (column + 0.5) / WIDTH * box["width"], (row + 0.5) / HEIGHT * box["height"]
    page.mouse.click(box["x"] + x, box["y"] + y)


def told(page: Any) -> str:
    return str(page.locator("#status").inner_text())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_is_amiss(page: Any, tmp_path: Path, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    for folder, changes in (("kept", {}), ("thin", {"keep": False, "truth": False, "samples": 3, "answered": 2})):
        opened(page, tmp_path / folder, **changes)
        for key in ("Space", "ArrowRight", "+", "n"):
            page.keyboard.press(key)
        page.locator("#heading", has_text="Measurement 11").wait_for()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.emulate_media(media="print")
    assert not page.locator("#controls").is_visible()
    assert violations(page) == []


def test_pictures_are_those_of_the_results(page: Any, arrays: dict[str, Any]) -> None:
    assert_shows(page, "Truth", arrays["truth"][0])
    assert_shows(page, "Mean", arrays["Able/mean"][0])
    assert_shows(page, "Baker", arrays["Baker/estimate"][0])
    assert_shows(page, "Sample", arrays["Able/samples"][0, 0])
    measured = pixels(page, "Measurement")
    assert (measured[:, 2:, :3] == [86, 180, 233]).all()  # what was not measured
    assert (measured[:, :2, 0] == measured[:, :2, 1]).all()


def test_browsing_by_keys(page: Any, arrays: dict[str, Any]) -> None:
    page.keyboard.press("n")
    page.locator("#heading", has_text="Measurement 11").wait_for()
    assert_shows(page, "Mean", arrays["Able/mean"][1])
    assert "The samples are <b>odd</b>." in page.locator(".finding").inner_text()
    assert "What to do: Draw more." in page.locator(".finding").inner_text()
    page.keyboard.press("n")
    page.locator("#heading", has_text="Measurement 12").wait_for()
    assert "It failed: it <i>diverged</i>" in page.locator(".finding").inner_text()
    page.keyboard.press("n")  # there are no more
    page.keyboard.press("p")
    page.locator("#heading", has_text="Measurement 11").wait_for()
    page.get_by_role("combobox", name="Measurement").select_option("10 · sound")
    page.locator("#heading", has_text="Measurement 10").wait_for()
    page.get_by_role("button", name="Measurement 12: Able failed").click()
    page.locator("#heading", has_text="Measurement 12").wait_for()
    assert told(page) == "Measurement 12, 3 of 3"


def test_flicker(page: Any, arrays: dict[str, Any]) -> None:
    samples = arrays["Able/samples"][0]
    page.keyboard.press(".")
    page.keyboard.press(".")
    assert_shows(page, "Sample", samples[2])
    page.keyboard.press(",")
    assert_shows(page, "Sample", samples[1])
    page.get_by_role("slider", name="Sample").fill("20")
    assert_shows(page, "Sample", samples[19])
    play = page.get_by_role("button", name="Flicker")
    play.click()
    assert play.get_attribute("aria-pressed") == "true"
    seen = set()
    for _ in range(200):  # a frame is a fifth of a second
        seen.add(page.locator("#sample-words").inner_text())
        if len(seen) > 3:
            break
        page.wait_for_timeout(50)
    assert len(seen) > 3
    play.click()
    assert play.get_attribute("aria-pressed") == "false"


def test_walking_along_a_component(page: Any, arrays: dict[str, Any]) -> None:
    x = arrays["Able/samples"][0].reshape(20, -1)
    _, _, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
    steps = page.get_by_label("Standard deviations along the component")
    for k in (0, 1):
        page.get_by_role("combobox", name="Component").select_option(str(k + 1))
        direction = directions[k] * np.sign(directions[k][np.abs(directions[k]).argmax()])
        std = (x @ direction).std(ddof=1)
        for t in (-1.5, 0.0):
            steps.fill(str(t))
            walked = (x.mean(0) + t * std * direction).reshape(1, HEIGHT, WIDTH)
            assert_shows(page, "Principal component", walked)


def law(page: Any) -> str:
    return str(page.locator(".probe .note").inner_text())


def words(values: np.ndarray, truth: float) -> str:
    low, high = np.quantile(values, [0.05, 0.95])
    inside = "inside" if low <= truth <= high else "outside"
    text = (
        f"mean {values.mean():.2f}, sd {values.std(ddof=1):.2f}; 90 % between {low:.2f} and {high:.2f}; "
        f"truth {truth:.2f}, {inside}"
    )
    return text.replace("-", "−")


def numbers(text: str) -> list[float]:
    return [
        float(word) for word in text.replace("−", "-").replace(",", "").replace(";", "").split() if word[-1].isdigit()
    ]


def assert_law(page: Any, values: np.ndarray, truth: float) -> None:
    """The words on the probe, to what 8 bits allow."""
    found, expected = law(page), words(values, truth)
    assert found.split()[-1] == expected.split()[-1]
    np.testing.assert_allclose(numbers(found), numbers(expected), atol=0.02)


def test_the_probe(page: Any, arrays: dict[str, Any]) -> None:
    samples, truth = arrays["Able/samples"][0, :, 0].astype(float), arrays["truth"][0, 0]
    probe_at(page, 2, 1)
    assert told(page) == "Pixel in row 3, column 2"
    assert_law(page, samples[:, 2, 1], truth[2, 1])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert_law(page, samples[:, 3, 2], truth[3, 2])
    bars = page.locator(".probe .bar").evaluate_all("all => all.map(bar => Number(bar.getAttribute('height')))")
    counts = np.array(bars) / min(bars)
    assert np.allclose(counts, counts.round(), atol=0.01)
    page.get_by_role("combobox", name="Probe").select_option("3 × 3 pixels")
    assert told(page) == "Region of 3 × 3 pixels from row 3, column 2"
    assert_law(page, samples[:, 2:5, 1:4].mean((1, 2)), truth[2:5, 1:4].mean())
    box = panel(page, "Standard").locator(".view").bounding_box()
    cell = box["width"] / WIDTH, box["height"] / HEIGHT
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 0.5 * cell[0], box["y"] + 1.5 * cell[1])
    page.mouse.down()
    page.mouse.move(box["x"] + 1.5 * cell[0], box["y"] + 4.5 * cell[1])
    page.mouse.up()
    page.keyboard.up("Shift")
    assert told(page) == "Region of 4 × 2 pixels from row 2, column 1"
    assert_law(page, samples[:, 1:5, :2].mean((1, 2)), truth[1:5, :2].mean())
    assert violations(page) == []


def test_the_probe_without_samples(page: Any, tmp_path: Path) -> None:
    arrays = opened(page, tmp_path / "results", keep=False)
    assert not page.locator("#flicker").is_visible()
    assert "Samples of Able were not kept" in page.locator("#notes").inner_text()
    probe_at(page, 2, 1)
    _, lower, middle, upper, _ = arrays["Able/quantiles"][0, :, 0, 2, 1]
    assert law(page).startswith("median ")
    np.testing.assert_allclose(numbers(law(page))[:3], [middle, lower, upper], atol=0.02)
    page.get_by_role("combobox", name="Probe").select_option("3 × 3 pixels")
    assert "needs samples" in law(page)


def test_all_pictures_zoom_together(page: Any, arrays: dict[str, Any]) -> None:
    def places() -> list[float]:
        code = "all => all.map(i => new DOMMatrix(getComputedStyle(i).transform)).map(m => [m.a, m.e, m.f])"
        found = page.locator(".plane").evaluate_all(code)
        assert len(found) == 3 + 6
        assert all(place == pytest.approx(found[0], abs=0.6) for place in found)
        return list(found[0])

    assert places() == [1, 0, 0]
    page.keyboard.press("+")
    width = panel(page, "Mean").locator(".view").bounding_box()["width"]
    assert places()[:2] == pytest.approx([1.5, -width / 4], abs=1)
    page.keyboard.press("Shift+ArrowLeft")
    assert places()[1] == pytest.approx(-width * 0.15, abs=1)
    page.keyboard.press("0")
    assert places() == [1, 0, 0]
    page.get_by_role("button", name="Zoom in").click()
    probe_before = told(page)
    box = panel(page, "Truth").locator(".view").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.up()
    assert places()[1] == pytest.approx(-width / 4 + 20, abs=1)
    assert told(page) == probe_before
    page.mouse.click(box["x"] + 2, box["y"] + 2)  # at the left edge, a quarter of the image less 20 pixels is hidden
    column = int((width / 4 - 20 + 2) / (1.5 * width / WIDTH)) + 1
    assert told(page).endswith(f"column {column}")


def test_groups_are_told_with_intervals(page: Any, tmp_path: Path) -> None:
    who = np.eye(3, dtype=np.float32)[[0, 1, 1] * 10]
    made = np.random.default_rng(0).dirichlet([1, 1, 1], 30).astype(np.float32)
    opened(page, tmp_path / "results", size=30, keep=False, groups={"groups": who, "Baker/groups": made})
    table = page.get_by_role("region", name="Figures by group")
    heads = ["group", "true images", "PSNR (dB)", "90 % coverage", "misfit (σ)", "PR gap", "recall"]
    assert table.get_by_role("columnheader").all_inner_texts() == heads
    rows = table.get_by_role("row").all_inner_texts()
    assert len(rows) == 1 + 2 * (1 + 3)
    gap = fairness(*(torch.from_numpy(array) for array in (who, made, made))).representation
    value, low, high = (f"{float(end[1]):+.3f}".replace("-", "−") for end in (gap.value, gap.low, gap.high))
    of_baker = next(n for n, row in enumerate(rows) if row.startswith("Baker"))
    assert rows[of_baker + 2].split("\t")[:2] == ["many", "20 (67%)"]
    assert f"{value} [{low}, {high}]" in rows[of_baker + 2]
    assert rows[of_baker + 3].startswith(f"<b>none</b>\t0 (0%)\t–\t–\t–\t{made[:, 2].mean():+.3f} [")
    for mark, end in (("b", gap.value), ("i", gap.low)):
        drawn = table.get_by_role("row").nth(of_baker + 2).locator(".range").nth(3)
        scale = page.evaluate("job.groups.scales[3]")
        expected = (float(end[1]) - scale[0]) / (scale[1] - scale[0])
        box, whole = drawn.locator(mark).bounding_box(), drawn.bounding_box()
        assert (box["x"] - whole["x"]) / whole["width"] == pytest.approx(expected, abs=0.02)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 703, "height": 1000})  # 186 mm of an A4 page
    assert table.evaluate("table => table.scrollWidth <= table.clientWidth")


def test_without_groups_there_is_no_table_of_them(page: Any, arrays: dict[str, Any]) -> None:
    assert not page.locator("#groups").is_visible()


def test_hostile_names_are_text(page: Any, tmp_path: Path) -> None:
    opened(page, tmp_path / "results", names=(HOSTILE.replace("/", "∕"), "Baker"), operator=HOSTILE)
    assert page.title() == "Posterior report: results"
    assert page.get_by_role("heading", name="onerror=alert(1)").count() == 1
    assert page.locator("#sections script, #sections img, #settings script, #settings img").count() == 0
    assert "</script>" in page.locator("#settings").inner_text()


def test_nothing_is_asked_for(page: Any, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, tmp_path / "results")
    page.keyboard.press("n")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in asked) == 1
