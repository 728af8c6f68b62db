"""Files that are there in full or not at all."""

from pathlib import Path

from quant_trading.domain.errors import ConfigError

__all__ = ["replace_file"]


def replace_file(path: Path, content: bytes) -> Path:
    """Write `content` to a new file beside `path`, let it take the name, and return `path`.

    Missing folders are made. Who reads `path` meanwhile sees the old content.

    Raises:
        ConfigError: when the place cannot be written.
    """
    written = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            written.write_bytes(content)
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}); choose another place or free this one"
        ) from error
    return path
