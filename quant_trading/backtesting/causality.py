"""The causality test: does any row of a strategy change when its future is cut off, or replaced by another one?

A strategy is a function of the bars it is given, so short slices of the panel tell as much as the whole: on each,
it is evaluated once as it is, then with other futures. Two ways are taken:

* cut: the slice ends at a bar; every row before must be what it was;
* screen: each column gets another future from a bar of its own on, which tests as many bars as there are columns
  at one go. A strategy that looks at several symbols may honestly react to the past of another column, so what the
  screen shows is only believed when the cut at that very bar shows it too.

Differences within the rounding of a sum (1e-12 of the value) are none: matrix products round by the shape given.
"""

import copy
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.backtesting.dice import Dice
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray
from quant_trading.domain.errors import ConfigError
from quant_trading.domain.limits import Limits
from quant_trading.indicators.sides import signal_of
from quant_trading.strategy.base import Strategy

__all__ = ["FutureLeak", "Leak", "Verdict", "check_causality", "refuse_leaks"]

_TESTED = 64  # the last rows of a slice, between which the cuts lie
_SHORTEST = 72  # rows of a slice
_WORTH = 0.75  # of a slice: screens are cut shorter where they become shorter than this
_SHARE = 0.08  # of the cells of the panel that may be evaluated again
_FLOOR = 100_000  # cells that are always allowed: small panels get a full test
_ROUNDS = 9  # evaluations of a slice that the budget is made for
_SLICES = 6  # of a narrow panel
_PARTS = 4  # into which the columns of a wide panel are divided
_CONFIRMED = 3  # suspicions of one screen that are looked into
_ROUNDING = 1e-12
_NOTHING = 1e-15  # a signal of this size is the rest of numbers that cancelled
_KEPT = 32


@dataclass(frozen=True, slots=True)
class Leak:
    """Where the future showed.

    Attributes:
        what: "signal", "target" or "sides".
        symbol: the column.
        start_ns: start of the bar, UTC ns.
        with_future, without: the value of that row as it was, and when the bars after `cut_ns` are others.
        cut_ns: start of the first bar that was taken away or replaced.
    """

    what: str
    symbol: str
    start_ns: int
    with_future: float
    without: float
    cut_ns: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of the test.

    Attributes:
        leak: None when no row changed.
        bars: how many different futures were tried, one for each cut and for each column of a screen.
        cells: how many values were evaluated for it.
        seed: with which the cuts were drawn.
        text: one sentence for people.
    """

    leak: Leak | None
    bars: int
    cells: int
    seed: int
    text: str

    @property
    def passed(self) -> bool:
        """Return whether no row changed."""
        return self.leak is None


class FutureLeak(ConfigError):
    """The strategy reads the future: whatever it earned in a backtest, it cannot earn it."""

    exit_code = 7

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict


_verdicts: list[tuple[Any, Strategy, Limits, tuple[int, int | None], Verdict]] = []


def check_causality(
    strategy: Strategy, panel: BarPanel, limits: Limits, *, seed: int = 0, cells_budget: int | None = None
) -> Verdict:
    """Return whether rows of `strategy` on slices of `panel` stay the same when their future changes.

    The verdict on the very same objects is remembered as long as the panel lives.

    Args:
        strategy: must not have been evaluated in a way that it keeps something of; each evaluation gets a copy.
        panel: the bars of the run.
        limits: handed to `target`.
        seed: of slices, cuts and other futures; the same seed gives the same test.
        cells_budget: about how many values may be evaluated; None = 8 % of the panel's, at least 100,000.
    """
    key = (seed, cells_budget)
    for kept, known, under, how, verdict in _verdicts:
        if kept() is panel and known is strategy and under == limits and how == key:
            return verdict
    verdict = _Test(strategy, panel, limits, seed, cells_budget).run()
    _verdicts[:] = [entry for entry in _verdicts if entry[0]() is not None][-_KEPT + 1 :]
    _verdicts.append((weakref.ref(panel), strategy, limits, key, verdict))
    return verdict


def refuse_leaks(
    strategy: Strategy, panel: BarPanel, limits: Limits, *, seed: int = 0, cells_budget: int | None = None
) -> Verdict:
    """Return the verdict of `check_causality` if it passed.

    Raises:
        FutureLeak: naming bar, column and what changed.
    """
    verdict = check_causality(strategy, panel, limits, seed=seed, cells_budget=cells_budget)
    if not verdict.passed:
        raise FutureLeak(verdict)
    return verdict


class _Found(Exception):
    def __init__(self, leak: Leak) -> None:
        super().__init__()
        self.leak = leak


class _Test:
    """One run of the test; it counts what it evaluates."""

    def __init__(
        self, strategy: Strategy, panel: BarPanel, limits: Limits, seed: int, cells_budget: int | None
    ) -> None:
        self._strategy, self._panel, self._limits, self._seed = strategy, panel, limits, seed
        self._dice = Dice(seed)
        cells = len(panel) * len(panel.symbols)
        self._budget = cells_budget if cells_budget is not None else max(int(_SHARE * cells), _FLOOR)
        self._cells = self._bars = 0
        self._spared = 0.0  # cells of screens that are cut short: no reason to try more of them
        self._crossing: set[str] = set()  # of what a column was seen to react to the past of another
        self._is_of_sides = False  # whether the signal was seen to be that of the sides
        self._evaluations = 0
        self._is_plain = _is_plain(strategy)
        self._has_sides = callable(getattr(strategy, "sides", None))

    def run(self) -> Verdict:
        leak = None
        try:
            if len(self._panel) > 1 and self._panel.symbols:
                self._search()
        except _Found as found:
            leak = found.leak
        text = (
            f"no row changed when its future was cut off or replaced ({self._bars} futures, seed {self._seed})"
            if leak is None
            else _accusation(type(self._strategy).__name__, leak, self._panel.bar_size)
        )
        return Verdict(leak, self._bars, self._cells, self._seed, text)

    def _search(self) -> None:
        count, width = self._panel.close.shape
        length = min(count, max(self._strategy.warmup + _TESTED, _SHORTEST))
        columns = int(np.clip(self._budget // (_ROUNDS * length), -(-width // _PARTS), max(width, _TESTED)))
        is_narrow = columns >= width
        groups = self._narrow(width, columns) if is_narrow else self._wide(width, columns)
        for k, group in enumerate(groups):
            begin = self._dice.below(0, count - length + 1)
            piece = _cut_out(self._panel, begin, begin + length, group)
            first = max(length - _TESTED, 1)
            if is_narrow:
                self._whole_test(piece, width, first)
                is_enough = k >= 2 or not self._spared  # slices that were cut short are cheap
                if self._cells + self._spared > self._budget and is_enough:
                    break
            else:
                self._short_test(piece, first, with_target=k < 2)

    def _narrow(self, width: int, columns: int) -> Iterator[IntArray]:
        """Yield all columns and then some of them again: each copy is screened with a future of its own.

        The first copy stands in the panel's own order, for a fault may sit in the place of a column.
        """
        for _ in range(_SLICES):
            yield np.concatenate([np.arange(width), np.resize(self._dice.mixed(np.arange(width)), columns - width)])

    def _wide(self, width: int, columns: int) -> Iterator[IntArray]:
        """Yield parts of the columns until each has taken part."""
        order = self._dice.mixed(np.arange(width))
        for begin in range(0, width, columns):
            yield np.sort(order[begin : begin + columns])

    def _whole_test(self, piece: BarPanel, width: int, first: int) -> None:
        """Put one slice to the test, with cuts at rows first..len-1; its first `width` columns are different ones.

        The screens, of many columns, are the dear part. They take no more of the slice than a strategy needs that
        says so; more cuts of the whole slice are made for it.
        """
        narrow = piece if width == len(piece.symbols) else _cut_out(piece, 0, len(piece), np.arange(width))
        plain = self._evaluate(narrow)
        rows = _rows_needed(self._strategy, len(piece))
        for _ in range(2 if rows == len(piece) else 3):
            self._cut(narrow, plain, first)
        cut = self._dice.below(first, len(piece))
        self._compare(narrow, plain, self._evaluate(self._other_future(narrow, np.full(width, cut))), cut)
        self._bars += 1
        for _ in range(3):
            self._target(narrow, plain, first)
        before, share = self._cells, rows / len(piece)
        if share < 1.0:
            piece = piece.rows(len(piece) - rows, len(piece))
        base = plain if piece is narrow else self._evaluate(piece)
        first = max(rows - _TESTED, 1)
        order = self._dice.mixed(np.arange(first, rows))
        for k in range(2):
            self._screen(
                piece, base, np.resize(np.roll(order, -k * (len(piece.symbols) + 17)), len(piece.symbols)), first
            )
        self._spared += (self._cells - before) * (1.0 / share - 1.0)

    def _short_test(self, piece: BarPanel, first: int, *, with_target: bool) -> None:
        """Put a part of many columns to the test with a single other future, which ends early besides."""
        self._has_sides = with_target and callable(getattr(self._strategy, "sides", None))
        base = self._evaluate(piece)
        if with_target:
            self._target(piece, base, first)
        if self._crossing:
            self._cut(piece, base, first)
            return
        rows = np.arange(first, len(piece))
        end = self._dice.below((first + len(piece)) // 2, len(piece))
        cuts = np.minimum(np.resize(self._dice.mixed(rows), len(piece.symbols)), end)
        self._screen(piece, base, cuts, first, end)

    def _cut(self, piece: BarPanel, base: tuple[Any, ...], first: int) -> None:
        cut = self._dice.below(first, len(piece))
        self._compare(piece, base, self._evaluate(piece.rows(0, cut)), cut)
        self._bars += 1

    def _target(self, piece: BarPanel, base: tuple[Any, ...], first: int) -> None:
        """Give the target function other signals from a cut on, drawn from those it knows."""
        signal: FloatArray = base[0]
        values = np.sort((signal[-1:] if signal.size > 4096 else signal).ravel())
        values = values[~np.isnan(values)]
        if len(values):  # as np.unique does, whose first call loads masked arrays
            values = values[np.append(values[1:] != values[:-1], True)]
        values = np.concatenate([values[:: max(1, len(values) // 16)], [0.0]])
        cut = self._dice.below(first, len(piece))
        other = signal.copy()
        other[cut:] = self._dice.among(values, *other[cut:].shape)
        self._bars += 1
        self._compare(piece, base[:2], (signal, self._copy().target(other, self._limits)), cut)

    def _screen(
        self, piece: BarPanel, base: tuple[Any, ...], cuts: IntArray, first: int, end: int | None = None
    ) -> None:
        """Give each column another future from its own cut on, and look into what then changed before.

        With `end` the bars from there on are cut off besides.
        """
        length = len(piece) if end is None else end
        holes = np.isnan(piece.close[first : length - 1])
        for j in np.flatnonzero(holes.any(axis=0)).tolist():
            if self._dice.even(1)[0] < 0.25:  # where a bar is missing, one may have been filled in from later ones
                cuts[j] = self._dice.among(np.flatnonzero(holes[:, j]), 1)[0] + first + 1
        other = self._other_future(piece.rows(0, length), cuts)
        shown = self._evaluate(other)
        self._bars += len(cuts)
        # No column has another past than before in these rows, so here any change is the future's.
        self._compare(piece, base, shown, int(cuts.min()))
        past = np.arange(length)[:, np.newaxis] < cuts
        # Weights share what there is, so a target reacts to other columns where the signal does not: each for itself.
        suspects: dict[int, None] = {}
        for what, was, now in zip(("signal", "target", "sides"), base, shown, strict=False):
            # A part of many columns is dear to evaluate, and what reacts to other columns once does so always.
            most = 1 if what in self._crossing or end is not None else _CONFIRMED
            if was.shape == piece.close.shape and now.shape == past.shape and not (suspects and end is not None):
                rows = np.flatnonzero((_differs(was[:length], now) & past).any(axis=1))
                suspects.update(dict.fromkeys(self._dice.mixed(rows)[:most].tolist()))
                if len(rows):
                    self._crossing.add(what)  # unless it is a leak
        for t in list(suspects)[: 2 * _CONFIRMED]:
            for bars, values in ((piece, base), (other, shown)):
                self._compare(bars, values, self._evaluate(bars.rows(0, t + 1)), t + 1)

    def _evaluate(self, bars: BarPanel) -> tuple[Any, ...]:
        strategy = self._copy()
        self._cells += bars.close.size
        if not self._has_sides:
            signal = strategy.signal(bars)
            return signal, strategy.target(signal, self._limits)
        sides = self._copy().sides(bars)
        # A signal that was seen to be its sides is not computed a second time, but for every fourth future.
        self._evaluations += 1
        if self._is_of_sides and self._evaluations % 4:
            signal = signal_of(sides)
        else:
            signal = strategy.signal(bars)
            own = signal_of(sides) if sides.shape == bars.close.shape else np.empty(0)
            self._is_of_sides = own.shape == signal.shape and bool(np.array_equal(own, signal, equal_nan=True))
        return signal, strategy.target(signal, self._limits), sides

    def _copy(self) -> Any:
        return self._strategy if self._is_plain else copy.deepcopy(self._strategy)

    def _compare(self, bars: BarPanel, whole: tuple[Any, ...], part: tuple[Any, ...], cut: int) -> None:
        """Raise what leaked when rows 0..cut-1 of `whole` and `part` are not the same."""
        for what, was, now in zip(("signal", "target", "sides"), whole, part, strict=False):
            if was.shape != bars.close.shape or len(now) < cut or was.shape[1:] != now.shape[1:]:
                continue  # the engine names a wrong shape
            unequal = _differs(was[:cut], now[:cut])
            if what != "signal" and whole[0].shape == was.shape:
                # A signal that differs by rounding may fall on the other side of zero: that row tells nothing.
                unequal &= ~_rounded(whole[0][:cut], part[0][:cut])[:, np.newaxis]
            places = np.argwhere(unequal)
            if len(places):
                t, j = places[-1].tolist()
                stamps = int(bars.start_ns[t]), int(bars.start_ns[min(cut, len(bars) - 1)])
                raise _Found(Leak(what, bars.symbols[j], stamps[0], float(was[t, j]), float(now[t, j]), stamps[1]))

    def _other_future(self, bars: BarPanel, cuts: IntArray) -> BarPanel:
        """Return the bars with each column's rows from its cut on moved to other prices and volumes."""
        length, width = bars.close.shape
        begin = min(int(cuts.min()), length - 1)
        shape = (length - begin, width)
        # A few numbers make the noise of all cells: drawing one for each would cost more than the strategy does.
        noise = self._dice.normal(shape[0], 1) * self._dice.normal(1, width)
        steps = 0.04 * noise
        ahead = np.arange(begin, length)[:, np.newaxis] - cuts
        # Mostly the other way than the bars went, so that even a sign shows it.
        other_way = np.where(self._dice.even(width) < 0.8, -1.0, 1.0)
        jump = other_way * 0.35 * _moves(bars.close, cuts) + 0.05 * self._dice.normal(width)
        steps += np.where(ahead == 0, jump, 0.0)
        moved = np.where(ahead >= 0, steps, 0.0)
        factor = np.exp(np.clip(np.cumsum(moved, axis=0), -3.0, 3.0))
        busier = other_way * _moves(bars.volume, cuts) + 0.7 * noise
        traded = np.where(ahead >= 0, np.exp(busier), 1.0)
        arrays = {}
        for name in ("open", "high", "low", "close", "volume"):
            array = getattr(bars, name).copy()
            array[begin:] *= traded if name == "volume" else factor
            arrays[name] = array
        return BarPanel(bars.symbols, bars.bar_size, bars.start_ns, bars.end_ns, **arrays)


def _rows_needed(strategy: Strategy, rows: int) -> int:
    """Return of how many rows a slice has to be for the strategy to be itself in those that are tested.

    Its `warmup` may be that of averages which never quite forget. `first_valid`, where the class that makes the signal
    has one, is the row from which on it uses all it looks at; others are shown the whole slice.
    """
    maker = next((cls for cls in type(strategy).__mro__ if {"signal", "sides"} & vars(cls).keys()), object)
    offering: Any = strategy
    begin = offering.first_valid if "first_valid" in vars(maker) else None
    if not isinstance(begin, int):
        return rows
    needed = max(begin + begin // 8 + _TESTED, _SHORTEST)
    return needed if needed < _WORTH * rows else rows


def _moves(values: FloatArray, cuts: IntArray) -> FloatArray:
    """Return 1 for each column that rises from the row before its cut to that row, -1 where it does not."""
    columns = np.arange(values.shape[1])
    at = np.minimum(cuts, len(values) - 1)
    return np.where(values[at, columns] > values[np.maximum(at - 1, 0), columns], 1.0, -1.0)


def _cut_out(panel: BarPanel, begin: int, end: int, columns: IntArray) -> BarPanel:
    rows = slice(begin, end)
    symbols = tuple(panel.symbols[j] for j in columns.tolist())
    arrays = {n: getattr(panel, n)[rows][:, columns] for n in ("open", "high", "low", "close", "volume")}
    return BarPanel(symbols, panel.bar_size, panel.start_ns[rows], panel.end_ns[rows], **arrays)


def _differs(was: npt.NDArray[Any], now: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where two arrays of one shape are not the same, NaN being the same as NaN."""
    unequal = was != now
    if not unequal.any() or was.dtype.kind != "f":
        return np.asarray(unequal)
    unequal &= ~((was != was) & (now != now))
    if unequal.any():
        with np.errstate(invalid="ignore"):
            # What is left of a difference of nearly equal numbers is small beside the column, not beside itself.
            scale = np.where(np.isfinite(was), np.abs(was), 0.0).max(initial=0.0)
            allowed = _ROUNDING * np.maximum(np.abs(was), np.abs(now)) + 0.1 * _ROUNDING * scale + _NOTHING
            unequal &= ~(np.abs(was - now) <= allowed)
    return np.asarray(unequal)


def _rounded(was: npt.NDArray[Any], now: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return bool[T]: rows in which a value is not to the last bit what it was."""
    unequal = was != now
    if unequal.any():
        unequal &= (was == was) | (now == now)
    return np.asarray(unequal.any(axis=1))


def _is_plain(strategy: Any) -> bool:
    """Return whether nothing can be kept in the strategy from one evaluation to the next."""
    if not is_dataclass(strategy) or hasattr(strategy, "__dict__"):
        return False
    values = [getattr(strategy, item.name, None) for item in fields(strategy)]
    return all(isinstance(value, (int, float, str, type(None))) for value in values)


def _accusation(name: str, leak: Leak, bar_size: str) -> str:
    cut = _label(leak.cut_ns, bar_size)
    return (
        f"strategy {name} reads the future: {leak.what} of {leak.symbol} at {_label(leak.start_ns, bar_size)} is "
        f"{leak.with_future:g}, and {leak.without:g} when the bars from {cut} on are others; row t may use bars 0..t "
        "only: look for shift(-1), centred windows, bfill and statistics of the whole sample"
    )


def _label(ns: int, bar_size: str) -> str:
    from datetime import UTC, datetime

    from quant_trading.refdata.sessions import EXCHANGE_ZONE

    local = datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(EXCHANGE_ZONE)
    return local.isoformat() if parse_bar_size(bar_size).is_intraday else local.date().isoformat()
