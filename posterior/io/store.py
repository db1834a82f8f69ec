"""Results of many measurements in a folder: arrays as Zarr has them, and what else is known, shard by shard.

    arrays.zarr/            Zarr version 3: arrays whose first axis counts measurements
    shards/000012.json      what is known of the measurements of a shard, and digests of its files in arrays.zarr
    manifest.json           what made them

A shard is a run of measurements that is written by one process. Each of its files is written whole, and its JSON last:
a shard without it, or with a file that is another, is unfinished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posterior.errors import CheckpointMismatchError, FileFormatError
from posterior.io.readers import read_json
from posterior.io.writing import atomic_write, write_text

Array = NDArray[Any]
_ARRAYS, _MANIFEST = "arrays.zarr", "manifest.json"


@dataclass(frozen=True)
class Axes:
    """What an array is: of each measurement, its shape and the names of its axes, and its type of numbers."""

    shape: tuple[int, ...]
    names: tuple[str, ...]
    dtype: str = "float32"

    def nbytes(self, count: int) -> int:
        """Bytes of so many measurements, before compression."""
        return count * int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class Store:
    """A folder of results.

    Args:
        folder: One that `create` made.

    Attributes:
        manifest: What made them, and "size", the number of measurements, and "shard_size".

    Raises:
        FileFormatError: There are no results in the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / _MANIFEST).is_file():
            raise FileFormatError(f"{folder} holds no results: it has no {_MANIFEST}")
        self.manifest: dict[str, Any] = read_json(self.folder / _MANIFEST)
        self._opened: dict[str, Any] = {}
        sizes = self.manifest if isinstance(self.manifest, dict) else {}
        if not all(type(sizes.get(name)) is int and sizes[name] > 0 for name in ("size", "shard_size")):
            raise FileFormatError(f"{self.folder / _MANIFEST} is not a manifest: it has no size and shard_size")

    @classmethod
    def create(
        cls, folder: Path, arrays: Mapping[str, Axes], coordinates: Mapping[str, Array], manifest: Mapping[str, Any]
    ) -> Store:
        """Make a folder for results, or open it, if it was made for the same.

        Args:
            folder: Where it is.
            arrays: Their names, as in `mean` or `group/mean`.
            coordinates: Values along the axes of some name, (n,) each; those of `measurement` are the ids.
            manifest: What makes the results, with "size" and "shard_size".

        Raises:
            CheckpointMismatchError: The folder holds results of something else.
            FileWriteError: It cannot be written.
        """
        import zarr

        path = folder / _MANIFEST
        if path.exists():
            _compare(path, read_json(path), json.loads(json.dumps(manifest)))
            return cls(folder)
        content: dict[str, Any] = {}
        root = zarr.create_group(zarr.storage.MemoryStore(content))
        size, shard = manifest["size"], manifest["shard_size"]
        for name, axes in arrays.items():
            root.create_array(
                name,
                shape=(size, *axes.shape),
                shards=(shard, *axes.shape),
                chunks=(1, *axes.shape),
                dtype=axes.dtype,
                fill_value=float("nan"),
                dimension_names=("measurement", *axes.names),
                config={"write_empty_chunks": True},
            )
        for name, values in coordinates.items():
            root.create_array(name, data=values, dimension_names=(name,))
        for key, buffer in content.items():
            _write(folder / _ARRAYS / key, buffer.to_bytes())
        write_text(path, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")  # last: now it may be opened
        return cls(folder)

    @property
    def num_shards(self) -> int:
        """How many shards there are."""
        return -(-self.manifest["size"] // self.manifest["shard_size"])

    @cached_property
    def ids(self) -> list[int]:
        """Names of the measurements."""
        ids: list[int] = self.arrays["measurement"][:].tolist()
        return ids

    @cached_property
    def arrays(self) -> Any:
        """The arrays, a group of zarr, read when they are indexed: `arrays["mean"][3:5]`."""
        import zarr

        try:  # version 2 has codecs that run code
            return zarr.open_group(self.folder / _ARRAYS, mode="r", zarr_format=3)
        except Exception as error:
            raise FileFormatError(f"{self.folder / _ARRAYS} is no group of Zarr 3: {error}") from error

    def read(self, name: str, places: Sequence[int]) -> Array:
        """An array's values of some measurements, (n, …), by their places along its first axis.

        Raises:
            FileFormatError: A file of the array is damaged.
        """
        try:
            if name not in self._opened:  # which is as slow as to read a measurement
                self._opened[name] = self.arrays[name]
            values: Array = self._opened[name].oindex[np.asarray(places, dtype=np.int64)]
        except Exception as error:  # zarr and its codecs raise nearly anything over a corrupt file
            raise FileFormatError(
                f"{self.folder / _ARRAYS / name} is damaged: {error}; run the job again, which repairs it"
            ) from error
        return values

    def places(self, shard: int) -> range:
        """Where along the first axis the measurements of a shard are."""
        size, each = self.manifest["size"], self.manifest["shard_size"]
        return range(shard * each, min(size, (shard + 1) * each))

    def write(self, shard: int, arrays: Mapping[str, Array], known: Mapping[str, Any]) -> None:
        """Write a shard, or write it anew.

        Args:
            shard: Its number.
            arrays: Values (n, …) of its measurements.
            known: What else is known of them, as JSON has it.

        Raises:
            FileWriteError: It cannot be written; the shard then is unfinished.
        """
        import zarr

        self._record(shard).unlink(missing_ok=True)
        places, digests = self.places(shard), {}
        for name, values in arrays.items():
            content: dict[str, Any] = {"zarr.json": self._metadata(name)}
            memory = zarr.storage.MemoryStore(content)
            array = zarr.open_array(memory, zarr_format=3, config={"write_empty_chunks": True})
            array[places.start : places.stop] = values
            del content["zarr.json"]
            for key, buffer in content.items():
                encoded = buffer.to_bytes()
                _rewrite(self.folder / _ARRAYS / name / key, encoded)
                digests[f"{name}/{key}"] = _digest(encoded)
        text = json.dumps({"known": known, "files": digests}, ensure_ascii=False, allow_nan=False)
        _rewrite(self._record(shard), text.encode())

    def known(self, shard: int) -> dict[str, Any] | None:
        """What `write` was told of a shard, None where it is unfinished.

        Raises:
            FileFormatError: The shard was damaged since.
        """
        path = self._record(shard)
        if not path.exists():
            return None
        record = read_json(path)
        if not isinstance(record, dict) or not isinstance(record.get("known"), dict):
            raise FileFormatError(f"{path} is no record of a shard")
        return dict(record["known"])

    def fault(self, shard: int) -> str | None:
        """What is wrong with a finished shard, by the digests of its files; None where nothing is."""
        path = self._record(shard)
        try:
            files = read_json(path)["files"]
            for key, digest in files.items():
                file = self.folder / _ARRAYS / key
                if not file.is_file():
                    return f"{file} is missing"
                if _digest(file.read_bytes()) != digest:
                    return f"{file} is not what was written"
        except (FileFormatError, KeyError, TypeError, AttributeError) as error:
            return f"{path} is damaged: {error}"
        return None

    def is_finished(self, shard: int) -> bool:
        """Whether a shard was written to its end."""
        return self._record(shard).exists()

    def shard_of(self, place: int) -> int:
        """The shard that a measurement is in, by its place."""
        return int(place // self.manifest["shard_size"])

    def _metadata(self, name: str) -> Any:
        """What makes an array: that of the folder, whatever a later version of zarr would choose."""
        from zarr.core.buffer import default_buffer_prototype

        content = (self.folder / _ARRAYS / name / "zarr.json").read_bytes()
        return default_buffer_prototype().buffer.from_bytes(content)

    def _record(self, shard: int) -> Path:
        return self.folder / "shards" / f"{shard:06d}.json"


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as stream:
        stream.write(content)


def _rewrite(path: Path, content: bytes) -> None:
    """Write a file of a shard, and clear what a process that was killed may have left of it."""
    for rest in path.parent.glob(f"{path.name}.*.partial"):
        rest.unlink(missing_ok=True)
    _write(path, content)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _compare(path: Path, then: Any, now: dict[str, Any]) -> None:
    """Raise unless a manifest is what it was; of its sections the first that differs is named."""
    if not isinstance(then, dict):
        raise FileFormatError(f"{path} is not a manifest")
    for section, value in now.items():
        one, other = (part if isinstance(part, dict) else {section: part} for part in (then.get(section), value))
        if different := [key for key in dict.fromkeys([*other, *one]) if one.get(key) != other.get(key)]:
            raise CheckpointMismatchError(
                f"{path.parent} holds the results of another job: different {', '.join(different)}; name another "
                "folder by --out, or delete it to start anew"
            )
