"""The page in a browser: by keyboard, by mouse, without errors, and open to all (WCAG 2.2 AA by axe-core)."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from posterior.app.study.server import study_app, web_server
from tests.app.study.workplace import LEVELS, Study
from tests.browser import violations

pytestmark = pytest.mark.integration


@contextmanager
def served(study: Study) -> Iterator[str]:
    """Address of the study, which is served in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = web_server(study_app(study.answers))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path, 2, repeats=1)


@pytest.fixture
def trial(study: Study, page: Any) -> Iterator[Any]:
    """The page with the first trial of ada."""
    with served(study) as address:
        page.goto(f"{address}#{study.tokens['ada']}")
        await_trial(page, 1)
        yield page
        page.close()


def await_trial(page: Any, number: int) -> None:
    page.get_by_text(f"Image {number} of 3", exact=True).first.wait_for()


def ranks(page: Any) -> dict[str, str]:
    """The rank of each image that has one."""
    return {radio.get_attribute("name"): radio.input_value() for radio in page.locator("input:checked").all()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_study_by_keyboard(study: Study, trial: Any, scheme: str) -> None:
    trial.emulate_media(color_scheme=scheme)
    assert study.tokens["ada"] not in trial.url
    shown = [tuple(map(study.reader().method, study.answers.current("ada").images))]
    for number in (1, 2, 3):
        await_trial(trial, number)
        assert violations(trial) == []
        trial.keyboard.press("3")  # A, and the focus goes on to B
        trial.keyboard.press("1")
        assert ranks(trial) == {"A": "3", "B": "1", "C": "2"}
        assert trial.locator("#status").inner_text() == "A: 3, B: 1, C: 2"
        assert violations(trial) == []
        trial.keyboard.press("Enter")
    trial.get_by_text("All done, thank you").wait_for()
    assert violations(trial) == []
    readings = study.answers.readings()
    assert len(readings) == 3
    assert readings[0].shown == shown[0]
    assert all(one.ranking == (one.shown[1], one.shown[2], one.shown[0]) for one in readings)
    assert all(0 < one.seconds < 60 for one in readings)


def test_ranks_by_mouse_and_no_ties(study: Study, trial: Any) -> None:
    trial.locator("#save").click()
    assert trial.locator("#status").inner_text() == "No rank yet: A, B, C"
    assert violations(trial) == []
    card = {name: trial.get_by_role("group", name=name, exact=True) for name in "ABC"}
    card["B"].get_by_role("radio", name=re.compile("^1")).click()
    assert ranks(trial) == {"B": "1"}
    card["C"].get_by_role("radio", name=re.compile("^1")).click()
    assert ranks(trial) == {"C": "1"}  # which B had
    card["A"].get_by_role("radio", name="2").click()
    assert ranks(trial) == {"A": "2", "B": "3", "C": "1"}  # the last one takes what is left
    trial.keyboard.press("ArrowRight")
    assert ranks(trial) == {"A": "3", "B": "2", "C": "1"}  # A and B have changed places
    trial.locator("#save").click()
    await_trial(trial, 2)
    assert ranks(trial) == {}
    (reading,) = study.answers.readings()
    assert reading.ranking == reading.shown[::-1]


def test_all_images_zoom_together(trial: Any) -> None:
    images = trial.locator(".view img")
    assert images.count() == 1 + len(LEVELS)

    def places() -> list[list[float]]:
        code = "all => all.map(i => new DOMMatrix(getComputedStyle(i).transform)).map(m => [m.a, m.e, m.f])"
        found = images.evaluate_all(code)
        assert all(place == pytest.approx(found[0], abs=0.01) for place in found)
        return list(found[0])

    box = trial.locator(".view").nth(1).bounding_box()
    assert places() == [1, 0, 0]
    trial.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert places() == pytest.approx([2, -box["width"] / 4, -box["height"] / 2], abs=1)  # what was clicked stays there
    trial.mouse.move(box["x"] + 20, box["y"] + 20)
    trial.mouse.down()
    trial.mouse.move(box["x"] + 40, box["y"] + 10)
    trial.mouse.up()
    assert places() == pytest.approx([2, -box["width"] / 4 + 20, -box["height"] / 2 - 10], abs=1)
    trial.keyboard.press("Shift+ArrowRight")
    assert places() == pytest.approx([2, -box["width"] * 0.35 + 20, -box["height"] / 2 - 10], abs=1)
    trial.keyboard.press("0")
    assert places() == [1, 0, 0]
    trial.mouse.wheel(0, -100)
    trial.wait_for_function("getComputedStyle(document.querySelector('#images')).getPropertyValue('--scale') > 1.2")
    for name, scale in (("Reset", 1), ("Zoom in", 1.5), ("Zoom out", 1)):
        trial.get_by_role("button", name=name).click()
        assert places()[0] == pytest.approx(scale)
    assert ranks(trial) == {}


def test_a_reload_goes_on(study: Study, trial: Any) -> None:
    for key in ("1", "2", "Enter"):
        trial.keyboard.press(key)
    await_trial(trial, 2)
    trial.reload()
    await_trial(trial, 2)
    assert len(study.answers.readings()) == 1


def test_an_answer_that_is_not_saved_is_told(study: Study, trial: Any, console: list[str]) -> None:
    trial.route("**/answer", lambda route: route.abort())
    for key in ("1", "2", "Enter"):
        trial.keyboard.press(key)
    trial.get_by_text("The server does not answer. Try again.").wait_for()
    assert violations(trial) == []
    assert ranks(trial) == {"A": "1", "B": "2", "C": "3"}
    assert len(console) == 1  # of the browser
    console.clear()
    trial.unroute("**/answer")
    trial.keyboard.press("Enter")
    await_trial(trial, 2)
    assert len(study.answers.readings()) == 1


def test_an_answer_from_another_window_is_kept(study: Study, trial: Any, console: list[str]) -> None:
    ada = study.reader()
    tokens = ada.trial()["images"]
    ada.post(tokens[::-1])
    for key in ("1", "2", "Enter"):
        trial.keyboard.press(key)
    await_trial(trial, 2)
    assert [message for message in console if "409" not in message] == []
    console.clear()
    (reading,) = study.answers.readings()
    assert reading.ranking == reading.shown[::-1]


def test_a_token_may_be_pasted(study: Study, page: Any, console: list[str]) -> None:
    with served(study) as address:
        page.goto(address)
        page.get_by_label("Your token").fill("wrong")
        assert violations(page) == []
        page.keyboard.press("Enter")
        page.get_by_text("this access token is not known").wait_for()
        assert [message for message in console if "401" not in message] == []
        console.clear()
        page.get_by_label("Your token").fill(f"{address}#{study.tokens['ada']}")
        page.get_by_role("button", name="Begin").click()
        await_trial(page, 1)
        page.close()


@pytest.mark.parametrize(("width", "height"), [(360, 640), (1280, 640), (1920, 1080)])
def test_images_fit_the_window(trial: Any, width: int, height: int) -> None:
    trial.set_viewport_size({"width": width, "height": height})
    trial.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page_width, page_height = trial.evaluate("() => [document.body.scrollWidth, document.body.scrollHeight]")
    assert page_width <= width
    assert page_height <= height or width < 400
    sides = {round(view.bounding_box()["width"]) for view in trial.locator(".view").all()}
    assert len(sides) == 1 and min(sides) >= 250
    assert violations(trial) == []
