"""One writer at a time for each series of the bar store; readers need no lock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from quant_trading.core.file_lock import try_lock
from quant_trading.domain.errors import ConfigError

__all__ = ["lock_if_free", "series_lock"]

_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


@contextmanager
def series_lock(folder: Path, patience_seconds: float = _PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock of a series; its folder is made when it is missing.

    The lock goes with the process that holds it, so a killed writer leaves none behind.

    Raises:
        ConfigError: when another writer keeps it for too long, or the place cannot be written.
    """
    path = folder / ".lock"
    descriptor = _opened(path, makes_folder=True)
    try:
        never = Event()
        for _ in range(max(1, int(patience_seconds / _PAUSE_SECONDS))):
            if try_lock(descriptor):
                break
            never.wait(_PAUSE_SECONDS)
        else:
            raise ConfigError(
                f"{path}: another process has been writing {folder.name} for {patience_seconds:g} s; wait for it or "
                "end it"
            )
        yield
    finally:
        os.close(descriptor)  # which gives the lock back


@contextmanager
def lock_if_free(path: Path) -> Iterator[bool]:
    """Yield whether nobody else holds the lock `path`, whose folder must be there; if so, hold it meanwhile.

    Raises:
        ConfigError: when the place cannot be written.
    """
    descriptor = _opened(path)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path, *, makes_folder: bool = False) -> int:
    try:
        if makes_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}); choose another place or free this one"
        ) from error
