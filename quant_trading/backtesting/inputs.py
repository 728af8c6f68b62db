"""The bars of a run: which symbols, from which files, over which sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from quant_trading.data.store import SourceFile, available, load_panel, provenance
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarPanel
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.settings.universe import DEFAULT_UNIVERSE

__all__ = ["DEFAULT_SYMBOLS", "Inputs", "read_inputs", "sample_start"]

# The default list: the desk's universe and the symbol that the downloader's example fetches.
DEFAULT_SYMBOLS = (*DEFAULT_UNIVERSE, "SMR")
_DEFAULT_YEARS = 2
_EPOCH_DAY = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run starts from.

    Attributes:
        panel: all bars up to the end of the sample; those before `first_bar` only feed the strategy.
        first_bar: 0-based, the first bar that may trade.
        sources: the files, with their hashes.
        problems: one line for each symbol that could not be used.
        note: what else is to be said of the choice of symbols; may be empty.
    """

    panel: BarPanel
    first_bar: int
    sources: tuple[SourceFile, ...]
    problems: tuple[str, ...]
    note: str = ""


def read_inputs(
    data_dir: Path,
    symbols: Sequence[str] | None,
    bar_size: str,
    *,
    start: date | None,
    end: date | None,
    whole: bool = False,
    read_size: str | None = None,
    convert: Callable[[BarPanel], BarPanel] | None = None,
) -> Inputs:
    """Return the bars of a run; a symbol whose file is unsound is told and left out.

    Args:
        data_dir: folder of bar files or one long file.
        symbols: None takes those of `DEFAULT_SYMBOLS` that are there, and all there are when none is.
        bar_size: of the run; IBKR's words or a timeframe.
        start, end: exchange dates, both included; without `start` the sample is the latest two years.
        whole: True takes all there is.
        read_size, convert: bars of another size are read and turned into bars of `bar_size`.

    Raises:
        ConfigError, DataGap, UsageError: as `load_panel`, when nothing can be run.
    """
    stored = read_size or bar_size
    chosen = list(symbols) if symbols is not None else _default_symbols(data_dir, stored)
    problems: dict[str, str] = {}
    notes = ""

    def note(symbol: str, error: DataGap) -> None:
        problems[symbol] = str(error)

    # One symbol alone fails with its own error; several go on without the unsound ones.
    panel = load_panel(data_dir, chosen, stored, end=end, on_error=note if len(chosen) > 1 else None)
    if convert is not None:
        panel = convert(panel)
    if not len(panel):
        raise DataGap(f"{data_dir}: no bars of {', '.join(chosen)} up to {end}; widen the sample")
    first = None if whole else start or sample_start(panel)
    first_bar = 0
    if first is not None:
        first_bar = int(np.searchsorted(panel.sessions, first.toordinal() - _EPOCH_DAY))
    if first_bar == len(panel):
        raise DataGap(f"{data_dir}: the last bar is of {_last_day(panel)}, before --start {first}; widen the sample")
    panel = _without_the_absent(panel, first_bar, problems)
    if symbols is None:
        lacking = [symbol for symbol in DEFAULT_SYMBOLS if symbol not in panel.symbols and symbol not in problems]
        if lacking and panel.symbols[0] in DEFAULT_SYMBOLS:
            notes = f"of the default list there are no bars of {', '.join(lacking)}"
    used = [symbol for symbol in chosen if symbol in panel.symbols]
    return Inputs(panel, first_bar, provenance(data_dir, used, stored), tuple(problems.values()), notes)


def _without_the_absent(panel: BarPanel, first_bar: int, problems: dict[str, str]) -> BarPanel:
    """Return the panel without symbols that have no bar in the sample; each is a problem.

    Raises:
        DataGap: when none has one.
    """
    there = np.atleast_1d(~np.isnan(panel.close[first_bar:]).all(axis=0))
    if there.all():
        return panel
    for j in np.flatnonzero(~there).tolist():
        problems[panel.symbols[j]] = f"{panel.symbols[j]}: no bar in the sample; widen it with --start or --all"
    if not there.any():
        raise DataGap(next(iter(problems.values())))
    columns = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    kept = tuple(symbol for symbol, has in zip(panel.symbols, there.tolist(), strict=True) if has)
    opened, high, low, close, volume = (column[:, there] for column in columns)
    return BarPanel(kept, panel.bar_size, panel.start_ns, panel.end_ns, opened, high, low, close, volume)


def sample_start(panel: BarPanel) -> date:
    """Return the day two years before the last bar; the 28th of February for the 29th."""
    last = _last_day(panel)
    try:
        return last.replace(year=last.year - _DEFAULT_YEARS)
    except ValueError:
        return last.replace(year=last.year - _DEFAULT_YEARS, day=28)


def _default_symbols(data_dir: Path, bar_size: str) -> list[str]:
    if not data_dir.exists():
        raise ConfigError(_nothing_there(f"data folder {data_dir} does not exist", bar_size))
    there = available(data_dir, bar_size)
    if not there:
        raise DataGap(_nothing_there(f"{data_dir} holds no bars of {parse_bar_size(bar_size).words}", bar_size))
    return [symbol for symbol in DEFAULT_SYMBOLS if symbol in there] or there


def _nothing_there(what: str, bar_size: str) -> str:
    size = parse_bar_size(bar_size)
    return (
        f"{what}; fetch some with `python -m quant_trading.tools.fetch_historical_data --symbols SMR --duration "
        f'"6 M" --bar-size "{size.words}"`, put files such as SMR_{size.timeframe}.csv there, or add --sample for '
        "made-up bars"
    )


def _last_day(panel: BarPanel) -> date:
    from quant_trading.refdata.sessions import exchange_date

    return exchange_date(int(panel.start_ns[-1]))
