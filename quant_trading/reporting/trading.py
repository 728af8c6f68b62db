"""The sections on what was traded: per symbol, on the price, and trade by trade."""

from collections.abc import Sequence

import numpy as np

from quant_trading.reporting.formats import time_text
from quant_trading.reporting.markup import element
from quant_trading.reporting.model import Column, ReportData, Table, TradeColumns
from quant_trading.reporting.price_chart import price_charts
from quant_trading.reporting.tables import html_table

__all__ = ["LISTED", "symbols", "trades"]

LISTED = 12  # trades in each of the four lists

COLUMNS = (
    Column("Symbol", "text"), Column("Side", "text"), Column("Quantity", "quantity"), Column("Entry", "text"),
    Column("Entry price", "price"), Column("Exit", "text"), Column("Exit price", "price"),
    Column("Bars", "count", "bars held"), Column("P&L", "pnl", "after costs"),
    Column("Return", "return", "P&L over the value at the entry"), Column("Costs", "money"), Column("Exit by", "text"),
)  # fmt: skip


def symbols(data: ReportData) -> str:
    """Return the table per symbol, sortable."""
    if data.symbol_table is None or not data.symbol_table.rows:
        return ""
    said = element("p", "A click on a heading sorts.", class_="said screen")
    return said + html_table(data.symbol_table, "By symbol", sortable=True)


def trades(data: ReportData) -> str:
    """Return the fills on the price and the first, last, best and worst trades."""
    out = price_charts(data.prices) if data.prices else ""
    if data.trades is None:
        return out
    if not len(data.trades):
        return out + element("p", "No trade was closed.", class_="said")
    return out + _lists(data.trades)


def _lists(book: TradeColumns) -> str:
    """Return four lists behind four buttons; without scripts and on paper all four are seen."""
    total = len(book)
    order = np.argsort(np.where(np.isnan(book.pnl), 0.0, book.pnl), kind="stable")
    picks: list[tuple[str, Sequence[int]]] = [("All", range(total))] if total <= LISTED else [
        ("First", range(LISTED)),
        ("Last", range(total - 1, total - 1 - LISTED, -1)),
        ("Best", order[::-1][:LISTED].tolist()),
        ("Worst", order[:LISTED].tolist()),
    ]  # fmt: skip
    buttons, panels = [], []
    for place, (name, rows) in enumerate(picks):
        table = Table(COLUMNS, tuple(_row(book, row) for row in rows))
        label = f"{name} {len(rows)} of {total:,} trades" if total > LISTED else f"All {total:,} trades"
        panels.append(
            element(
                "div", element("h3", label) + html_table(table, label), id=f"trades-{name.lower()}", data_panel=True
            )
        )
        buttons.append(
            element("button", name, type="button", data_show=f"trades-{name.lower()}",
                    aria_pressed="true" if place == 0 else "false")
        )  # fmt: skip
    bar = element("div", "".join(buttons), class_="tabs", role="group", aria_label="Trades") if len(picks) > 1 else ""
    return element("div", bar + "".join(panels), class_="block tabbed")


def _row(book: TradeColumns, i: int) -> tuple[str | float | int, ...]:
    """Return trade `i` in the order of the columns."""
    return (
        book.symbols[int(book.symbol[i])], "long" if book.quantity[i] > 0 else "short", abs(float(book.quantity[i])),
        time_text(book.entry_time[i]), float(book.entry_price[i]), time_text(book.exit_time[i]),
        float(book.exit_price[i]), int(book.bars[i]), float(book.pnl[i]), float(book.returns[i]), float(book.cost[i]),
        book.reason[i].replace("_", " "),
    )  # fmt: skip
