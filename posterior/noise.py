"""The one source of randomness: counter-based Gaussian and uniform draws.

A draw is a pure function of (seed, measurement id, draw, step, stream, position), so it does not depend on the batch
size, the order of evaluation, the device or what other measurements do, and there is no generator state to save.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posterior.checks import Size, checked

_MASK = 0xFFFFFFFF
_CHUNK = 1 << 16  # counters a chunk: small enough to stay in a CPU's cache


def philox4x32(counter: Sequence[Tensor], key: Sequence[Tensor], rounds: int = 10) -> tuple[Tensor, ...]:
    """The Philox4x32 bijection of a 128-bit counter under a 64-bit key.

    Args:
        counter: Four int64 tensors that hold unsigned 32-bit words.
        key: Two such tensors, broadcastable to the counter.
        rounds: Rounds; 10 is the standard generator.

    Returns:
        Four int64 tensors of random unsigned 32-bit words.

    References:
        Salmon, Moraes, Dror & Shaw 2011, Parallel Random Numbers: As Easy as 1, 2, 3, SC '11.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        # 64-bit products wrap around as signed numbers: their low and high words are right all the same.
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


@dataclass(frozen=True)
class Noise:
    """Random draws for `num_draws` draws of each of B measurements.

    The Philox key hashes (seed, measurement id); its counter holds (draw, step, stream, block).

    Attributes:
        keys: Key words, int64 (B, 2).
        draws: Index of each draw, int64 (S,).
        step: Which step of the method this is.
        stream: Path of names that keeps the uses within a step apart.
        dtype: Floating-point type of what is drawn.
    """

    keys: Tensor
    draws: Tensor
    step: int = 0
    stream: str = ""
    dtype: torch.dtype = torch.float32

    @classmethod
    @checked
    def of(
        cls,
        seed: int,
        ids: Sequence[int | str] | Size = 1,
        num_draws: Size = 1,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Noise:
        """A source for measurements `ids` (a number B stands for ids 0 … B−1) and draws 0 … num_draws−1."""
        names = range(ids) if isinstance(ids, int) else ids
        keys = torch.tensor([_key(seed, name) for name in names], dtype=torch.int64).reshape(-1, 2)
        return cls(keys.to(device), torch.arange(num_draws, device=device), dtype=dtype)

    @property
    def lead(self) -> tuple[int, int]:
        """The leading shape (S, B) of every draw."""
        return len(self.draws), len(self.keys)

    def at(self, step: int) -> Noise:
        """The source for another step."""
        return replace(self, step=step)

    def use(self, *names: str | int) -> Noise:
        """A source for one use within a step: distinct names give independent draws."""
        return replace(self, stream="/".join([self.stream, *map(str, names)]))

    @checked
    def for_draws(self, num_draws: Size) -> Noise:
        """The source of `num_draws` draws, counted from this source's first."""
        return replace(self, draws=self.draws[:1] + torch.arange(num_draws, device=self.draws.device))

    @checked
    def times(self, count: Size) -> Noise:
        """The source of `count` draws for each of this source's: those of other draws share none with them."""
        total = count * len(self.draws)
        return replace(self, draws=count * self.draws[:1] + torch.arange(total, device=self.draws.device))

    @checked
    def split(self, count: Size) -> Noise:
        """A source for `count` copies of each measurement, next to each other, that draw independently."""
        copies = torch.arange(count, device=self.keys.device)
        zero = torch.zeros_like(copies)
        words = philox4x32((copies, zero, zero, zero), (self.keys[:, :1], self.keys[:, 1:]))
        return replace(self, keys=torch.stack(words[:2], -1).flatten(0, 1))

    def select(self, measurements: Tensor) -> Noise:
        """The source for some of the measurements, by index."""
        return replace(self, keys=self.keys[measurements])

    def normal(self, shape: Sequence[int] = ()) -> Tensor:
        """Standard Gaussian draws (S, B, *shape)."""

        def gaussian(words: Tensor) -> Tensor:
            # Box–Muller on pairs of words; (word + ½)/2³² keeps the logarithm finite.
            uniform = (words.to(self.dtype) + 0.5) * 2.0**-32
            radius = (-2 * uniform[..., 0::2].log()).sqrt()
            angle = (2 * math.pi) * uniform[..., 1::2]
            return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1).flatten(-2)

        return self._of_words(gaussian, shape)

    def uniform(self, shape: Sequence[int] = ()) -> Tensor:
        """Uniform draws in (0, 1), (S, B, *shape)."""
        bits = 24 if self.dtype == torch.float32 else 32  # so that rounding never gives 1
        return self._of_words(lambda words: ((words >> (32 - bits)).to(self.dtype) + 0.5) * 2.0**-bits, shape)

    def _of_words(self, function: Callable[[Tensor], Tensor], shape: Sequence[int]) -> Tensor:
        """A function of random words (rows, 4·blocks) as draws (S, B, *shape), made in parts to save memory."""
        count = math.prod(shape)
        blocks = -(-count // 4)
        stream = int.from_bytes(hashlib.blake2b(self.stream.encode(), digest_size=4).digest(), "little")
        rows = torch.cartesian_prod(self.draws, torch.arange(len(self.keys), device=self.keys.device)).reshape(-1, 2)
        block = torch.arange(blocks, device=self.keys.device)
        out = torch.empty(len(rows), count, dtype=self.dtype, device=self.keys.device)
        for part in range(0, len(rows), max(1, _CHUNK // max(1, blocks))):
            chunk = slice(part, part + max(1, _CHUNK // max(1, blocks)))
            draw, key = rows[chunk, :1], self.keys[rows[chunk, 1]]
            counter = (
                draw.expand(-1, blocks) & _MASK,
                torch.full_like(block, self.step & _MASK),
                torch.full_like(block, stream),
                block,
            )
            words = torch.stack(philox4x32(counter, (key[:, :1], key[:, 1:])), dim=-1).flatten(1)
            out[chunk] = function(words)[:, :count]
        return out.reshape(*self.lead, *shape)


def _key(seed: int, name: int | str) -> tuple[int, int]:
    kind = "str" if isinstance(name, str) else "int"  # so that 1 and "1" differ, and numpy's 1 does not
    digest = hashlib.blake2b(f"{seed}|{kind}|{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")
