"""Where things lie in a bar store."""

__all__ = ["ACTIONS_FILE", "DEFAULT_STORE", "STORE_FILE"]

STORE_FILE = "bar_store.json"
ACTIONS_FILE = "actions.csv"
# Below the desk's home, beside the CSV files of the downloader.
DEFAULT_STORE = "market_data/store"
