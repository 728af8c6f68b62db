"""The words a run of the desk says on the console and in the log."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from quant_trading.desk.execution import Outcome
from quant_trading.desk.plan import Plan
from quant_trading.domain.orders import OrderStatus
from quant_trading.domain.portfolio import Portfolio

__all__ = ["plan_lines", "portfolio_lines", "result_lines"]


def plan_lines(plan: Plan, cost_bps: float, dry_run: bool) -> list[str]:
    """Return what the plan holds: longs, orders, refusals, and what was left alone."""
    longs = [s for s, t in zip(plan.symbols, plan.targets, strict=True) if t > 0]
    shorts = [s for s, t in zip(plan.symbols, plan.targets, strict=True) if t < 0]
    traded = sum((o.quantity * o.reference_price for o in plan.orders), Decimal(0))
    lines = [
        f"Plan for session {plan.session}, decided on the close of {plan.decided_on}"
        + (" (dry run: nothing is sent)" if dry_run else ""),
        f"  targets: {len(longs)} long{_names(longs)}, {len(shorts)} short{_names(shorts)}, "
        f"gross {float(np.abs(plan.targets).sum()):.1%} of equity {plan.portfolio.equity:,.2f}",
        f"  orders: {len(plan.orders)}, value {traded:,.2f}, expected cost {float(traded) * cost_bps / 1e4:,.2f} "
        f"at {cost_bps:g} bps",
    ]
    if plan.orders:
        lines.append(f"  {'side':<5}{'quantity':>9}  {'symbol':<8}{'reference':>12}{'limit':>12}{'signal':>9}")
    for order in plan.orders:
        limit = "" if order.limit_price is None else f"{order.limit_price:,.2f}"
        lines.append(
            f"  {order.side.value:<5}{order.quantity:>9}  {order.symbol:<8}{order.reference_price:>12,.2f}"
            f"{limit:>12}{order.signal_value:>9.4g}"
        )
    lines += [f"  denied by {d.rule}: {d.reason}" for _, d in plan.denied]
    if plan.skipped:
        lines.append(f"  skipped, no usable bar:{_names(plan.skipped)}")
    if plan.foreign:
        lines.append(f"  held outside the universe, left alone:{_names(plan.foreign)}")
    return lines


def result_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what became of each order, and the sums."""
    lines = []
    for outcome in outcomes:
        state = outcome.state
        price = "" if state.average_price is None else f" at {state.average_price:,.4f}"
        reason = " ".join(state.reason.split())  # TWS writes some of its remarks over several lines
        why = f" ({reason})" if reason and state.status is not OrderStatus.FILLED else ""
        lines.append(
            f"  {state.status.value:<14} {state.order.side.value:<4} {state.filled}/{state.order.quantity} "
            f"{state.order.symbol}{price}{why}"
        )
    filled = sum(o.state.status is OrderStatus.FILLED for o in outcomes)
    commission = sum((o.commission for o in outcomes), Decimal(0))
    return [f"Orders: {filled} of {len(outcomes)} filled, commissions {commission:,.2f}", *lines]


def portfolio_lines(portfolio: Portfolio, daily_pnl: Decimal | None, running_pnl: Decimal | None) -> list[str]:
    """Return the account after the run and, from the second run on, the running profit."""
    lines = [
        f"Account after the run: equity {portfolio.equity:,.2f} {portfolio.currency}, cash {portfolio.cash:,.2f}, "
        f"{len(portfolio.positions)} positions"
    ]
    if daily_pnl is not None and running_pnl is not None:
        lines.append(f"Running P&L: {daily_pnl:+,.2f} since the previous run, {running_pnl:+,.2f} since the first")
    return lines


def _names(symbols: Sequence[str]) -> str:
    return f" {', '.join(symbols)}" if symbols else ""
