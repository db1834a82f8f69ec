"""Checkpoints: unfinished work in a file, and what tells it from other work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posterior.errors import CheckpointMismatchError, FileFormatError, FileWriteError, PosteriorError, warn_caller
from posterior.io.locking import locked
from posterior.io.readers import read_torch
from posterior.io.writing import atomic_write, check_writable

# What tells work from any other, part by part: digests, which must be equal (`fingerprint`), and what functions compute
# on fixed inputs, which rounds as devices and threads say.
Identity = Mapping[str, str | Tensor]

_LARGEST = 1e-4  # difference, of the largest value: between processors, float32 networks differ by 1e-5
_MEAN = 3e-2  # root mean square difference in sixteen bits: bfloat16 networks differ by 0.8 %, single values by 2 %


class Checkpoint:
    """What is kept of long work, so that it can go on where it stopped; `open_checkpoint` makes one.

    Args:
        path: The file; None keeps nothing.
        identity: What tells this work from any other.
    """

    def __init__(self, path: Path | None, identity: Identity) -> None:
        self.path, self.identity = path, dict(identity)
        self.kept = False  # whether the file holds this work

    def save(self, content: dict[str, Any]) -> None:
        """Keep tensors, numbers and text, in dictionaries and lists; a warning where the file cannot be written."""
        if self.path is None:
            return
        try:
            with atomic_write(self.path) as stream:
                torch.save({"identity": self.identity, "content": content}, stream)
            self.kept = True
        except FileWriteError as error:  # a full disk must not cost the work that could still be finished
            warn_caller(f"{error}; the work goes on", UserWarning)

    def load(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """What was kept, None if nothing was. No code in the file is run.

        Raises:
            CheckpointMismatchError: The file is that of other work.
            FileFormatError: It cannot be read.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            saved = read_torch(self.path, device=device)
            identity, content = dict(saved["identity"]), dict(saved["content"])
        except Exception as error:
            raise FileFormatError(
                f"cannot read the checkpoint {self.path.name}: {error}; or delete it, to start anew"
            ) from error
        self.compare(identity, self.identity)
        self.kept = True
        return content

    def compare(self, then: Identity, now: Identity) -> None:
        """Raise `CheckpointMismatchError` unless each part is what it was."""
        names = [*now, *(name for name in then if name not in now)]
        if other := [name for name in names if _differ(then.get(name), now.get(name))]:
            raise CheckpointMismatchError(
                f"{self.path} is the checkpoint of another run: different {', '.join(other)}; name another file, or "
                "delete it to start anew"
            )

    def within(self, name: str, beside: dict[str, Any], content: dict[str, Any] | None) -> Checkpoint:
        """The checkpoint of a part of the work, kept in the same file.

        Args:
            name: The entry that holds it.
            beside: The other entries.
            content: What was kept of it.
        """
        return _Within(self, name, beside, content)


class _Within(Checkpoint):
    def __init__(self, whole: Checkpoint, name: str, beside: dict[str, Any], content: dict[str, Any] | None) -> None:
        super().__init__(whole.path, whole.identity)
        self.whole, self.name, self.beside, self.content = whole, name, beside, content

    def save(self, content: dict[str, Any]) -> None:
        self.whole.save(self.beside | {self.name: content})

    def load(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        return self.content


@contextmanager
def open_checkpoint(path: str | Path | None, identity: Callable[[], Identity]) -> Iterator[Checkpoint]:
    """The checkpoint of the work of a block, which has the file to itself.

    Whatever ends the block early, such as Ctrl-C, says where the work is kept.

    Args:
        path: The file; None keeps nothing.
        identity: Gives what tells this work from any other.

    Raises:
        FileWriteError: The file cannot be written, or another run uses it.
    """
    if path is None:
        yield Checkpoint(None, {})
        return
    path = Path(path)
    check_writable(path)
    with locked(path):
        file = Checkpoint(path, identity())
        try:
            yield file
        except BaseException as error:
            if file.kept and not isinstance(error, PosteriorError):
                error.add_note(f"what was done is kept in {path}: run the same again to go on")
            raise


def _differ(then: str | Tensor | None, now: str | Tensor | None) -> bool:
    if not (isinstance(then, Tensor) and isinstance(now, Tensor)):
        return isinstance(then, Tensor) or isinstance(now, Tensor) or then != now
    if then.shape != now.shape or then.is_complex() != now.is_complex():
        return True
    coarse = any(values.dtype in (torch.float16, torch.bfloat16) for values in (then, now))
    wide = torch.complex128 if then.is_complex() else torch.float64
    then, now = (values.detach().cpu().to(wide) for values in (then, now))
    finite = then.isfinite()
    if not torch.equal(finite, now.isfinite()):
        return True
    size, error = then[finite].abs(), (now - then)[finite].abs()
    if coarse:
        return bool(error.norm() > _MEAN * size.norm())
    return bool((error > _LARGEST * (size.max() if len(size) else 0.0)).any())
