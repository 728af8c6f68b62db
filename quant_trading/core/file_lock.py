"""The lock of an open file: it goes with the process that holds it, so a killed one leaves none behind."""

import os

__all__ = ["try_lock"]


def try_lock(descriptor: int) -> bool:
    """Return whether the file could be locked for this process alone; closing it gives the lock back."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
