"""Bars and a strategy in, a backtest result out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum

import numpy as np

from quant_trading.backtesting import kernel
from quant_trading.backtesting.results import BacktestResult, Conventions
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.errors import ConfigError, DataGap
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import EXCHANGE_ZONE
from quant_trading.strategy.base import Strategy, registered_names, strategy_type

__all__ = ["Accounting", "BacktestSettings", "FillConvention", "run_backtest"]

_TOLERANCE = 1e-9
_EPOCH = date(1970, 1, 1).toordinal()


class FillConvention(Enum):
    """Where an order decided on the close of bar t is filled."""

    NEXT_OPEN = "next_open"
    SAME_CLOSE = "same_close"
    NEXT_CLOSE = "next_close"


class Accounting(Enum):
    """What the account holds: shares, as the desk does, or fixed weights, as in the textbook."""

    SHARES = "shares"
    WEIGHTS = "weights"


_KERNEL_FILL = {
    FillConvention.NEXT_OPEN: kernel.NEXT_OPEN,
    FillConvention.SAME_CLOSE: kernel.SAME_CLOSE,
    FillConvention.NEXT_CLOSE: kernel.NEXT_CLOSE,
}


@dataclass(frozen=True, slots=True)
class BacktestSettings:
    """The conventions of a run.

    Attributes:
        initial_capital: money, above 0.
        cost_bps: of the traded value, 5.0 = 0.05 %.
        commission_per_trade: money per filled order.
        fill: where orders are filled.
        accounting: what is held between bars.
        whole_shares: round quantities half to even, as the desk does; shares accounting only.
        close_last: sell everything at the last close instead of marking it.
    """

    initial_capital: float = 1_000_000.0
    cost_bps: float = 5.0
    commission_per_trade: float = 0.0
    fill: FillConvention = FillConvention.NEXT_OPEN
    accounting: Accounting = Accounting.SHARES
    whole_shares: bool = True
    close_last: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.initial_capital) and self.initial_capital > 0.0):
            raise ConfigError(f"initial_capital = {self.initial_capital} is not above 0; write 1000000 for a million")
        if not 0.0 <= self.cost_bps < 10_000.0:
            raise ConfigError(f"cost_bps = {self.cost_bps} is not within [0, 10000); write 5 for 0.05 %")
        if not (math.isfinite(self.commission_per_trade) and self.commission_per_trade >= 0.0):
            raise ConfigError(
                f"commission_per_trade = {self.commission_per_trade} is not 0 or more; write 1 for 1.00 per order"
            )


def run_backtest(
    panel: BarPanel,
    strategy: Strategy,
    limits: Limits,
    settings: BacktestSettings,
    first_bar: int = 0,
    strategy_name: str = "",
) -> BacktestResult:
    """Return what `strategy` would have earned on `panel`.

    Args:
        panel: bars; those before `first_bar` only feed the strategy.
        strategy: evaluated once on the whole panel.
        limits: what no target may exceed, as the desk's risk checks hold it.
        settings: the conventions.
        first_bar: 0-based bar of the first decision and of the first row of the result.
        strategy_name: for the file and the messages; empty = the name its class is registered under.

    Raises:
        DataGap: when there are too few bars or a price is not above 0.
        ConfigError: when a target exceeds `limits` or is no number.
    """
    name = strategy_name or _name_of(strategy)
    _check_bars(name, panel, strategy.warmup, first_bar)
    signal = strategy.signal(panel)
    target = strategy.target(signal, limits)
    for what, array in (("signal", signal), ("target", target)):
        if array.shape != panel.close.shape:
            raise ConfigError(
                f"strategy {name}: {what} has shape {array.shape}, the bars {panel.close.shape}; return one "
                "row per bar and one column per symbol"
            )
    traded = panel.rows(first_bar, len(panel))
    signal, target = signal[first_bar:], target[first_bar:]
    dates = tuple(_labels(traded))
    _check_targets(name, target, traded.symbols, dates, limits)
    terms = kernel.Terms(
        fill=_KERNEL_FILL[settings.fill],
        initial_capital=settings.initial_capital,
        cost_rate=settings.cost_bps / 1e4,
        commission=settings.commission_per_trade,
        whole_shares=settings.whole_shares,
        close_last=settings.close_last,
    )
    account = kernel.account_shares if settings.accounting is Accounting.SHARES else kernel.account_weights
    return BacktestResult(
        symbols=traded.symbols,
        dates=dates,
        sessions=np.array([date.fromisoformat(label[:10]).toordinal() - _EPOCH for label in dates], dtype=np.int64),
        start_ns=traded.start_ns,
        signal=signal,
        target=target,
        ledger=account(traded.open, traded.close, target, terms),
        conventions=_conventions(name, strategy, settings, panel.bar_size),
    )


def _name_of(strategy: Strategy) -> str:
    """Return the name under which the strategy's class is registered, else the class's own."""
    for name in registered_names():
        if strategy_type(name) is type(strategy):
            return name
    return type(strategy).__name__


def _conventions(name: str, strategy: Strategy, settings: BacktestSettings, bar_size: str) -> Conventions:
    names: list[str] = [item.name for item in fields(strategy)] if is_dataclass(strategy) else []
    return Conventions(
        strategy=name,
        parameters={item: str(getattr(strategy, item)) for item in names},
        fill=settings.fill.value,
        accounting=settings.accounting.value,
        initial_capital=settings.initial_capital,
        cost_bps=settings.cost_bps,
        commission_per_trade=settings.commission_per_trade,
        whole_shares=settings.whole_shares,
        close_last=settings.close_last,
        bar_size=bar_size,
    )


def _check_bars(name: str, panel: BarPanel, warmup: int, first_bar: int) -> None:
    if len(panel) == 0 or not panel.symbols:
        raise DataGap(f"backtest of {name}: there are no bars; check the symbols and ask for a longer duration")
    if len(panel) < warmup:
        raise DataGap(
            f"backtest of {name}: {len(panel)} bars are fewer than the {warmup} it needs to warm up; "
            "ask for a longer duration"
        )
    if not 0 <= first_bar < len(panel):
        raise DataGap(
            f"backtest of {name}: it starts at bar {first_bar} but there are {len(panel)} bars; ask for a longer "
            "duration"
        )
    for column, prices in (("open", panel.open), ("close", panel.close)):
        bad = ~(np.isnan(prices) | (np.isfinite(prices) & (prices > 0.0)))
        if bad.any():
            t, j = np.argwhere(bad)[0].tolist()
            label = next(_labels(panel.rows(t, t + 1)))
            raise DataGap(
                f"{panel.symbols[j]} {label}: {column} = {prices[t, j]} is not a price above 0; mend the bar or "
                "leave the symbol out"
            )


def _check_targets(
    name: str, target: FloatArray, symbols: tuple[str, ...], dates: tuple[str, ...], limits: Limits
) -> None:
    """Refuse what the desk would refuse: what was tested must be what trades."""
    size = np.abs(target)
    bad = ~(size <= limits.max_position_pct + _TOLERANCE)
    if bad.any():
        t, j = np.argwhere(bad)[0].tolist()
        value = float(target[t, j])
        if math.isnan(value):
            raise ConfigError(f"strategy {name}: target of {symbols[j]} on {dates[t]} is NaN; return 0 for no position")
        raise ConfigError(
            f"strategy {name}: target of {symbols[j]} on {dates[t]} is {value:.6g}, beyond risk.max_position_pct = "
            f"{limits.max_position_pct:g}; lower the weight or raise the limit, for the desk would deny the order"
        )
    gross = size.sum(axis=1)
    over = gross > limits.max_gross_exposure + _TOLERANCE
    if over.any():
        t = int(np.argmax(over))
        largest = symbols[int(np.argmax(size[t]))]
        raise ConfigError(
            f"strategy {name}: targets on {dates[t]} add up to {gross[t]:.6g} (largest: {largest}), beyond "
            f"risk.max_gross_exposure = {limits.max_gross_exposure:g}; lower the weights or raise the limit, for the "
            "desk would deny the orders"
        )


def _labels(panel: BarPanel) -> Iterator[str]:
    """Yield each bar's exchange date, or for intraday bars its start in exchange time with the offset."""
    intraday = parse_bar_size(panel.bar_size).is_intraday
    for start in panel.start_ns.tolist():
        local = datetime.fromtimestamp(start // 1_000_000_000, UTC).astimezone(EXCHANGE_ZONE)
        yield local.isoformat() if intraday else local.date().isoformat()
