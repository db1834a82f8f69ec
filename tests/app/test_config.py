"""A config: the same objects by YAML, text and Python; what is refused, and that nothing of a file is ever run."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from posterior.app.cli import main
from posterior.app.config import Config, build_parts, build_prior, load_config
from posterior.app.specification import build
from posterior.errors import FileFormatError, InvalidValueError, UnknownNameError
from posterior.noise import Noise
from posterior.priors import GaussianMixturePrior
from samplers import DDRM, TemperedSMC

TEXT = """
prior: {name: gaussian-mixture, means: [[[[-1, 0.5]]], [[[1, -0.5]]]], std: 0.3}
operator: half:keep=left
likelihood: {name: gaussian, noise_std: 5e-1}
data: simulated:count=3
methods: [DDRM:steps=4, {name: TemperedSMC, population: 8}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "job.yaml") -> Path:
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def changed(**parts: Any) -> str:
    return yaml.safe_dump(yaml.safe_load(TEXT) | parts)


def test_yaml_text_and_python_build_the_same() -> None:
    from_file = build_parts(load_config(written(TEXT)))
    by_hand = build_parts(
        Config(
            prior={"name": "gaussian-mixture", "means": [[[[-1, 0.5]]], [[[1, -0.5]]]], "std": 0.3},
            operator={"name": "half", "keep": "left"},
            likelihood="gaussian:noise_std=0.5",
            data={"name": "simulated", "count": 3},
            methods=["DDRM:steps=4", "TemperedSMC:population=8"],
        )
    )
    prior = GaussianMixturePrior(torch.tensor([[[[-1, 0.5]]], [[[1, -0.5]]]]), std=0.3)
    for parts in (from_file, by_hand):
        assert parts.methods == {"DDRM": DDRM(steps=4), "TemperedSMC": TemperedSMC(population=8)}
        assert isinstance(parts.prior, GaussianMixturePrior)
        assert torch.equal(parts.prior.means, prior.means)
        assert float(parts.prior.variances) == pytest.approx(0.09)
        assert float(parts.likelihood.noise_std) == 0.5
        assert parts.likelihood.operator(torch.tensor([[[3.0, 4.0]]])[None]).tolist() == [[[[3.0, 0.0]]]]
        assert list(parts.data.ids) == [0, 1, 2]


def test_a_config_is_printed_with_all_values_and_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", str(written(TEXT)), "--print_config", "--seed=7", "--set=operator.keep=right", "--out=/somewhere"])
    printed = capsys.readouterr().out
    values = yaml.safe_load(printed)
    assert values["seed"] == 7
    assert values["operator"] == {"name": "half", "keep": "right"}
    assert values["out"] == "/somewhere"
    assert values["shard_size"] == 8
    again = load_config(written(yaml.safe_dump(values | {"out": "somewhere"})))
    assert again.settings() == values | {"out": "somewhere"}


def test_values_within_parts_are_changed() -> None:
    changes = {"methods.1.accuracy": "fast", "data.count": 1, "prior.std": 0.1, "num_samples": 2}
    parts = build_parts(config := load_config(written(TEXT), changes))
    assert parts.methods["TemperedSMC"] == TemperedSMC(accuracy="fast", population=8)
    assert list(parts.data.ids) == [0]
    assert config.num_samples == 2
    for key in ("methods.2.steps", "nothing.steps", "seed.part", "methods.x", "methods.²", f"methods.{'9' * 5000}"):
        with pytest.raises(InvalidValueError, match="in the config"):
            load_config(written(TEXT), {key: 1})


def test_texts_that_are_no_specification_are_named() -> None:
    with pytest.raises(InvalidValueError, match=r"'half:keep=\[': expected the node content"):
        load_config(written(changed(operator="half:keep=[")), {"operator.keep": "left"})
    with pytest.raises(InvalidValueError, match=r"'digits:\[': expected the node content"):
        build_prior("digits:[", "cpu", class_label=3)
    with pytest.raises(InvalidValueError, match=r"operator 'half:keep=\[': expected .*; write half:keep=top"):
        build_parts(load_config(written(changed(operator="half:keep=["))))


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"opertor": "half"}, InvalidValueError, "no argument 'opertor' .did you mean 'operator'"),
        ({"num_sample": 3}, InvalidValueError, "did you mean 'num_samples'"),
        ({"allow_code": True}, InvalidValueError, "no argument 'allow_code'"),
        ({"num_samples": "many"}, InvalidValueError, "num_samples cannot be 'many'"),
        ({"num_samples": 0}, InvalidValueError, "num_samples to be"),
        ({"methods": []}, InvalidValueError, "no sampler and no solver"),
        ({"methods": "DDRM"}, InvalidValueError, "methods cannot be 'DDRM'"),
        ({"operator": 3}, InvalidValueError, "operator cannot be 3"),
        ({"operator": {"keep": "left"}}, InvalidValueError, "has no name"),
        (
            {"operator": {"name": "half", "kep": "left"}},
            InvalidValueError,
            "'kep' .did you mean 'keep'..; write half:",
        ),
        ({"operator": {"name": "haf"}}, UnknownNameError, "did you mean 'half'"),
        ({"likelihood": {"name": "gausian"}}, UnknownNameError, "did you mean 'gaussian'"),
        ({"methods": ["DDRN"]}, UnknownNameError, "did you mean 'DDRM'"),
        ({"methods": [{"name": "DDRM", "steps": 2.5}]}, InvalidValueError, "steps cannot be 2.5"),
        ({"prior": {"name": "digit"}}, UnknownNameError, "did you mean 'digits'"),
        ({"prior": "./nowhere"}, FileFormatError, "there is no folder"),
        ({"data": {"name": "simulated", "count": 0}}, InvalidValueError, "count ≥ 1"),
        ({"data": {"name": "pictures", "path": "nowhere"}}, FileFormatError, "nowhere does not exist"),
        ({"data": "digits"}, InvalidValueError, "holds images .1, 28, 28., and those of the prior are"),
    ],
)
def test_mistakes(parts: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_parts(load_config(written(changed(**parts))))


ALIASES = [f"{name}: &{name} [{','.join(9 * [f'*{last}'])}]" for last, name in zip("abcdef", "bcdefg", strict=True)]
BOMB = "\n".join(["a: &a [x,x,x,x,x,x,x,x,x]", *ALIASES])
PLANT = {"class_path": "planted.Thing", "init_args": {}}
HOSTILE: dict[str, Callable[[], tuple[str, str]]] = {  # what a file says, and what is said of it
    "a tag that runs a program": lambda: (TEXT + "seed: !!python/object/apply:os.system [touch ran]", "constructor"),
    "a tag that imports": lambda: (TEXT + "seed: !!python/name:planted.Thing", "constructor"),
    "an alias bomb": lambda: (TEXT + BOMB, "YAML of more than"),
    "an alias of itself": lambda: (TEXT + "out: &a [*a]", "YAML of more than"),
    "a deep file": lambda: ("[" * 5000, "not a config"),
    "a class as a prior": lambda: (changed(prior=PLANT), "has no name"),
    "a class as a sampler": lambda: (changed(methods=[{"name": "planted.Thing"}]), "no method is called"),
    "a class as an argument": lambda: (changed(operator={"name": "half", "keep": PLANT}), "keep cannot be"),
    "a class as an array": lambda: (changed(operator={"name": "blur", "kernel": PLANT}), "kernel cannot be"),
    "a class as a number": lambda: (changed(num_samples=PLANT), "num_samples cannot be"),
    "a class as a list": lambda: (changed(methods=PLANT), "methods cannot be"),
    "a class on top": lambda: (changed(**PLANT), "no argument 'class_path'"),
    "code": lambda: (changed(operator="planted.py:make"), "--allow_code"),
    "code that allows itself": lambda: (changed(operator="planted.py:make", allow_code=True), "no argument"),
    "outputs above": lambda: (changed(out="results/../../above"), "not a folder within"),
    "outputs elsewhere": lambda: (changed(out="/tmp/elsewhere"), "not a folder within"),
    "outputs through a link": lambda: (changed(out="link/x"), "not a folder within"),
    "outputs that are no path": lambda: (changed(out=["a"]), "not a folder within"),
    "a key twice": lambda: (TEXT + "operator: half:keep=right", "'operator' is there twice"),
    "a device": lambda: (changed(data={"name": "pictures", "path": "/dev/zero"}), "/dev/zero"),
    "no text": lambda: ("\0", "not a config"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused_in_a_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "planted.py").write_text("open('ran', 'w')\nclass Thing: ...\ndef make(shape): ...\n")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    monkeypatch.syspath_prepend(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    text, message = HOSTILE[what]()
    with pytest.raises(SystemExit):
        main(["run", str(written(text)), "--progress=false"])
    error = capsys.readouterr().err
    assert error.startswith("posterior: ") and error.count("\n") == 1
    assert message in error
    assert "planted" not in sys.modules
    assert {path.name for path in tmp_path.iterdir()} == before | {"job.yaml"}


def test_the_user_may_write_to_any_folder() -> None:
    file = written(changed(out="/tmp/elsewhere"))
    assert load_config(file, {"out": "/tmp/mine"}).out == Path("/tmp/mine")
    with pytest.raises(InvalidValueError, match="not a folder within"):
        load_config(file, {"seed": 1})


def test_an_operator_may_be_a_dataclass_of_postponed_annotations() -> None:
    Path("own.py").write_text("""
from __future__ import annotations
from dataclasses import dataclass
from posterior.operators import LinearOperator

@dataclass(eq=False)
class Twice(LinearOperator):
    event_shape: tuple[int, ...]

    def __post_init__(self):
        super().__init__(self.event_shape, self.event_shape)

    def forward(self, x):
        return 2 * x

    adjoint = forward
""")
    operator = build_parts(load_config(written(changed(operator="own.py:Twice"))), allow_code=True).likelihood.operator
    assert operator(torch.ones(1, 1, 1, 2)).tolist() == [[[[2.0, 2.0]]]]
    assert "own" not in sys.modules


def test_code_runs_where_the_user_allows_it() -> None:
    code = """
import torch
from posterior.operators import Operator
def make(event_shape):
    return Operator.from_callable(lambda x: 2 * x, event_shape=event_shape, measurement_shape=event_shape, linear=True)
def broken(event_shape):
    return 3
"""
    Path("own.py").write_text(code)
    asked = load_config(written(changed(operator="own.py:make")))
    operator = build_parts(asked, allow_code=True).likelihood.operator
    assert operator(torch.ones(1, 1, 1, 2)).tolist() == [[[[2.0, 2.0]]]]
    for name, message in (("mak", "did you mean 'make'"), ("broken", "gave a int"), ("torch", "no function 'torch'")):
        with pytest.raises((FileFormatError, InvalidValueError), match=message):
            build_parts(load_config(written(changed(operator=f"own.py:{name}"))), allow_code=True)
    with pytest.raises(FileFormatError, match=r"there is no file nowhere\.py"):
        build_parts(load_config(written(changed(operator="nowhere.py:make"))), allow_code=True)
    Path("own.py").write_text("1 / 0")
    with pytest.raises(FileFormatError, match=r"own\.py cannot be run: ZeroDivisionError"):
        build_parts(asked, allow_code=True)


def test_data_are_named_in_five_ways() -> None:
    prior = GaussianMixturePrior(torch.zeros(1, 1, 2, 2), std=0.5)
    likelihood = build(
        "likelihood", "gaussian:noise_std=0.5", operator=build("operator", "identity", event_shape=(1, 2, 2))
    )
    images = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 1, 2, 2)
    np.save("x.npy", images)
    np.save("y.npy", 2 * images)

    def of(spec: str, ids: list[int], shape: tuple[int, ...] = (1, 2, 2)) -> Any:
        return build("data", spec, event_shape=shape).of(ids, prior, likelihood, 0)

    y, truth = of("pictures:path=x.npy", [1, 2])
    np.testing.assert_array_equal(truth, images[1:])
    assert torch.equal(y, likelihood.simulate(truth, Noise.of(0, [1, 2])))
    assert torch.equal(of("pictures:path=x.npy,first=1", [2])[0], y[1:])  # a measurement does not know its neighbours
    y, truth = of("measurements:path=y.npy,truth=x.npy", [2])
    np.testing.assert_array_equal(y, 2 * images[2:])
    np.testing.assert_array_equal(truth, images[2:])
    assert of("measurements:path=y.npy", [0])[1] is None
    both, one = of("simulated:count=5", [3, 4]), of("simulated:count=5", [4])
    assert torch.equal(both[0][1:], one[0]) and torch.equal(both[1][1:], one[1])
    assert not torch.equal(both[1][0], both[1][1])
    for name in ("digits", "fashion"):
        assert len(build("data", f"{name}:first=10,count=5", event_shape=(1, 28, 28)).ids) == 5
    for wrong in ("digits:first=99,count=2", "pictures:path=x.npy,count=0", "measurements:path=y.npy,first=-1"):
        with pytest.raises(InvalidValueError, match="asked for"):
            build("data", wrong, event_shape=(1, 28, 28) if "digits" in wrong else (1, 2, 2))
    np.save("none.npy", images[:0])
    for empty in ("measurements:path=none.npy", "pictures:path=none.npy", "measurements:path=none.npy,count=2"):
        with pytest.raises((InvalidValueError, FileFormatError), match=r"none\.npy is empty"):
            build("data", empty, event_shape=(1, 2, 2))
