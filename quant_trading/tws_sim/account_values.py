"""The account as TWS words it: tags, values and currencies."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from quant_trading.tws_sim.accounts import Ledger, Mark, Rate, one_to_one
from quant_trading.tws_sim.margin import Margins

__all__ = ["LEDGER_TAG", "AccountValue", "account_values", "ledger_values", "money", "summary_values"]

LEDGER_TAG = "$LEDGER"
_CENT = Decimal("0.01")
_ZERO, _ONE = Decimal(0), Decimal(1)
_WORTH_BY_TYPE = {
    "STK": "StockMarketValue", "OPT": "OptionMarketValue", "FUT": "FutureMarketValue", "FOP": "FutureOptionValue",
    "BOND": "CorporateBondsValue", "FUND": "FundValue", "CRYPTO": "Cryptocurrency", "WAR": "WarrantValue",
}  # fmt: skip


class AccountValue(NamedTuple):
    """One key of an account; amounts have two decimals, as TWS sends them (reported)."""

    key: str
    value: str
    currency: str = "USD"


def money(amount: Decimal) -> str:
    """Return an amount with two decimals."""
    return str(amount.quantize(_CENT, rounding=ROUND_HALF_EVEN))


def summary_values(
    ledger: Ledger, mark: Mark, previous_equity: Decimal, margins: Margins, rate: Rate = one_to_one
) -> list[AccountValue]:
    """Return every summary tag of the account, alphabetically, as TWS sends them (reported).

    All amounts are in the base currency, and only in it: a client that meets two currencies for one tag takes
    the account for unusable (measured).

    Args:
        previous_equity: equity at the close before the running day.
    """
    equity = ledger.equity(mark, rate)
    gross = ledger.gross_value(mark, rate)
    cash = ledger.total_cash(rate)
    available, excess = equity - margins.initial, equity - margins.maintenance
    amounts = {
        "AccruedCash": _ZERO,
        "AvailableFunds": available,
        "BuyingPower": max(_ZERO, available * margins.leverage),
        "EquityWithLoanValue": equity,
        "ExcessLiquidity": excess,
        "FullAvailableFunds": available,
        "FullExcessLiquidity": excess,
        "FullInitMarginReq": margins.initial,
        "FullMaintMarginReq": margins.maintenance,
        "GrossPositionValue": gross,
        "InitMarginReq": margins.initial,
        "LookAheadAvailableFunds": available,
        "LookAheadExcessLiquidity": excess,
        "LookAheadInitMarginReq": margins.initial,
        "LookAheadMaintMarginReq": margins.maintenance,
        "MaintMarginReq": margins.maintenance,
        "NetLiquidation": equity,
        "PreviousDayEquityWithLoanValue": previous_equity,
        "RegTEquity": equity,
        "RegTMargin": gross / 2,
        "SMA": equity - gross / 2,
        "SettledCash": cash,
        "TotalCashValue": cash,
    }
    cushion = excess / equity if equity > 0 else _ZERO
    plain = {
        "AccountType": "INDIVIDUAL",
        "Cushion": f"{cushion:.6f}",
        "DayTradesRemaining": "-1",
        "HighestSeverity": "0",
        "Leverage": f"{gross / equity if equity > 0 else _ZERO:.2f}",
        "LookAheadNextChange": "0",
    }
    values = [AccountValue(tag, money(amount), ledger.base) for tag, amount in amounts.items()]
    values += [AccountValue(tag, value, "") for tag, value in plain.items()]
    return sorted(values, key=lambda value: value.key)


def ledger_values(ledger: Ledger, mark: Mark, rate: Rate = one_to_one) -> list[AccountValue]:
    """Return the cash ledger: once for everything in the base currency ("BASE"), once for each currency."""
    values = _ledger_of(ledger, mark, "BASE", None, rate)
    currencies = ledger.currencies()
    if currencies == [ledger.base] and all(held.contract.currency == ledger.base for held in ledger.held_in(None)):
        # Nearly always: the base currency is all there is, and its ledger that of everything.
        own = [value._replace(currency=ledger.base) for value in values]
        own[-2] = AccountValue("Currency", ledger.base, ledger.base)
        return values + own
    for currency in currencies:
        values += _ledger_of(ledger, mark, currency, currency, rate)
    return values


def _ledger_of(ledger: Ledger, mark: Mark, name: str, currency: str | None, rate: Rate) -> list[AccountValue]:
    """Return the ledger of one currency in that currency, or of all (None) in the base currency."""
    cash, exchange_rate = (ledger.total_cash(rate), _ONE)
    if currency is not None:
        cash, exchange_rate = ledger.cash_in(currency), rate(currency)
    worth = dict.fromkeys(_WORTH_BY_TYPE.values(), _ZERO)
    unrealized = realized = equity = _ZERO
    for held in ledger.held_in(currency):
        factor = rate(held.contract.currency) if currency is None else _ONE
        realized += held.realized_today * factor
        if held.is_virtual:
            continue
        value = held.value(mark) * factor
        unrealized += value - held.cost * factor
        equity += held.equity(mark) * factor
        key = _WORTH_BY_TYPE.get(held.contract.sec_type, "StockMarketValue")
        worth[key] += value
    amounts = {
        "AccruedCash": _ZERO,
        "CashBalance": cash,
        **worth,
        "NetLiquidationByCurrency": cash + equity,
        "RealizedPnL": realized,
        "TotalCashBalance": cash,
        "UnrealizedPnL": unrealized,
    }
    values = [AccountValue(key, money(amount), name) for key, amount in sorted(amounts.items())]
    values.append(AccountValue("Currency", name, name))
    rate_text = f"{exchange_rate:.2f}" if exchange_rate == _ONE else f"{exchange_rate:.7f}"
    values.append(AccountValue("ExchangeRate", rate_text, name))
    return values


def account_values(
    ledger: Ledger, mark: Mark, previous_equity: Decimal, margins: Margins, rate: Rate = one_to_one
) -> list[AccountValue]:
    """Return what account updates carry: the account's id and state, the summary tags, the cash ledger."""
    head = [AccountValue("AccountCode", ledger.account, ""), AccountValue("AccountReady", "true", "")]
    return head + summary_values(ledger, mark, previous_equity, margins, rate) + ledger_values(ledger, mark, rate)
