"""PNG files of any kind, written by hand."""

import struct
import zlib
from pathlib import Path

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def save_png(path: Path, values: np.ndarray, colour: int, depth: int, **chunks: bytes) -> Path:
    """Write whole numbers (H, W, C) of `depth` bits; further parts, such as tRNS, go before the pixels."""
    height, width, _ = values.shape
    digits = (values[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(digits.reshape(height, -1).astype(np.uint8), axis=1)
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)  # each row begins with its filter, here none
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    more = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b""))
    return path
