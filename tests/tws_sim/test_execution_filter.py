"""The filter of reqExecutions: days and dates, which clients may name from server version 200 on."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.execution_filter import filter_executions
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.orders import Execution
from tests.tws_sim.step_tape import ACME

DAYS = (date(2026, 11, 17), date(2026, 11, 18), date(2026, 11, 19))
NOW = at(date(2026, 11, 19), "15:00")
D = Decimal
EXECUTIONS = [
    Execution(f"{number}.01", at(day, "10:00"), number, 1, 9, "DU1", ACME, True, D(1), D(1), D(1), D(1), "", D(0))
    for number, day in enumerate(DAYS)
]


def found(**values: Any) -> list[int]:
    return [e.order_id for e in filter_executions(EXECUTIONS, Message("reqExecutions", values), NOW)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [2]),
        ({"lastNDays": 0}, [2]),
        ({"lastNDays": 2}, [1, 2]),
        ({"lastNDays": 7}, [0, 1, 2]),
        ({"specificDates": [{"date": "20261117"}]}, [0]),
        ({"specificDates": [{"date": "20261117"}, {"date": "20261119"}]}, [0, 2]),
        ({"lastNDays": 3, "time": "20261118 12:00:00 US/Eastern"}, [2]),
        ({"exchange": "NYSE"}, []),
        ({"exchange": "SMART", "secType": "stk", "symbol": "acme", "side": "bot"}, [2]),
    ],
)
def test_days_and_dates(values: dict[str, Any], expected: list[int]) -> None:
    assert found(**values) == expected


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(RequestRefused, match="yesterday is no date; write 20261119"):
        found(specificDates=[{"date": "yesterday"}])
