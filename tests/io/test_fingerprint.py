"""Digests: equal for what is the same, in any process; different for what is not."""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from posterior.io.fingerprint import fingerprint


@dataclass(frozen=True)
class Settings:
    size: float = 1
    inner: Any = None
    chatter: bool = field(default=True, compare=False)


class Plain:
    def __init__(self, value: Any) -> None:
        self.value = value


def network(**options: float) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, **options), nn.Dropout(0.1))


def changed(module: nn.Module, tensor: str) -> nn.Module:
    with torch.no_grad():
        module.get_parameter(tensor).view(-1)[0] += 1e-6
    return module


ZERO = torch.zeros(2, 3)
DIFFERENT = {
    "numbers": [0, 0.0, False, None, "0", 1, 1.0 + 1e-15, 1j, Fraction(1, 2)],
    "arrays": [
        ZERO, ZERO.T, ZERO.double(), ZERO.to(torch.complex64), ZERO.bool(), ZERO.bfloat16(), torch.zeros(0, 3),
        -ZERO, ZERO + 1e-7, torch.zeros(()), torch.eye(2, 3),
    ],
    "lists": [[], [[]], ["ab", "c"], ["a", "bc"], [1, [2]], [1, 2], [2, 1], {1: 2}, {2: 1}],
    "dataclasses": [Settings(), Settings(2), Settings(inner=ZERO), Settings(inner=ZERO + 1), Settings(1, Settings())],
    "modules": [
        network(), network(eps=1e-3), changed(network(), "0.weight"), changed(network(), "1.bias"),
        nn.Sequential(*network()[:2]), network().double(), network()[0],
    ],
    "functions": [len, max, functools.partial(max, 1), functools.partial(max, 2), Settings, Plain, Plain(1), Plain(2)],
}  # fmt: skip


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=list(DIFFERENT))
def test_different_values_differ(values: list[Any]) -> None:
    digests = [fingerprint(value) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [fingerprint(value) for value in values]


def test_parts_are_told_apart() -> None:
    assert fingerprint(1, 2) != fingerprint([1, 2]) != fingerprint(12)
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


def test_what_does_not_count() -> None:
    wide = torch.arange(12.0).reshape(3, 4)
    same = [
        (np.int64(3), 3), (np.float64(0.5), 0.5), (np.ones((2, 2)), torch.ones(2, 2).double()),
        (wide.T, wide.T.contiguous()), (wide.to_sparse().to_dense(), wide), (wide + 1j, (wide - 1j).conj()),
        (Settings(chatter=False), Settings()), (Plain(Plain(1).__init__), Plain(Plain(2).__init__)),
        (network().eval(), network().train().requires_grad_(False)),
    ]  # fmt: skip
    for one, other in same:
        assert fingerprint(one) == fingerprint(other)


def test_a_compiled_network_is_what_it_was_made_of() -> None:
    compiled = torch.compile(network(), backend="eager")
    assert fingerprint(compiled) == fingerprint(network())
    assert fingerprint(nn.Sequential(compiled)) == fingerprint(nn.Sequential(network()))


def test_what_is_left_out() -> None:
    class Solved(nn.Module):
        def __init__(self, root: Tensor) -> None:
            super().__init__()
            self.register_buffer("root", root)
            self.derived = ("root",)

    assert fingerprint(Solved(ZERO)) == fingerprint(Solved(ZERO + 1))
    whole = network()
    assert fingerprint(whole, without=whole[0]) == fingerprint(changed(whole, "0.weight"), without=whole[0])
    assert fingerprint(whole, without=whole[0]) != fingerprint(changed(whole, "1.weight"), without=whole[0])


def of_many_kinds() -> str:
    return fingerprint(Plain(1), {"b", "a", "c"}, network(), Settings(inner=lambda x: x), Plain(object()))


def test_another_process_finds_the_same() -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(root)}  # in which sets have another order
    code = "from tests.io.test_fingerprint import of_many_kinds; print(of_many_kinds())"
    there = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, cwd=root, text=True, env=environment
    ).stdout
    assert there.strip() == of_many_kinds() and len(of_many_kinds()) == 128
