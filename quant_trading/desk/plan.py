"""From bars and holdings to the orders of one session: no clock, no file, no socket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.errors import PlanRefused
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.limits import Denied, Limits
from quant_trading.domain.orders import Order, OrderIntent, OrderType, Side
from quant_trading.domain.portfolio import Portfolio
from quant_trading.portfolio.sizing import limit_price, order_ref, plan_orders
from quant_trading.refdata.restart_windows import RestartSchedule
from quant_trading.refdata.sessions import Session, exchange_date, last_completed_session, next_session, session_on
from quant_trading.risk.checks import RiskView, review_orders
from quant_trading.strategy.base import Strategy

__all__ = [
    "DeskRules",
    "Plan",
    "check_bars",
    "history_duration",
    "make_plan",
    "plan_key",
    "refuse_near_restart",
    "risk_view",
    "trading_session",
]

_RESTART_GATE_SECONDS = 120.0  # clocks differ, and TWS warns before it closes
_STEP_NS = 120_000_000_000


@dataclass(frozen=True, slots=True)
class DeskRules:
    """What one run of the desk goes by.

    Attributes:
        strategy_name, strategy: what decides.
        universe: the symbols the desk may trade.
        limits: what risk holds every order against.
        order_type, limit_offset_bps: how orders are sent; the offset is toward the market.
        fill_timeout_seconds: how long to wait for fills after the last order was sent.
        keep_on_timeout: True leaves unfilled orders working, False cancels them.
        history_days: complete daily bars to decide on at least.
        cost_bps: expected cost of traded value, for the summary only.
        slot: number of the plan within the session, 1..99.
        open_wait_minutes: how long before the open orders may be sent; earlier than that there is no plan.
        owns_account: True lets the desk close positions outside `universe`.
        restarts: when TWS restarts by plan; None for never.
    """

    strategy_name: str
    strategy: Strategy
    universe: tuple[str, ...]
    limits: Limits
    order_type: OrderType = OrderType.MARKET
    limit_offset_bps: float = 10.0
    fill_timeout_seconds: float = 60.0
    keep_on_timeout: bool = False
    history_days: int = 20
    cost_bps: float = 5.0
    slot: int = 1
    open_wait_minutes: float = 30.0
    owns_account: bool = False
    restarts: RestartSchedule | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one session shall do, with its causes; journalled whole before the first order.

    Attributes:
        key: "account/strategy/session/slot", unique in the journal.
        session: exchange date on which the orders are to be filled.
        decided_on: exchange date of the daily bar that was decided on.
        portfolio: holdings at planning.
        symbols: N names; prices, signals, targets are float64[N] of the deciding bar.
        orders: allowed by risk, sells first.
        denied: refused by risk, with the reason.
        skipped: symbols without a usable last bar; their positions are left alone.
        foreign: held symbols outside the universe, reported and left alone.
    """

    key: str
    session: date
    decided_on: date
    portfolio: Portfolio
    symbols: tuple[str, ...]
    prices: FloatArray
    signals: FloatArray
    targets: FloatArray
    orders: tuple[Order, ...]
    intents: tuple[OrderIntent, ...]
    denied: tuple[tuple[OrderIntent, Denied], ...]
    skipped: tuple[str, ...]
    foreign: tuple[str, ...]


def trading_session(now_ns: int) -> Session:
    """Return the session in which an order sent at `now_ns` would be filled: today's until its close, else the next."""
    today = session_on(exchange_date(now_ns))
    return today if today is not None and now_ns < today.close_ns else next_session(now_ns)


def plan_key(account: str, strategy_name: str, session: date, slot: int) -> str:
    """Return the identity of a plan: a second plan with the same key is never made."""
    return f"{account}/{strategy_name}/{session.isoformat()}/{slot:02d}"


def history_duration(rules: DeskRules) -> str:
    """Return the IBKR duration that covers `history_days` and the strategy's warm-up."""
    bars = max(rules.history_days, rules.strategy.warmup) + 1  # today's running bar is among what TWS sends
    return f"{bars} D" if bars <= 365 else f"{bars // 250 + 1} Y"


def refuse_near_restart(rules: DeskRules, now_ns: int, wait_seconds: float) -> None:
    """Make sure that TWS does not restart while orders sent now wait for the open and for their fills.

    An order that TWS is sent in the second it closes is lost without a word (reported).

    Args:
        now_ns: UTC ns.
        wait_seconds: until the session opens.

    Raises:
        PlanRefused: when it does by the settings; nothing was sent.
    """
    if rules.restarts is None:
        return
    end_ns = now_ns + round((wait_seconds + rules.fill_timeout_seconds) * 1e9)
    for ns in (*range(now_ns, end_ns, _STEP_NS), end_ns):
        if rules.restarts.restarts_within(ns, _RESTART_GATE_SECONDS):
            raise PlanRefused(
                f"TWS restarts by plan while orders sent now would wait for their fills ({rules.restarts.words()}): "
                "run after it, or correct the restart section of the settings"
            )


def seconds_to_open(session: Session, now_ns: int, rules: DeskRules) -> float:
    """Return how long orders sent now wait for the opening auction, 0 in the session.

    Raises:
        PlanRefused: when that is longer than `open_wait_minutes`: the orders would be timed out before they could
            be filled, and the session's one plan would be spent.
    """
    seconds = max(0.0, (session.open_ns - now_ns) / 1e9)
    if seconds > rules.open_wait_minutes * 60.0:
        raise PlanRefused(
            f"the market opens for session {session.day} in {seconds / 3600:.1f} hours; run within "
            f"{rules.open_wait_minutes:g} minutes before the open or during the session, or raise "
            "live.open_wait_minutes"
        )
    return seconds


def check_bars(panel: BarPanel, now_ns: int, warmup: int) -> BarPanel:
    """Return the bars that are complete at `now_ns`, if they may be decided on.

    Raises:
        PlanRefused: when the newest is not the last completed session or there are fewer than `warmup`.
    """
    known = panel.known_at(now_ns)
    expected = last_completed_session(now_ns)
    newest = exchange_date(int(known.end_ns[-1])) if len(known) else None
    if newest != expected.day:
        raise PlanRefused(
            f"bars are stale: the newest daily bar is of {newest or 'no session'}, expected {expected.day} (the last "
            "completed session); check the data connection and run again"
        )
    if len(known) < warmup:
        raise PlanRefused(
            f"{len(known)} daily bars are fewer than the {warmup} the strategy needs; raise live.history_days"
        )
    return known


def make_plan(
    rules: DeskRules,
    panel: BarPanel,
    portfolio: Portfolio,
    instruments: Mapping[str, Instrument],
    session: date,
) -> Plan:
    """Return what to do in `session`: the last row of signal and target, sized, and reviewed by risk.

    Args:
        rules: what the run goes by.
        panel: complete daily bars, see `check_bars`.
        portfolio: holdings now.
        instruments: currency and tick size by symbol; a symbol that is not among them is skipped.
        session: exchange date of the fills.

    Raises:
        PlanRefused: when an instrument is priced in another currency than the account's equity.
    """
    _check_currency(portfolio, instruments)
    signal = rules.strategy.signal(panel)
    target = rules.strategy.target(signal, rules.limits)
    prices, signals, targets = panel.close[-1].copy(), signal[-1].copy(), target[-1].copy()
    symbols = panel.symbols
    prices[[symbol not in instruments for symbol in symbols]] = np.nan
    intents = plan_orders(symbols, targets, prices, signals, portfolio)
    foreign = tuple(sorted(set(portfolio.positions) - set(symbols)))
    if rules.owns_account:
        closing = _close_foreign([symbol for symbol in foreign if symbol in instruments], portfolio)
        intents = closing + intents
        foreign = tuple(symbol for symbol in foreign if symbol not in {intent.symbol for intent in closing})
    reviewed = review_orders(intents, risk_view(portfolio, symbols, prices), rules.limits)
    allowed = tuple(intent for intent, denied in reviewed if denied is None)
    return Plan(
        key=plan_key(portfolio.account, rules.strategy_name, session, rules.slot),
        session=session,
        decided_on=exchange_date(int(panel.end_ns[-1])),
        portfolio=portfolio,
        symbols=symbols,
        prices=prices,
        signals=signals,
        targets=targets,
        orders=tuple(_make_order(intent, rules, instruments, session) for intent in allowed),
        intents=allowed,
        denied=tuple((intent, denied) for intent, denied in reviewed if denied is not None),
        skipped=tuple(s for s, price in zip(symbols, prices, strict=True) if not np.isfinite(price)),
        foreign=foreign,
    )


def _check_currency(portfolio: Portfolio, instruments: Mapping[str, Instrument]) -> None:
    for symbol, instrument in instruments.items():
        if instrument.currency != portfolio.currency:
            raise PlanRefused(
                f"{symbol} is priced in {instrument.currency} and the account's equity is in {portfolio.currency}, so "
                "a share of equity has no size in it; trade an account of that currency or take the symbol out"
            )


def _make_order(intent: OrderIntent, rules: DeskRules, instruments: Mapping[str, Instrument], session: date) -> Order:
    limit = None
    if rules.order_type is OrderType.LIMIT:
        tick = instruments[intent.symbol].tick_size
        limit = limit_price(intent.side, intent.reference_price, rules.limit_offset_bps, tick)
    return Order(
        order_ref=order_ref(rules.strategy_name, f"{session:%y%m%d}", rules.slot, intent.symbol, intent.side),
        symbol=intent.symbol,
        side=intent.side,
        quantity=intent.quantity,
        order_type=rules.order_type,
        limit_price=limit,
        reference_price=intent.reference_price,
        signal_value=intent.signal_value,
    )


def _close_foreign(foreign: Sequence[str], portfolio: Portfolio) -> list[OrderIntent]:
    """Return the orders that close positions outside the universe; one without a mark cannot be valued and stays."""
    closing = []
    for symbol in foreign:
        position = portfolio.positions[symbol]
        quantity = abs(position.quantity) // 1
        if position.market_price is not None and quantity:
            side = Side.SELL if position.quantity > 0 else Side.BUY
            closing.append(OrderIntent(symbol, side, quantity, position.market_price, 0.0, 0.0))
    return closing


def risk_view(portfolio: Portfolio, symbols: Sequence[str], prices: FloatArray) -> RiskView:
    """Return what the risk checks see before the first order: reference prices first, the broker's marks else."""
    marks = {s: p.market_price for s, p in portfolio.positions.items() if p.market_price is not None}
    closes = {s: Decimal(repr(float(p))) for s, p in zip(symbols, prices, strict=True) if np.isfinite(p)}
    return RiskView(portfolio.equity, {s: p.quantity for s, p in portfolio.positions.items()}, {**marks, **closes})
