"""The bar sizes of TWS, by their words."""

from quant_trading.tws_sim.tape import BarSize

__all__ = ["BAR_SIZES", "DAY", "LEGAL_SIZES_TEXT", "MONTH", "WEEK", "parse_bar_size"]

DAY = BarSize("1 day", "day", 1)
WEEK = BarSize("1 week", "week", 1)
MONTH = BarSize("1 month", "month", 1)

_MINUTE, _HOUR = 60, 3600
BAR_SIZES = (
    BarSize("1 secs", "second", 1),
    BarSize("5 secs", "second", 5),
    BarSize("10 secs", "second", 10),
    BarSize("15 secs", "second", 15),
    BarSize("30 secs", "second", 30),
    BarSize("1 min", "second", _MINUTE),
    BarSize("2 mins", "second", 2 * _MINUTE),
    BarSize("3 mins", "second", 3 * _MINUTE),
    BarSize("5 mins", "second", 5 * _MINUTE),
    BarSize("10 mins", "second", 10 * _MINUTE),
    BarSize("15 mins", "second", 15 * _MINUTE),
    BarSize("20 mins", "second", 20 * _MINUTE),
    BarSize("30 mins", "second", 30 * _MINUTE),
    BarSize("1 hour", "second", _HOUR),
    BarSize("2 hours", "second", 2 * _HOUR),
    BarSize("3 hours", "second", 3 * _HOUR),
    BarSize("4 hours", "second", 4 * _HOUR),
    BarSize("8 hours", "second", 8 * _HOUR),
    DAY,
    WEEK,
    MONTH,
)
LEGAL_SIZES_TEXT = ", ".join(size.text for size in BAR_SIZES[:-2]) + ", 1W, 1M"

# TWS forgives the missing or the needless plural.
_ALIASES = {
    "1 sec": "1 secs",
    "1 mins": "1 min",
    "1 hours": "1 hour",
    "1 days": "1 day",
    "1w": "1 week",
    "1m": "1 month",
}
_BY_TEXT = {size.text: size for size in BAR_SIZES}


def parse_bar_size(text: str) -> BarSize | None:
    """Return the bar size TWS knows under `text`, None when it knows none."""
    words = " ".join(text.split())
    lowered = words.lower()
    return _BY_TEXT.get(_ALIASES.get(lowered, lowered))
