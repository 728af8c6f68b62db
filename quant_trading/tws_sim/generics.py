"""Generic ticks: what a level-1 line may ask for beside prices and sizes.

Documented: ids and tick types, the form of RTVolume and of dividends, that an illegal id is refused with the list of
legal ones. Assumed: the figures behind them (a volatility from a year of closes, 100,000 shares to borrow), made from
the same tape.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal

import numpy as np

from quant_trading.refdata.sessions import exchange_date
from quant_trading.tws_sim.barsize import DAY
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import format_number
from quant_trading.tws_sim.level1 import Extra, State
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.noise import mix
from quant_trading.tws_sim.tape import Tape, TapeBars, What

__all__ = ["GenericTicks", "parse_generics"]

_SECOND_NS = 1_000_000_000
_YEAR_NS = 365 * 86_400 * _SECOND_NS
_LAST, _LAST_SIZE, _OPEN, _HIGH, _LOW, _VOLUME = 2, 5, 6, 7, 8, 9
_SHORTABLE, _TO_BORROW = 3, 100_000

Messages = Iterator[tuple[str, dict[str, object]]]

_NAMES = {
    100: "Option Volume", 101: "Option Open Interest", 104: "Historical Volatility", 105: "Average Opt Volume",
    106: "Implied Volatility", 162: "Index Future Premium", 165: "Misc. Stats", 221: "Mark Price",
    225: "Auction Values", 232: "Mark Price", 233: "RTVolume", 236: "Shortable", 256: "Inventory",
    258: "Fundamental Ratios", 292: "News", 293: "Trade Count", 294: "Trade Rate", 295: "Volume Rate",
    318: "Last RTH Trade", 370: "Participation Monitor", 375: "RT Trade Volume", 411: "RT Historical Volatility",
    456: "IB Dividends", 460: "Bond Factor Multiplier", 576: "ETF Nav Bid Ask", 577: "ETF Nav Last",
    578: "ETF Nav Close", 586: "IPO Prices", 587: "Delayed Mark", 588: "Futures Open Interest",
    595: "Short-Term Volume", 614: "ETF Nav High Low", 619: "Slow Mark Price", 623: "ETF Nav Frozen Last",
}  # fmt: skip


def parse_generics(text: str, sec_type: str) -> tuple[frozenset[int], frozenset[str]]:
    """Return the ids asked for and the news providers named in "292:DJNL+BRFG"; "mdoff" asks for no prices.

    Raises:
        RequestRefused: 321 for an id TWS does not know.
    """
    ids: set[int] = set()
    providers: set[str] = set()
    for word in text.split(","):
        word = word.strip()
        if not word or word.lower() == "mdoff":
            continue
        number, _, names = word.partition(":")
        if not (number.isascii() and number.isdigit() and len(number) < 5 and int(number) in _NAMES):
            legal = ",".join(f"{known}({name})" for known, name in _NAMES.items())
            cause = f"Incorrect generic tick list of {text}.  Legal ones for ({sec_type}) are: {legal}"
            raise RequestRefused(321, tag="reqMktData", cause=cause)
        ids.add(int(number))
        providers.update(name for name in names.replace("+", " ").split() if name)
    return frozenset(ids), frozenset(providers)


class GenericTicks:
    """Makes the extras of lines."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def extras(self, ids: frozenset[int]) -> tuple[Extra, ...]:
        """Return what a line with these generic ticks is sent beside its prices, in rising order of the ids."""
        makers: dict[int, Callable[[], Extra]] = {
            104: lambda: self._once(self._volatility(23)),
            106: lambda: self._once(self._volatility(24)),
            165: lambda: self._once(self._misc_stats),
            221: lambda: _when_changed(_mark(37)),
            225: lambda: self._once(_auction),
            232: lambda: _when_changed(_mark(37)),
            233: lambda: _trade_volume(48),
            236: lambda: self._once(_shortable),
            293: lambda: _when_changed(self._trade_count),
            294: lambda: _when_changed(self._rate(55)),
            295: lambda: _when_changed(self._rate(56)),
            318: lambda: _when_changed(_last_regular),
            375: lambda: _trade_volume(77),
            411: lambda: self._once(self._volatility(58)),
            456: lambda: self._once(self._dividends),
            588: lambda: self._once(_open_interest),
            619: lambda: _when_changed(_mark(79)),
        }
        asked = ids - {221} if 232 in ids else ids
        return tuple(makers[one]() for one in sorted(asked) if one in makers)

    def _once(self, messages: Callable[[State], Messages]) -> Extra:
        """Return an extra that speaks once a day: its figures come from days that are over."""
        said: list[date] = []

        def extra(state: State) -> Messages:
            day = exchange_date(state.at_ns)
            if said != [day]:
                said[:] = [day]
                yield from messages(state)

        return extra

    def _days(self, state: State, days: int) -> TapeBars | None:
        start = state.at_ns - days * 86_400 * _SECOND_NS
        found = self._tape.bars(state.contract, DAY, What.TRADES, start, state.at_ns, True)
        return found if found is not None and len(found) > 1 else None

    def _volatility(self, tick_type: int) -> Callable[[State], Messages]:
        def messages(state: State) -> Messages:
            days = self._days(state, 365)
            if days is not None:
                # A year of sessions; implied is historical here.
                value = float(np.log(days.close[1:] / days.close[:-1]).std()) * 252**0.5
                yield "tickGeneric", {"tickType": tick_type, "value": round(value, 6)}

        return messages

    def _misc_stats(self, state: State) -> Messages:
        for weeks, low, high in ((13, 15, 16), (26, 17, 18), (52, 19, 20)):
            days = self._days(state, weeks * 7)
            if days is not None:
                yield "tickPrice", {"tickType": low, "price": float(days.low.min()), "size": 0, "attribs": 0}
                yield "tickPrice", {"tickType": high, "price": float(days.high.max()), "size": 0, "attribs": 0}
        days = self._days(state, 91)
        if days is not None:
            yield "tickSize", {"tickType": 21, "size": round(float(days.volume.mean()))}

    def _dividends(self, state: State) -> Messages:
        """Say the dividends of the past and the next 12 months, the next date and amount (documented)."""
        if not isinstance(self._tape, SeriesTape):
            return
        today = exchange_date(state.at_ns)
        paid = [event for event in self._tape.actions(state.contract).events if event.kind == "dividend"]
        past = sum(event.value for event in paid if today - timedelta(days=365) < event.day <= today)
        coming = [event for event in paid if today < event.day <= today + timedelta(days=365)]
        if paid:
            following = f"{coming[0].day:%Y%m%d},{coming[0].value:g}" if coming else ","
            total = sum(event.value for event in coming)
            yield "tickString", {"tickType": 59, "value": f"{past:.6g},{total:.6g},{following}"}

    def _trade_count(self, state: State) -> Messages:
        days = self._tape.bars(state.contract, DAY, What.TRADES, state.at_ns - 86_400 * _SECOND_NS, state.at_ns, True)
        if days is not None and len(days):
            yield "tickGeneric", {"tickType": 54, "value": int(days.count[-1])}

    def _rate(self, tick_type: int) -> Callable[[State], Messages]:
        def messages(state: State) -> Messages:
            trades = self._tape.ticks(state.contract, state.at_ns - 60 * _SECOND_NS, state.at_ns)
            value = len(trades) if tick_type == 55 else int(trades.size.sum())
            yield "tickGeneric", {"tickType": tick_type, "value": value}

        return messages


def _when_changed(messages: Callable[[State], Messages]) -> Extra:
    """Return an extra that is asked again whenever there was a trade, and says only what is new."""
    seen: list[object] = []
    said: dict[object, object] = {}

    def extra(state: State) -> Messages:
        mark: list[object] = [state.row[_LAST], state.row[_VOLUME]]
        if seen == mark:
            return
        seen[:] = mark
        for name, values in messages(state):
            if said.get(values["tickType"]) != values:
                said[values["tickType"]] = values
                yield name, values

    return extra


def _trade_volume(tick_type: int) -> Extra:
    """Return "price;size;milliseconds;volume of the day;VWAP;single market maker" for each change of the last trade."""
    seen: list[int] = []
    traded: list[float] = []

    def extra(state: State) -> Messages:
        row = state.row
        volume = row[_VOLUME]
        if not volume or seen == [volume]:
            return
        # What was traded before the line began is taken at the middle of its range (assumed).
        if not seen or volume < seen[0]:
            traded[:] = [(row[_OPEN] + row[_HIGH] + row[_LOW] + row[_LAST]) / 4 * volume]
        else:
            traded[0] += row[_LAST] * (volume - seen[0])
        seen[:] = [volume]
        price = format_number(Decimal(row[_LAST]) / state.scale)
        wap = traded[0] / volume / state.scale
        value = f"{price};{row[_LAST_SIZE]};{state.at_ns // 1_000_000};{volume};{wap:.8f};false"
        yield "tickString", {"tickType": tick_type, "value": value}

    return extra


def _mark(tick_type: int) -> Callable[[State], Messages]:
    def messages(state: State) -> Messages:
        price = Decimal(state.row[_LAST]) / state.scale
        yield "tickPrice", {"tickType": tick_type, "price": price, "size": 0, "attribs": 0}

    return messages


def _last_regular(state: State) -> Messages:
    price = Decimal(state.row[_LAST]) / state.scale
    yield "tickPrice", {"tickType": 57, "price": price, "size": 0, "attribs": 0}


def _shortable(state: State) -> Messages:
    """Say that there is enough to borrow: above 2.5 means 1000 shares at least (documented)."""
    yield "tickGeneric", {"tickType": 46, "value": _SHORTABLE}
    shares = _TO_BORROW * (1 + mix(state.contract.con_id, state.at_ns // (86_400 * _SECOND_NS)) % 50)
    yield "tickSize", {"tickType": 89, "size": shares}


def _auction(state: State) -> Messages:
    """Say that no auction is going on."""
    yield "tickSize", {"tickType": 34, "size": 0}
    yield "tickSize", {"tickType": 36, "size": 0}


def _open_interest(state: State) -> Messages:
    if state.contract.sec_type in ("FUT", "CONTFUT"):
        yield "tickSize", {"tickType": 86, "size": 1_000_000 + mix(state.contract.con_id) % 1_000_000}
