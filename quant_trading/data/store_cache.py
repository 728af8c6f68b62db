"""Bars as plain arrays in a file that is mapped into memory: what makes a warm read of the store quick.

A cache may be deleted at any time. It is used only when it was made of exactly the files that are there now (its
fingerprint) and its own bytes are sound (its checksum); else it is made again.
"""

import json
import mmap
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant_trading.data.files import name_beside
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["Block", "forget_old", "join", "read_block", "write_block"]

_MAGIC = b"QTBARS1\n"
_ALIGNED = 64
_ARRAYS = 5


@dataclass(frozen=True, slots=True)
class Block:
    """Bars of N symbols on one clock.

    Attributes:
        start_ns, end_ns: int64[T].
        values: open, high, low, close, volume, each float64[T, N]; read-only when they come from a file.
    """

    start_ns: IntArray
    end_ns: IntArray
    values: tuple[FloatArray, ...]


def write_block(path: Path, fingerprint: str, block: Block) -> None:
    """Write a cache file; when it cannot be written there is none, which costs time only."""
    parts = [np.ascontiguousarray(array) for array in (block.start_ns, block.end_ns, *block.values)]
    crc = 0
    for part in parts:
        crc = zlib.crc32(part.data, crc)
    shape = block.values[0].shape
    header = json.dumps({"fingerprint": fingerprint, "crc": crc, "shape": shape}).encode()
    lead = _MAGIC + len(header).to_bytes(4, "little") + header
    written = name_beside(path)
    with suppress(OSError):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written.open("wb") as file:
                file.write(lead + bytes(-len(lead) % _ALIGNED))
                for part in parts:
                    file.write(part.data)
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)


def read_block(path: Path, fingerprint: str) -> Block | None:
    """Return what a cache file holds, mapped; None when there is none that is sound and of this fingerprint."""
    try:
        with path.open("rb") as file:
            lead = file.read(len(_MAGIC) + 4)
            length = int.from_bytes(lead[len(_MAGIC) :], "little")
            if lead[: len(_MAGIC)] != _MAGIC or length > 10_000:
                return None
            header = json.loads(file.read(length))
            if header["fingerprint"] != fingerprint:
                return None
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        bars, symbols = header["shape"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    at = len(lead) + length
    at += -at % _ALIGNED
    if len(content) != at + 8 * bars * (2 + _ARRAYS * symbols):
        return None
    if zlib.crc32(memoryview(content)[at:]) != header["crc"]:
        return None
    start = np.frombuffer(content, np.int64, bars, at)
    end = np.frombuffer(content, np.int64, bars, at + 8 * bars)
    at += 16 * bars
    size = bars * symbols
    values = np.frombuffer(content, np.float64, _ARRAYS * size, at).reshape(_ARRAYS, bars, symbols)
    return Block(start, end, tuple(values[k] for k in range(_ARRAYS)))


def forget_old(folder: Path, keep: int, pattern: str = "*.panel") -> None:
    """Delete all cache files but the `keep` that were made last."""
    with suppress(OSError):
        for path in sorted(folder.glob(pattern), key=lambda path: -path.stat().st_mtime_ns)[keep:]:
            path.unlink(missing_ok=True)


def join(columns: Sequence[Block]) -> Block:
    """Return single-symbol blocks on the union of their clocks, C-ordered [T, N]; a bar that is missing is NaN."""
    first = columns[0].start_ns
    same = all(len(c.start_ns) == len(first) and np.array_equal(c.start_ns, first) for c in columns)
    start = first if same else np.unique(np.concatenate([c.start_ns for c in columns]))
    end = np.zeros(len(start), dtype=np.int64)
    values = tuple(np.full((len(start), len(columns)), np.nan) for _ in range(_ARRAYS))
    for j, column in enumerate(columns):
        at = slice(None) if same else np.searchsorted(start, column.start_ns)
        end[at] = np.maximum(end[at], column.end_ns)
        for whole, own in zip(values, column.values, strict=True):
            whole[at, j] = own[:, 0]
    return Block(start, end, values)
