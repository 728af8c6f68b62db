"""Where the shared market data and golden results are, for the tests that need them."""

import os
from pathlib import Path

import pytest

__all__ = ["golden", "market_data", "needs_shared", "shared_dir"]


def shared_dir() -> Path | None:
    """Return the folder named by QT_SHARED, else `shared` beside the checkout, else None."""
    named = os.environ.get("QT_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return folder if (folder / "market_data").is_dir() else None


needs_shared = pytest.mark.skipif(shared_dir() is None, reason="no shared market data (set QT_SHARED)")


def market_data(name: str) -> Path:
    """Return a file of the shared market data; only for tests marked `needs_shared`."""
    folder = shared_dir()
    assert folder is not None
    return folder / "market_data" / name


def golden(name: str) -> Path:
    """Return a file of the golden results; only for tests marked `needs_shared`."""
    folder = shared_dir()
    assert folder is not None
    return folder / "golden" / name
