"""The web application: who may see and say what, and what the answers never tell."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.study.test_rendering import chunks
from tests.app.study.workplace import LEVELS, REFERENCE, SECRETS, Study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def state(study: Study) -> tuple[int, int]:
    """Number of the trial of ada, and answers of all."""
    return study.answers.current("ada").number, len(study.answers.readings())


def test_a_trial_shows_the_reference_and_every_method(study: Study) -> None:
    ada = study.reader()
    trial = ada.trial()
    assert (trial["number"], trial["total"]) == (1, 6)
    assert ada.level(trial["reference"]) == pytest.approx(REFERENCE, abs=1 / 255)
    assert sorted(map(ada.level, trial["images"])) == pytest.approx(sorted(LEVELS.values()), abs=1 / 255)
    assert len({*trial["images"], trial["reference"]}) == 4


def test_an_image_that_has_changed_is_not_shown(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    ada = study.reader()
    token = ada.trial()["images"][0]
    image, method = study.answers.image("ada", token) or ("", None)
    file = study.plan.file(image, method)
    before = file.read_bytes()
    np.save(file, np.full((6, 5), 0.7, np.float32))
    reply = ada.client.get(f"/image/{token}", headers=ada.headers)
    assert (reply.status_code, reply.json()) == (503, {"error": "the server has a fault; tell who runs the study"})
    assert f"{file} has changed since the server began" in capsys.readouterr().err
    file.write_bytes(before)
    assert ada.method(token) == method


def test_the_reference_is_optional(tmp_path: Path) -> None:
    trial = Study(tmp_path, reference=None).reader().trial()
    assert trial["reference"] is None and len(trial["images"]) == 3


def test_an_answer_is_kept_and_the_next_trial_comes(study: Study) -> None:
    ada = study.reader()
    tokens = ada.trial()["images"]
    ranking = [tokens[1], tokens[2], tokens[0]]
    shown = tuple(map(ada.method, tokens))
    reply = ada.post(ranking, 1234)
    assert reply.json()["number"] == 2
    assert not set(reply.json()["images"]) & set(tokens)
    (reading,) = study.answers.readings()
    assert (reading.reader, reading.number, reading.repeat, reading.seconds) == ("ada", 1, False, 1.234)
    assert reading.shown == shown
    assert reading.ranking == (shown[1], shown[2], shown[0])
    assert study.reader("grace").trial()["number"] == 1


def test_an_answer_whose_reply_was_lost_may_come_again(study: Study) -> None:
    ada = study.reader()
    tokens = ada.trial()["images"]
    replies = [ada.post(tokens), ada.post(tokens)]
    assert replies[0].json() == replies[1].json()
    assert ada.post(tokens[::-1]).status_code == 409
    assert [reading.ranking for reading in study.answers.readings()] == [tuple(map(ada.method, tokens))]


def test_all_trials_end(study: Study) -> None:
    ada = study.reader()
    ada.read_all(sorted)
    done = ada.trial()
    assert (done["number"], done["total"], done["images"], done["reference"]) == (6, 6, [], None)
    assert ada.post(["x"]).status_code == 409
    assert sum(reading.repeat for reading in study.answers.readings()) == 2


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer x", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {token[:-1]}"],
)
def test_tokens_are_needed(study: Study, header: str | None) -> None:
    ada = study.reader()
    trial = ada.trial()
    token = study.tokens["ada"]
    filled = header and header.replace("{token[:-1]}", token[:-1]).replace("{token}", token)
    ada.headers = {} if filled is None else {"authorization": filled}
    for reply in (
        study.client.get("/trial", headers=ada.headers),
        study.client.get(f"/image/{trial['images'][0]}", headers=ada.headers),
        ada.post(trial["images"]),
    ):
        assert reply.status_code == 401
        assert reply.json()["error"] == "this access token is not known"
    assert state(study) == (1, 0)


def test_tokens_are_not_kept(study: Study) -> None:
    kept = b"".join(file.read_bytes() for file in study.plan.out.iterdir())
    assert b"ada" in kept
    assert not any(token.encode() in kept for token in study.tokens.values())


def test_readers_see_and_rank_their_own_images_alone(study: Study) -> None:
    ada, grace = study.reader(), study.reader("grace")
    tokens = ada.trial()["images"]
    assert study.client.get(f"/image/{tokens[0]}", headers=grace.headers).status_code == 404
    assert grace.post(tokens).status_code == 409
    assert state(study) == (1, 0)
    ada.post(tokens)
    assert grace.post(tokens).status_code == 409


@pytest.mark.parametrize(
    "path",
    [
        "../study.yaml", "..%2f..%2fstudy.yaml", "%2e%2e/%2e%2e/study.yaml", "%2fetc%2fpasswd", "groupone/sliceq0.npy",
        "groupone%2fsliceq0.npy", "x%00y", "' OR 1=1 --", "%F0%9F%92%A5", "x" * 10000,
    ],
)  # fmt: skip
def test_images_go_by_token_alone(study: Study, path: str) -> None:
    for start in ("/image/", "/"):
        assert study.client.get(start + path, headers=study.reader().headers).status_code == 404


def answer(**changes: Any) -> bytes:
    return json.dumps({"ranking": ["a", "b", "c"], "milliseconds": 5, **changes}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"3", b'"ranking"', b"\xff\xfe", b"[" * 4000, b"{}", answer(extra=1),
        answer(ranking="abc"), answer(ranking=[]), answer(ranking=["a", "a", "b"]), answer(ranking=[1, 2, 3]),
        answer(ranking=[["a"], ["b"]]), answer(ranking={"a": 1}), answer(ranking=None), answer(milliseconds=-1),
        answer(milliseconds=1.5), answer(milliseconds=True), answer(milliseconds="5"), answer(milliseconds=10**12),
        b'{"ranking": ["a", "b"], "milliseconds": NaN}',
    ],
)  # fmt: skip
def test_malformed_answers_are_refused(study: Study, body: bytes) -> None:
    reply = study.client.post("/answer", headers=study.reader().headers, content=body)
    assert reply.status_code == 400
    assert state(study) == (1, 0)


def test_rankings_are_of_the_trial_s_images_each_once(study: Study) -> None:
    ada = study.reader()
    trial = ada.trial()
    tokens = trial["images"]
    assert ada.post([*tokens[:2], tokens[0]]).status_code == 400
    for ranking in (tokens[:2], [*tokens, trial["reference"]], [*tokens[:2], trial["reference"]], [*tokens[:2], "x"]):
        assert ada.post(ranking).status_code == 409
    assert state(study) == (1, 0)


@pytest.mark.parametrize("announced", [True, False])
def test_oversized_answers_are_refused(study: Study, announced: bool) -> None:
    body = b" " * 10_000_000 + answer()
    parts = iter([body[i : i + 65536] for i in range(0, len(body), 65536)])
    reply = study.client.post("/answer", headers=study.reader().headers, content=body if announced else parts)
    assert reply.status_code == 413
    assert state(study) == (1, 0)


def test_other_methods_are_refused(study: Study) -> None:
    for path, method in [("/answer", "GET"), ("/trial", "POST"), ("/", "PUT"), ("/image/x", "DELETE")]:
        assert study.client.request(method, path, headers=study.reader().headers).status_code == 405


def test_nothing_names_a_method_or_a_file(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of reply, with its headers; a failure tells its cause to who runs the study alone."""
    ada = study.reader()
    trial = ada.trial()
    tokens = [trial["reference"], *trial["images"]]
    images = [study.client.get(f"/image/{token}", headers=ada.headers) for token in tokens]
    for image in images:
        assert image.headers["content-type"] == "image/png"
        assert chunks(image.content) == ["IHDR", "IDAT", "IEND"]
    paths = ["/", "/base.css", "/study.css", "/study.js", "/icon.svg", "/trial", "/nowhere", "/image/nothing"]
    replies = [*images, *(study.client.get(path, headers=ada.headers) for path in paths), ada.post(["x"]), ada.post([])]
    assert [reply.status_code for reply in replies[4:]] == [200, 200, 200, 200, 200, 200, 404, 404, 409, 400]
    method = ada.method(trial["images"][0])
    for file in study.plan.methods[method].rglob("*.npy"):
        file.unlink()
    broken = study.client.get(f"/image/{trial['images'][0]}", headers=ada.headers)
    assert broken.status_code == 503
    assert method in capsys.readouterr().err
    for reply in [*replies, broken, ada.post(trial["images"])]:
        told = reply.content + repr(list(reply.headers.items())).encode()
        assert not [name for name in SECRETS if name.lower().encode() in told.lower()]
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["x-content-type-options"] == "nosniff"
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy


def test_the_page_is_whole_without_a_network(study: Study) -> None:
    page = study.client.get("/").text
    wanted = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sorted(wanted) == ["base.css", "icon.svg", "study.css", "study.js"]
    assert all(study.client.get(f"/{name}").status_code == 200 for name in wanted)
    for name in ("/", *wanted):
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", study.client.get(name).text)


def test_readers_answer_at_once(tmp_path: Path) -> None:
    names = [f"reader {i}" for i in range(6)]
    study = Study(tmp_path, 8, readers=names, repeats=4)
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: study.reader(name).read_all(sorted), names))
    readings = study.answers.readings()
    assert [reading.number for reading in readings] == list(range(1, 13)) * 6
    assert {reading.ranking for reading in readings} == {tuple(sorted(LEVELS))}


def test_two_answers_to_one_trial_at_once_are_one(study: Study) -> None:
    ada = study.reader()
    tokens = ada.trial()["images"]
    orders = [tokens, tokens[::-1]] * 4
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda order: ada.post(order).status_code, orders))
    (reading,) = study.answers.readings()
    kept = [list(reading.ranking) == list(map(ada.method, order)) for order in orders]
    assert codes == [200 if same else 409 for same in kept]
