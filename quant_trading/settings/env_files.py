"""`.env` and `strategy.env`: NAME=value lines, read strictly."""

import io
from pathlib import Path

from dotenv.parser import parse_stream

from quant_trading.domain.errors import ConfigError
from quant_trading.nouns import dataclass
from quant_trading.settings.scalars import show

__all__ = ["EnvValue", "read_env_file"]

_MAX_BYTES = 1 << 18


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
    for binding in parse_stream(io.StringIO(text, newline="")):
        blank = len(binding.original.string) - len(binding.original.string.lstrip())
        line = binding.original.line + binding.original.string[:blank].count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            # The text itself is not shown: a broken line of this file may hold a secret.
            raise ConfigError(f"{place}: line {line} is not NAME=value; write it so, or put # before it")
        if binding.key is None:
            continue
        if binding.key in first_lines:
            raise ConfigError(f"{place}: {show(binding.key)} is given twice, in lines {first_lines[binding.key]} and "
                              f"{line}; take one out")  # fmt: skip
        first_lines[binding.key] = line
        if binding.value:
            found[binding.key] = EnvValue(binding.key, binding.value, place, line)
    return found
