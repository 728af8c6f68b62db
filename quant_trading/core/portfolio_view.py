"""What an account holds, as a person or a program reads it: the words and the JSON of the portfolio tracker.

The amounts are TWS's own and stay in their currencies: nothing is converted, so nothing depends on a rate.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from quant_trading.core.account_guard import is_paper_account

if TYPE_CHECKING:
    from ib_async import AccountValue, PortfolioItem
    from ib_async import Position as IbPosition

__all__ = ["JSON_VERSION", "AccountView", "HeldPosition", "Holding", "account_view", "as_json", "summary_lines"]

# Raised when a name or a meaning of the JSON changes; new names alone do not raise it.
JSON_VERSION = 1

_WIDE, _NARROW = "=" * 60, "-" * 30
_UNITS = {"STK": "shares", "CASH": "units", "CRYPTO": "units", "FUND": "units"}


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """One line of TWS's positions.

    Attributes:
        symbol: the ticker, or for what is no stock its full name, "AAPL:OPT:20261120C150".
        currency: of the instrument.
        sec_type, con_id: IBKR's.
        quantity: signed.
        average_cost: per unit, in `currency`; None while TWS has not sent it.
    """

    symbol: str
    currency: str
    sec_type: str
    con_id: int
    quantity: Decimal
    average_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Holding:
    """One line of TWS's portfolio; names as in `HeldPosition`, amounts in `currency`, None where TWS sent none."""

    symbol: str
    currency: str
    sec_type: str
    con_id: int
    quantity: Decimal
    market_price: Decimal | None
    market_value: Decimal | None
    unrealized_pnl: Decimal | None


_Line = TypeVar("_Line", HeldPosition, Holding)


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account at one moment; equal when nothing a person can see has changed.

    Attributes:
        account: IBKR's id.
        cash: cash balance by currency, in TWS's order.
        positions, holdings: by symbol.
    """

    account: str
    cash: tuple[tuple[str, Decimal], ...]
    positions: tuple[HeldPosition, ...]
    holdings: tuple[Holding, ...]

    @property
    def market_value(self) -> dict[str, Decimal]:
        """Return the sum of the holdings' values by currency; a holding without a value is left out."""
        sums: dict[str, Decimal] = {}
        for line in self.holdings:
            if line.market_value is not None:
                sums[line.currency] = sums.get(line.currency, Decimal(0)) + line.market_value
        return sums


def account_view(
    account: str,
    values: "Iterable[AccountValue]",
    positions: "Iterable[IbPosition]",
    portfolio: "Iterable[PortfolioItem]",
) -> AccountView:
    """Return `account` as TWS's messages show it; rows of other accounts and in the made-up currency BASE are left out.

    Args:
        values, positions, portfolio: what the client library keeps of TWS's messages.
    """
    # Imported here: the words of the tracker can be had without the client library.
    from quant_trading.core.ibkr_mapping import number, our_symbol, price, quantity
    from quant_trading.core.ibkr_positions import foreign_key, held_lines

    def name_of(contract: Any) -> str:
        return our_symbol(contract.symbol) if contract.secType == "STK" else foreign_key(contract)

    cash = [
        (row.currency, amount)
        for row in values
        if row.account == account and row.tag == "CashBalance" and row.currency not in ("", "BASE")
        if (amount := number(row.value)) is not None
    ]
    held = [
        HeldPosition(
            name_of(c), c.currency, c.secType, c.conId, number(line.position) or Decimal(0), number(line.avgCost)
        )
        for line in held_lines(positions, account)
        for c in (line.contract,)
    ]
    lines = [
        Holding(
            name_of(c), c.currency, c.secType, c.conId, quantity(item.position), price(item.marketPrice),
            number(item.marketValue), number(item.unrealizedPNL),
        )
        for item in portfolio
        if item.account == account and item.position
        for c in (item.contract,)
    ]  # fmt: skip
    return AccountView(account, tuple(cash), _by_symbol(held), _by_symbol(lines))


def _by_symbol(lines: list[_Line]) -> tuple[_Line, ...]:
    return tuple(sorted(lines, key=lambda line: (line.symbol, line.currency, line.con_id)))


# Words.


def summary_lines(view: AccountView, *, is_named: bool = False) -> list[str]:
    """Return the summary, line by line.

    Args:
        is_named: the login has several accounts: say under the title which one this is.
    """
    mode = "PAPER" if is_paper_account(view.account) else "LIVE"
    return [
        _WIDE,
        f"IBKR {mode} TRADING PORTFOLIO SUMMARY",
        *([f"Account: {view.account}"] if is_named else []),
        _WIDE,
        "",
        "Cash Balances:",
        _NARROW,
        "",
        "CashBalance:",
        *(f"  {currency}: {amount:.2f}" for currency, amount in view.cash),
        *([] if view.cash else ["  none"]),
        "  ",  # TWS tools print the end of the cash block so; scripts may look for it
        "Current Positions:",
        _NARROW,
        *(_position_line(line) for line in view.positions),
        *([] if view.positions else ["No positions"]),
        "",
        "Portfolio Details:",
        _NARROW,
        "",
        "Market Value by Currency:",
        *(f"  {currency}: {amount:.2f}" for currency, amount in view.market_value.items()),
        *([] if view.market_value else ["  none"]),
        "",
        "Detailed Holdings:",
        *(_holding_line(line) for line in view.holdings),
        *([] if view.holdings else ["  none"]),
        _WIDE,
    ]


def _position_line(line: HeldPosition) -> str:
    units = _UNITS.get(line.sec_type, "contracts")
    return f"{line.symbol} ({line.currency}): {line.quantity:f} {units}, Avg Cost: {_money(line.average_cost)}"


def _holding_line(line: Holding) -> str:
    return (
        f"  {line.symbol} ({line.currency}): Position {line.quantity:f}, Market Value {_money(line.market_value)}, "
        f"Unrealized P&L {_money(line.unrealized_pnl)}"
    )


def _money(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:.2f}"


# JSON.


def as_json(views: Sequence[AccountView], time: str, *, indent: int | None = 2) -> str:
    """Return the accounts as one JSON object; docs/market-data.md describes it.

    Args:
        time: TWS's own time of the reading, ISO 8601 UTC.
        indent: None writes it on one line.
    """
    accounts = [
        {
            "account": view.account,
            "mode": "paper" if is_paper_account(view.account) else "live",
            "cash": {currency: float(amount) for currency, amount in view.cash},
            "positions": [
                {**_named(line), "average_cost": _float(line.average_cost)} for line in view.positions
            ],
            "market_value": {currency: float(amount) for currency, amount in view.market_value.items()},
            "holdings": [
                {
                    **_named(line),
                    "market_price": _float(line.market_price),
                    "market_value": _float(line.market_value),
                    "unrealized_pnl": _float(line.unrealized_pnl),
                }
                for line in view.holdings
            ],
        }
        for view in views
    ]  # fmt: skip
    return json.dumps({"version": JSON_VERSION, "time": time, "accounts": accounts}, indent=indent)


def _named(line: HeldPosition | Holding) -> dict[str, object]:
    return {
        "symbol": line.symbol,
        "currency": line.currency,
        "sec_type": line.sec_type,
        "con_id": line.con_id,
        "quantity": float(line.quantity),
    }


def _float(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
