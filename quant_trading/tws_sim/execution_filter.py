"""Which executions a `reqExecutions` asks for."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.orders import Execution
from quant_trading.tws_sim.times import exchange_day, parse_time

__all__ = ["filter_executions"]

_SIDES = {"BUY": True, "BOT": True, "SELL": False, "SLD": False}


def filter_executions(executions: Sequence[Execution], request: Message, now_ns: int) -> list[Execution]:
    """Return the executions of the day that pass the request's filter, oldest first.

    Empty fields and client id 0 pass all. From version 200 on a client may ask for more days than the running
    one: so many, or some by name.

    Raises:
        RequestRefused: 321 when a time or date cannot be read.
    """
    wanted, first_day = _test_of(request), _first_day(request, now_ns)
    found = []
    for execution in reversed(executions):
        if exchange_day(execution.at_ns) < first_day:
            break
        if wanted(execution):
            found.append(execution)
    return found[::-1]


def _first_day(request: Message, now_ns: int) -> date:
    today = exchange_day(now_ns)
    days = request.values.get("lastNDays") or 0
    first = today - timedelta(days=min(max(int(days) - 1, 0), 6))
    return min([first, *_dates(request)])


def _dates(request: Message) -> list[date]:
    dates = []
    for row in request.values.get("specificDates") or []:
        text = str(row.get("date", row) if isinstance(row, dict) else row)
        try:
            dates.append(date(int(text[:4]), int(text[4:6]), int(text[6:8])))
        except ValueError:
            raise RequestRefused(321, tag="reqExecutions", cause=f"{text} is no date; write 20261119") from None
    return dates


def _test_of(request: Message) -> Callable[[Execution], bool]:
    client_id = request.integer("clientId")
    account, symbol = request.text("account"), request.text("symbol").upper()
    sec_type, exchange = request.text("secType").upper(), request.text("exchange").upper()
    side = _SIDES.get(request.text("side").upper())
    dates, from_ns = _dates(request), 0
    if request.text("time"):
        try:
            from_ns = parse_time(request.text("time"))
        except ValueError as error:
            raise RequestRefused(321, tag="reqExecutions", cause=str(error)) from None

    def passes(execution: Execution) -> bool:
        contract = execution.contract
        return (
            client_id in (0, execution.client_id)
            and account in ("", execution.account)
            and symbol in ("", contract.symbol)
            and sec_type in ("", contract.sec_type)
            and exchange in ("", "SMART", contract.venue)
            and side in (None, execution.is_buy)
            and execution.at_ns >= from_ns
            and (not dates or exchange_day(execution.at_ns) in dates)
        )

    return passes
