"""Where things lie in a bar store, and what names of files tell."""

from pathlib import Path

__all__ = ["ACTIONS_FILE", "DEFAULT_STORE", "QUOTES", "STORE_FILE", "is_quote_file"]

STORE_FILE = "bar_store.json"
ACTIONS_FILE = "actions.csv"
# Below the desk's home, beside the CSV files of the downloader.
DEFAULT_STORE = "market_data/store"
# Kinds of bars that have no volume.
QUOTES = ("MIDPOINT", "BID", "ASK", "BID_ASK")


def is_quote_file(path: Path) -> bool:
    """Return whether the name of a CSV file says that it holds quotes or midpoints, `SMR_5m_bid_bars_macd.csv`."""
    stem = path.name.partition("_bars_macd.")[0].removesuffix("_all")
    return any(stem.endswith(f"_{what.lower()}") for what in QUOTES)
