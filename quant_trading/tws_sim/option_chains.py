"""Which options there are on an underlying, and the bars they trade in.

Expirations are Fridays: the next five and the third Friday of the next six months (the session before, where Friday
is none). Strikes lie on a grid around the close half a year before the expiration. An option's id says which one it
is, so nothing has to be kept of the thousands of them. Its bars are the underlying's minutes seen through Black and
Scholes, with the time to expiry of the day (assumed: no decay within a day).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from quant_trading.refdata.sessions import exchange_date, session_on
from quant_trading.tws_sim.aggregate import aggregate, typical_price
from quant_trading.tws_sim.days import Days
from quant_trading.tws_sim.directory import OptionSet
from quant_trading.tws_sim.noise import mix
from quant_trading.tws_sim.options import option_price
from quant_trading.tws_sim.series import Series
from quant_trading.tws_sim.tape import Contract, FloatArray, TapeBars

__all__ = ["OptionChains", "Written", "third_friday"]

_FIRST_ID = 2_000_000_000
_FIRST_DAY = date(2000, 1, 1)
_WEEKS, _MONTHS = 5, 6
_LISTED_SESSIONS = 130
_WIDTH = 0.3
_EXCHANGES = ("SMART", "AMEX", "CBOE", "CBOE2", "ISE", "NASDAQOM", "PHLX")
_SCALE = 100
_SHARE_OF_VOLUME = 0.004


@dataclass(frozen=True, slots=True)
class Written:
    """One underlying: the steps of its strikes and the volatility its options are priced with."""

    underlying: Contract
    step: float
    volatility: float


def third_friday(year: int, month: int) -> date:
    """Return the third Friday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


def _session_or_before(day: date) -> date:
    while session_on(day) is None:
        day -= timedelta(days=1)
    return day


class OptionChains:
    """The options of one market."""

    def __init__(self, written: tuple[Written, ...], series_of: Callable[[Contract], Series]) -> None:
        """Take the underlyings in an order that never changes: ids count on it."""
        self._written = written
        self._series_of = series_of
        # Whoever looks at one option looks at its neighbours, which are made from the same minutes.
        self._minutes = lru_cache(maxsize=4)(lambda under, first, last: series_of(under).blocks(first, last, True))
        self._strikes: dict[tuple[int, date], tuple[float, ...]] = {}

    def _number(self, underlying: Contract) -> int | None:
        ids = (number for number, one in enumerate(self._written) if one.underlying.con_id == underlying.con_id)
        return next(ids, None)

    def expirations(self, now_ns: int) -> tuple[date, ...]:
        """Return the expirations listed at a moment, rising."""
        today = exchange_date(now_ns)
        friday = today + timedelta(days=(4 - today.weekday()) % 7)
        days = {_session_or_before(friday + timedelta(weeks=n)) for n in range(_WEEKS)}
        for n in range(_MONTHS + 1):
            month = today.month - 1 + n
            days.add(_session_or_before(third_friday(today.year + month // 12, month % 12 + 1)))
        return tuple(sorted(day for day in days if day >= today))

    def strikes(self, number: int, expiration: date) -> tuple[float, ...]:
        """Return the strikes of an expiration, rising; none before the underlying has a history."""
        known = self._strikes.get((number, expiration))
        if known is None:
            one = self._written[number]
            series = self._series_of(one.underlying)
            day = int(np.searchsorted(series.open_ns, session_open(expiration))) - _LISTED_SESSIONS
            close = series.days.close_on(day) if day >= 0 else 0.0
            low, high = (round(close * factor / one.step) for factor in (1 - _WIDTH, 1 + _WIDTH))
            known = tuple(index * one.step for index in range(max(1, low), min(high, 511) + 1)) if close else ()
            self._strikes[number, expiration] = known
        return known

    def options(self, underlying: Contract, now_ns: int) -> OptionSet | None:
        """Return what can be combined to options on an underlying at a moment."""
        number = self._number(underlying)
        if number is None:
            return None
        days = self.expirations(now_ns)
        strikes = sorted({strike for day in days for strike in self.strikes(number, day)})
        texts = tuple(f"{day:%Y%m%d}" for day in days)
        return OptionSet(underlying.symbol, "100", _EXCHANGES, texts, tuple(strikes))

    def named(self, symbol: str, now_ns: int) -> list[Contract]:
        """Return every living option on a symbol, or the one with that local symbol."""
        found: list[Contract] = []
        for number, one in enumerate(self._written):
            if one.underlying.symbol in (symbol, symbol[:6].strip()):
                for day in self.expirations(now_ns):
                    for strike in self.strikes(number, day):
                        found.extend(self._contract(number, day, strike, right) for right in "CP")
        return found

    def _contract(self, number: int, expiration: date, strike: float, right: str) -> Contract:
        under = self._written[number].underlying
        index = round(strike / self._written[number].step)
        code = ((number * 16_384 + (expiration - _FIRST_DAY).days) * 2 + (right == "P")) * 512 + index
        return Contract(
            con_id=_FIRST_ID + code,
            symbol=under.symbol,
            sec_type="OPT",
            primary_exchange="",
            local_symbol=f"{under.symbol:<6}{expiration:%y%m%d}{right}{round(strike * 1000):08d}",
            trading_class=under.symbol,
            last_trade_date=f"{expiration:%Y%m%d}",
            strike=strike,
            right=right,
            multiplier="100",
            long_name=under.long_name,
            industry=under.industry,
            category=under.category,
            subcategory=under.subcategory,
            stock_type="",
            market_rule_id=109,
            valid_exchanges=_EXCHANGES,
        )

    def by_id(self, con_id: int) -> Contract | None:
        """Return the option of this id, None when the id names none."""
        code = con_id - _FIRST_ID
        if not 0 <= code < len(self._written) * 16_384 * 1024:
            return None
        code, index = divmod(code, 512)
        code, is_put = divmod(code, 2)
        number, days = divmod(code, 16_384)
        expiration = _FIRST_DAY + timedelta(days=days)
        strike = index * self._written[number].step
        # Wherever a Friday is a session it is the expiration of its week.
        if expiration.weekday() > 4 or session_on(expiration) is None or strike not in self.strikes(number, expiration):
            return None
        return self._contract(number, expiration, strike, "P" if is_put else "C")

    def underlying(self, contract: Contract) -> Contract | None:
        """Return the stock an option is written on."""
        found = (one.underlying for one in self._written if one.underlying.symbol == contract.symbol)
        return next(found, None)

    def volatility(self, contract: Contract) -> float:
        """Return the volatility an option is priced with: a smile, lowest at the middle of the strikes."""
        number = next(n for n, one in enumerate(self._written) if one.underlying.symbol == contract.symbol)
        one = self._written[number]
        strikes = self.strikes(number, _date_of(contract))
        middle = strikes[len(strikes) // 2]
        return one.volatility * (1.0 + 0.25 * abs(float(np.log(contract.strike / middle))))

    def years(self, contract: Contract, day: date) -> float:
        """Return the time to expiry the prices of a day are made with."""
        return max(0.0, ((_date_of(contract) - day).days + 0.25) / 365.0)

    def series(self, contract: Contract) -> tuple[Series, ...]:
        """Return the one series of an option, from its listing to its expiration."""
        under = self.underlying(contract)
        assert under is not None, "known contracts only"
        source = self._series_of(under)
        last = int(np.searchsorted(source.open_ns, session_open(_date_of(contract)), side="right"))
        first = max(0, last - _LISTED_SESSIONS)
        volatility, is_call = self.volatility(contract), contract.right == "C"
        distance = float(np.log(contract.strike / source.days.close_on(first)))
        share = _SHARE_OF_VOLUME * float(np.exp(-12.0 * distance**2))
        days_left = (_date_of(contract) - _EPOCH).days

        def load_blocks(begin: int, end: int, use_rth: bool) -> TapeBars:
            minutes = self._minutes(under, first + begin, first + end)
            day = np.searchsorted(source.midnight_ns, minutes.start_ns, side="right") - 1
            stamp_days = source.days.start_ns[day] // 86_400_000_000_000
            years = np.maximum(0.0, (days_left - stamp_days + 0.25) / 365.0)

            def priced(spot: FloatArray) -> FloatArray:
                value = option_price(spot, contract.strike, years, volatility, is_call=is_call)
                return np.asarray(np.maximum(np.rint(value * _SCALE), 1.0) / _SCALE)

            return _seen_through(minutes, priced, share, is_call=is_call)

        blocks = load_blocks(0, last - first, True)
        day = np.searchsorted(source.midnight_ns, blocks.start_ns, side="right")
        days = aggregate(blocks, day.astype(np.int64))
        stamps = source.days.start_ns[first:last]
        days = TapeBars(stamps, *(getattr(days, name) for name in TapeBars.__slots__[1:]))
        return (
            Series(
                key=mix(source.key, contract.con_id),
                days=Days(days),
                open_ns=source.open_ns[first:last],
                close_ns=source.close_ns[first:last],
                midnight_ns=source.midnight_ns[first:last],
                block_seconds=60,
                finest_seconds=1,
                spread=np.maximum(1, np.rint(days.close * _SCALE * 0.015)).astype(np.int64),
                scale=_SCALE,
                load_blocks=load_blocks,
                has_extended_hours=False,
            ),
        )


_EPOCH = date(1970, 1, 1)


def session_open(day: date) -> int:
    """Return the open of the session of a day that has one."""
    session = session_on(day)
    assert session is not None, "expirations are sessions"
    return session.open_ns


def _date_of(contract: Contract) -> date:
    text = contract.last_trade_date
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def _seen_through(
    minutes: TapeBars, priced: Callable[[FloatArray], FloatArray], share: float, *, is_call: bool
) -> TapeBars:
    """Return bars of the option while its underlying makes `minutes`; minutes without a trade are flat."""
    open_, close = priced(minutes.open), priced(minutes.close)
    high, low = (priced(price) for price in ((minutes.high, minutes.low) if is_call else (minutes.low, minutes.high)))
    volume = np.floor(minutes.volume * share)
    # Four prices take four trades; fewer contracts than that change hands at one price.
    few = volume < 4
    open_, high, low = (np.where(few, close, price) for price in (open_, high, low))
    traded = volume > 0
    latest = np.maximum.accumulate(np.where(traded, np.arange(len(volume)), 0))
    close = np.where(traded, close, close[latest])
    open_, high, low = (np.where(traded, price, close) for price in (open_, high, low))
    count = np.where(traded, np.minimum(volume, np.maximum(np.ceil(volume / 8), 4)), 0).astype(np.int64)
    count = np.where(few & traded, 1, count)
    wap = typical_price(open_, high, low, close)
    return TapeBars(minutes.start_ns, open_, high, low, close, volume, wap, count)
