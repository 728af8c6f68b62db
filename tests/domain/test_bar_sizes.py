"""IBKR's bar sizes and durations: every form in, everything else refused with the forms listed."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.domain.bar_sizes import BAR_SIZES, Duration, parse_bar_size, parse_duration
from quant_trading.domain.errors import UsageError

# The list of the API reference.
WORDS = (
    "1 secs", "5 secs", "10 secs", "15 secs", "30 secs", "1 min", "2 mins", "3 mins", "5 mins", "10 mins", "15 mins",
    "20 mins", "30 mins", "1 hour", "2 hours", "3 hours", "4 hours", "8 hours", "1 day", "1W", "1M",
)  # fmt: skip
LONGEST = {"S": 86_400, "D": 365, "W": 52, "M": 12, "Y": 68}


def test_all_sizes_of_the_reference_and_no_other():
    assert tuple(size.words for size in BAR_SIZES) == WORDS
    assert [parse_bar_size(words).words for words in WORDS] == list(WORDS)


@pytest.mark.parametrize(
    ("text", "words", "timeframe", "seconds"),
    [
        ("5 mins", "5 mins", "5m", 300),
        (" 5  Mins ", "5 mins", "5m", 300),
        ("1 mins", "1 min", "1m", 60),
        ("1m", "1 min", "1m", 60),
        ("1M", "1M", "1mo", 2_592_000),
        ("1 month", "1M", "1mo", 2_592_000),
        ("1 week", "1W", "1w", 604_800),
        ("1h", "1 hour", "1h", 3_600),
        ("1 Day", "1 day", "1d", 86_400),
        ("30s", "30 secs", "30s", 30),
    ],
)
def test_other_spellings(text, words, timeframe, seconds):
    size = parse_bar_size(text)
    assert (size.words, size.timeframe, size.seconds) == (words, timeframe, seconds)
    assert size.is_intraday == (seconds < 86_400)


@given(st.sampled_from(BAR_SIZES))
def test_every_name_of_a_size_names_it(size):
    assert parse_bar_size(size.words) is parse_bar_size(size.timeframe) is size


@given(st.text(max_size=8))
def test_a_size_is_known_or_refused_with_the_list(text):
    try:
        assert parse_bar_size(text) in BAR_SIZES
    except UsageError as error:
        assert all(words in str(error) for words in WORDS)
        assert "\n" not in str(error)


@pytest.mark.parametrize("text", ["", "5", "mins", "7 mins", "5 min s", "1 D", "1Y", "2 days", "0 mins", "-1 min"])
def test_sizes_that_are_none(text):
    with pytest.raises(UsageError, match="none of IBKR's"):
        parse_bar_size(text)


@given(st.sampled_from("SDWMY"), st.data())
def test_every_duration_ibkr_serves(unit, data):
    count = data.draw(st.integers(1, LONGEST[unit]))
    assert parse_duration(f"{count} {unit}") == Duration(count, unit)
    assert parse_duration(Duration(count, unit).words) == Duration(count, unit)


@given(st.sampled_from("SDWMY"), st.integers(1, 100_000))
def test_longer_durations_are_refused(unit, more):
    with pytest.raises(UsageError, match="longer than IBKR serves"):
        parse_duration(f"{LONGEST[unit] + more} {unit}")


@pytest.mark.parametrize("text", ["", "Y", "1", "1 year", "1 y", "0 D", "-1 D", "1.5 Y", "1 Y 2", "1 H", "٣ D", "1  Y"])
def test_durations_that_are_none(text):
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    for form in ("1..86400 S", "1..365 D", "1..52 W", "1..12 M", "1..68 Y"):
        assert form in str(caught.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("5 min", "5 mins"), ("15 Minutes", "15 mins"), ("2 hr", "2 hours"), ("60 min", "1 hour"), ("1 weeks", "1W")],
)
def test_a_size_in_other_words_is_met_with_ibkrs(text, meant):
    with pytest.raises(UsageError, match=rf'; did you mean "{meant}"\?$'):
        parse_bar_size(text)


@pytest.mark.parametrize(
    ("text", "meant"), [("6 m", "6 M"), ("6m", "6 M"), ("2 years", "2 Y"), ("20 Days", "20 D"), ("1800 secs", "1800 S")]
)
def test_a_duration_in_other_words_is_met_with_ibkrs(text, meant):
    with pytest.raises(UsageError, match=rf'; did you mean "{meant}"\?$'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["30 min", "400 d", "13 months", "0 y"])
def test_no_duration_is_proposed_that_ibkr_does_not_serve(text):
    with pytest.raises(UsageError, match=r'; write for example "1 Y"$'):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "last", "left_out"),
    [
        ("1 Y", date(2018, 12, 31), date(2017, 12, 31)),
        ("1 Y", date(2020, 2, 29), date(2019, 2, 28)),
        ("1 M", date(2018, 3, 31), date(2018, 2, 28)),
        ("2 M", date(2018, 1, 15), date(2017, 11, 15)),
        ("1 W", date(2018, 1, 3), date(2017, 12, 27)),
    ],
)
def test_the_day_before_the_span(text, last, left_out):
    assert parse_duration(text).day_before(last) == left_out


@given(st.dates(date(1980, 1, 1), date(2030, 12, 31)), st.sampled_from("WMY"), st.integers(1, 9))
def test_a_longer_duration_never_reaches_less_far(last, unit, count):
    assert Duration(count + 1, unit).day_before(last) < Duration(count, unit).day_before(last) < last


def test_seconds_and_sessions_are_not_counted_by_the_calendar():
    with pytest.raises(ValueError, match="20 D"):
        Duration(20, "D").day_before(date(2018, 1, 1))
