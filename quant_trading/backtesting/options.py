"""The command line of the backtest: what may be said, and what it means."""

import argparse
import math
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from quant_trading.domain.errors import UsageError

if TYPE_CHECKING:  # the settings import nothing heavy, but --help should not even wait for them
    from quant_trading.backtesting.settings import BacktestSettings

__all__ = ["Period", "parser_of", "period_of", "settings_of", "symbols_of"]

_EPILOG = """\
examples:
  the strategy of strategy.env over all default symbols, the latest two years:
      python -m quant_trading.backtesting.run_backtest --timeframe 5m --data-dir market_data
  no bars yet? make some of the simulator's market:
      ... --sample
  another strategy with another parameter, IBKR's commissions, a page to look at:
      ... --strategy MACD --param fast=8 --plan ibkr_fixed --report macd.html
  which parameters were best, and is that more than luck:
      ... --sweep fast=5:15 --sweep slow=20:40:2

exit codes: 0 done, 1 some symbols could not be used, 2 wrong use or configuration, 6 data missing,
7 the strategy reads the future, 130 interrupted"""


class Period(NamedTuple):
    """The sample: `start` and `end` are exchange dates, both included; None for `start` = the latest two years."""

    start: date | None
    end: date | None
    whole: bool


def parser_of() -> argparse.ArgumentParser:
    """Return the parser of `run_backtest`."""
    parser = argparse.ArgumentParser(
        prog="python -m quant_trading.backtesting.run_backtest",
        description="Backtest a strategy over local bar files.",
        epilog=_EPILOG,
        formatter_class=_of_any_width,
        allow_abbrev=False,
    )
    add = parser.add_argument
    # fmt: off
    add("--timeframe", default="5m", metavar="T", help="1m, 3m, 5m, 10m, 15m, 30m, 1h, 1d (default: %(default)s)")
    add("--data-dir", default="market_data", metavar="DIR", help="bar files, or one long file (default: %(default)s)")
    add("--symbols", nargs="+", metavar="A,B", help="default: the default list, as far as DIR has it, else all of DIR")
    add("--strategy", metavar="NAME", help="default: ACTIVE_STRATEGY of strategy.env")
    add("--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter of the strategy; repeatable")
    add("--start", metavar="YYYY-MM-DD", help="first session (default: two years before the last bar)")
    add("--end", metavar="YYYY-MM-DD", help="last session (default: the last there is)")
    add("--all", action="store_true", dest="whole", help="all there is instead of the latest two years")
    add("--resample-from", metavar="T", help="build the bars from files of this timeframe, such as 1m")
    add("--sample", action="store_true", help="first fill DIR with made-up bars of the simulator's market")
    add("--actions", metavar="FILE", help="splits and dividends: CSV with symbol, ex_date, kind, value")
    add("--benchmark", metavar="SYMBOL", help="compare with holding this symbol of DIR")
    _add_account(parser)
    _add_outputs(parser)
    # fmt: on
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def _of_any_width(prog: str) -> argparse.HelpFormatter:
    """Return what checks the words of an option: only help asks for the width of the screen, by importing archives."""
    return argparse.HelpFormatter(prog, width=80)


def _add_account(parser: argparse.ArgumentParser) -> None:
    size = parser.add_argument_group("size")
    # fmt: off
    size.add_argument("--capital", default=1_000_000.0, type=_number, metavar="X",
                      help="initial capital (default: 1000000)")
    size.add_argument("--sizing", choices=("targets", "shares", "fraction", "volatility"),
                      help="the strategy's weights, or the sign of its signal times a size (default: the strategy's)")
    size.add_argument("--shares", default=100.0, type=_number, metavar="N", help="per symbol (default: 100)")
    size.add_argument("--fraction", default=0.2, type=_number, metavar="X", help="of equity (default: 0.2)")
    size.add_argument("--vol-target", default=0.1, type=_number, metavar="X", help="a year (default: 0.1)")
    size.add_argument("--vol-window", default=20, type=_whole(2), metavar="N", help="returns measured (default: 20)")
    size.add_argument("--max-position", default=0.2, type=_number, metavar="X",
                      help="largest weight of a symbol (default: 0.2)")
    size.add_argument("--max-gross", default=1.0, type=_number, metavar="X",
                      help="largest sum of weights (default: 1)")
    size.add_argument("--rounding", choices=("half_even", "down", "none"), default="half_even")
    size.add_argument("--size-at", choices=("close", "fill"), default="close", help="price that sizes an order")
    size.add_argument("--rebalance", choices=("always", "on_change"), help="when orders are decided")
    size.add_argument("--accounting", choices=("shares", "weights"), default="shares")
    fills = parser.add_argument_group("fills and costs")
    fills.add_argument("--fill", choices=("next_open", "same_close", "next_close"), default="next_open")
    fills.add_argument("--commission", default=0.0, type=_number, metavar="X", help="money per order (default: 0)")
    fills.add_argument("--cost-bps", default=5.0, type=_number, metavar="X", help="of traded value (default: 5)")
    fills.add_argument("--plan", choices=("none", "ibkr_fixed", "ibkr_tiered"), default="none",
                       help="IBKR's commissions by date")
    fills.add_argument("--regulatory-fees", action="store_true", help="SEC and FINRA fees on sales")
    fills.add_argument("--reversal", choices=("one", "two"), default="one", help="orders a reversal is charged as")
    fills.add_argument("--slippage-bps", default=0.0, type=_number, metavar="X")
    fills.add_argument("--slippage-ticks", default=0.0, type=_number, metavar="X")
    fills.add_argument("--tick-size", default=0.01, type=_number, metavar="X")
    fills.add_argument("--max-volume", default=0.0, type=_number, metavar="X",
                       help="most of a bar's volume, 0.1 = 10 %% (default: 0, no limit)")
    fills.add_argument("--margin", choices=("none", "cash", "margin"), default="none")
    fills.add_argument("--leverage", default=2.0, type=_number, metavar="X", help="of --margin margin (default: 2)")
    fills.add_argument("--maintenance", default=0.25, type=_number, metavar="X", help="of --margin margin")
    fills.add_argument("--borrow-rate", default=0.0, type=_number, metavar="X", help="a year, paid by shorts")
    fills.add_argument("--delisting", choices=("keep", "close"), default="keep")
    fills.add_argument("--close-last", choices=("leave", "close", "open"), default="leave")
    exits = parser.add_argument_group("exits")
    exits.add_argument("--stop-loss", type=_number, metavar="X", help="0.03 = 3 %% from the entry")
    exits.add_argument("--take-profit", type=_number, metavar="X")
    exits.add_argument("--trailing-stop", type=_number, metavar="X")
    exits.add_argument("--time-exit", type=_whole(1), metavar="BARS")
    # fmt: on


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    # fmt: off
    out = parser.add_argument_group("outputs")
    out.add_argument("--cache-dir", default="backtest_results", metavar="DIR",
                     help="where the result files go, by timeframe (default: %(default)s)")
    out.add_argument("--no-cache", action="store_true", help="write no result files")
    out.add_argument("--report", metavar="FILE", help="also a page of charts and tables, one HTML file")
    out.add_argument("--out", metavar="FILE", help="also the equity, bar by bar, as CSV")
    out.add_argument("--blotter", type=_whole(0), default=20, metavar="N", help="trades to list, 0 = all (default: 20)")
    out.add_argument("--sharpe", choices=("daily", "bar"), default="daily", help="returns the ratios are made of")
    out.add_argument("--seed", type=_whole(0), default=0, help="of the random cuts of the causality test (default: 0)")
    out.add_argument("--no-causality", action="store_true", help="leave out the test that no bar reads the future")
    out.add_argument("--trade-jumps", action="store_true",
                     help="trade on through jumps that look like splits or spin-offs")
    search = parser.add_argument_group("search")
    search.add_argument("--sweep", metavar="NAME=A:B", action="append", default=[],
                        help="try each value: 5:15, 5:15:2 or 5,8,13; repeatable")
    search.add_argument("--walk-forward", metavar="TRAIN:TEST",
                        help="sessions: choose parameters on TRAIN, trade them on the TEST after it, move on")
    search.add_argument("--anchored", action="store_true", help="each training begins at the first session")
    search.add_argument("--purge", type=_whole(0), metavar="BARS",
                        help="bars before each test that are not trained on (default: one session's)")
    search.add_argument("--objective", default="sharpe", metavar="METRIC",
                        help="what is best in a sweep (default: sharpe)")
    search.add_argument("--workers", type=_whole(1), metavar="N", help="default: one per core")
    # fmt: on


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _whole(least: int) -> Callable[[str], int]:
    """Return the reader of a whole number of at least `least`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return value

    return read


def symbols_of(options: argparse.Namespace) -> list[str] | None:
    """Return the symbols that were named, in order; None when none were.

    Raises:
        UsageError: when one is named twice, or nothing is left.
    """
    if options.symbols is None:
        return None
    names = [name.strip().upper() for part in options.symbols for name in part.split(",") if name.strip()]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise UsageError(f"--symbols names {twice} twice; name it once")
    if not names:
        raise UsageError("--symbols names none; write --symbols AAPL,MSFT")
    return names


def period_of(options: argparse.Namespace) -> Period:
    """Return the sample that was asked for.

    Raises:
        UsageError: for a date that is none, or an end before the start.
    """
    start, end = (_day(name, getattr(options, name)) for name in ("start", "end"))
    if start is not None and end is not None and end < start:
        raise UsageError(f"--end {end} is before --start {start}; swap them")
    if options.whole and start is not None:
        raise UsageError("--all takes everything and --start a part; leave one out")
    return Period(start, end, options.whole)


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--{name} {text} is not a date; write 2024-01-31") from None


def settings_of(options: argparse.Namespace, default_sizing: str) -> "BacktestSettings":
    """Return the conventions of the run.

    Args:
        default_sizing: the strategy's own, where none was named.

    Raises:
        ConfigError: for a value out of its range, by name.
    """
    from quant_trading.backtesting import settings as s

    return s.BacktestSettings(
        initial_capital=options.capital,
        cost_bps=options.cost_bps,
        commission_per_trade=options.commission,
        fill=s.FillConvention(options.fill),
        accounting=s.Accounting(options.accounting),
        sizing=s.Sizing(options.sizing or default_sizing),
        shares=options.shares,
        fraction=options.fraction,
        vol_target=options.vol_target,
        vol_window=options.vol_window,
        rebalance=None if options.rebalance is None else s.Rebalance(options.rebalance),
        size_at=s.SizeAt(options.size_at),
        rounding=s.Rounding(options.rounding),
        plan=s.CommissionPlan(options.plan),
        regulatory_fees=options.regulatory_fees,
        reversal=s.ReversalOrders(options.reversal),
        slippage_bps=options.slippage_bps,
        slippage_ticks=options.slippage_ticks,
        tick_size=options.tick_size,
        margin=s.MarginRule(options.margin),
        leverage=options.leverage,
        maintenance=options.maintenance,
        max_volume_fraction=options.max_volume,
        borrow_rate=options.borrow_rate,
        exits=_exits(options),
        delisting=s.Delisting(options.delisting),
        close_last=s.CloseLast(options.close_last),
        sharpe=s.SharpeConvention(options.sharpe),
    )


def _exits(options: argparse.Namespace) -> tuple[Any, ...]:
    from quant_trading.domain.exits import StopLoss, TakeProfit, TimeExit, TrailingStop

    kinds: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("stop_loss", StopLoss), ("take_profit", TakeProfit), ("trailing_stop", TrailingStop), ("time_exit", TimeExit),
    )  # fmt: skip
    found = []
    for name, kind in kinds:
        value = getattr(options, name)
        if value is None:
            continue
        try:
            found.append(kind(value))
        except ValueError as error:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: {error}") from None
    return tuple(found)
