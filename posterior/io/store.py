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
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posterior.errors import CheckpointMismatchError, FileFormatError
from posterior.io.axes import Axes, empty_arrays
from posterior.io.readers import read_json
from posterior.io.writing import atomic_write, write_text

Array = NDArray[Any]
_ARRAYS, _MANIFEST, _METADATA = "arrays.zarr", "manifest.json", "zarr.json"


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
        path = folder / _MANIFEST
        if path.exists():
            _compare(path, read_json(path), json.loads(json.dumps(manifest)))
            return cls(folder)
        sizes = manifest["size"], manifest["shard_size"]
        for key, content in empty_arrays(arrays, coordinates, *sizes).items():
            _write(folder / _ARRAYS / key, content)
        write_text(path, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")  # last: now it may be opened
        return cls(folder)

    @property
    def num_shards(self) -> int:
        """How many shards there are."""
        return -(-self.manifest["size"] // self.manifest["shard_size"])

    @cached_property
    def ids(self) -> list[int]:
        """Names of the measurements.

        Raises:
            FileFormatError: They are damaged.
        """
        ids: list[int] = self.read("measurement", range(self.manifest["size"])).tolist()
        return ids

    def has(self, name: str) -> bool:
        """Whether there is an array of some name."""
        return (self.folder / _ARRAYS / name / _METADATA).is_file()

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array's values of one measurement.

        Raises:
            FileFormatError: The array is damaged.
        """
        return tuple(self._open(name).shape[1:])

    def _open(self, name: str) -> Any:
        """An array of zarr, opened once, which takes as long as to read a measurement."""
        import zarr

        path = self.folder / _ARRAYS / name
        if name not in self._opened:
            try:  # version 2 has codecs that run code
                self._opened[name] = zarr.open_array(path, mode="r", zarr_format=3)
            except Exception as error:  # zarr raises nearly anything over a corrupt file
                raise FileFormatError(f"{path / _METADATA} describes no array of Zarr 3: {error}") from error
        return self._opened[name]

    def read(self, name: str, places: Sequence[int]) -> Array:
        """An array's values of some measurements, (n, …), by their places along its first axis.

        Raises:
            FileFormatError: A file of the array is damaged.
        """
        array = self._open(name)
        try:
            values: Array = array.oindex[np.asarray(places, dtype=np.int64)]
        except Exception as error:  # and so do its codecs
            raise self.damage(name, places, str(error)) from error
        return values

    def damage(self, name: str, places: Sequence[int], seen: str) -> FileFormatError:
        """What to raise where an array cannot be read at some places: it names the file, or says what was seen."""
        faults = (self.fault(shard) for shard in sorted({*map(self.shard_of, places)}) if self.is_finished(shard))
        fault = next(filter(None, faults), f"{self.folder / _ARRAYS / name}: {seen}")
        return FileFormatError(f"{fault}; run the job again, which repairs it")

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

        self.record(shard).unlink(missing_ok=True)
        places, digests = self.places(shard), {}
        for name, values in arrays.items():
            content: dict[str, Any] = {_METADATA: self._metadata(name)}
            memory = zarr.storage.MemoryStore(content)
            array = zarr.open_array(memory, zarr_format=3, config={"write_empty_chunks": True})
            array[places.start : places.stop] = values
            del content[_METADATA]
            for key, buffer in content.items():
                encoded = buffer.to_bytes()
                _rewrite(self.folder / _ARRAYS / name / key, encoded)
                digests[f"{name}/{key}"] = _digest(encoded)
        text = json.dumps({"known": known, "files": digests}, ensure_ascii=False, allow_nan=False)
        _rewrite(self.record(shard), text.encode())

    def known(self, shard: int) -> dict[str, Any] | None:
        """What `write` was told of a shard, None where it is unfinished.

        Raises:
            FileFormatError: The shard was damaged since.
        """
        path = self.record(shard)
        if not path.exists():
            return None
        record = read_json(path)
        if not isinstance(record, dict) or not isinstance(record.get("known"), dict):
            raise FileFormatError(f"{path} is no record of a shard")
        return dict(record["known"])

    def fault(self, shard: int) -> str | None:
        """What is wrong with a finished shard, by the digests of its files; None where nothing is."""
        path = self.record(shard)
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
        return self.record(shard).exists()

    def shard_of(self, place: int) -> int:
        """The shard that a measurement is in, by its place."""
        return int(place // self.manifest["shard_size"])

    def _metadata(self, name: str) -> Any:
        """What makes an array: that of the folder, whatever a later version of zarr would choose."""
        from zarr.core.buffer import default_buffer_prototype

        content = (self.folder / _ARRAYS / name / _METADATA).read_bytes()
        return default_buffer_prototype().buffer.from_bytes(content)

    def record(self, shard: int) -> Path:
        """The file with what is known of a shard."""
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
