"""What the built-in market has beside stocks: forex, indices, futures, crypto, and options on its best-known names.

Assumed throughout: levels and volatilities of the order of early 2025, one price path per instrument. While New York
is open a future is its index plus what financing costs until it expires, at night it goes from one to the next; all
expiries trade alike.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Protocol

import numpy as np

from quant_trading.refdata.sessions import exchange_date
from quant_trading.tws_sim.aggregate import aggregate, concat, rows, typical_price
from quant_trading.tws_sim.directory import Directory, OptionSet
from quant_trading.tws_sim.hours import CRYPTO, FOREX, FUTURES, STOCKS, Calendar
from quant_trading.tws_sim.option_chains import OptionChains, Written, third_friday
from quant_trading.tws_sim.options import RATE
from quant_trading.tws_sim.series import Series, spread_ticks
from quant_trading.tws_sim.tape import Contract, FloatArray, IntArray, TapeBars
from quant_trading.tws_sim.universe import Listing

__all__ = ["SeededDirectory", "SeriesMaker"]

_DAY_NS = 86_400_000_000_000


class SeriesMaker(Protocol):
    """What makes price paths: the built-in market on the days of one calendar."""

    open_ns: IntArray
    close_ns: IntArray
    stamps: IntArray

    def daily(self, listing: Listing) -> TapeBars:
        """Return the days of a listing."""

    def build(
        self,
        listing: Listing,
        days: TapeBars,
        spans: tuple[IntArray, IntArray, IntArray],
        key_name: str,
        *,
        has_trades: bool,
        has_volume: bool,
        spread: IntArray,
        load_blocks: Callable[[int, int, bool], TapeBars] | None = None,
    ) -> Series:
        """Return the series of `days` whose sessions are `spans`: opens, closes, starts of the days."""

    def minutes(self, key_name: str, days: TapeBars, opens: IntArray, closes: IntArray, listing: Listing) -> TapeBars:
        """Return the minutes of spans beside its sessions, given by their bars, opens and closes."""

    def session_minutes(self, listing: Listing, days: TapeBars, first: int, last: int) -> TapeBars:
        """Return the minutes of the sessions first <= day < last, whose bars are `days`."""


def _pair(symbol: str, currency: str, con_id: int, price: float, own_vol: float) -> tuple[Contract, Listing]:
    is_yen = currency == "JPY"
    contract = Contract(
        con_id, symbol, "CASH", "IDEALPRO", "", currency, f"{symbol}.{currency}", f"{symbol}.{currency}",
        long_name=f"{_CURRENCIES[symbol]}.{_CURRENCIES[currency]}", stock_type="",
        min_tick=Decimal("0.005") if is_yen else Decimal("0.00005"), market_rule_id=240 if is_yen else 239,
        valid_exchanges=("IDEALPRO",),
    )  # fmt: skip
    listing = Listing(
        f"{symbol}.{currency}", contract.long_name, "IDEALPRO", "forex", price, 0.0, 0.0, own_vol, 80_000, "CASH",
        currency, 60_000, 0.4, 0.0, pull=1.0, scale=200 if is_yen else 20_000, floor=price / 10,
    )  # fmt: skip
    return contract, listing


_CURRENCIES = {
    "EUR": "European Monetary Union Euro", "GBP": "British pound", "AUD": "Australian dollar",
    "USD": "United States dollar", "JPY": "Japanese yen", "CHF": "Swiss franc", "CAD": "Canadian dollar",
    "MXN": "Mexican Peso", "HKD": "Hong Kong dollar",
}  # fmt: skip

_FOREX = dict(
    _pair(*row)
    for row in (
        ("EUR", "USD", 12087792, 1.035, 0.075), ("GBP", "USD", 12087797, 1.252, 0.08),
        ("AUD", "USD", 14433401, 0.622, 0.10), ("USD", "JPY", 15016059, 157.2, 0.10),
        ("USD", "CHF", 12087820, 0.907, 0.075), ("USD", "CAD", 15016062, 1.438, 0.06),
        ("USD", "MXN", 35045199, 20.8, 0.12), ("USD", "HKD", 12345777, 7.77, 0.01),
    )
)  # fmt: skip


def _index(
    symbol: str, name: str, exchange: str, con_id: int, price: float, beta: float, sector: str, sector_beta: float,
    own_vol: float, drift: float, pull: float = 0.0,
) -> tuple[Contract, Listing]:  # fmt: skip
    contract = Contract(
        con_id, symbol, "IND", exchange, "", "USD", symbol, symbol, long_name=name, industry="Indices",
        category="Broad Range Equity Index", subcategory="*", stock_type="", market_rule_id=109,
        valid_exchanges=(exchange,),
    )  # fmt: skip
    listing = Listing(
        symbol,
        name,
        exchange,
        sector,
        price,
        beta,
        sector_beta,
        own_vol,
        1_500,
        "IND",
        trade_size=3.0,
        drift=drift,
        pull=pull,
    )
    return contract, listing


_INDICES = dict(
    (
        _index("SPX", "S&P 500 Stock Index", "CBOE", 416904, 5870, 1.0, "index", 0.0, 0.004, 0.05),
        _index("NDX", "NASDAQ 100 Stock Index", "NASDAQ", 416843, 21000, 1.05, "tech", 0.7, 0.01, 0.06),
        _index("VIX", "CBOE Volatility Index", "CBOE", 13455763, 17.5, -5.0, "index", 0.0, 0.4, 0.0, 12.0),
    )
)

_CRYPTO = {
    Contract(
        con_id, symbol, "CRYPTO", "PAXOS", "", "USD", f"{symbol}.USD", symbol, long_name=name, stock_type="",
        min_tick=tick, market_rule_id=1703, valid_exchanges=("PAXOS",),
    ): Listing(
        f"{symbol}.USD", name, "PAXOS", "crypto", price, 0.6, 0.0, 0.5, volume, "CRYPTO", trade_size=2,
        spread_bps=2.0, drift=0.1, scale=scale, floor=price / 50,
    )
    for con_id, symbol, name, price, volume, tick, scale in (
        (479624278, "BTC", "Bitcoin cryptocurrency", 94_000, 12, Decimal("0.25"), 4),
        (495759171, "ETH", "Ethereum cryptocurrency", 3_300, 90, Decimal("0.05"), 20),
    )
}  # fmt: skip

# root -> (index, name, multiplier, first id)
_FUTURES = {
    "ES": ("SPX", "E-mini S&P 500", "50", 300_000_000),
    "NQ": ("NDX", "E-mini NASDAQ 100", "20", 300_001_000),
}
_FUTURE_SCALE = 4
_FIRST_YEAR, _LAST_YEAR = 2000, 2031
_MONTH_CODES = {3: "H", 6: "M", 9: "U", 12: "Z"}
_LISTED_MONTHS = 15
_OPTIONS_ON = ("SPY", "QQQ", "AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "META")


class SeededDirectory(Directory):
    """The unlisted contracts of the built-in market, and their series."""

    def __init__(
        self, maker_of: Callable[[Calendar], SeriesMaker], stocks: dict[Contract, Listing],
        stock_series: Callable[[Contract], tuple[Series, ...]],
    ) -> None:  # fmt: skip
        """Take what makes paths on the days of a calendar, and the listed stocks."""
        self._maker_of = lru_cache(maxsize=None)(maker_of)
        self._fixed = {contract.con_id: contract for contract in (*_FOREX, *_INDICES, *_CRYPTO)}
        by_symbol = {contract.symbol: contract for contract in stocks if contract.currency == "USD"}
        self._chains = OptionChains(
            tuple(_written(by_symbol[symbol], stocks[by_symbol[symbol]]) for symbol in _OPTIONS_ON),
            lru_cache(maxsize=len(_OPTIONS_ON))(lambda contract: stock_series(contract)[0]),
        )

    @property
    def chains(self) -> OptionChains:
        """The options."""
        return self._chains

    def by_id(self, con_id: int) -> Contract | None:
        """Return the contract of this id, whether it has expired or not."""
        fixed = self._fixed.get(con_id)
        return fixed or _future_of(con_id) or self._chains.by_id(con_id)

    def named(self, sec_type: str, symbol: str, now_ns: int) -> Iterable[Contract]:
        """Return the contracts of a type and symbol or local symbol."""
        if sec_type == "OPT":
            return self._chains.named(symbol, now_ns)
        if sec_type in ("FUT", "CONTFUT"):
            listed = [c for c in _all_futures() if symbol in (c.symbol, c.local_symbol) and _is_listed(c, now_ns)]
            if sec_type == "FUT":
                return listed
            today = f"{exchange_date(now_ns):%Y%m%d}"
            living = [contract for contract in listed if contract.last_trade_date >= today]
            return [replace(living[0], sec_type="CONTFUT")] if living else []
        fixed = self._fixed.values()
        return [c for c in fixed if c.sec_type == sec_type and symbol in (c.symbol.upper(), c.local_symbol.upper())]

    def options(self, underlying: Contract, now_ns: int) -> OptionSet | None:
        """Return the options on an underlying that have not expired."""
        return self._chains.options(underlying, now_ns)

    def search(self, pattern: str) -> Iterable[Contract]:
        """Return currencies, indices and crypto whose symbol begins with `pattern`."""
        return [contract for contract in self._fixed.values() if contract.symbol.startswith(pattern)]

    def underlying(self, contract: Contract) -> Contract | None:
        """Return the stock of an option, the index of a future."""
        if contract.sec_type == "OPT":
            return self._chains.underlying(contract)
        if contract.sec_type in ("FUT", "CONTFUT"):
            name = _FUTURES[contract.symbol][0]
            return next(index for index in _INDICES if index.symbol == name)
        return None

    # Bars

    def series(self, contract: Contract) -> tuple[Series, ...]:
        """Return the one series of a contract of this directory."""
        if contract.sec_type == "OPT":
            return self._chains.series(contract)
        if contract.sec_type in ("FUT", "CONTFUT"):
            return (self._future_series(contract),)
        if contract.sec_type == "IND":
            return (self._fixed_series(STOCKS, contract, _INDICES[contract], has_volume=False),)
        if contract.sec_type == "CASH":
            return (self._fixed_series(FOREX, contract, _FOREX[contract], has_trades=False),)
        return (self._fixed_series(CRYPTO, contract, _CRYPTO[contract]),)

    def _fixed_series(
        self, calendar: Calendar, contract: Contract, listing: Listing, *, has_trades: bool = True,
        has_volume: bool = True,
    ) -> Series:  # fmt: skip
        maker = self._maker_of(calendar)
        days = maker.daily(listing)
        # The day of what trades around the clock begins on the hour its night session ends.
        starts = maker.open_ns - {"forex": 15, "crypto": 0}.get(calendar.name, 570) * 60_000_000_000
        previous = np.concatenate([days.open[:1], days.close[:-1]])
        return maker.build(
            listing, days, (maker.open_ns, maker.close_ns, starts), listing.symbol, has_trades=has_trades,
            has_volume=has_volume, spread=spread_ticks(previous, listing.spread_bps, listing.scale),
        )  # fmt: skip

    def _future_series(self, contract: Contract) -> Series:
        """Return the series of a future: the index's session, a night before it and an hour behind it."""
        index = next(index for index in _INDICES if index.symbol == _FUTURES[contract.symbol][0])
        maker = self._maker_of(STOCKS)
        whole = maker.daily(_INDICES[index])
        dates = whole.start_ns // _DAY_NS
        expiries = np.array([(expiry - _EPOCH).days for expiry in _expiries()], dtype=np.int64)
        if contract.sec_type == "CONTFUT":
            first, last = 0, len(whole)
            expiry = expiries[np.minimum(np.searchsorted(expiries, dates), len(expiries) - 1)]
        else:
            own = (_date_of(contract) - _EPOCH).days
            first, last = int(np.searchsorted(dates, own - 31 * _LISTED_MONTHS)), int(np.searchsorted(dates, own + 1))
            expiry = np.full(len(dates), own)
        factor = 1.0 + RATE * ((expiry - dates)[first:last] / 365.0)
        sessions = [FUTURES.session_on(_day_of_number(int(day))) for day in dates[first:last]]
        opens = np.array([session.open_ns for session in sessions if session is not None], dtype=np.int64)
        closes = np.array([session.close_ns for session in sessions if session is not None], dtype=np.int64)
        listing = replace(_INDICES[index], scale=_FUTURE_SCALE)
        name = contract.local_symbol if contract.sec_type == "FUT" else f"{contract.symbol} continuous"
        bells = (maker.open_ns[first:last], maker.close_ns[first:last])
        regular = _financed(rows(whole, slice(first, last)), factor)
        night, evening = _around(regular, opens, bells[1])

        def load_blocks(begin: int, end: int, use_rth: bool) -> TapeBars:
            span = slice(begin, end)
            index_days = rows(whole, slice(first + begin, first + end))
            minutes = maker.session_minutes(_INDICES[index], index_days, first + begin, first + end)
            day = np.searchsorted(bells[0][span], minutes.start_ns, side="right") - 1
            parts = [
                maker.minutes(f"{name} night", rows(night, span), opens[span], bells[0][span], listing),
                _financed(minutes, factor[span][day]),
                maker.minutes(f"{name} evening", rows(evening, span), bells[1][span], closes[span], listing),
            ]
            merged = concat(parts)
            return rows(merged, np.argsort(merged.start_ns, kind="stable"))

        size = len(regular)
        parts = concat([night, regular, evening])
        number = np.concatenate([np.arange(size)] * 3)
        order = np.argsort(number, kind="stable")
        days = replace(aggregate(rows(parts, order), number[order]), start_ns=whole.start_ns[first:last])
        return maker.build(
            listing, days, (opens, closes, opens), name, has_trades=True, has_volume=True,
            spread=np.ones(size, dtype=np.int64), load_blocks=load_blocks,
        )  # fmt: skip


_EPOCH = date(1970, 1, 1)


def _day_of_number(days: int) -> date:
    return date.fromordinal(_EPOCH.toordinal() + days)


def _on_quarters(price: FloatArray) -> FloatArray:
    return np.asarray(np.rint(price * _FUTURE_SCALE) / _FUTURE_SCALE)


def _financed(bars: TapeBars, factor: FloatArray) -> TapeBars:
    """Return bars of a future: the index's prices plus the cost of carrying them, on quarters of a point."""
    open_, high, low, close = (_on_quarters(price * factor) for price in (bars.open, bars.high, bars.low, bars.close))
    wap = typical_price(open_, high, low, close)
    return TapeBars(bars.start_ns, open_, high, low, close, bars.volume, wap, bars.count)


def _around(regular: TapeBars, opens: IntArray, closes: IntArray) -> tuple[TapeBars, TapeBars]:
    """Return a bar for the night before each session, from close to open, and one for the hour after it."""
    before = np.concatenate([regular.open[:1], regular.close[:-1]])
    bars = []
    for start, open_, close, share in (
        (opens, before, regular.open, 0.2),
        (closes, regular.close, regular.close, 0.03),
    ):
        # A night wanders a quarter of a session's range beyond where it begins and ends, the hour after it a tenth.
        reach = (regular.high - regular.low) * (0.25 if share > 0.1 else 0.1)
        high, low = _on_quarters(np.maximum(open_, close) + reach), _on_quarters(np.minimum(open_, close) - reach)
        volume = np.maximum(4.0, np.rint(regular.volume * share))
        count = np.maximum(4, volume // 3).astype(np.int64)
        wap = typical_price(open_, high, low, close)
        bars.append(TapeBars(start, open_, high, low, close, volume, wap, count))
    return bars[0], bars[1]


@lru_cache(maxsize=1)
def _expiries() -> tuple[date, ...]:
    return tuple(third_friday(year, month) for year in range(_FIRST_YEAR, _LAST_YEAR + 1) for month in _MONTH_CODES)


@lru_cache(maxsize=1)
def _all_futures() -> tuple[Contract, ...]:
    """Return every quarterly future, by root and expiry."""
    found = []
    for root, (_, name, multiplier, first_id) in _FUTURES.items():
        for number, expiry in enumerate(_expiries()):
            local = f"{root}{_MONTH_CODES[expiry.month]}{expiry.year % 10}"
            found.append(
                Contract(
                    first_id + number, root, "FUT", "CME", "", "USD", local, root, f"{expiry:%Y%m%d}",
                    multiplier=multiplier, long_name=name, industry="Indices", stock_type="",
                    category="Broad Range Equity Index", subcategory="*", min_tick=Decimal("0.25"), market_rule_id=67,
                    valid_exchanges=("CME", "QBALGO"),
                )
            )  # fmt: skip
    return tuple(found)


def _future_of(con_id: int) -> Contract | None:
    for root, (_, _, _, first_id) in _FUTURES.items():
        if first_id <= con_id < first_id + len(_expiries()):
            offset = list(_FUTURES).index(root) * len(_expiries())
            return _all_futures()[offset + con_id - first_id]
    return None


def _is_listed(contract: Contract, now_ns: int) -> bool:
    days = (_date_of(contract) - exchange_date(now_ns)).days
    # Contracts that expired two years ago or more are gone from the data base (documented).
    return -2 * 366 < days < 31 * _LISTED_MONTHS


def _date_of(contract: Contract) -> date:
    text = contract.last_trade_date
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def _written(contract: Contract, listing: Listing) -> Written:
    spread = (0.15 * listing.beta) ** 2 + (0.1 * listing.sector_beta) ** 2 + listing.own_vol**2
    return Written(contract, 2.5 if listing.price < 300 else 5.0, round(float(np.sqrt(spread)), 4))
