"""The symbols that are traded, and looked for in a folder of bars, when nobody names others."""

__all__ = ["DEFAULT_UNIVERSE"]

DEFAULT_UNIVERSE = (
    "AAPL", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "TSLA", "JPM", "XOM", "UNH",
    "JNJ", "PG", "HD", "KO", "DIS", "SPY", "QQQ", "IWM", "TLT", "GLD",
)  # fmt: skip
