"""The three CSV files: exact columns, whole lines only, nothing lost, nothing a spreadsheet would run."""

import csv
import io
import os
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.desk.projections import (
    PortfolioRow,
    TradeRow,
    append_portfolio,
    append_snapshot,
    append_trades,
    check_log_files,
)
from quant_trading.domain.errors import JournalError

NOON = datetime(2026, 11, 20, 21, 0, 5, 999_000, tzinfo=UTC)


def trade(symbol: str = "AAPL", **changes: object) -> TradeRow:
    values: dict[str, object] = {
        "timestamp": NOON, "symbol": symbol, "side": "BUY", "quantity": Decimal("40"), "fill_price": Decimal("199.50"),
        "reference_price": Decimal("200"), "signal_value": 1.0,
    }  # fmt: skip
    return TradeRow(**{**values, **changes})  # type: ignore[arg-type]


def test_trades_have_the_specified_columns_and_empty_cells_for_the_unknown(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "live_trades.csv"
    append_trades(path, [trade(), trade("TLT", side="SELL", fill_price=None, signal_value=float("nan"))])
    append_trades(path, [trade("BRK.B", signal_value=-0.025)])
    assert path.read_text() == (
        "timestamp,symbol,side,quantity,fill_price,reference_price,signal_value\n"
        "2026-11-20T21:00:05Z,AAPL,BUY,40,199.50,200,1.0\n"
        "2026-11-20T21:00:05Z,TLT,SELL,40,,200,\n"
        "2026-11-20T21:00:05Z,BRK.B,BUY,40,199.50,200,-0.025\n"
    )
    assert [p.name for p in path.parent.iterdir()] == ["live_trades.csv"]


def test_portfolio_has_the_specified_columns_and_times_in_utc(tmp_path: Path) -> None:
    path = tmp_path / "live_portfolio.csv"
    new_york = NOON.astimezone(timezone(timedelta(hours=-5)))
    append_portfolio(path, [PortfolioRow(new_york, "SPY", Decimal("-12"), Decimal("1E+2"), None)])
    assert path.read_text() == (
        "timestamp,symbol,position,avg_cost,unrealized_pnl\n2026-11-20T21:00:05Z,SPY,-12,100,\n"
    )


def test_a_run_without_rows_leaves_the_header(tmp_path: Path) -> None:
    append_trades(tmp_path / "t.csv", [])
    append_portfolio(tmp_path / "p.csv", [])
    assert (tmp_path / "t.csv").read_text().count("\n") == 1
    assert (tmp_path / "p.csv").read_text().startswith("timestamp,symbol,position")


def test_snapshot_lines_have_empty_cells_where_there_is_no_profit_yet(tmp_path: Path) -> None:
    path = tmp_path / "live_snapshot.csv"
    append_snapshot(path, NOON, Decimal("1000.00"), None, None)
    append_snapshot(path, NOON, Decimal("990.00"), Decimal("-20.00"), Decimal("-10.00"))
    assert path.read_text() == (
        "timestamp,portfolio_value,daily_pnl,running_pnl\n"
        "2026-11-20T21:00:05Z,1000.00,,\n"
        "2026-11-20T21:00:05Z,990.00,-20.00,-10.00\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"time,value\n", "line 1: it has 2 cells, 4 are expected"),
        (b"a,b,c,d\n", "line 1: the header is not timestamp,portfolio_value,daily_pnl,running_pnl"),
        (b"", "line 1: the header is not"),
        (b"timestamp,portfolio_value,daily_pnl,running_pnl\nx,1,,\nx,2", "line 3: it has 2 cells, 4 are expected"),
        (b"timestamp,portfolio_value,daily_pnl,running_pnl\nx,1,,\nx,2,,", "line 3: it has no line break at its end"),
        (b"timestamp,portfolio_value,daily_pnl,running_pnl\nx,1,,\n\xff,2,,\n", "line 3: it is not UTF-8"),
        (b'timestamp,portfolio_value,daily_pnl,running_pnl\n"x,1,,\n', "line 2: unexpected end of data"),
    ],
)
def test_a_damaged_file_is_named_with_its_line_and_left_as_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "live_snapshot.csv"
    path.write_bytes(content)
    with pytest.raises(JournalError) as caught:
        append_snapshot(path, NOON, Decimal(1), None, None)
    with pytest.raises(JournalError, match="live_snapshot"):
        check_log_files(tmp_path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_file_saved_by_a_spreadsheet_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "live_snapshot.csv"
    saved = b"\xef\xbb\xbftimestamp,portfolio_value,daily_pnl,running_pnl\r\nx,100,,\r\n"
    path.write_bytes(saved)
    check_log_files(tmp_path)
    append_snapshot(path, NOON, Decimal(103), Decimal(3), Decimal(3))
    assert path.read_bytes() == saved + b"2026-11-20T21:00:05Z,103,3,3\n"


def test_a_failed_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "live_trades.csv"
    append_trades(path, [trade()])
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalError, match="cannot be written: No space left on device"):
        append_trades(path, [trade("MSFT")])
    assert path.read_bytes() == before


@given(st.text(max_size=20))
def test_no_text_becomes_a_formula_or_a_second_line(tmp_path_factory: pytest.TempPathFactory, symbol: str) -> None:
    path = tmp_path_factory.mktemp("cells") / "live_trades.csv"
    append_trades(path, [trade(symbol, quantity=Decimal("-5"), signal_value=-0.5)])
    append_trades(path, [trade()])
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") == 3
    cells = list(csv.reader(io.StringIO(text)))[1]
    assert not cells[1].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert (cells[3], cells[6]) == ("-5", "-0.5"), "numbers are left alone"
    if symbol and symbol.isprintable():
        assert cells[1] in (symbol, f"'{symbol}")


def test_values_that_are_no_facts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="portfolio value NaN is not a number"):
        append_snapshot(tmp_path / "s.csv", NOON, Decimal("NaN"), None, None)
    with pytest.raises(ValueError, match="no time zone"):
        append_snapshot(tmp_path / "s.csv", NOON.replace(tzinfo=None), Decimal(1), None, None)
    assert not (tmp_path / "s.csv").exists()
