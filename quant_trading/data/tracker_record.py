"""What takes closed bars, and the one that appends them to CSV files, each row whole or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from quant_trading.data.files import replace_file
from quant_trading.data.tracker_feed import TrackedBar
from quant_trading.data.tracker_lines import utc_time
from quant_trading.domain.errors import ConfigError

__all__ = ["HEADER", "CsvRecorder", "Recorder"]

HEADER = "timestamp,open,high,low,close,volume,MACD,Signal,Hist"
_TAIL_BYTES = 4096


class Recorder(Protocol):
    """Takes the closed bars of a tracker, in order.

    Attributes:
        rows: bars taken.
        folder: where they go.
    """

    rows: int
    folder: Path

    def add(self, told: TrackedBar) -> bool:
        """Take a bar; return False when it was there already."""

    def flush(self, now_ns: int) -> Sequence[str]:
        """Bring what was taken onto the medium, after each turn of the tracker; return what a person should read."""

    def close(self) -> Sequence[str]:
        """Finish; return what a person should read."""


class CsvRecorder:
    """Appends to `<symbol>_<timeframe>_bars_macd.csv`; a bar that a file has already is left out.

    Args:
        folder: made when it is not there.

    Raises:
        ConfigError: when a file cannot be read or written, or has other columns.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = 0
        self._last: dict[Path, str] = {}

    def path_of(self, symbol: str, minutes: int) -> Path:
        """Return the file of a symbol's bars."""
        return self.folder / f"{symbol}_{minutes}m_bars_macd.csv"

    def add(self, told: TrackedBar) -> bool:
        """Append a bar; return False when the file reaches as far already."""
        path = self.path_of(told.symbol, told.bar.minutes)
        stamp = utc_time(told.bar.start_ns)
        try:
            if path not in self._last:
                self._last[path] = _last_stamp(path)
            if stamp <= self._last[path]:
                return False
            with path.open("ab") as file:  # one write at the end of the file: other writers do not come between
                file.write(_row(stamp, told).encode())
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written ({error.strerror}); free the place or name another with --record-csv"
            ) from error
        self._last[path] = stamp
        self.rows += 1
        return True

    def flush(self, now_ns: int) -> Sequence[str]:
        """Do nothing: each row is written when it comes."""
        return ()

    def close(self) -> Sequence[str]:
        """Do nothing: no file is held open."""
        return ()


def _row(stamp: str, told: TrackedBar) -> str:
    bar = told.bar
    volume = int(bar.volume) if bar.volume == int(bar.volume) else bar.volume
    numbers = (bar.open, bar.high, bar.low, bar.close, volume, told.macd, told.signal, told.histogram)
    return ",".join([stamp, *map(repr, numbers)]) + "\n"


def _last_stamp(path: Path) -> str:
    """Return the stamp of the last whole row, empty when there is none; make the file, or cut a torn last row off.

    Raises:
        ConfigError: when the file has other columns.
    """
    if not path.exists():
        replace_file(path, f"{HEADER}\n".encode())
        return ""
    with path.open("r+b") as file:
        header = file.readline().decode("utf-8-sig", "replace").strip()
        if header != HEADER:
            raise ConfigError(
                f"{path} line 1: has the columns {header!r}, expected {HEADER!r}; record to another folder"
            )
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
        if not tail.endswith(b"\n"):  # a writer was killed in the middle of a row
            torn = len(tail) - (tail.rfind(b"\n") + 1)
            file.truncate(size - torn)
            tail = tail[: len(tail) - torn]
    rows = tail.decode().splitlines()
    return "" if not rows or rows[-1] == HEADER else rows[-1].partition(",")[0]
