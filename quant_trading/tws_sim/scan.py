"""Finding the moments of the tape at which a resting order moves: a price reached, a trailing stop caught up.

Nothing here steps through time: whole days are looked at minute by minute in arrays, and only the minutes in
which something can happen second by second. The second is the resolution of the tape: all trades of a second
happen at its stamp.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import numpy as np

from quant_trading.refdata.sessions import Session, next_session, session_on
from quant_trading.tws_sim.tape import BarSize, Contract, FloatArray, IntArray, Tape, TapeBars, What
from quant_trading.tws_sim.times import exchange_day

__all__ = ["Hours", "Scanner", "Trail", "hours_at", "next_hours"]

SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * SECOND_NS
_MINUTE = BarSize("1 min", "second", 60)
_SECOND = BarSize("1 secs", "second", 1)
_SIZES = (
    _SECOND, BarSize("5 secs", "second", 5), _MINUTE, BarSize("5 mins", "second", 300),
    BarSize("30 mins", "second", 1800), BarSize("1 hour", "second", 3600),
)  # fmt: skip
# Prices are compared as whole hundred-thousandths, percentages as whole ten-thousandths of a percent, so that a
# scan in arrays and one with decimals agree to the last bit.
_SCALE = 100_000
_PERCENT_SCALE = 1_000_000
_EARLY_NS = 19_800 * SECOND_NS  # 04:00 is five and a half hours before the open
_LATE_NS = 14_400 * SECOND_NS  # four hours after the close


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours of one day an order may trade in, [start_ns, end_ns), and the regular session within them."""

    session: Session
    start_ns: int
    end_ns: int


@lru_cache(maxsize=1024)
def _hours(session: Session, outside_rth: bool) -> Hours:
    if not outside_rth:
        return Hours(session, session.open_ns, session.close_ns)
    return Hours(session, session.open_ns - _EARLY_NS, session.close_ns + _LATE_NS)


def hours_at(ns: int, outside_rth: bool) -> Hours | None:
    """Return the hours that `ns` lies in, None between them."""
    session = session_on(exchange_day(ns))
    if session is None:
        return None
    hours = _hours(session, outside_rth)
    return hours if hours.start_ns <= ns < hours.end_ns else None


def next_hours(ns: int, outside_rth: bool) -> Hours:
    """Return the first hours that start after `ns`."""
    today = session_on(exchange_day(ns))
    if today is not None and _hours(today, outside_rth).start_ns > ns:
        return _hours(today, outside_rth)
    return _hours(next_session(ns if today is None else max(ns, today.open_ns)), outside_rth)


@dataclass(frozen=True, slots=True)
class Trail:
    """How a stop follows the market.

    Attributes:
        is_buy: the stop lies above the lowest price seen; a sell stop lies below the highest.
        amount: distance in price, or None.
        percent: distance in percent of the extreme (1.5 = 1.5 %), when there is no amount.
    """

    is_buy: bool
    amount: Decimal | None
    percent: Decimal | None

    def stop(self, extreme: Decimal) -> Decimal:
        """Return where the stop lies when `extreme` is the best price seen, to five decimals."""
        return Decimal(int(self.stops(np.array([_whole(extreme)]))[0])) / _SCALE

    def stops(self, extremes: IntArray) -> IntArray:
        """Return the stops in hundred-thousandths for extremes in hundred-thousandths."""
        side = 1 if self.is_buy else -1
        if self.amount is not None:
            return np.asarray(extremes + side * _whole(self.amount))
        assert self.percent is not None, "a trail has an amount or a percent"
        factor = _PERCENT_SCALE + side * int(self.percent * 10_000)
        return np.asarray((extremes * factor + _PERCENT_SCALE // 2) // _PERCENT_SCALE)


def _whole(price: Decimal) -> int:
    return int((price * _SCALE).to_integral_value())


def _wholes(prices: FloatArray) -> IntArray:
    return np.rint(prices * _SCALE).astype(np.int64)


class Scanner:
    """Searches one tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._volumes: dict[int, tuple[int, dict[int, Decimal] | None]] = {}

    def forget(self) -> None:
        """Look at the tape anew: what it said has changed."""
        self._volumes.clear()

    def first_reach(
        self, contract: Contract, price: Decimal, is_below: bool, from_ns: int, until_ns: int, *, outside_rth: bool
    ) -> tuple[int, Decimal] | None:
        """Return when in [from_ns, until_ns) something first trades at `price` or beyond, and at which price.

        Args:
            is_below: look for trades at `price` or below, else at or above.
            outside_rth: look at the trades before the open and after the close too, where the tape has them.
        """
        if not outside_rth:
            return self._tape.next_trade_at_or_beyond(contract, price, is_below, from_ns, until_ns)
        for start_ns, end_ns, is_regular in _parts(from_ns, until_ns):
            if is_regular:
                found = self._tape.next_trade_at_or_beyond(contract, price, is_below, start_ns, end_ns)
            else:
                found = self._reach_in_bars(contract, price, is_below, start_ns, end_ns)
            if found is not None:
                return found
        return None

    def _reach_in_bars(
        self, contract: Contract, price: Decimal, is_below: bool, from_ns: int, until_ns: int
    ) -> tuple[int, Decimal] | None:
        limit = _whole(price)
        for bars in self._seconds_where(contract, from_ns, until_ns, lambda b: _is_beyond(b, limit, is_below)):
            hits = np.flatnonzero(_is_beyond(bars, limit, is_below))
            if len(hits):
                return int(bars.start_ns[hits[0]]), price
        return None

    def _seconds_where(
        self, contract: Contract, from_ns: int, until_ns: int, is_wanted: "Callable[[TapeBars], BoolArray]"
    ) -> Iterator[TapeBars]:
        """Yield the seconds of each minute in which `is_wanted` may hold, all hours, in rising time."""
        minutes = self._bars(contract, _MINUTE, from_ns // _MINUTE_NS * _MINUTE_NS, until_ns)
        if minutes is None:
            return
        for start_ns in minutes.start_ns[is_wanted(minutes)].tolist():
            first, last = max(from_ns, start_ns), min(until_ns, start_ns + 60 * SECOND_NS)
            seconds = self._bars(contract, _SECOND, first, last)
            if seconds is not None and len(seconds):
                yield seconds

    def _bars(self, contract: Contract, size: BarSize, from_ns: int, until_ns: int) -> TapeBars | None:
        return self._tape.bars(contract, size, What.TRADES, from_ns, until_ns, use_rth=False)

    # Trailing stops

    def catch(
        self, contract: Contract, trail: Trail, extreme: Decimal, from_ns: int, until_ns: int, *, outside_rth: bool
    ) -> tuple[int | None, Decimal]:
        """Return when in [from_ns, until_ns) the market first trades at the stop, and the extreme by then.

        The trades of a second meet the stop as the seconds before it left it; only then do they move it
        (assumed: within a second the tape has no order).

        Args:
            extreme: the best price seen before `from_ns`.
        """
        best = extreme
        for start_ns, end_ns, is_regular in _parts(from_ns, until_ns):
            if not is_regular and not outside_rth:
                continue
            at_ns, best = self._catch_within(contract, trail, best, start_ns, end_ns, is_regular)
            if at_ns is not None:
                return at_ns, best
        return None, best

    def _catch_within(
        self, contract: Contract, trail: Trail, extreme: Decimal, from_ns: int, until_ns: int, is_regular: bool
    ) -> tuple[int | None, Decimal]:
        minutes = self._bars(contract, _MINUTE, from_ns // _MINUTE_NS * _MINUTE_NS, until_ns)
        # A market of coarse bars has its seconds all the same, but shows them to orders only.
        if minutes is None or self._bars(contract, _SECOND, from_ns, from_ns + 1) is None:
            return (
                self._catch_by_probing(contract, trail, extreme, from_ns, until_ns) if is_regular else (None, extreme)
            )
        best = _whole(extreme)
        traded = minutes.volume > 0
        starts = minutes.start_ns[traded]
        near, far = _near_and_far(minutes, traded, trail.is_buy)
        position = 0
        while position < len(starts):
            # The extreme after each minute, if none of them met the stop; then the first that may have.
            running = _running(far[position:], best, trail.is_buy)
            stops = trail.stops(running)
            met = near[position:] >= stops if trail.is_buy else near[position:] <= stops
            # A minute that had begun before is not to be judged by its whole bar.
            met[0] |= starts[position] < from_ns
            suspects = np.flatnonzero(met)
            last = position + (int(suspects[0]) if len(suspects) else len(starts) - position)
            if last > position:
                best = int(running[last - position - 1])
            if last == len(starts):
                break
            first_ns, end_ns = int(starts[last]), int(starts[last]) + 60 * SECOND_NS
            seconds = self._bars(contract, _SECOND, max(first_ns, from_ns), min(end_ns, until_ns))
            if seconds is not None:
                at_ns, best = _catch_in_seconds(seconds, trail, best)
                if at_ns is not None:
                    return at_ns, Decimal(best) / _SCALE
            position = last + 1
        return None, Decimal(best) / _SCALE

    def _catch_by_probing(
        self, contract: Contract, trail: Trail, extreme: Decimal, from_ns: int, until_ns: int
    ) -> tuple[int | None, Decimal]:
        """Do the same by asking when prices are reached: for tapes that serve no seconds."""
        tick, best, moment = contract.min_tick, extreme, from_ns
        reach = self._tape.next_trade_at_or_beyond
        while moment < until_ns:
            better = best - tick if trail.is_buy else best + tick
            caught = reach(contract, trail.stop(best), not trail.is_buy, moment, until_ns)
            moved = reach(contract, better, trail.is_buy, moment, until_ns)
            if moved is None or (caught is not None and caught[0] <= moved[0]):
                return (caught[0], best) if caught is not None else (None, best)
            best = self._extreme_of_second(contract, better, trail.is_buy, moved[0])
            moment = moved[0] + SECOND_NS
        return None, best

    def _extreme_of_second(self, contract: Contract, reached: Decimal, is_below: bool, at_ns: int) -> Decimal:
        """Return the lowest (or highest) trade of the second, by doubling steps and then halving them."""
        tick = contract.min_tick
        sign = -1 if is_below else 1

        def is_reached(steps: int) -> bool:
            price = reached + sign * steps * tick
            if price <= 0:
                return False
            return self._tape.next_trade_at_or_beyond(contract, price, is_below, at_ns, at_ns + SECOND_NS) is not None

        beyond = 1
        while is_reached(beyond):
            beyond *= 2
        low, high = beyond // 2, beyond
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_reached(middle) else (low, middle)
        return reached + sign * low * tick

    # Volume and prices outside the session

    def volume_of_second(self, contract: Contract, at_ns: int) -> Decimal | None:
        """Return the shares traded in the second of `at_ns`, None when the tape does not know.

        Coarser bars lend a second its share of theirs.
        """
        second = at_ns // SECOND_NS * SECOND_NS
        minute = second // _MINUTE_NS * _MINUTE_NS
        known = self._volumes.get(contract.con_id)
        if known is None or known[0] != minute:
            known = (minute, self._volumes_of_minute(contract, minute))
            self._volumes[contract.con_id] = known
        return None if known[1] is None else known[1].get(second, Decimal(0))

    def _volumes_of_minute(self, contract: Contract, minute: int) -> dict[int, Decimal] | None:
        """Return the shares traded in each second of a minute that has trades, by moment."""
        for size in _SIZES:
            span = size.count * SECOND_NS
            bars = self._bars(contract, size, minute - span + SECOND_NS, minute + max(span, _MINUTE_NS))
            if bars is None:
                continue
            volumes: dict[int, Decimal] = {}
            for start_ns, volume in zip(bars.start_ns.tolist(), bars.volume.tolist(), strict=True):
                first, last = max(start_ns, minute), min(start_ns + span, minute + _MINUTE_NS)
                for second in range(first, last, SECOND_NS):
                    volumes[second] = Decimal(int(volume)) / size.count
            return volumes
        return None

    def last_outside(self, contract: Contract, from_ns: int, at_ns: int) -> Decimal | None:
        """Return the price of the latest trade in [from_ns, at_ns] of all hours, None without one."""
        minutes = self._bars(contract, _MINUTE, from_ns, at_ns + 1)
        if minutes is None:
            return None
        traded = np.flatnonzero(minutes.volume > 0)
        return None if len(traded) == 0 else Decimal(_whole_close(minutes, int(traded[-1]))) / _SCALE


def _whole_close(bars: TapeBars, row: int) -> int:
    return int(_wholes(bars.close[row : row + 1])[0])


def _is_beyond(bars: TapeBars, limit: int, is_below: bool) -> "BoolArray":
    reached = _wholes(bars.low) <= limit if is_below else _wholes(bars.high) >= limit
    return np.asarray(reached & (bars.volume > 0))


def _near_and_far(bars: TapeBars, rows: "BoolArray", is_buy: bool) -> tuple[IntArray, IntArray]:
    """Return the prices nearest to the stop and farthest from it of the chosen bars."""
    high, low = _wholes(bars.high[rows]), _wholes(bars.low[rows])
    return (high, low) if is_buy else (low, high)


def _running(far: IntArray, best: int, is_buy: bool) -> IntArray:
    if is_buy:
        return np.minimum(np.minimum.accumulate(far), best)
    return np.maximum(np.maximum.accumulate(far), best)


def _catch_in_seconds(seconds: TapeBars, trail: Trail, best: int) -> tuple[int | None, int]:
    traded = seconds.volume > 0
    near, far = _near_and_far(seconds, traded, trail.is_buy)
    if len(near) == 0:
        return None, best
    after = _running(far, best, trail.is_buy)
    before = np.concatenate([np.array([best], dtype=np.int64), after[:-1]])
    stops = trail.stops(before)
    met = np.flatnonzero(near >= stops if trail.is_buy else near <= stops)
    if len(met) == 0:
        return None, int(after[-1])
    return int(seconds.start_ns[traded][met[0]]), int(before[met[0]])


def _parts(from_ns: int, until_ns: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, end, is regular) of the trading of each day within [from_ns, until_ns)."""
    moment = from_ns
    while moment < until_ns:
        hours = hours_at(moment, True) or next_hours(moment, True)
        session = hours.session
        for start, end, is_regular in (
            (hours.start_ns, session.open_ns, False),
            (session.open_ns, session.close_ns, True),
            (session.close_ns, hours.end_ns, False),
        ):
            start, end = max(start, from_ns), min(end, until_ns)
            if start < end:
                yield start, end, is_regular
        moment = hours.end_ns


BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
