"""Splits and dividends of the built-in market: invented, and the same for every request.

Who pays what follows from the name; when, from the seed. Leveraged and bond funds, and the young names that pay
nothing, are left out by their sector and type.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache, lru_cache

from quant_trading.refdata.sessions import LAST_SESSION_DAY, session_on
from quant_trading.tws_sim.actions import Action, Actions
from quant_trading.tws_sim.noise import name_key
from quant_trading.tws_sim.universe import Listing

__all__ = ["SPLITS", "corporate_actions", "splits_of"]

_FIRST_YEAR = 2000
# Sectors whose companies pay, as a share of the price in a year.
_YIELDS = {
    "staples": 0.028, "utility": 0.034, "energy": 0.036, "finance": 0.024, "health": 0.018, "industry": 0.015,
    "media": 0.02, "consumer": 0.012, "tech": 0.007, "semi": 0.008, "software": 0.006, "index": 0.013,
}  # fmt: skip
SPLITS: dict[str, tuple[tuple[date, float], ...]] = {
    "NFLX": ((date(2025, 11, 17), 10.0),),
    "NOW": ((date(2025, 12, 18), 5.0),),
    "AVGO": ((date(2024, 7, 15), 10.0),),
    "SMCI": ((date(2024, 10, 1), 10.0),),
    "FAS": ((date(2027, 3, 8), 3.0),),
    "SOXL": ((date(2028, 6, 5), 0.1),),
}
"""Splits by symbol: new shares for an old one; a tenth is a reverse split."""


def corporate_actions(listing: Listing, key: int) -> Actions:
    """Return the events of one name from 2000 to the end of the table of sessions."""
    return Actions(splits_of(listing).events, lambda: _dividends(listing, key))


def _dividends(listing: Listing, key: int) -> Iterator[Action]:
    """Give what a name pays, by date."""
    rate = _yield_of(listing)
    if rate == 0:
        return
    # The amount is that of 2025 and grows with the trend of the price; cents of cents are paid.
    splits = _splits_of(listing)
    for day in _quarterly(key % 3, (key >> 8) % 20):
        amount = listing.price * rate / 4 * (1 + listing.drift) ** (day.year - 2025)
        shares = 1.0
        for split_day, ratio in splits:
            shares *= ratio if day < split_day else 1.0
        yield Action(day, "dividend", max(0.001, round(amount * shares, 3)))


@cache
def splits_of(listing: Listing) -> Actions:
    """Return the splits of one name alone."""
    return Actions(Action(day, "split", ratio) for day, ratio in _splits_of(listing))


def _splits_of(listing: Listing) -> tuple[tuple[date, float], ...]:
    return SPLITS.get(listing.symbol, ()) if listing.currency == "USD" else ()


def _yield_of(listing: Listing) -> float:
    is_leveraged = abs(listing.beta) >= 2.0
    if is_leveraged or listing.own_vol > 0.3 or listing.sector not in _YIELDS or listing.currency != "USD":
        return 0.0
    # Three of four pay.
    pays = listing.stock_type == "ETF" or name_key(listing.symbol) % 4
    return _YIELDS[listing.sector] if pays else 0.0


@lru_cache(maxsize=64)
def _quarterly(month: int, shift: int) -> tuple[date, ...]:
    """Return one session in each quarter of the table."""
    found = []
    for year in range(_FIRST_YEAR, LAST_SESSION_DAY.year + 1):
        for quarter in range(4):
            day = _session_at_or_after(date(year, 3 * quarter + month + 1, 5) + timedelta(days=shift))
            if day is not None:
                found.append(day)
    return tuple(found)


def _session_at_or_after(day: date) -> date | None:
    while day <= LAST_SESSION_DAY:
        if session_on(day) is not None:
            return day
        day += timedelta(days=1)
    return None
