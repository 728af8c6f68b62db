"""Markets from files: what they hold, larger bars of it, and nothing finer."""

from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from quant_trading.refdata.sessions import at, sessions_between
from quant_trading.tws_sim.barsize import DAY, WEEK, parse_bar_size
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import BarSize, Contract, TapeBars, What
from tests.shared_data import market_data, needs_shared

SESSIONS = sessions_between(date(2025, 11, 24), date(2025, 12, 5))
START, END = at(date(2025, 11, 24), "00:00"), at(date(2025, 12, 5), "20:00")


def size(text: str) -> BarSize:
    found = parse_bar_size(text)
    assert found is not None
    return found


def seeded_bars(symbol: str, bar_size: BarSize) -> TapeBars:
    tape = seeded_tape(7)
    bars = tape.bars(named(tape, symbol), bar_size, What.TRADES, START, END, True)
    assert bars is not None
    return bars


def named(tape: SeriesTape, symbol: str) -> Contract:
    return next(c for c in tape.contracts() if (c.symbol, c.currency) == (symbol, "USD"))


def table_of(bars: TapeBars, symbol: str | None, *, dates: bool = False) -> pa.Table:
    stamps = pa.array(bars.start_ns, pa.timestamp("ns", tz="UTC"))
    columns = {"symbol": pa.array([symbol] * len(bars))} if symbol else {}
    columns["date" if dates else "timestamp"] = (
        stamps.cast(pa.date32()) if dates else stamps.cast(pa.timestamp("us", "UTC"))
    )
    for name in ("open", "high", "low", "close"):
        columns[name] = pa.array(getattr(bars, name))
    columns["volume"] = pa.array(bars.volume.astype(np.int64))
    return pa.table(columns)


def write_day_file(folder: Path, symbols: tuple[str, ...] = ("AAPL", "SPY")) -> Path:
    path = folder / "daily.parquet"
    tables = [table_of(seeded_bars(symbol, DAY), symbol, dates=True) for symbol in symbols]
    pa.parquet.write_table(pa.concat_tables(tables), path)
    return path


def test_day_bars_come_back_as_written(tmp_path: Path) -> None:
    tape = open_source(str(write_day_file(tmp_path)))
    assert {contract.symbol for contract in tape.contracts()} == {"AAPL", "SPY"}
    written = seeded_bars("SPY", DAY)
    bars = tape.bars(named(tape, "SPY"), DAY, What.TRADES, START, END, True)
    assert bars is not None
    for column in ("start_ns", "open", "high", "low", "close", "volume"):
        assert getattr(bars, column).tolist() == getattr(written, column).tolist()
    weeks = tape.bars(named(tape, "SPY"), WEEK, What.TRADES, START, END, True)
    assert weeks is not None
    assert weeks.volume.tolist() == [written.volume[:4].sum(), written.volume[4:].sum()]
    assert tape.last_ns() == SESSIONS[-1].close_ns
    assert tape.head_ns(named(tape, "SPY"), What.TRADES) == SESSIONS[0].open_ns
    assert named(tape, "SPY").long_name == "SPDR S&P 500 ETF TRUST"


def test_day_bars_serve_no_minutes_but_quotes_and_fills(tmp_path: Path) -> None:
    tape = open_source(str(write_day_file(tmp_path)))
    aapl = named(tape, "AAPL")
    assert tape.bars(aapl, size("1 min"), What.TRADES, START, END, True) is None
    day = seeded_bars("AAPL", DAY)
    opened, closed = SESSIONS[1].open_ns, SESSIONS[1].close_ns
    assert tape.open_auction(aapl, opened) == Decimal(str(day.open[1]))
    for side, extreme in ((True, day.low[1]), (False, day.high[1])):
        price = Decimal(str(extreme))
        found = tape.next_trade_at_or_beyond(aapl, price, side, opened, closed)
        assert found is not None
        moment, fill = found
        assert opened <= moment < closed
        assert fill == price
        quote = tape.quote(aapl, moment)
        assert quote is not None
        assert (quote.low if side else quote.high) == price
        beyond = price + (Decimal("-0.01") if side else Decimal("0.01"))
        assert tape.next_trade_at_or_beyond(aapl, beyond, side, opened, closed) is None
    last = tape.quote(aapl, closed - 1)
    assert last is not None
    assert last.last == Decimal(str(day.close[1]))
    assert last.volume == day.volume[1]
    assert last.previous_close == Decimal(str(day.close[0]))


def test_the_running_day_never_looks_ahead(tmp_path: Path) -> None:
    tape = open_source(str(write_day_file(tmp_path)))
    spy = named(tape, "SPY")
    now = SESSIONS[2].open_ns + 2 * 3600 * 10**9
    bars = tape.bars(spy, DAY, What.TRADES, START, now, True)
    quote = tape.quote(spy, now - 1)
    assert bars is not None
    assert quote is not None
    assert len(bars) == 3
    assert bars.close[-1] == float(quote.last)
    assert (bars.high[-1], bars.low[-1], bars.volume[-1]) == (
        float(quote.high or 0),
        float(quote.low or 0),
        quote.volume,
    )
    whole = seeded_bars("SPY", DAY)
    assert bars.volume[-1] < whole.volume[2]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_one_symbol_per_file_with_the_size_in_its_name(tmp_path: Path, suffix: str) -> None:
    bars = seeded_bars("SMR", size("5 mins"))
    path = tmp_path / f"SMR_5m_bars_macd{suffix}"
    if suffix == ".csv":
        pa.csv.write_csv(table_of(bars, None), path)
    else:
        pa.parquet.write_table(table_of(bars, None), path)
    for source in (path, tmp_path):
        tape = open_source(str(source))
        smr = named(tape, "SMR")
        served = tape.bars(smr, size("5 mins"), What.TRADES, START, END, True)
        assert served is not None
        assert served.close.tolist() == bars.close.tolist()
        assert tape.bars(smr, size("1 min"), What.TRADES, START, END, True) is None
        assert tape.bars(smr, size("2 mins"), What.TRADES, START, END, True) is None
        half_hours = tape.bars(smr, size("30 mins"), What.TRADES, START, END, True)
        days = tape.bars(smr, DAY, What.TRADES, START, END, True)
        assert half_hours is not None
        assert days is not None
        # Eight full days of 13 half hours and a half day of 7.
        assert len(half_hours) == 8 * 13 + 7
        written = seeded_bars("SMR", DAY)
        assert days.volume.tolist() == written.volume.tolist()
        assert days.high.tolist() == written.high.tolist()


def test_two_sizes_of_a_symbol_make_one_market(tmp_path: Path) -> None:
    days, minutes = seeded_bars("AAPL", DAY), seeded_bars("AAPL", size("1 min"))
    early = 4  # November has four sessions in the span
    pa.parquet.write_table(table_of(days, "AAPL", dates=True).slice(0, early), tmp_path / "days.parquet")
    late = table_of(minutes, "AAPL").slice(int(np.searchsorted(minutes.start_ns, at(date(2025, 12, 1), "00:00"))))
    pa.parquet.write_table(late, tmp_path / "minutes.parquet")
    tape = open_source(str(tmp_path))
    aapl = named(tape, "AAPL")
    served = tape.bars(aapl, DAY, What.TRADES, START, END, True)
    assert served is not None
    assert served.start_ns.tolist() == days.start_ns.tolist()
    assert served.close.tolist() == days.close.tolist()
    # A limit only the minutes of the last day reach, sought from the first day on.
    price = Decimal(str(days.high.max()))
    row = int(np.argmax(days.high))
    found = tape.next_trade_at_or_beyond(aapl, price, False, START, END)
    assert found is not None
    assert SESSIONS[row].open_ns <= found[0] < SESSIONS[row].close_ns
    for clock_time in ("08:00", "12:00"):
        quote = tape.quote(aapl, at(date(2025, 12, 1), clock_time))
        assert quote is not None
        assert quote.previous_close == Decimal(str(days.close[early - 1]))


def test_the_running_day_of_two_sizes_follows_the_finer_one(tmp_path: Path) -> None:
    pa.parquet.write_table(table_of(seeded_bars("AAPL", DAY), "AAPL", dates=True), tmp_path / "days.parquet")
    pa.parquet.write_table(table_of(seeded_bars("AAPL", size("1 min")), "AAPL"), tmp_path / "minutes.parquet")
    tape = open_source(str(tmp_path))
    now = SESSIONS[4].open_ns + 3600 * 10**9
    bars = tape.bars(named(tape, "AAPL"), DAY, What.TRADES, START, now, True)
    quote = tape.quote(named(tape, "AAPL"), now - 1)
    assert bars is not None
    assert quote is not None
    assert len(bars) == 5
    assert (bars.close[-1], bars.volume[-1]) == (float(quote.last), quote.volume)


def test_prices_off_the_grid_are_served_untouched(tmp_path: Path) -> None:
    table = pa.table(
        {"symbol": ["X", "X"], "date": ["2025-12-01", "2025-12-02"], "open": [7.123456, 7.2], "high": [7.5, 7.6],
         "low": [7.0001, 7.1], "close": [7.25, 7.333333], "volume": [1000, 0]}
    )  # fmt: skip
    pa.parquet.write_table(table, tmp_path / "x.parquet")
    tape = open_source(str(tmp_path))
    bars = tape.bars(tape.contracts()[0], DAY, What.TRADES, START, END, True)
    assert bars is not None
    assert bars.open.tolist() == [7.123456, 7.2]
    assert bars.close.tolist() == [7.25, 7.333333]
    assert tape.open_auction(tape.contracts()[0], at(date(2025, 12, 1), "09:30")) == Decimal("7.12")
    assert tape.open_auction(tape.contracts()[0], at(date(2025, 12, 2), "09:30")) is None


@needs_shared
def test_all_hours_of_a_file_are_kept_apart() -> None:
    tape = open_source(str(market_data("intraday/lean_1m_trades_all_hours.parquet")))
    aapl = named(tape, "AAPL")
    day = date(2014, 6, 5)
    span = (at(day, "00:00"), at(day, "23:59"))
    regular, whole = (tape.bars(aapl, size("1 min"), What.TRADES, *span, use_rth) for use_rth in (True, False))
    assert regular is not None
    assert whole is not None
    assert len(regular) == 390
    # The file's first row of that day is stamped 04:15 in New York, at 644.80.
    assert (whole.start_ns[0], whole.open[0]) == (at(day, "04:15"), 644.8)
    days = [tape.bars(aapl, DAY, What.TRADES, *span, use_rth) for use_rth in (True, False)]
    assert days[0] is not None
    assert days[1] is not None
    assert days[0].volume[0] == regular.volume.sum() < days[1].volume[0] == whole.volume.sum()


@cache
def daily_tape() -> SeriesTape:
    tape = open_source(str(market_data("daily/daily_bars.parquet")))
    assert isinstance(tape, SeriesTape)
    return tape


@needs_shared
def test_the_daily_file_is_served_to_the_last_digit() -> None:
    tape = daily_tape()
    table = pa.parquet.read_table(market_data("daily/daily_bars.parquet"), filters=[("symbol", "==", "NFLX")])
    bars = tape.bars(named(tape, "NFLX"), DAY, What.TRADES, 0, at(date(2018, 12, 31), "16:00"), True)
    assert len(tape.contracts()) == 376
    assert bars is not None
    for column in ("open", "high", "low", "close", "volume"):
        assert getattr(bars, column).tolist() == table[column].to_pylist()


@needs_shared
def test_a_real_day_bar_can_be_traded_within() -> None:
    tape = daily_tape()
    for contract in tape.contracts()[::75]:
        bars = tape.bars(
            contract, DAY, What.TRADES, at(date(2018, 12, 3), "00:00"), at(date(2018, 12, 3), "20:00"), True
        )
        assert bars is not None
        low = Decimal(str(round(float(bars.low[0]), 2)))
        opened, closed = at(date(2018, 12, 3), "09:30"), at(date(2018, 12, 3), "16:00")
        assert tape.next_trade_at_or_beyond(contract, low, True, opened, closed) is not None
        assert tape.next_trade_at_or_beyond(contract, low - Decimal("0.01"), True, opened, closed) is None
