"""Names of tensors under what wrappers of networks put before them, in every format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior.errors import FileFormatError
from posterior.priors import checkpoints
from posterior.priors.checkpoints import (
    convert_drunet,
    convert_edm,
    convert_ffdnet,
    convert_ncsnv2,
    convert_score_sde,
    convert_stylegan2,
)
from posterior.priors.zoo import load_prior
from tests.networks.stylegan2 import small_network
from tests.priors.checkpoints import originals

State = dict[str, Tensor]


def with_averages(weights: State, prefix: Callable[[State], State]) -> dict[str, Any]:
    return {"model": prefix(weights), "ema": {"shadow_params": [*averaged(weights).values()]}, "step": 3}


def averaged(weights: State) -> State:
    return {name: tensor for name, tensor in weights.items() if name not in ("sigmas", "all_modules.0.W")}


# the tensors, what a file holds of them under a prefix, and how it is converted
CASES: dict[str, tuple[Callable[[], State], Callable[[State, Callable[[State], State]], Any], Callable[..., Path]]] = {
    "drunet": (lambda: originals.state_dict("drunet"), lambda w, prefix: prefix(w), convert_drunet),
    "ffdnet": (lambda: originals.state_dict("ffdnet"), lambda w, prefix: prefix(w), convert_ffdnet),
    "edm": (lambda: originals.state_dict("ddpmpp-edm"), lambda w, prefix: prefix(w), convert_edm),
    "ncsnv2": (
        lambda: originals.state_dict("NCSNv2"),
        lambda w, prefix: prefix(w),
        lambda *paths: convert_ncsnv2(*paths, size=originals.CASES["NCSNv2"]["event_shape"][1:]),
    ),
    "ncsnv2, average": (
        lambda: originals.state_dict("NCSNv2"),
        lambda w, prefix: [prefix({k: 0 * t if k != "sigmas" else t for k, t in w.items()}), {}, 1, 2, prefix(w)],
        lambda *paths: convert_ncsnv2(*paths, size=originals.CASES["NCSNv2"]["event_shape"][1:]),
    ),
    "score_sde": (
        lambda: originals.state_dict("score-sde-ddpmpp"),
        with_averages,
        lambda *paths: convert_score_sde(*paths, size=8, sde="vp"),
    ),
    "stylegan2": (
        lambda: {name: tensor.clone() for name, tensor in small_network(dtype=torch.float32).state_dict().items()},
        lambda w, prefix: {"g_ema": prefix(w)},
        convert_stylegan2,
    ),
}


def test_every_converter_has_a_case() -> None:
    nameless = {"convert_galaxygrad"}  # its arrays have no names
    assert {f"convert_{name.partition(',')[0]}" for name in CASES} == set(checkpoints.__all__) - nameless


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("case", CASES)
def test_what_wrappers_put_before_names_is_dropped(case: str, prefix: str, tmp_path: Path) -> None:
    state, content, convert = CASES[case]
    priors = []
    for name, before in (("bare", ""), ("wrapped", prefix)):
        path = tmp_path / f"{name}.pt"
        torch.save(content(state(), lambda w, before=before: {before + key: t for key, t in w.items()}), path)
        priors.append(load_prior(convert(path, tmp_path / name)).state_dict())
    bare, wrapped = priors
    assert bare.keys() == wrapped.keys() and all(torch.equal(bare[name], wrapped[name]) for name in bare)


def test_a_part_may_have_been_compiled(tmp_path: Path) -> None:
    weights = originals.state_dict("ddpmpp-edm")
    torch.save({name.replace("model.", "module.model._orig_mod."): t for name, t in weights.items()}, tmp_path / "a.pt")
    torch.save(weights, tmp_path / "b.pt")
    a, b = (load_prior(convert_edm(tmp_path / f"{name}.pt", tmp_path / name)).state_dict() for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in b)


def test_a_name_must_not_come_twice(tmp_path: Path) -> None:
    weights = originals.state_dict("ddpmpp-edm")
    torch.save(weights | {f"_orig_mod.{name}": tensor for name, tensor in weights.items()}, tmp_path / "a.pt")
    with pytest.raises(FileFormatError, match="with and without a wrapper's prefix"):
        convert_edm(tmp_path / "a.pt", tmp_path / "prior")


@pytest.mark.parametrize("tensor", [torch.zeros(8, dtype=torch.complex64), torch.zeros(8, device="meta")])
def test_tensors_of_other_kinds_are_named(tensor: Tensor, tmp_path: Path) -> None:
    weights = originals.state_dict("NCSNv2") | {"end_conv.bias": tensor}
    torch.save(weights, tmp_path / "a.pt")
    with pytest.raises(FileFormatError, match=r"entry 'end_conv\.bias' of it is not a named tensor of real numbers"):
        convert_ncsnv2(tmp_path / "a.pt", tmp_path / "prior", size=12)
