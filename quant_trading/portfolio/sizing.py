"""From wished weights to whole-share orders: the one place where research floats become order decimals."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

import numpy as np

from quant_trading.domain.bars import FloatArray
from quant_trading.domain.orders import OrderIntent, Side
from quant_trading.domain.portfolio import Portfolio

__all__ = ["is_reducing", "limit_price", "order_ref", "plan_orders", "wished_quantity"]


def wished_quantity(equity: float, weight: float, price: float) -> int:
    """Return the whole shares that `weight` of `equity` buys at `price`, rounded half to even.

    Args:
        equity: net liquidation value in the currency of `price`.
        weight: share of equity, 0.2 = 20 %, negative = short.
        price: reference price per share, above 0.
    """
    return round(equity * weight / price)


def plan_orders(
    symbols: Sequence[str], targets: FloatArray, prices: FloatArray, signals: FloatArray, portfolio: Portfolio
) -> list[OrderIntent]:
    """Return the orders that move `portfolio` to `targets`: what makes a position smaller first, sells before buys.

    So the exposure falls before it rises, whichever side the positions are on. A symbol without a price
    gets no order. A held fraction of a share is left: the difference is cut toward zero to whole shares, so
    nothing is oversold.

    Args:
        symbols: N names; positions in other names are not touched.
        targets: float64[N], share of equity per symbol, 0.2 = 20 %.
        prices: float64[N], reference price per symbol, in the base currency; NaN = unknown.
        signals: float64[N], carried into the orders as their cause.
    """
    equity = float(portfolio.equity)
    intents: list[OrderIntent] = []
    for symbol, target, price, signal in zip(symbols, targets, prices, signals, strict=True):
        if not (np.isfinite(price) and price > 0.0):
            continue
        wished = wished_quantity(equity, float(target), float(price))
        change = (Decimal(wished) - portfolio.quantity(symbol)).to_integral_value(rounding=ROUND_DOWN)
        if change == 0:
            continue
        intents.append(
            OrderIntent(
                symbol=symbol,
                side=Side.BUY if change > 0 else Side.SELL,
                quantity=abs(change),
                reference_price=Decimal(repr(float(price))),
                target_weight=float(target),
                signal_value=float(signal),
            )
        )
    return sorted(intents, key=lambda intent: (not is_reducing(intent, portfolio), intent.side is Side.BUY))


def is_reducing(intent: OrderIntent, portfolio: Portfolio) -> bool:
    """Return True when the position is smaller, in absolute shares, after `intent` than it is in `portfolio`."""
    held = portfolio.quantity(intent.symbol)
    return abs(held + intent.side.sign * intent.quantity) < abs(held)


def limit_price(side: Side, reference_price: Decimal, offset_bps: float, tick_size: Decimal) -> Decimal:
    """Return `reference_price` moved by `offset_bps` toward the market (buys up, sells down), on the tick grid.

    The nearest tick is taken, half to even, and at least one tick.
    """
    moved = reference_price * (1 + side.sign * Decimal(str(offset_bps)) / 10_000)
    ticks = (moved / tick_size).to_integral_value(rounding=ROUND_HALF_EVEN)
    return max(ticks, Decimal(1)) * tick_size


def order_ref(strategy: str, session: str, slot: int, symbol: str, side: Side, attempt: int = 1) -> str:
    """Return the order's identity, e.g. "REVE-261120-01-AAPL-B-01"; ASCII, at most 32 characters.

    Args:
        strategy: its first four characters are used.
        session: exchange date of the plan, yymmdd.
        slot: number of the plan within the session, 1..99.
        symbol: at most 12 characters.
        attempt: 1..99; a new attempt only after the last is proven dead.
    """
    short = "".join(c for c in strategy if c.isalnum())[:4].upper()
    name = "".join(c if c.isascii() and (c.isalnum() or c in ".") else "." for c in symbol)[:12]
    return f"{short}-{session}-{slot:02d}-{name}-{side.value[0]}-{attempt:02d}"
