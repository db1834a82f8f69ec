"""The website: it is built without a broken link, holds the whole API, and takes nothing from the network."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import violations
from tests.docs.blocks import ROOT

pytestmark = pytest.mark.integration
LOADS = re.compile(r'<(?:script|img|iframe)[^>]* src="([^"]*)"|<link[^>]* rel="(?!canonical)[^>]* href="([^"]*)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def pages(site: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(site.rglob("*.html")):
        yield str(path.relative_to(site)), path.read_text(encoding="utf-8")


def test_every_page_takes_only_what_is_there(site: Path) -> None:
    for name, text in pages(site):
        for target in ("".join(found) for found in LOADS.findall(text)):
            there = (site / name).parent / target.split("?")[0]
            assert name == "404.html" or target.startswith("data:") or there.exists(), f"{name}: {target}"


def test_every_formula_is_mathematics(site: Path) -> None:
    texts = dict(pages(site))
    assert not [name for name, text in texts.items() if 'class="arithmatex"' in text]
    assert "<math" in texts["api/guided.html"]


def test_the_whole_api_is_there(site: Path) -> None:
    """Whatever a documented package exports, under its own name or that of a package that it comes from."""
    texts = {name: text for name, text in pages(site) if name.startswith("api/")}
    packages = re.findall(r'<h1 id="((?:posterior|samplers)[\w.]*)"', "".join(texts.values()))
    assert len(packages) >= 20
    known = set(re.findall(r' id="[\w.]+\.(\w+)"', "".join(texts.values())))
    for package in packages:
        missing = set(getattr(importlib.import_module(package), "__all__", ())) - known
        assert not missing, f"{package}: {missing}"


def test_it_opens_from_a_folder_and_is_searched(site: Path, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("index", "warnings", "api/guided", "notebooks/01_can_you_trust_it"):
        page.goto((site / f"{name}.html").as_uri())
    page.locator("input.md-search__input").fill("island_r_hat")
    page.wait_for_selector(".md-search-result__item >> text=What each warning means")
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_open_to_all(site: Path, page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for name in ("index", "samplers", "warnings", "gallery", "api/guided"):
        page.goto((site / f"{name}.html").as_uri())
        assert not violations(page), name
