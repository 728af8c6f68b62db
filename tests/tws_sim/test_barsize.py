"""Bar sizes by their words."""

import pytest

from quant_trading.tws_sim.barsize import BAR_SIZES, LEGAL_SIZES_TEXT, parse_bar_size


@pytest.mark.parametrize(
    ("text", "unit", "count"),
    [
        ("1 secs", "second", 1), ("1 sec", "second", 1), ("30 secs", "second", 30), ("1 min", "second", 60),
        ("5 mins", "second", 300), ("20 mins", "second", 1200), ("1 hour", "second", 3600),
        ("8 hours", "second", 28800),
        ("1 day", "day", 1), ("1 week", "week", 1), ("1W", "week", 1), ("1 month", "month", 1), ("1M", "month", 1),
        (" 5  mins ", "second", 300),
    ],
)  # fmt: skip
def test_known_sizes(text: str, unit: str, count: int) -> None:
    size = parse_bar_size(text)
    assert size is not None
    assert (size.unit, size.count) == (unit, count)


@pytest.mark.parametrize("text", ["", "7 mins", "5", "mins", "5 minutes", "2 days", "1 year", "5mins", "1 m"])
def test_unknown_sizes(text: str) -> None:
    assert parse_bar_size(text) is None


def test_every_size_is_found_by_its_own_words_and_listed() -> None:
    assert len(BAR_SIZES) == 21
    for size in BAR_SIZES:
        assert parse_bar_size(size.text) == size
    assert LEGAL_SIZES_TEXT.startswith("1 secs, 5 secs")
    assert LEGAL_SIZES_TEXT.endswith("8 hours, 1 day, 1W, 1M")
