"""A disk in memory that can lose power: what was not synced may be lost, in part or whole."""

from collections.abc import Callable
from pathlib import Path

from quant_trading.desk.disk import DiskFile

__all__ = ["PowerCut", "SimDisk"]


class PowerCut(BaseException):
    """The machine went off; nothing catches this."""


class SimDisk:
    """Counts its steps and loses power at the chosen one.

    Args:
        cut_at: the step, from 0, before which the power goes; None = never.
        fail_at: the step that raises OSError instead of doing its work; None = none.
    """

    def __init__(self, cut_at: int | None = None, fail_at: int | None = None) -> None:
        self.cut_at, self.fail_at = cut_at, fail_at
        self.steps = 0
        self.files: dict[Path, bytes] = {}  # as the system sees them
        self.durable: dict[Path, bytes] = {}  # contents that survive, once the name does
        self.names_durable: set[Path] = set()
        self.locked: set[Path] = set()

    def after_power_cut(self, kept_bytes: int) -> "SimDisk":
        """Return the disk after a restart, on which up to `kept_bytes` of each unsynced end reached the medium."""
        fresh = SimDisk()
        for path in self.names_durable:
            durable, seen = self.durable.get(path, b""), self.files.get(path, b"")
            if seen.startswith(durable):
                durable += seen[len(durable) :][:kept_bytes]
            fresh.files[path] = fresh.durable[path] = durable
            fresh.names_durable.add(path)
        return fresh

    def _step(self) -> None:
        step, self.steps = self.steps, self.steps + 1
        if step == self.cut_at:
            raise PowerCut
        if step == self.fail_at:
            raise OSError(28, "No space left on device")

    def make_folder(self, folder: Path) -> None:
        self._step()

    def names(self, folder: Path) -> list[str]:
        return sorted(p.name for p in self.files if p.parent == folder)

    def read(self, path: Path) -> bytes:
        return self.files[path]

    def open_append(self, path: Path) -> DiskFile:
        self._step()
        self.files.setdefault(path, b"")
        return _SimFile(self, path)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        self.names_durable |= {p for p in self.files if p.parent == folder}

    def cut(self, path: Path, size: int) -> None:
        self._step()
        self.files[path] = self.durable[path] = self.files[path][:size]

    def lock(self, path: Path) -> Callable[[], None]:
        if path in self.locked:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.locked.add(path)
        return lambda: self.locked.discard(path)


class _SimFile:
    def __init__(self, disk: SimDisk, path: Path) -> None:
        self._disk, self._path = disk, path

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._disk.files[self._path] += data[:half]
        self._disk._step()
        self._disk.files[self._path] += data[half:]

    def sync(self) -> None:
        self._disk._step()
        self._disk.durable[self._path] = self._disk.files[self._path]

    def close(self) -> None:
        pass
