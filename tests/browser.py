"""A browser for tests of pages: Debian's Chromium, driven by Playwright; tests skip where either is missing."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser with an empty profile."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def console() -> list[str]:
    """What the page says on its console, and its errors; a test that expects some clears it."""
    return []


@pytest.fixture
def page(browser: Any, console: list[str]) -> Iterator[Any]:
    """A new page, which must leave nothing on its console."""
    context = browser.new_context(reduced_motion="reduce")  # or axe may judge colours while they change
    page = context.new_page()
    page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: console.append(f"error: {error}"))
    yield page
    context.close()
    assert not console


def violations(page: Any) -> list[str]:
    """What axe-core finds on a page against WCAG 2.2 of level A and AA."""
    axe = importlib.util.find_spec("axe_playwright_python")
    assert axe is not None and axe.origin is not None
    page.evaluate((Path(axe.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    levels = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    # without preload: it asks for style sheets, which Chromium refuses in a folder
    found = page.evaluate("tags => axe.run({runOnly: tags, preload: false})", levels)
    assert found["passes"]
    return [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]
