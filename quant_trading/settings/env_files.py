"""`.env` and `strategy.env`: NAME=value lines, read strictly."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quant_trading.domain.errors import ConfigError
from quant_trading.settings.scalars import show

__all__ = ["EnvValue", "read_env_file"]

_MAX_BYTES = 1 << 18
_PLAIN_LINE = r"(?:#.*|([A-Za-z_][A-Za-z0-9_]*)=([A-Za-z0-9_.,:/@+-]*))?"


@dataclass(frozen=True, slots=True)
class EnvValue:
    """One value and where it stands.

    Attributes:
        name: the variable.
        value: its text, never empty.
        place: how messages call the file, ".env".
        line: 1-based, 0 for the environment of the process.
    """

    name: str
    value: str
    place: str
    line: int = 0


def read_env_file(path: Path, place: str) -> dict[str, EnvValue]:
    """Return the values of one file by name; a missing file has none, an empty value counts as not set.

    Quotes, `export`, comments and CRLF are read as python-dotenv reads them. `${NAME}` stays as it is written, so that
    a value never depends on what else is set.

    Raises:
        ConfigError: for a line that is not NAME=value and for a name that is given twice.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read: {error.strerror}; make it a readable file") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{place}: {len(content)} bytes is more than {_MAX_BYTES}; this is not a settings file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    first_lines: dict[str, int] = {}
    found: dict[str, EnvValue] = {}
    plain = _plain_lines(text)
    for line, name, value in _lines(text) if plain is None else plain:
        if name is None or value is None:
            # The text itself is not shown: a broken line of this file may hold a secret.
            raise ConfigError(f"{place}: line {line} is not NAME=value; write it so, or put # before it")
        if name in first_lines:
            raise ConfigError(f"{place}: {show(name)} is given twice, in lines {first_lines[name]} and "
                              f"{line}; take one out")  # fmt: skip
        first_lines[name] = line
        if value:
            found[name] = EnvValue(name, value, place, line)
    return found


_Line = tuple[int, str | None, str | None]  # its number, name and value; None for what is broken


def _plain_lines(text: str) -> list[_Line] | None:
    """Return the lines of a text in which nothing is quoted, escaped or spaced; None when something is.

    Such texts mean the same to every reader, and a short command need not wait for python-dotenv.
    """
    found: list[_Line] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        fitting = re.fullmatch(_PLAIN_LINE, line)
        if fitting is None or "\r" in line:
            return None
        if fitting[1] is not None:
            found.append((number, fitting[1], fitting[2]))
    return found


def _lines(text: str) -> Iterator[_Line]:
    """Yield the lines that say something, as python-dotenv reads them."""
    import io

    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text, newline="")):
        blank = len(binding.original.string) - len(binding.original.string.lstrip())
        line = binding.original.line + binding.original.string[:blank].count("\n")
        if binding.error or binding.key is not None:
            yield line, None if binding.error else binding.key, binding.value
