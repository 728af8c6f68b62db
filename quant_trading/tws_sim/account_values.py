"""The account as TWS words it: tags, values and currencies."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from quant_trading.tws_sim.accounts import Ledger, Mark

__all__ = ["LEDGER_TAG", "AccountValue", "account_values", "ledger_values", "money", "summary_values"]

CURRENCY = "USD"
LEDGER_TAG = "$LEDGER"
_CENT = Decimal("0.01")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class AccountValue:
    """One key of an account; amounts have two decimals, as TWS sends them (reported)."""

    key: str
    value: str
    currency: str = CURRENCY


def money(amount: Decimal) -> str:
    """Return an amount with two decimals."""
    return str(amount.quantize(_CENT, rounding=ROUND_HALF_EVEN))


def summary_values(ledger: Ledger, mark: Mark, previous_equity: Decimal, margin_rate: Decimal) -> list[AccountValue]:
    """Return every summary tag of the account, alphabetically, as TWS sends them (reported).

    Args:
        previous_equity: equity at the close before the running day.
        margin_rate: initial and maintenance margin as a share of position value.
    """
    equity = ledger.equity(mark)
    gross = ledger.gross_value(mark)
    margin = gross * margin_rate
    available = equity - margin
    amounts = {
        "AccruedCash": _ZERO,
        "AvailableFunds": available,
        "BuyingPower": max(_ZERO, available / margin_rate) if margin_rate else max(_ZERO, available),
        "EquityWithLoanValue": equity,
        "ExcessLiquidity": available,
        "FullAvailableFunds": available,
        "FullExcessLiquidity": available,
        "FullInitMarginReq": margin,
        "FullMaintMarginReq": margin,
        "GrossPositionValue": gross,
        "InitMarginReq": margin,
        "LookAheadAvailableFunds": available,
        "LookAheadExcessLiquidity": available,
        "LookAheadInitMarginReq": margin,
        "LookAheadMaintMarginReq": margin,
        "MaintMarginReq": margin,
        "NetLiquidation": equity,
        "PreviousDayEquityWithLoanValue": previous_equity,
        "RegTEquity": equity,
        "RegTMargin": gross / 2,
        "SMA": equity - gross / 2,
        "SettledCash": ledger.cash,
        "TotalCashValue": ledger.cash,
    }
    cushion = available / equity if equity > 0 else _ZERO
    plain = {
        "AccountType": "INDIVIDUAL",
        "Cushion": f"{cushion:.6f}",
        "DayTradesRemaining": "-1",
        "HighestSeverity": "0",
        "Leverage": f"{gross / equity if equity > 0 else _ZERO:.2f}",
        "LookAheadNextChange": "0",
    }
    values = [AccountValue(tag, money(amount)) for tag, amount in amounts.items()]
    values += [AccountValue(tag, value, "") for tag, value in plain.items()]
    return sorted(values, key=lambda value: value.key)


def ledger_values(ledger: Ledger, mark: Mark) -> list[AccountValue]:
    """Return the cash ledger, once for the base currency and once for USD, which are the same here."""
    amounts = {
        "AccruedCash": _ZERO,
        "CashBalance": ledger.cash,
        "NetLiquidationByCurrency": ledger.equity(mark),
        "RealizedPnL": ledger.realized_today(),
        "StockMarketValue": ledger.position_value(mark),
        "TotalCashBalance": ledger.cash,
        "UnrealizedPnL": ledger.unrealized(mark),
    }
    values = []
    for currency in ("BASE", CURRENCY):
        values += [AccountValue(key, money(amount), currency) for key, amount in amounts.items()]
        values.append(AccountValue("Currency", currency, currency))
        values.append(AccountValue("ExchangeRate", "1.00", currency))
    return values


def account_values(ledger: Ledger, mark: Mark, previous_equity: Decimal, margin_rate: Decimal) -> list[AccountValue]:
    """Return what account updates carry: the account's id and state, the summary tags, the cash ledger."""
    head = [AccountValue("AccountCode", ledger.account, ""), AccountValue("AccountReady", "true", "")]
    return head + summary_values(ledger, mark, previous_equity, margin_rate) + ledger_values(ledger, mark)
