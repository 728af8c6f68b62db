"""What a report is made of: plain values and arrays, whoever ran the strategy (backtest, paper or live).

Times are naive `datetime64[s]` in exchange time, as people read them; fractions are fractions (0.1 = 10 %).
Whatever is absent (None, an empty tuple) has no section in the report.

What is small or comes by the thousand is a named tuple: a class of them is made in a fraction of the time that a
command of half a second has for it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import FloatArray, IntArray

__all__ = [
    "Causality", "Column", "Curve", "Figure", "FigureGroup", "Finding", "Interval", "Marker", "PriceSeries",
    "ReportData", "SessionCurve", "SourceFile", "Sweep", "Table", "TimeArray", "TradeColumns", "Value",
]  # fmt: skip

TimeArray = npt.NDArray[np.datetime64]
Value = float | int | str | None


class Figure(NamedTuple):
    """One number with its name; `kind` is a key of `formats.FORMATS`, `note` a few words beside it."""

    name: str
    value: Value
    kind: str
    note: str = ""


class FigureGroup(NamedTuple):
    """Numbers that belong together, such as all metrics of risk."""

    title: str
    figures: tuple[Figure, ...]


class Column(NamedTuple):
    """A column of a table: its heading, how its values are shown, and what it means."""

    name: str
    kind: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values under columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} values, the table has {len(self.columns)} columns")


@dataclass(frozen=True, slots=True)
class Curve:
    """The account, bar by bar.

    Attributes:
        times: datetime64[s][T].
        equity: float64[T], money; benchmark: the same capital in the benchmark, NaN where unknown.
        gross_exposure, net_exposure, turnover: float64[T], over equity.
        cost: float64[T], money.
    """

    times: TimeArray
    equity: FloatArray
    benchmark: FloatArray | None = None
    benchmark_name: str = "benchmark"
    gross_exposure: FloatArray | None = None
    net_exposure: FloatArray | None = None
    turnover: FloatArray | None = None
    cost: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("equity", "benchmark", "gross_exposure", "net_exposure", "turnover", "cost"):
            column = getattr(self, name)
            if column is not None and column.shape != self.times.shape:
                raise ValueError(f"{name} has shape {column.shape}, times {self.times.shape}")


@dataclass(frozen=True, slots=True)
class SessionCurve:
    """The account, session by session: what statistics are made of.

    Attributes:
        dates: datetime64[D][S]; equity: float64[S + 1], the initial capital, then the money after each session.
    """

    dates: TimeArray
    equity: FloatArray

    def __post_init__(self) -> None:
        if len(self.equity) != len(self.dates) + 1:
            raise ValueError(f"{len(self.dates)} sessions need {len(self.dates) + 1} points, not {len(self.equity)}")


@dataclass(frozen=True, slots=True)
class TradeColumns:
    """Closed round trips as columns of length M, in order of exits.

    Attributes:
        symbols: names; symbol: int64[M], which of them.
        quantity: float64[M], signed: a short is negative.
        entry_time, exit_time: datetime64[s][M]; entry_price, exit_price: float64[M].
        pnl: float64[M], money after costs; returns: float64[M], pnl over the entry value; cost: float64[M].
        bars: int64[M], bars held; reason: M texts, why it was closed.
    """

    symbols: tuple[str, ...]
    symbol: IntArray
    quantity: FloatArray
    entry_time: TimeArray
    entry_price: FloatArray
    exit_time: TimeArray
    exit_price: FloatArray
    pnl: FloatArray
    returns: FloatArray
    cost: FloatArray
    bars: IntArray
    reason: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pnl)


class Marker(NamedTuple):
    """A fill on the price chart; `kind` is long_entry, long_exit, short_entry or short_exit, `bar` its row."""

    bar: int
    price: float
    quantity: float
    kind: str


class PriceSeries(NamedTuple):
    """The bars of one symbol (float64[T], NaN where it has none) and what was filled on them."""

    symbol: str
    times: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    markers: tuple[Marker, ...] = ()


class Interval(NamedTuple):
    """An estimate and the interval a bootstrap gives for it; `level` 0.95 = 95 %."""

    name: str
    estimate: float
    low: float
    high: float
    level: float
    kind: str


class SourceFile(NamedTuple):
    """Where bars came from: the file, its fingerprint, and what it holds."""

    symbol: str
    file: str
    sha256: str
    rows: int
    first: str
    last: str


class Finding(NamedTuple):
    """What the data checker saw; `severity` is error, warning or info."""

    severity: str
    symbol: str
    where: str
    text: str


class Causality(NamedTuple):
    """Whether the strategy was seen to read the future; None = it was not tested."""

    passed: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found.

    Attributes:
        x_name, y_name: the two parameters of the heatmap; x_values, y_values: as text, X and Y of them.
        values: float64[Y, X], the measure, NaN where a combination was not run; None without a heatmap.
        measure: its name; kind: how it is shown.
        top: the best rows; trials: combinations tried; note: what else must be said (deflated Sharpe).
    """

    measure: str
    kind: str
    trials: int
    top: Table
    x_name: str = ""
    x_values: tuple[str, ...] = ()
    y_name: str = ""
    y_values: tuple[str, ...] = ()
    values: FloatArray | None = None
    note: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.y_values), len(self.x_values))
        if self.values is not None and self.values.shape != shape:
            raise ValueError(f"values have shape {self.values.shape}, expected {shape}")


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything a report shows.

    Attributes:
        mode: backtest, paper or live; live is unmistakable on the page.
        strategy: its name; symbols: what it may trade; bar_size: IBKR's words; currency: of all money.
        created: when the report was made, as text; the renderer reads no clock.
        version, command: of the program, and the line that repeats the run.
        curve, sessions: the account; key_figures: the tiles at the top (six to eight).
        metrics, intervals: statistics, interval_note: how the intervals were made.
        symbol_table, trades, prices: what was traded; costs: parts of the costs, money, last a figure named Total.
        parameters: of the strategy and the run; conventions: (topic, sentence).
        sources, findings, causality: what the figures rest on; sweep: when parameters were searched.
    """

    mode: str
    strategy: str
    symbols: tuple[str, ...]
    bar_size: str
    created: str
    version: str
    curve: Curve
    sessions: SessionCurve
    currency: str = "USD"
    command: str = ""
    key_figures: tuple[Figure, ...] = ()
    metrics: tuple[FigureGroup, ...] = ()
    intervals: tuple[Interval, ...] = ()
    symbol_table: Table | None = None
    trades: TradeColumns | None = None
    prices: tuple[PriceSeries, ...] = ()
    costs: tuple[Figure, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    conventions: tuple[tuple[str, str], ...] = ()
    sources: tuple[SourceFile, ...] = ()
    findings: tuple[Finding, ...] = ()
    causality: Causality | None = None
    sweep: Sweep | None = None
    interval_note: str = ""

    def __post_init__(self) -> None:
        if self.mode not in ("backtest", "paper", "live"):
            raise ValueError(f"mode = {self.mode!r} is not one of backtest, paper, live")
