"""Files that are there in full or not at all."""

import os
import threading
from pathlib import Path

from quant_trading.domain.errors import ConfigError

__all__ = ["name_beside", "put_in_place", "replace_file"]


def name_beside(path: Path) -> Path:
    """Return the hidden name under which this thread writes what is to become `path`; no other writer has it."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")


def put_in_place(path: Path, content: bytes) -> None:
    """Write `content` to a new file beside `path` and, once it is on the medium, let it take the name.

    Missing folders are made. Who reads `path` meanwhile sees the old content, and so does everybody when it fails.
    Of several writers at once the last has its way; a writer killed on the way leaves a hidden `*.new` and no harm.

    Raises:
        OSError: when the place cannot be written.
    """
    written = name_beside(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with written.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a name that outlives a power cut before its content does would be an empty file
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> Path:
    """Do as `put_in_place` and return `path`.

    Raises:
        ConfigError: when the place cannot be written.
    """
    try:
        put_in_place(path, content)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}); choose another place or free this one"
        ) from error
    return path
