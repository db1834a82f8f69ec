from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posterior.app.arrays import load_array
from posterior.app.specification import build, usage
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, ShapeError, UnknownNameError
from posterior.likelihoods import LogNormal
from posterior.operators import Downsampling, Inpainting
from samplers import AnnealedLangevin, AuxiliaryGibbs, AuxiliaryMH, BlockGibbs, ReplicaExchange, TemperedSMC
from samplers.map import CSGM

SHAPE = (3, 8, 8)


def operator(text: str, shape: tuple[int, ...] = SHAPE) -> Any:
    return build("operator", text, event_shape=shape)


def sampler(text: str) -> Any:
    return build("sampler", text)


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
    assert build("solver", "CSGM:learning_rate=1e-3,weight=1") == CSGM(learning_rate=1e-3, weight=1.0)


def test_masks_and_matrices_from_files(tmp_path: Path) -> None:
    mask = np.arange(64).reshape(8, 8) % 3 == 0
    np.save(tmp_path / "a=b.npy", mask)
    built = operator(f"mask:path={tmp_path}/a=b.npy")
    assert isinstance(built, Inpainting)
    np.testing.assert_array_equal(built.mask, mask)
    for dtype in ("f8", ">f4", "u1", "i8"):
        np.save(tmp_path / "a=b.npy", mask.astype(dtype))
        np.testing.assert_array_equal(operator(f"mask:path={tmp_path}/a=b.npy").mask, mask)
    np.save(tmp_path / "a=b.npy", np.where(mask, 1.0, np.nan))
    with pytest.raises(NotFiniteError, match=r"a=b\.npy: NaN or infinity in 42 of 64 values"):
        operator(f"mask:path={tmp_path}/a=b.npy")
    np.save(tmp_path / "a=b.npy", 255 * mask.astype("u1"))
    with pytest.raises(InvalidValueError, match=r"numbers other than 0 and 1 \(torch\.uint8\); .* mask > 0"):
        operator(f"mask:path={tmp_path}/a=b.npy")
    values = np.linspace(-1, 1, 2 * 192).reshape(2, 192)
    np.save(tmp_path / "A.npy", values)
    x = torch.linspace(-1, 1, 192).reshape(1, *SHAPE)
    matrix = operator(f"matrix:path={tmp_path / 'A.npy'}")
    torch.testing.assert_close(matrix(x), x.flatten(1) @ torch.from_numpy(values).float().T)
    np.save(tmp_path / "A.npy", values + 1j)
    with pytest.raises(InvalidValueError, match="real"):
        operator(f"matrix:path={tmp_path / 'A.npy'}")


def test_tensors_come_from_files(tmp_path: Path) -> None:
    kernel = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "kernel.npy", kernel)
    built = operator(f"blur:kernel={tmp_path}/kernel.npy")
    assert torch.equal(built.kernel, torch.from_numpy(kernel).float())
    np.save(tmp_path / "std.npy", np.array([0.5, 2.0]))
    for text, expected in ((f"{tmp_path}/std.npy", [0.5, 2.0]), ("1e-1", 0.1)):
        likelihood = build("likelihood", f"GaussianLikelihood:noise_std={text}", operator=built)
        torch.testing.assert_close(likelihood.noise_std.float(), torch.tensor(expected))


def test_parts_have_texts_of_their_own() -> None:
    stack = operator('stack:operators=[half:keep=top, "random:fraction=0.5,seed=3"]')
    assert [type(part) for part in stack.parts] == [Inpainting, Inpainting]
    assert torch.equal(stack.parts[1].mask, Inpainting.random(SHAPE, 0.5, seed=3).mask)
    assert sampler("FlowHMC:transport=ComposedFlow:steps=4,chains=2").transport.steps == 4
    with pytest.raises(UnknownNameError, match="did you mean 'half'"):
        operator("magnitude:operator=haf:keep=top")


def test_texts_run_no_other_code() -> None:
    with pytest.raises(FileFormatError, match=r"there is no file os\.system"):
        operator("blur:kernel=os.system")  # where a class is wanted, jsonargparse would import what it is given
    with pytest.raises(InvalidValueError, match="kernel cannot be"):
        operator("blur:kernel={class_path: os.system}")


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("operator", "half", "half:keep=top|bottom|left|right"),
        ("operator", "random", "random:fraction=NUMBER[,seed=0]"),
        ("operator", "Blur", "Blur:kernel=FILE[,boundary=circular|reflect]"),
        ("operator", "Stack", "Stack:operators=[OPERATOR,…]"),
        ("operator", "Identity", "Identity"),
        ("operator", "mask", "mask:path=FILE"),
        ("sampler", "TemperedSMC", "TemperedSMC[:accuracy=standard|fast|high,population=null,exact_denoise=false]"),
        ("sampler", "FlowHMC", "FlowHMC[:chains=4,burn_in=150,thinning=4,leapfrogs=4,transport=ComposedFlow]"),
        ("likelihood", "PoissonLikelihood", "PoissonLikelihood:gain=NUMBER|FILE,background=NUMBER|FILE"),
    ],
)
def test_how_to_write_it(kind: str, name: str, text: str) -> None:
    assert usage(kind, name, "event_shape", "operator") == text


@pytest.mark.parametrize("text", ["", ":", "hlf:keep=top", "Inpaint", "os.system"])
def test_unknown_names(text: str) -> None:
    with pytest.raises(UnknownNameError, match="there are Blur, Composition, "):
        operator(text)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'half'"):
        operator("hlf:keep=top")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("half", "missing a required argument: 'keep'"),
        ("half:top", "no argument 'top'"),
        ("half:keep=middle", r"keep cannot be 'middle'; write half:keep=top\|bottom\|left\|right"),
        ("half:keep=[1, 2]", r"keep cannot be \[1, 2\]"),
        ("half:keep={", "write half:keep=top"),
        ("half:1=2", "no argument 1"),
        ("half:keep=top,event_shape=[1]", "no argument 'event_shape'"),
        ("downsampling", "missing a required argument: 'factor'"),
        (
            "downsampling:factor=two",
            r"factor cannot be 'two'; write Downsampling:factor=INTEGER\[,kind=mean\|bicubic\]",
        ),
        ("identity:a=1", "no argument 'a'; write Identity$"),
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
    with pytest.raises(InvalidValueError, match=r"accuracy cannot be 'best'.*accuracy=standard\|fast\|high"):
        sampler("TemperedSMC:accuracy=best")


def test_arrays_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("text")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "cut.npy", np.zeros(100))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:300])
    np.savez(tmp_path / "several.npz", x=np.zeros(3))
    np.save(tmp_path / "names.npy", np.array(["a"]))
    for name in ("text.npy", "objects.npy", "cut.npy", "several.npz", "names.npy"):
        with pytest.raises(FileFormatError, match=rf"{name} (is corrupt.* npy array|cannot be read as numbers)"):
            load_array(tmp_path / name)
    for name in ("missing.npy", "."):
        with pytest.raises(FileFormatError, match="there is no file"):
            load_array(tmp_path / name)


def test_priors_of_parameters_are_named_within_a_sampler() -> None:
    inner = "{name: ReplicaExchange, chains: 5}"
    built = build(
        "sampler", f"BlockGibbs:inner={inner},parameters={{std: {{name: lognormal, median: 1.5, spread: 0.3}}}}"
    )
    assert built == BlockGibbs(ReplicaExchange(chains=5), {"std": LogNormal(1.5, 0.3)})
    for wrong in ("[1.0]", "{std: 1.0}"):
        with pytest.raises(InvalidValueError, match="parameters cannot be"):
            build("sampler", f"BlockGibbs:parameters={wrong}")
    assert "parameters={noise_std: InverseGamma}" in usage("sampler", "BlockGibbs")
