"""`logs/desk.log`: everything the desk and the client library say, in UTC, one line each, without secrets."""

import logging
import logging.handlers
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from quant_trading.domain.errors import ConfigError

__all__ = ["LOG_NAME", "configure_logging"]

LOG_NAME = "desk.log"
_MAX_BYTES = 5_000_000
_KEPT_FILES = 5
_SECRET_WORDS = ("SECRET", "TOKEN", "PASSWORD", "PASSWD", "KEY")
# Shorter values are words such as "1" or "yes", whose removal would blank out every line.
_SHORTEST_SECRET = 6


class _LineFormatter(logging.Formatter):
    """Formats a record so that nobody can write a line that looks like another record."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, tz=UTC).replace(tzinfo=None)
        stamp = moment.isoformat(timespec="milliseconds") + "Z"
        lines = [f"{stamp} {record.levelname} {record.name}: {_one_line(self._hide(record.getMessage()))}"]
        if record.exc_info and record.exc_info[0] is not None:
            said = self._hide("".join(traceback.format_exception(*record.exc_info)))
            lines += [f"  | {_one_line(line)}" for line in said.splitlines()]
        return "\n".join(lines)

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


@contextmanager
def configure_logging(
    log_dir: Path, *, environ: Mapping[str, str], console: bool = False, level: int = logging.INFO
) -> Iterator[Path]:
    """Write all log records to `log_dir`/desk.log while the context is open; then leave logging as it was.

    Args:
        log_dir: created when it does not exist.
        environ: values of its names with SECRET, TOKEN, PASSWORD or KEY are replaced by ***.
        console: also write to standard error.
        level: lowest level that is written.

    Yields:
        the log file's path.

    Raises:
        ConfigError: when the file cannot be written.
    """
    path = log_dir / LOG_NAME
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        handlers: list[logging.Handler] = [
            logging.handlers.RotatingFileHandler(
                path, maxBytes=_MAX_BYTES, backupCount=_KEPT_FILES, encoding="utf-8", errors="backslashreplace"
            )
        ]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; make the folder writable or set paths.logs "
                          "to another one") from error  # fmt: skip
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
    formatter = _LineFormatter(_secret_values(environ))
    root = logging.getLogger()
    before = root.level
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(level)
    try:
        yield path
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _secret_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets, longest first, so that one that contains another is hidden whole."""
    found = {v for k, v in environ.items() if any(w in k.upper() for w in _SECRET_WORDS) and len(v) >= _SHORTEST_SECRET}
    return tuple(sorted(found, key=lambda secret: (-len(secret), secret)))


def _one_line(text: str) -> str:
    """Return `text` with line breaks and other control characters written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
