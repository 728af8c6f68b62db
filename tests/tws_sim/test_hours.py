"""Trading hours of contract details."""

from datetime import date

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.hours import liquid_hours, trading_hours

THANKSGIVING_EVE = at(date(2026, 11, 25), "12:00")


def test_liquid_hours_around_thanksgiving() -> None:
    assert liquid_hours(THANKSGIVING_EVE) == (
        "20261125:0930-20261125:1600;20261126:CLOSED;20261127:0930-20261127:1300;"
        "20261128:CLOSED;20261129:CLOSED;20261130:0930-20261130:1600"
    )


def test_trading_hours_around_thanksgiving() -> None:
    assert trading_hours(THANKSGIVING_EVE) == (
        "20261125:0400-20261125:2000;20261126:CLOSED;20261127:0400-20261127:1700;"
        "20261128:CLOSED;20261129:CLOSED;20261130:0400-20261130:2000"
    )


def test_the_day_is_the_exchange_s() -> None:
    # 23:30 in New York is the next day in UTC.
    assert liquid_hours(at(date(2026, 1, 5), "23:30")).startswith("20260105:0930")


def test_the_last_days_of_the_table() -> None:
    assert liquid_hours(at(date(2030, 12, 31), "12:00")) == "20301231:0930-20301231:1600"
