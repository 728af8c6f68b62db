"""Where the desk's own files lie."""

from collections.abc import Mapping
from pathlib import Path

__all__ = ["home"]


def home(environ: Mapping[str, str]) -> Path:
    """Return the folder of `.env`, `strategy.env`, `strategies/`, logs, outputs and state.

    It is the checkout, from whatever folder a scheduler starts the command: the journal must be found again, or a
    second run would not know of the first. QT_HOME names another one; an installed package uses the current folder.
    """
    if named := environ.get("QT_HOME"):
        return Path(named).absolute()
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "trade.py").is_file() else Path.cwd()
