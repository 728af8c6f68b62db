"""Tables show every figure, in the form its kind asks for, and the page explains it."""

from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np

from quant_trading.backtesting.metric_table import COST_LINES, METRIC_TABLE
from quant_trading.backtesting.metrics import Metrics, measure

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
# How the figures were made, not figures: shown with the conventions.
SETTINGS = {"risk_free", "periods_per_year", "sharpe_basis"}


def test_the_table_shows_every_figure_once():
    shown = [field for _, lines in METRIC_TABLE for _, field, _ in lines]
    assert sorted(shown) == sorted({field.name for field in fields(Metrics)} - SETTINGS)
    names = [name for _, lines in METRIC_TABLE for name, _, _ in lines]
    assert len(set(names)) == len(names)


def test_names_leave_room_for_the_value_in_half_a_screen():
    assert max(len(name) for _, lines in METRIC_TABLE for name, _, _ in lines) <= 22


def test_the_page_explains_every_figure():
    page = PAGE.read_text(encoding="utf-8")
    assert [field.name for field in fields(Metrics) if f"| `{field.name}` |" not in page] == []


def test_rows_are_the_sections_in_order():
    figures = measure(np.array([100.0, 90.0, 110.0]))
    sections = list(figures.sections())
    assert [title for title, _ in sections] == [
        "Return",
        "Risk",
        "Drawdown",
        "Trades",
        "Exposure",
        "Costs",
        "Benchmark",
    ]
    assert figures.rows() == [row for _, rows in sections for row in rows]
    assert figures.rows()[1] == ("Total return", figures.total_return, "percent")


def test_drawdowns_have_dates_when_the_days_are_known():
    figures = measure(np.array([100.0, 90.0, 110.0]))
    plain = {name: (value, kind) for name, value, kind in figures.rows()}
    assert plain["Drawdown start"] == (0, "sessions")
    days = np.array([0, 1, 4])  # Thursday 1970-01-01, Friday, Monday
    dated = {name: (value, kind) for name, value, kind in figures.rows(days)}
    assert dated["Drawdown trough"] == (date(1970, 1, 2), "date")
    assert dated["Drawdown recovery"] == (date(1970, 1, 5), "date")
    lasting = {name: value for name, value, _ in measure(np.array([100.0, 90.0])).rows(days[:2])}
    assert lasting["Drawdown recovery"] is None


def test_the_parts_of_the_total_cost_stand_between_it_and_the_dividends():
    named = [field for _, field, _ in COST_LINES]
    assert named[:3] == ["net_pnl", "gross_pnl", "total_cost"]
    assert named[-2:] == ["dividends", "cost_share"]
