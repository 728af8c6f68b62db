"""The few things the journal asks of a disk, so that a simulated one with power cuts can stand in."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["Disk", "DiskFile", "RealDisk"]


class DiskFile(Protocol):
    """A file open for appending."""

    def write(self, data: bytes) -> None:
        """Append all of `data`; durable only after `sync`."""

    def sync(self) -> None:
        """Return when everything written survives a power cut."""

    def close(self) -> None: ...


class Disk(Protocol):
    """Every method raises OSError when it fails; nothing is ever retried."""

    def make_folder(self, folder: Path) -> None:
        """Create `folder` and its parents, durably; an existing one is left."""

    def names(self, folder: Path) -> list[str]:
        """Return the names in `folder` in order, none when it does not exist."""

    def read(self, path: Path) -> bytes: ...

    def open_append(self, path: Path) -> DiskFile:
        """Open `path` for appending, create it when it does not exist."""

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in `folder` survive a power cut."""

    def cut(self, path: Path, size: int) -> None:
        """Shorten `path` to `size` bytes, durably."""

    def lock(self, path: Path) -> Callable[[], None]:
        """Take the lock at `path` for this process and return what releases it.

        Raises:
            BlockingIOError: when another holder has it.
        """


class _RealFile:
    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def sync(self) -> None:
        _sync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class RealDisk:
    """The disk of this machine."""

    def make_folder(self, folder: Path) -> None:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for created in reversed(missing):
            self.sync_folder(created.parent)

    def names(self, folder: Path) -> list[str]:
        return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def open_append(self, path: Path) -> DiskFile:
        return _RealFile(path)

    def sync_folder(self, folder: Path) -> None:
        if sys.platform == "win32":
            return  # Windows cannot open a folder; NTFS journals names itself
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def cut(self, path: Path, size: int) -> None:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.ftruncate(descriptor, size)
            _sync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: Path) -> Callable[[], None]:
        # The file stays when the lock is released: taking it away would let two runs lock two files of one name.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            # Windows reports a held lock as PermissionError.
            raise BlockingIOError(error.errno, error.strerror) from error

        def release() -> None:
            with contextlib.suppress(OSError):  # closing twice is harmless: the lock goes with the descriptor
                os.close(descriptor)

        return release


def _sync(descriptor: int) -> None:
    """Write through to the medium; macOS's fsync alone stops at the drive's cache."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)
