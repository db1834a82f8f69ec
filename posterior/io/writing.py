"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from posterior.errors import FileWriteError


class _TriedError(Exception):
    """Ends a trial before the file is replaced."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """A stream whose content takes the place of a file when the block ends; if it fails, the file stays as it was.

    Folders above it are made. A link stays one: what it leads to is replaced.

    Raises:
        FileWriteError: There is no room, no permission, no such place, or what is there is no file.
    """
    try:
        target = Path(os.path.realpath(path))
    except ValueError as error:
        raise FileWriteError(f"{str(path)!r} cannot be written: {error}") from error
    # of a name that nobody else draws: processes of containers have equal numbers
    partial = target.with_name(f"{target.name}.{secrets.token_hex(6)}.partial")
    try:
        if target.exists() and not target.is_file():
            raise FileWriteError(f"{path} cannot be written: it is a folder or a device")
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "x+b") as stream:  # HDF5 reads what it wrote
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # or the name may outlive a power cut that the content does not
        partial.replace(target)
    except FileWriteError:
        raise
    except Exception as error:
        fault = error if isinstance(error, OSError) else error.__context__  # torch.save hides it behind another
        if not isinstance(fault, OSError):
            raise
        place = f"{fault.filename}: " if fault.filename not in (None, str(partial)) else ""
        raise FileWriteError(f"{path} cannot be written: {place}{fault.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all; errors are those of `atomic_write`."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def check_writable(path: str | Path) -> None:
    """Try to write a file, which stays as it is: before the work that it is to hold, not after.

    Raises:
        FileWriteError: It cannot be written.
    """
    with suppress(_TriedError), atomic_write(path) as stream:
        stream.write(b"\0")
        stream.flush()
        raise _TriedError
