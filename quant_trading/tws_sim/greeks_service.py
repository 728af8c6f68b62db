"""Greeks of option lines, and the two calculations a client can ask for.

Documented: tick 10 to 13 (80 to 83 delayed) for bid, ask, last and model, 53 for what a client had calculated. All
four come from the volatility the market prices the option with, so they differ in price and volatility alone.
"""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal

import numpy as np

from quant_trading.refdata.sessions import exchange_date
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, query_of
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.level1 import Extra, State
from quant_trading.tws_sim.options import greeks, implied_volatility, option_price
from quant_trading.tws_sim.tape import Contract, FloatArray, Tape
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["GreeksService"]

_BID, _ASK, _LAST = 0, 1, 2
_TICKS = ((10, _BID), (11, _ASK), (12, _LAST))
_MODEL, _CALCULATED = 13, 53
_PRICE_BASED = 1
_NOT_COMPUTED = {"impliedVol": -1, "delta": -2, "optPrice": -1, "pvDividend": -1, "gamma": -2, "vega": -2, "theta": -2}


class GreeksService:
    """Computes what options say beside their prices."""

    def __init__(self, tape: Tape, book: ContractBook, timeline: Timeline) -> None:
        self._tape = tape
        self._book = book
        self._timeline = timeline

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "calculateImpliedVolatility": self._calculate_volatility,
            "calculateOptionPrice": self._calculate_price,
            "cancelCalculateImpliedVolatility": self._accept,
            "cancelCalculateOptionPrice": self._accept,
        }

    def _accept(self, session: Session, request: Message) -> None:
        """Take note: the answer was given at once."""

    def extras(
        self, session: Session, contract: Contract, ids: frozenset[int], providers: frozenset[str]
    ) -> tuple[Extra, ...]:
        """Return the greeks of a line on an option, nothing for others."""
        under = self._book.underlying(contract) if contract.sec_type == "OPT" else None
        if under is None:
            return ()
        said: dict[int, tuple[int, Decimal]] = {}

        def extra(state: State) -> Iterator[tuple[str, dict[str, object]]]:
            quote = self._tape.quote(under, state.at_ns)
            if quote is None:
                return
            spot, years = float(quote.last), _years(contract, exchange_date(state.at_ns))
            marks = [(tick, state.row[column]) for tick, column in _TICKS]
            middle = (state.row[_BID] + state.row[_ASK]) // 2
            for tick, price in (*marks, (_MODEL, middle)):
                if said.get(tick) != (price, quote.last):
                    said[tick] = (price, quote.last)
                    values = _greeks_of(price / state.scale, spot, contract, years)
                    yield "tickOptionComputation", {"tickType": tick, "tickAttrib": _PRICE_BASED, **values}

        return (extra,)

    def _option_of(self, request: Message) -> Contract:
        contract = self._book.find_one(query_of(request))
        if contract.sec_type != "OPT":
            raise RequestRefused(321, tag=request.name, cause="Invalid option contract")
        return contract

    def _calculate_volatility(self, session: Session, request: Message) -> None:
        contract = self._option_of(request)
        price, spot = request.number("optionPrice"), request.number("underPrice")
        if not price or not spot or price < 0 or spot < 0:
            raise RequestRefused(321, tag=request.name, cause="Option price and underlying price must be positive")
        years = _years(contract, exchange_date(self._timeline.now_ns))
        self._send(session, request, _greeks_of(float(price), float(spot), contract, years))

    def _calculate_price(self, session: Session, request: Message) -> None:
        contract = self._option_of(request)
        volatility, spot = request.number("volatility"), request.number("underPrice")
        if not volatility or not spot or not 0 < volatility < 10 or spot < 0:
            raise RequestRefused(321, tag=request.name, cause="Volatility and underlying price must be positive")
        years = _years(contract, exchange_date(self._timeline.now_ns))
        at, left = _one(float(spot)), _one(years)
        is_call = contract.right == "C"
        price = float(option_price(at, contract.strike, left, float(volatility), is_call=is_call)[0])
        self._send(session, request, _greeks_of(price, float(spot), contract, years))

    def _send(self, session: Session, request: Message, values: dict[str, object]) -> None:
        shown = {"tickType": _CALCULATED, "tickAttrib": _PRICE_BASED, **values}
        session.send("tickOptionComputation", reqId=request.integer("reqId"), **shown)


def _one(value: float) -> FloatArray:
    return np.array([value])


def _years(contract: Contract, day: date) -> float:
    text = contract.last_trade_date
    expiry = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    return max(0.0, ((expiry - day).days + 0.25) / 365.0)


def _greeks_of(price: float, spot: float, contract: Contract, years: float) -> dict[str, object]:
    """Return the values of one computation; what has no volatility has no greeks."""
    is_call = contract.right == "C"
    volatility = implied_volatility(price, spot, contract.strike, years, is_call=is_call)
    if volatility is None:
        return {**_NOT_COMPUTED, "optPrice": price, "undPrice": spot}
    found = greeks(spot, contract.strike, years, volatility, is_call=is_call)
    return {
        "impliedVol": round(volatility, 6), "delta": round(found.delta, 6), "optPrice": round(price, 4),
        "pvDividend": 0, "gamma": round(found.gamma, 8), "vega": round(found.vega, 6),
        "theta": round(found.theta, 6), "undPrice": spot,
    }  # fmt: skip
