"""What study.yaml may say, and the images that it names."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from posterior.app.study.plan import _KEYS, read_plan
from posterior.errors import FileFormatError, InvalidValueError, PosteriorError
from tests.app.study.workplace import write_study


def test_folders_are_relative_to_the_file(tmp_path: Path) -> None:
    plan = read_plan(write_study(tmp_path))
    assert plan.images == tuple(f"groupone/sliceq{i}.npy" for i in range(4))
    assert plan.file(plan.images[0], "Zubmethod") == tmp_path / "vault/Zubmethod/groupone/sliceq0.npy"
    assert plan.file(plan.images[0], None) == tmp_path / "vault/reference/groupone/sliceq0.npy"
    assert plan.answers == tmp_path / "results/answers.sqlite"
    assert (plan.window, plan.repeats, plan.seed) == ((0, 1), 2, 0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"windows": "[0, 1]"}, "no key 'windows' .did you mean 'window'"),
        ({"window": None}, "lacks window"),
        ({"window": "[1, 1]"}, "value of black, value of white"),
        ({"window": "[0, 1, 2]"}, "window"),
        ({"window": "[0, .nan]"}, "window"),
        ({"readers": "[]"}, "readers are names"),
        ({"readers": "[ada, ada]"}, "each once"),
        ({"readers": "[1]"}, "readers"),
        ({"readers": '["a\\nb"]'}, "one line"),
        ({"out": '"a\\0b"'}, "out is text in one line"),
        ({"reference": '""'}, "reference is text in one line"),
        ({"methods": "{Zubmethod: vault/Zubmethod}"}, "2 to 9"),
        ({"methods": "{yes: vault/Zubmethod, b: vault/Yakmethod}"}, "text in one line"),
        ({"methods": "{a: 1, b: vault/Yakmethod}"}, "folder of a is text"),
        ({"methods": "{a: nowhere, b: vault/Yakmethod}"}, "no folder .*nowhere"),
        ({"repeats": "5"}, "at most the number of images, 4"),
        ({"repeats": "-1"}, "repeats"),
        ({"seed": "first"}, "seed"),
        ({"out": "../elsewhere"}, "out is a folder within"),
        ({"out": "/elsewhere"}, "out is a folder within"),
        ({"question": "Is zubmethod best?"}, "names the method Zubmethod"),
        ({"seed": "!!python/object/apply:os.getpid []"}, "YAML"),
        ({"seed": "&a [*a]"}, "YAML of more than"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = write_study(tmp_path, **changes)
    with pytest.raises(PosteriorError, match=told) as error:
        read_plan(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "just words", "- a\n- b\n", "{}"])
def test_a_file_that_holds_no_study(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises((InvalidValueError, FileFormatError), match=r"study\.yaml"):
        read_plan(path)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["vault", ".", "..", "a\0b"]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text() | st.integers(), values, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40)
@given(key=st.sampled_from([*_KEYS, "other"]), value=ODD)
def test_odd_values_are_refused_or_right(key: str, value: Any) -> None:
    """Nothing but errors of this library, which name the file; or a plan that stays within its folder."""
    with TemporaryDirectory() as folder:
        path = write_study(Path(folder), 1, **{"repeats": 1, key: None})
        path.write_text(path.read_text() + yaml.safe_dump({key: value}))
        told, plan = "", None
        try:
            plan = read_plan(path)
        except PosteriorError as error:
            told = str(error)
        assert str(path) in told if plan is None else plan.answers.resolve().is_relative_to(Path(folder).resolve())


def test_folders_need_the_same_names(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    (tmp_path / "vault/Yakmethod/groupone/sliceq2.npy").unlink()
    with pytest.raises(InvalidValueError, match=r"Yakmethod lacks groupone/sliceq2\.npy"):
        read_plan(path)
    for file in (tmp_path / "vault/Yakmethod").rglob("*.npy"):
        file.unlink()
    with pytest.raises(FileFormatError, match="holds no images"):
        read_plan(path)
    np.save(os.fsdecode(os.fsencode(tmp_path / "vault/Yakmethod") + b"/\xff.npy"), np.zeros((6, 5)))
    with pytest.raises(FileFormatError, match=r"holds '\\udcff\.npy', whose name is not UTF-8; rename it"):
        read_plan(path)


def test_the_identity_knows_settings_and_images(tmp_path: Path) -> None:
    before = read_plan(write_study(tmp_path)).identity()
    np.save(tmp_path / "vault/Yakmethod/groupone/sliceq2.npy", np.zeros((6, 5)))
    after = read_plan(write_study(tmp_path, readers="[ada]", window="[0, 2]")).identity()
    assert before == read_plan(write_study(tmp_path)).identity()  # which wrote the images again
    assert {part for part in before if before[part] != after[part]} == {"window"}
    np.save(tmp_path / "vault/Yakmethod/groupone/sliceq2.npy", np.zeros((6, 5)))
    after = read_plan(tmp_path / "study.yaml").identity()
    assert {part for part in before if before[part] != after[part]} == {"images of Yakmethod"}
