"""Checkpoints: unfinished work in a file, and what tells it from other work."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posterior.errors import FileFormatError


class Checkpoint:
    """A file from which long work goes on where it stopped.

    Args:
        path: The file; None keeps nothing.
        identity: What tells this work from any other, as `fingerprint` gives it.
    """

    def __init__(self, path: str | Path | None, identity: str) -> None:
        self.path, self.identity = Path(path) if path else None, identity

    def save(self, content: dict[str, Any]) -> None:
        """Keep tensors, numbers and text, in dictionaries and lists."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_name(self.path.name + ".partial")
            torch.save({"identity": self.identity, "content": content}, partial)
            partial.replace(self.path)  # work that is killed while it writes leaves the last one whole

    def load(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """What was kept, None if nothing was. No code in the file is run.

        Raises:
            FileFormatError: The file cannot be read, or is that of other work.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            saved = torch.load(self.path, weights_only=True, map_location=device)
            identity, content = saved["identity"], saved["content"]
        except Exception as error:
            raise FileFormatError(
                f"cannot read the checkpoint {self.path}: {error}; delete it to start anew"
            ) from error
        if identity != self.identity:
            raise FileFormatError(
                f"{self.path} is the checkpoint of another run: its method or model, settings, seed or data differ; "
                "name another file, or delete it to start anew"
            )
        return dict(content)


def fingerprint(*parts: Any) -> str:
    """A digest of what parts are: tensors and modules by their values, the rest by how they print."""
    digest = hashlib.blake2b()
    for part in parts:
        if not isinstance(part, Tensor):
            digest.update(repr(part).encode())
        tensors = [part] if isinstance(part, Tensor) else []
        if isinstance(part, nn.Module):
            tensors = [*part.parameters(), *part.buffers()]
        for tensor in tensors:
            values = tensor.detach().cpu().contiguous().resolve_conj()
            digest.update(repr((tuple(values.shape), values.dtype)).encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
