"""The read side on the simulator: instruments, bars, portfolio, and no way to order."""

import itertools
import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from quant_trading.core.ibkr_broker import IBKRAccount
from quant_trading.domain.errors import (
    DataGap,
    UsageError,
)
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.orders import Side
from tests.core.meddler import Fields, Meddler, simulator, virtual
from tests.core.sessions import an_order, open_account, open_broker, until_quiet

# Reading.


def test_instruments_carry_ibkrs_number_and_tick() -> None:
    with open_account(simulator()) as account:
        found = account.instruments(["SPY", "AAPL"])
    assert list(found) == ["SPY", "AAPL"]
    assert found["AAPL"] == Instrument("AAPL", "SMART", "USD", "STK", "NASDAQ", 265598, Decimal("0.01"))


def test_instruments_are_asked_for_once() -> None:
    market = simulator()
    with open_account(market) as account:
        account.instruments(["AAPL"])
        account.instruments(["AAPL", "AAPL"])
    assert market.counters["reqContractDetails"] == 1


@pytest.mark.expects_client_errors
def test_unknown_symbols_are_all_named() -> None:
    with open_account(simulator()) as account, pytest.raises(DataGap, match=r"NOSUCH1: unknown.*; NOSUCH2: unknown"):
        account.instruments(["NOSUCH1", "AAPL", "NOSUCH2"])


@pytest.mark.expects_client_errors
def test_missing_symbols_are_left_out_on_request_with_a_warning_each(caplog: pytest.LogCaptureFixture) -> None:
    with open_account(simulator()) as account:
        found = account.instruments(["NOSUCH1", "SPY", "A;B", "AAPL"], skip_missing=True)
        assert account.instruments(["NOSUCH1"], skip_missing=True) == {}
    assert list(found) == ["SPY", "AAPL"]
    said = [r.getMessage() for r in caplog.records if r.name == "quant_trading.core.ibkr_account"]
    assert [text.partition(":")[0] for text in said] == ["skipped"] * 3
    assert "NOSUCH1: unknown" in said[0]
    assert "'A;B' is not a ticker" in said[1]


def test_the_currency_of_an_instrument_is_what_tws_says() -> None:
    peer = Meddler(simulator())

    def edit(fields: Fields) -> list[Fields]:
        return [tuple("USD " if f == "USD" else f for f in fields)] if fields[0] == "10" else [fields]

    assert _currency_of(simulator()) == "USD"
    peer.edit = edit
    with pytest.raises(DataGap, match="unknown to IBKR as a US stock"):  # another currency is another instrument
        _currency_of(peer)


def _currency_of(peer: object) -> str:
    with open_account(peer) as account:
        return account.instruments(["AAPL"])["AAPL"].currency


@pytest.mark.parametrize("year", [1985, 2031, 2099])
def test_a_tws_whose_clock_is_outside_the_calendar_is_a_gap(year: int) -> None:
    peer = Meddler(simulator())
    seconds = int(datetime(year, 6, 3, 15, tzinfo=UTC).timestamp())
    peer.edit = lambda fields: [(*fields[:2], str(seconds))] if fields[0] == "49" else [fields]
    with open_account(peer) as account, pytest.raises(DataGap, match=rf"TWS says it is {year}-06-03 .*outside the"):
        account.now()


@pytest.mark.parametrize("symbol", ["", "A;B", "A\0B", "=cmd", "X" * 30])
def test_what_is_no_ticker_is_not_sent(symbol: str) -> None:
    market = simulator()
    with open_account(market) as account, pytest.raises(DataGap, match="is not a ticker"):
        account.instruments([symbol])
    assert market.counters["reqContractDetails"] == 0


def test_an_ambiguous_symbol_names_the_candidates_and_the_cure() -> None:
    peer = Meddler(simulator())

    def twice(fields: Fields) -> list[Fields]:  # contractDetails: conId is field 12, the primary exchange field 22
        if fields[0] != "10":
            return [fields]
        at = fields.index("265598")
        other = (*fields[:at], "999", *fields[at + 1 :])
        return [fields, tuple("NYSE" if field == "NASDAQ" else field for field in other)]

    peer.edit = twice
    with open_account(peer) as account, pytest.raises(DataGap) as gap:
        account.instruments(["AAPL"])
    assert "ambiguous" in str(gap.value)
    assert "NYSE (conId 999" in str(gap.value)
    assert "NASDAQ (conId 265598" in str(gap.value)
    assert "primary_exchanges: {AAPL: ...}" in str(gap.value)


def test_a_primary_exchange_is_sent_along() -> None:
    peer = Meddler(simulator())
    with open_account(peer, primary_exchanges={"AAPL": "NASDAQ"}) as account:
        account.instruments(["AAPL"])
    asked = next(fields for _, fields in peer.received if fields[0] == "9")
    assert "NASDAQ" in asked


def test_daily_bars_span_sessions_and_columns_keep_their_order() -> None:
    with open_account(simulator()) as account:
        panel = account.bars(["SPY", "AAPL"], "1 day", "5 D")
    assert panel.symbols == ("SPY", "AAPL")
    open_ns, close_ns = panel.start_ns.tolist(), panel.end_ns.tolist()
    # the last bar is the running session of 19 November 2026: 14:30 to 21:00 UTC
    assert open_ns[-1] == int(datetime(2026, 11, 19, 14, 30, tzinfo=UTC).timestamp()) * 10**9
    assert close_ns[-1] == int(datetime(2026, 11, 19, 21, 0, tzinfo=UTC).timestamp()) * 10**9
    assert len(panel) == 5
    assert not any(math.isnan(value) for value in panel.close.ravel())


def test_a_historical_request_is_for_trades_in_regular_hours_up_to_now() -> None:
    peer = Meddler(simulator())
    with open_account(peer) as account:
        account.bars(["AAPL"], "5 mins", "1 D")
    fields = next(fields for _, fields in peer.received if fields[0] == "20")
    # id, reqId, contract (12), expired, end, bar size, duration, useRTH, what, formatDate, keepUpToDate, options
    assert fields[2:14] == ("265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "NASDAQ", "USD", "", "")
    assert fields[14:22] == ("0", "", "5 mins", "1 D", "1", "TRADES", "2", "0")


def test_history_may_end_earlier_and_hold_all_hours() -> None:
    peer = Meddler(simulator())
    with open_account(peer) as account:
        end = datetime(2026, 11, 18, 21, 0, tzinfo=UTC)
        panel = account.history(["AAPL"], "5 mins", "1 D", end=end, all_hours=True)
    fields = next(fields for _, fields in peer.received if fields[0] == "20")
    assert (fields[15], fields[18]) == ("20261118-21:00:00", "0")
    assert panel.end_ns[-1] <= int(end.timestamp()) * 10**9


def test_intraday_bars_end_where_the_next_begins() -> None:
    with open_account(simulator()) as account:
        panel = account.bars(["AAPL"], "5 mins", "1 D")
    steps = {end - start for start, end in zip(panel.start_ns.tolist(), panel.end_ns.tolist(), strict=True)}
    assert steps == {300 * 10**9}


@pytest.mark.expects_client_errors
def test_missing_symbols_are_all_named_or_left_empty_on_request() -> None:
    with open_account(simulator()) as account:
        with pytest.raises(DataGap, match=r"NOSUCH1.*; NOSUCH2"):
            account.bars(["NOSUCH1", "AAPL", "NOSUCH2"], "1 day", "5 D")
        panel = account.bars(["NOSUCH1", "AAPL"], "1 day", "5 D", skip_missing=True)
        assert panel.symbols == ("NOSUCH1", "AAPL")
        assert all(math.isnan(value) for value in panel.close[:, 0])
        assert not any(math.isnan(value) for value in panel.close[:, 1])
        assert list(account.last_gaps) == ["NOSUCH1"]
        with pytest.raises(DataGap):
            account.bars(["NOSUCH1"], "1 day", "5 D", skip_missing=True)


@pytest.mark.expects_client_errors
def test_no_data_for_one_symbol_names_it_with_tws_words() -> None:
    peer = Meddler(simulator())
    numbers = itertools.count()

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == "17" and next(numbers) == 0:
            return [("4", "2", fields[1], "162", "HMDS query returned no data", "")]
        return [fields]

    peer.edit = edit
    with (
        open_account(peer) as account,
        pytest.raises(DataGap, match=r"^\w+: no bars, TWS said 162: HMDS query returned no"),
    ):
        account.bars(["AAPL", "SPY"], "1 day", "5 D")


@pytest.mark.expects_client_errors
def test_a_refused_request_fails_at_once_although_the_library_calls_it_a_warning() -> None:
    peer = Meddler(simulator())
    peer.edit = lambda f: [("4", "2", f[1], "321", "Error validating request", "")] if f[0] == "17" else [f]
    with virtual(peer) as loop, IBKRAccount("paper", client_id=13, loop=loop, environ={}) as account:
        with pytest.raises(DataGap, match="321: Error validating request"):
            account.bars(["AAPL"], "1 day", "5 D")
        assert loop.time() < 1.0


def test_history_that_never_comes_is_given_up_and_cancelled() -> None:
    peer = Meddler(simulator())
    peer.edit = lambda fields: [] if fields[0] == "17" else [fields]
    with virtual(peer) as loop, IBKRAccount("paper", client_id=13, loop=loop, environ={}) as account:
        with pytest.raises(DataGap, match="no answer to 5 D of 1 day bars within 60 s"):
            account.bars(["AAPL"], "1 day", "5 D")
        assert loop.time() == pytest.approx(60.0, abs=0.1)
    assert peer.simulator.counters["cancelHistoricalData"] == 1


def test_an_unknown_bar_size_is_not_sent() -> None:
    market = simulator()
    with open_account(market) as account, pytest.raises(UsageError, match="7 mins"):
        account.bars(["AAPL"], "7 mins", "1 D")
    assert market.counters["reqHistoricalData"] == 0


def test_the_portfolio_is_the_accounts_at_market() -> None:
    market = simulator(positions={"AAPL": (Decimal(100), Decimal("130")), "SPY": (Decimal(-10), Decimal("600"))})
    with open_account(market) as account:
        seen = account.portfolio()
    assert (seen.account, seen.currency) == ("DU1234567", "USD")
    assert abs(seen.equity - market.equity()) < Decimal("0.01")
    assert (seen.quantity("AAPL"), seen.quantity("SPY"), seen.quantity("MSFT")) == (100, -10, 0)
    apple = seen.positions["AAPL"]
    assert apple.average_cost == 130
    assert apple.market_price is not None and apple.unrealized_pnl is not None
    assert abs(apple.unrealized_pnl - 100 * (apple.market_price - 130)) < Decimal("0.01")


def test_the_portfolio_is_asked_for_anew_and_an_old_mark_is_not_taken_for_a_new_one() -> None:
    peer = Meddler(simulator(positions={"AAPL": (Decimal(100), Decimal("130"))}))
    with open_account(peer) as account:
        assert account.portfolio().positions["AAPL"].market_price is not None
        peer.edit = lambda fields: [] if fields[0] == "7" else [fields]  # no portfolio lines any more
        peer.received.clear()
        assert account.portfolio().positions["AAPL"].market_price is None
    # unsubscribe, subscribe: only a new subscription sends everything again
    assert [fields[2] for _, fields in peer.received if fields[0] == "6"][:2] == ["0", "1"]


def test_a_closed_position_is_gone_from_the_next_portfolio() -> None:
    with open_broker(simulator(positions={"AAPL": (Decimal(100), Decimal("130"))})) as (broker, _):
        assert broker.portfolio().quantity("AAPL") == 100
        broker.place(an_order(side=Side.SELL))
        until_quiet(broker)
        seen = broker.portfolio()
        assert "AAPL" not in seen.positions
        assert seen.equity == pytest.approx(seen.cash)


@pytest.mark.parametrize("value", ["1.7976931348623157E308", "nan", ""])
def test_an_equity_that_is_none_is_a_gap(value: str) -> None:
    peer = Meddler(simulator())
    peer.edit = lambda f: [(*f[:3], value, *f[4:])] if f[0] == "6" and f[2] == "NetLiquidation" else [f]
    with open_account(peer) as account, pytest.raises(DataGap, match="NetLiquidation"):
        account.portfolio()


def test_the_read_side_has_no_way_to_order() -> None:
    market = simulator()
    with open_account(market) as account:
        assert not hasattr(account, "place")
        assert not hasattr(account, "cancel")
        account.portfolio()
        account.bars(["AAPL"], "1 day", "5 D")
    assert {"placeOrder", "cancelOrder", "reqGlobalCancel", "reqAllOpenOrders"}.isdisjoint(market.counters)
