import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from posterior.app import registry
from posterior.errors import FileFormatError, InvalidValueError, ShapeError, UnknownNameError
from posterior.operators import Downsampling, Inpainting
from samplers import AnnealedLangevin, AuxiliaryGibbs, AuxiliaryMH, ReplicaExchange, TemperedSMC
from samplers.map import CSGM

SHAPE = (3, 8, 8)
OPERATORS = (
    "identity",
    "half:keep=top",
    "box:top=2,left=2,height=3,width=4",
    "random:fraction=0.3,seed=4",
    "downsampling:factor=4",
    "downsampling:factor=2,kind=bicubic",
    "gaussian-blur:std=1.5",
    "motion-blur:length=3,angle=45",
    "gaussian:num_measurements=10",
    "gaussian:num_measurements=10,kind=circulant",
    "grayscale",
)


def operator(text: str, shape: tuple[int, ...] = SHAPE) -> torch.nn.Module:
    return registry.build("operator", registry.OPERATORS, text, event_shape=shape)


def sampler(text: str) -> object:
    return registry.build("sampler", registry.SAMPLERS, text)


@pytest.mark.parametrize("text", OPERATORS)
def test_every_operator_can_be_named(text: str) -> None:
    built = operator(text)
    assert built.event_shape == SHAPE
    assert built(torch.zeros(1, *SHAPE)).shape[1:] == built.measurement_shape


def test_the_list_above_is_whole() -> None:
    assert {text.partition(":")[0] for text in OPERATORS} | {"mask", "matrix"} == set(registry.OPERATORS)


@pytest.mark.parametrize("name", registry.SAMPLERS)
def test_every_sampler_can_be_named(name: str) -> None:
    built = sampler(name)
    assert name.startswith(type(built).__name__)
    for field in dataclasses.fields(built) if name == type(built).__name__ else []:  # each takes the value it has
        value = getattr(built, field.name)
        if isinstance(value, int | float | str):
            assert sampler(f"{name}:{field.name}={value}") == built


@pytest.mark.parametrize("name", registry.SOLVERS)
def test_every_solver_can_be_named(name: str) -> None:
    assert type(registry.build("solver", registry.SOLVERS, name)).__name__ == name


def test_arguments_arrive() -> None:
    box = operator("box:top=1,left=2,height=3,width=4")
    assert isinstance(box, Inpainting)
    assert torch.equal(box.mask, Inpainting.box(SHAPE, 1, 2, 3, 4).mask)
    down = operator("downsampling:factor=2")
    assert isinstance(down, Downsampling)
    assert down.factor == 2
    assert sampler("TemperedSMC") == TemperedSMC()
    assert sampler("TemperedSMC:population=8,accuracy=fast") == TemperedSMC(population=8, accuracy="fast")
    assert sampler("TemperedSMC:population=null") == TemperedSMC()
    assert sampler("AuxiliaryGibbs:chains=2") == AuxiliaryGibbs(chains=2)
    assert sampler("AuxiliaryMH:exact_denoise=true") == AuxiliaryMH(exact_denoise=True)
    assert sampler("ReplicaExchange:replicas=6,thinning=3") == ReplicaExchange(replicas=6, thinning=3)
    assert sampler("AnnealedLangevin:form=code,") == AnnealedLangevin(form="code")
    assert sampler("AnnealedLangevin.jalal2021:form=code") == AnnealedLangevin.jalal2021("code")
    # 1 for a float, and 1e-3, which YAML takes for text
    solver = registry.build("solver", registry.SOLVERS, "CSGM:learning_rate=1e-3,weight=1")
    assert solver == CSGM(learning_rate=1e-3, weight=1.0)


def test_masks_and_matrices_from_files(tmp_path: Path) -> None:
    mask = np.arange(64).reshape(8, 8) % 3 == 0
    np.save(tmp_path / "a=b.npy", mask)
    built = operator(f"mask:path={tmp_path}/a=b.npy")
    assert isinstance(built, Inpainting)
    np.testing.assert_array_equal(built.mask, mask)
    values = np.linspace(-1, 1, 2 * 192).reshape(2, 192)
    np.save(tmp_path / "A.npy", values)
    x = torch.linspace(-1, 1, 192).reshape(1, *SHAPE)
    matrix = operator(f"matrix:path={tmp_path / 'A.npy'}")
    torch.testing.assert_close(matrix(x), x.flatten(1) @ torch.from_numpy(values).float().T)
    np.save(tmp_path / "A.npy", values + 1j)
    with pytest.raises(InvalidValueError, match="real"):
        operator(f"matrix:path={tmp_path / 'A.npy'}")


@pytest.mark.parametrize("text", ["", ":", "hlf:keep=top", "Inpainting", "os.system"])
def test_unknown_names(text: str) -> None:
    with pytest.raises(UnknownNameError, match="there are identity, "):
        operator(text)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'half'"):
        operator("hlf:keep=top")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("half", "missing a required argument: 'keep'"),
        ("half:top", "no argument 'top'"),
        ("half:keep=middle", "keep cannot be 'middle'.*'top', 'bottom'"),
        ("half:keep=[1, 2]", r"keep cannot be \[1, 2\]"),
        ("half:keep={", "half takes keep"),
        ("half:1=2", "no argument 1"),
        ("half:keep=top,event_shape=[1]", "no argument 'event_shape'"),
        ("downsampling", "missing a required argument: 'factor'"),
        ("downsampling:factor=two", "factor cannot be 'two'.*factor: int"),
        ("identity:a=1", "identity takes no arguments"),
    ],
)
def test_arguments_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        operator(text)


def test_what_the_classes_refuse() -> None:
    with pytest.raises(InvalidValueError, match="fraction"):
        operator("random:fraction=2")
    with pytest.raises(ShapeError, match="colour"):
        operator("grayscale", (1, 8, 8))
    with pytest.raises(InvalidValueError, match="population cannot be 'many'"):
        sampler("TemperedSMC:population=many")
    with pytest.raises(InvalidValueError, match="accuracy cannot be 'best'.*'fast', 'standard', 'high'"):
        sampler("TemperedSMC:accuracy=best")


def test_arrays_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("text")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "cut.npy", np.zeros(100))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:300])
    np.savez(tmp_path / "several.npz", x=np.zeros(3))
    np.save(tmp_path / "names.npy", np.array(["a"]))
    for name in ("missing.npy", "text.npy", "objects.npy", "cut.npy", "several.npz", "names.npy", "."):
        with pytest.raises(FileFormatError, match="cannot read an npy array"):
            registry.array(tmp_path / name)
