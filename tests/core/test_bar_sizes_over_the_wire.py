"""Every bar size IBKR has, asked for from the simulator in virtual time."""

import math

import numpy as np
import pytest

from quant_trading.core.ibkr_broker import IBKRAccount
from quant_trading.domain.bar_sizes import BAR_SIZES, BarSize, parse_bar_size
from quant_trading.domain.bars import BarPanel
from quant_trading.refdata.sessions import exchange_date, session_on
from tests.core.meddler import MORNING_NS, Meddler
from tests.core.meddler import simulator_of_kept_market as simulator
from tests.core.sessions import open_account

SYMBOLS = ("AAPL", "SPY")


def _duration(size: BarSize) -> str:
    """Return a duration that IBKR serves with `size` and that gives a few dozen bars."""
    if size.seconds < 60:
        return "600 S"
    return {True: "3 D", False: "1 Y"}[size.is_intraday]


def _bars(account: IBKRAccount, size: BarSize) -> BarPanel:
    return account.bars(SYMBOLS, size.words, _duration(size))


@pytest.mark.parametrize("size", BAR_SIZES, ids=lambda size: size.timeframe)
def test_bars_of_every_size_lie_in_sessions_and_follow_one_another(size: BarSize) -> None:
    peer = Meddler(simulator())
    with open_account(peer) as account:
        panel = _bars(account, size)
    assert len(panel) >= 3
    assert not np.isnan(panel.close).any()
    assert panel.bar_size == size.words
    asked = [fields for _, fields in peer.received if fields[0] == "20"]
    assert [fields[16] for fields in asked] == [size.words] * len(SYMBOLS)
    starts, ends = panel.start_ns.tolist(), panel.end_ns.tolist()
    assert all(before <= after for before, after in zip(ends, starts[1:], strict=False))
    for start, end in zip(starts, ends, strict=True):
        first, last = session_on(exchange_date(start)), session_on(exchange_date(end))
        assert first is not None and last is not None
        if size.is_intraday:
            assert first.open_ns <= start < end <= first.close_ns
            assert end - start <= size.seconds * 10**9
        else:
            assert (start, end) == (first.open_ns, last.close_ns)


@pytest.mark.parametrize("size", BAR_SIZES, ids=lambda size: size.timeframe)
def test_the_running_bar_is_not_known_yet(size: BarSize) -> None:
    with open_account(simulator()) as account:
        panel = _bars(account, size)
    known = panel.known_at(MORNING_NS)
    # Thursday, 19 November 2026, a moment after 10:00: a bar of each size is running
    assert len(panel) - len(known) == 1


@pytest.mark.parametrize(("words", "count"), [("1W", 52), ("1M", 12)])
def test_weeks_and_months_are_made_of_their_days(words: str, count: int) -> None:
    with open_account(simulator()) as account:
        days = account.bars(["AAPL"], "1 day", "1 Y")
        periods = account.bars(["AAPL"], words, "1 Y")
    assert abs(len(periods) - count) <= 1
    for row in range(1, len(periods)):  # the first one may begin before the daily bars do
        inside = (days.start_ns >= periods.start_ns[row]) & (days.end_ns <= periods.end_ns[row])
        assert inside.any()
        assert periods.open[row, 0] == days.open[inside][0, 0]
        assert periods.close[row, 0] == days.close[inside][-1, 0]
        assert periods.high[row, 0] == days.high[inside].max()
        assert periods.low[row, 0] == days.low[inside].min()
        assert math.isclose(periods.volume[row, 0], days.volume[inside].sum())
    covered = (days.start_ns >= periods.start_ns[1]) & (days.end_ns <= periods.end_ns[-1])
    assert covered.sum() == (days.start_ns >= periods.start_ns[1]).sum()  # every day is in one of them


@pytest.mark.parametrize("name", ["1w", "1 week", "1W", "1mo", "1 month", "5m", "5 mins", "1h", "1d"])
def test_every_name_of_a_size_works(name: str) -> None:
    with open_account(simulator()) as account:
        assert account.bars(["AAPL"], name, "1 M").bar_size == parse_bar_size(name).words
