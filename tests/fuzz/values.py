"""Odd values, by name; each is made anew, since some may be written to."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.fuzz.oracle import UserError

ODD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "NaN": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "-1": lambda: -1,
    "-0.5": lambda: -0.5,
    "0": lambda: 0,
    "0.0": lambda: 0.0,
    "1": lambda: 1,
    "2.5": lambda: 2.5,
    "3.0": lambda: 3.0,
    "1e30": lambda: 1e30,
    "1e-30": lambda: 1e-30,
    "True": lambda: True,
    "1j": lambda: 1j,
    "text": lambda: "text",
    "digits": lambda: "3",
    "no text": lambda: "",
    "bytes": lambda: b"3",
    "int64": lambda: np.int64(3),
    "uint8": lambda: np.uint8(2),
    "float32": lambda: np.float32(0.5),
    "float16": lambda: np.float16(0.5),
    "numpy NaN": lambda: np.float64("nan"),
    "numpy bool": lambda: np.bool_(True),
    "0-d array": lambda: np.array(3),
    "0-d integer": lambda: torch.tensor(3),
    "0-d number": lambda: torch.tensor(0.5),
    "0-d NaN": lambda: torch.tensor(math.nan),
    "0-d float16": lambda: torch.tensor(0.5, dtype=torch.float16),
    "empty list": list,
    "list": lambda: [1],
    "list of pairs": lambda: [[1.0, 2.0]],
    "ragged list": lambda: [[1.0], [1.0, 2.0]],
    "list of text": lambda: ["a", "b"],
    "list of NaN": lambda: [math.nan, 1.0],
    "tuple": lambda: (2, 1),
    "negative tuple": lambda: (-1, 2),
    "nested tuple": lambda: ((1,), 2),
    "dictionary": lambda: {"a": 1},
    "set": lambda: {1},
    "object": object,
    "type": lambda: int,
    "generator": lambda: (i for i in range(2)),
    "function": lambda: len,
    "vector": lambda: torch.ones(2),
    "long vector": lambda: torch.ones(7),
    "matrix": lambda: torch.ones(2, 2),
    "three axes": lambda: torch.ones(3, 1, 2),
    "empty tensor": lambda: torch.zeros(0),
    "no rows": lambda: torch.zeros(0, 2),
    "NaN tensor": lambda: torch.tensor([math.nan, 1.0]),
    "inf tensor": lambda: torch.tensor([[1.0, math.inf]]),
    "negative tensor": lambda: torch.tensor([-1.0, -2.0]),
    "double tensor": lambda: torch.ones(1, 2, dtype=torch.float64),
    "half tensor": lambda: torch.ones(1, 2, dtype=torch.float16),
    "bfloat16 tensor": lambda: torch.ones(1, 2, dtype=torch.bfloat16),
    "integer tensor": lambda: torch.ones(2, dtype=torch.int64),
    "integer matrix": lambda: torch.ones(1, 2, dtype=torch.int64),
    "bool tensor": lambda: torch.tensor([True, False]),
    "complex tensor": lambda: torch.ones(1, 2, dtype=torch.complex64),
    "sparse tensor": lambda: torch.eye(2).to_sparse(),
    "tensor with gradient": lambda: torch.ones(1, 2, requires_grad=True),
    "array": lambda: np.ones((1, 2)),
    "half array": lambda: np.ones((1, 2), np.float16),
    "array of objects": lambda: np.array([None, "a"], dtype=object),
    "array of text": lambda: np.array(["a"]),
    "read-only array": lambda: np.broadcast_to(np.float64(1), (1, 2)),
}


def _raise(x: Tensor, *_: Tensor) -> Tensor:
    raise UserError("of the user's own")


def _noisy(x: Tensor, *_: Tensor) -> Tensor:
    return x + torch.randn_like(x)


# Functions of images x (N, *event), and of noise levels where there are such; those that keep their shape are wrong by
# what their name says.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "in place": lambda x, *_: x.mul_(0.5),
    "coupled": lambda x, *_: x / x.abs().max(),
    "random": _noisy,
    "of another shape": lambda x, *_: x[..., :1],
    "sum": lambda x, *_: x.sum(),
    "of one row": lambda x, *_: x[:1],
    "numpy": lambda x, *_: torch.from_numpy(np.asarray(x.detach()) * 0.5),
    "array": lambda x, *_: np.asarray(x.detach()),
    "None": lambda x, *_: None,
    "number": lambda x, *_: 0.5,
    "raising": _raise,
    "NaN": lambda x, *_: x * math.nan,
    "NaN in places": lambda x, *_: x.log(),
    "infinite": lambda x, *_: x * math.inf,
    "complex": lambda x, *_: x * 1j,
    "half precision": lambda x, *_: x.half(),
    "double precision": lambda x, *_: x.double(),
    "integer": lambda x, *_: x.long(),
    "true or false": lambda x, *_: x > 0,
    "rounded": lambda x, *_: x.round(),
    "without gradient": lambda x, *_: x.detach(),
    "constant": lambda x, *_: torch.zeros_like(x),
    "without arguments": lambda: 0.0,
    "in inference mode": torch.inference_mode()(lambda x, *_: 0.5 * x),
}
