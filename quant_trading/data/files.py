"""Files that are there in full or not at all."""

import os
import threading
from pathlib import Path

from quant_trading.domain.errors import ConfigError

__all__ = ["FilesAtOnce", "name_beside", "put_in_place", "replace_file"]

_MOST_AT_ONCE = 8  # each holds its content until it is on the medium


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


class FilesAtOnce:
    """Files that are written while the next ones are made.

    A medium takes its time until a file outlasts a power cut, and hardly longer for several at once.

        with FilesAtOnce() as files:
            for path in paths:
                files.replace(path, content_of(path))
    """

    def __init__(self) -> None:
        self._writing: list[_Writing] = []

    def __enter__(self) -> "FilesAtOnce":
        return self

    def replace(self, path: Path, content: bytes) -> Path:
        """Begin to do as `replace_file` and return `path`; waits while many are being written."""
        if len(self._writing) >= _MOST_AT_ONCE:
            self._writing[-_MOST_AT_ONCE].join()
        writing = _Writing(path, content)
        self._writing.append(writing)
        writing.start()
        return path

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait until all are there.

        Raises:
            ConfigError: of the first that could not be written, unless something else is wrong already.
        """
        for writing in self._writing:
            writing.join()
        errors = [writing.error for writing in self._writing if writing.error is not None]
        if errors and kind is None:
            raise errors[0]


class _Writing(threading.Thread):
    def __init__(self, path: Path, content: bytes) -> None:
        super().__init__(name=f"writing {path.name}")
        self._path, self._content = path, content
        self.error: ConfigError | None = ConfigError(f"{path} was not written; the lines above say why, write it again")

    def run(self) -> None:
        try:
            replace_file(self._path, self._content)
            self.error = None
        except ConfigError as error:
            self.error = error
        finally:
            self._content = b""
