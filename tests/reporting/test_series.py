"""The arithmetic of the charts, by hand."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quant_trading.reporting.model import SessionCurve
from quant_trading.reporting.series import (
    distribution,
    drawdown_curve,
    kept_points,
    monthly_returns,
    rolling_sharpe,
    session_returns,
    sums_by_period,
    worst_drawdowns,
)  # fmt: skip


def curve(*equity: float, first: str = "2024-01-02") -> SessionCurve:
    """Return one session a day from `first` on, after the capital."""
    return SessionCurve(np.datetime64(first) + np.arange(len(equity) - 1), np.array(equity))


def test_returns_end_with_the_money() -> None:
    assert session_returns(curve(100.0, 110.0, 99.0, 0.0, 5.0)).tolist() == pytest.approx([0.1, -0.1, -1.0, 0.0])


def test_drawdown_starts_from_the_capital() -> None:
    assert drawdown_curve(np.array([90.0, 120.0, 60.0]), 100.0).tolist() == pytest.approx([-0.1, 0.0, -0.5])


def test_the_deepest_drawdowns() -> None:
    # High 120 on the 3rd, down to 90 on the 5th (-25 %), back at 120 on the 7th; then 130 -> 117 (-10 %).
    falls = worst_drawdowns(curve(100.0, 110.0, 120.0, 100.0, 90.0, 118.0, 120.0, 130.0, 117.0, 125.0))
    assert [(str(f.start), str(f.bottom), None if f.end is None else str(f.end), f.sessions) for f in falls] == [
        ("2024-01-03", "2024-01-05", "2024-01-07", 4),
        ("2024-01-08", "2024-01-09", None, 2),
    ]
    assert [f.depth for f in falls] == pytest.approx([-0.25, -0.1])


def test_a_fall_from_the_first_session_on() -> None:
    (fall,) = worst_drawdowns(curve(100.0, 90.0, 80.0))
    assert (str(fall.start), str(fall.bottom), fall.end, fall.sessions) == ("2024-01-02", "2024-01-03", None, 2)


def test_months_compound_and_leave_out_what_was_not_traded() -> None:
    # 31 January: +10 %; 1 and 2 February: -10 %, +20 % = +8 %; the year 1.1 x 1.08 - 1 = +18.8 %.
    months = monthly_returns(curve(100.0, 110.0, 99.0, 118.8, first="2023-01-31"))
    assert months.years == (2023,)
    assert months.values[0, :2].tolist() == pytest.approx([0.1, 0.08])
    assert np.isnan(months.values[0, 2:]).all()
    assert months.totals.tolist() == pytest.approx([0.188])


@given(arrays(np.float64, st.integers(1, 900), elements=st.floats(-0.2, 0.2)))
def test_years_compound_to_the_whole(gains: np.ndarray) -> None:
    equity = np.concatenate(([1.0], np.cumprod(1.0 + gains)))
    months = monthly_returns(SessionCurve(np.datetime64("2021-06-15") + np.arange(len(gains)), equity))
    assert np.prod(1.0 + months.totals) == pytest.approx(equity[-1], rel=1e-9)
    per_year = np.nanprod(1.0 + months.values, axis=1)
    assert per_year.tolist() == pytest.approx((1.0 + months.totals).tolist(), rel=1e-9)


def test_rolling_sharpe_is_that_of_each_window() -> None:
    gains = np.random.default_rng(3).normal(0.001, 0.01, 90)
    rolling = rolling_sharpe(gains, 63)
    assert np.isnan(rolling[:62]).all()
    for end in (63, 64, 90):
        window = gains[end - 63 : end].tolist()
        by_hand = statistics.mean(window) / statistics.stdev(window) * 252**0.5
        assert rolling[end - 1] == pytest.approx(by_hand, rel=1e-10)


def test_rolling_sharpe_of_what_does_not_move_is_not_known() -> None:
    assert np.isnan(rolling_sharpe(np.full(70, 0.001), 63)).all()
    assert np.isnan(rolling_sharpe(np.zeros(10), 63)).all()


def test_distribution_counts_every_return_once() -> None:
    gains = np.concatenate((np.linspace(-0.02, 0.02, 400), [-0.5, 0.4]))
    found = distribution(gains)
    assert found is not None
    assert (int(found.counts.sum()), found.outside) == (402, 2)
    assert found.mean == pytest.approx(float(np.mean(gains)))
    assert found.deviation == pytest.approx(statistics.stdev(gains.tolist()))
    assert (np.diff(found.edges) > 0.0).all()


def test_value_at_risk_by_hand() -> None:
    # 101 returns 0, -1 %, ..., -100 %: the 5 % quantile is the sixth worst, -95 %, the 1 % quantile -99 %;
    # the mean of -100 % .. -95 % is -97.5 %.
    found = distribution(-np.arange(101) / 100.0)
    assert found is not None
    assert (found.var_95, found.var_99, found.shortfall_95) == pytest.approx((-0.95, -0.99, -0.975))


@pytest.mark.parametrize("gains", [[], [0.1], [0.1, 0.1], [float("nan")] * 3])
def test_no_distribution_without_movement(gains: list[float]) -> None:
    assert distribution(np.array(gains)) is None


@given(
    arrays(np.float64, st.integers(0, 4_000), elements=st.floats(-1e6, 1e6) | st.just(float("nan"))),
    st.integers(10, 500),
)
def test_fewer_points_keep_every_extreme(values: np.ndarray, most: int) -> None:
    rows = kept_points((values,), most)
    assert len(rows) <= max(most, 0) + 2
    assert (np.diff(rows) > 0).all()
    known = values[~np.isnan(values)]
    if len(known):
        kept = values[rows]
        assert np.nanmin(kept) == known.min()
        assert np.nanmax(kept) == known.max()
    if len(values):
        assert (rows[0], rows[-1]) == (0, len(values) - 1)


def test_a_short_curve_is_drawn_whole() -> None:
    assert kept_points((np.arange(50.0), np.arange(50.0)), 50).tolist() == list(range(50))


@pytest.mark.parametrize(("days", "unit"), [(60, "day"), (300, "week"), (3_000, "month"), (9_000, "year")])
def test_sums_by_period_add_up(days: int, unit: str) -> None:
    times = (np.datetime64("2000-01-03") + np.arange(days)).astype("datetime64[s]")
    periods, sums, name = sums_by_period(times, np.ones(days))
    assert name == unit
    assert sums.sum() == days
    assert len(periods) == len(sums)


def test_sums_by_day_of_intraday_bars() -> None:
    times = np.array(["2024-01-02T09:30", "2024-01-02T15:55", "2024-01-03T09:30"], dtype="datetime64[s]")
    periods, sums, name = sums_by_period(times, np.array([1.0, 2.0, float("nan")]))
    assert ([str(p)[:10] for p in periods], sums.tolist(), name) == (["2024-01-02", "2024-01-03"], [3.0, 0.0], "day")
