"""What an account holds: from TWS's position and portfolio lines to positions under names that cannot be confused.

A ticker is no identity: T is AT&T in New York and Telus in Toronto. TWS's conId is one. So a holding
stands under the plain symbol only when it is the very instrument the desk resolved under that symbol,
or, where the desk resolved none, when no other listing of that ticker can be meant. Every other
holding stands under a key with a colon, which no symbol of the desk has: it counts toward the
exposure and is never taken for something to trade.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from ib_async import Contract, PortfolioItem
from ib_async import Position as IbPosition

from quant_trading.core.ibkr_mapping import ibkr_symbol, number, our_symbol, price
from quant_trading.domain.errors import DataGap
from quant_trading.domain.instruments import Instrument
from quant_trading.domain.portfolio import Position

__all__ = ["foreign_key", "held_lines", "position_keys", "positions_of"]

_STOCK = "STK"
_PAIRS = ("CASH", "CRYPTO")  # named by both sides: EUR.USD
_ONE = Decimal(1)


def held_lines(lines: Iterable[IbPosition], account: str) -> list[IbPosition]:
    """Return the open positions of `account`, one for each conId: TWS repeats a line that changed meanwhile."""
    newest = {line.contract.conId: line for line in lines if line.account == account}
    return [newest[con_id] for con_id in sorted(newest) if number(newest[con_id].position)]


def foreign_key(contract: Contract) -> str:
    """Return the key of a holding that is none of ours: "T:CAD", "ES:FUT:20261218", "EUR.USD:CASH".

    An option adds its right and strike, "AAPL:OPT:20261120C150".
    """
    ticker, kind = our_symbol(contract.symbol), contract.secType
    if kind == _STOCK:
        return f"{ticker}:{contract.currency}"
    if kind in _PAIRS:
        return f"{ticker}.{contract.currency}:{kind}"
    detail = contract.lastTradeDateOrContractMonth.partition(" ")[0]  # a time of day may follow the date
    if contract.right[:1] in ("C", "P"):
        detail += f"{contract.right[0]}{number(contract.strike) or ''}"
    return f"{ticker}:{kind}:{detail}" if detail else f"{ticker}:{kind}"


def position_keys(
    held: Sequence[IbPosition], instruments: Mapping[str, Instrument], base_currency: str
) -> dict[int, str]:
    """Return the key of each holding by its conId; no two are alike.

    Args:
        held: open positions, one for each conId.
        instruments: what the desk resolved, by its symbols.
        base_currency: of the account.
    """
    resolved: dict[int, str] = {}
    for symbol, instrument in instruments.items():
        resolved.setdefault(instrument.con_id, symbol)  # of two spellings the first is the desk's
    claimed = {our_symbol(ibkr_symbol(symbol)) for symbol in instruments}
    listings = Counter(our_symbol(line.contract.symbol) for line in held if line.contract.secType == _STOCK)
    keys: dict[int, str] = {}
    for line in held:
        contract = line.contract
        ticker = our_symbol(contract.symbol)
        is_plain = (
            contract.secType == _STOCK
            and contract.currency == base_currency
            and ticker not in claimed
            and listings[ticker] == 1
        )
        keys[contract.conId] = resolved.get(contract.conId) or (ticker if is_plain else foreign_key(contract))
    taken = Counter(keys.values())
    return {con_id: key if taken[key] == 1 else f"{key}#{con_id}" for con_id, key in keys.items()}


def positions_of(
    held: Sequence[IbPosition],
    keys: Mapping[int, str],
    marks: Mapping[int, PortfolioItem],
    base_currency: str,
    rates: Mapping[str, Decimal],
) -> dict[str, Position]:
    """Return the holdings by key, priced so that quantity x market_price is the value in base currency.

    So a multiplier and an exchange rate are in the price; without a mark or a rate it is None. Cost and
    profit stay in the instrument's currency, as TWS reports them.

    Args:
        held, keys: as `position_keys` takes and gives them.
        marks: TWS's portfolio lines by conId.
        base_currency: of the account.
        rates: price of one unit of another currency in base currency.

    Raises:
        DataGap: when TWS sent no cost for a holding.
    """
    positions: dict[str, Position] = {}
    for line in held:
        contract, key = line.contract, keys[line.contract.conId]
        cost = number(line.avgCost)
        if cost is None:
            raise DataGap(f"position {key}: TWS sent average cost {line.avgCost}; wait until it has loaded")
        mark = marks.get(contract.conId)
        rate = _ONE if contract.currency == base_currency else rates.get(contract.currency)
        unit = None if mark is None or rate is None else _unit_value(contract, mark, base_currency)
        positions[key] = Position(
            symbol=key,
            quantity=number(line.position) or Decimal(0),
            average_cost=cost,
            market_price=None if unit is None or rate is None else unit * rate,
            unrealized_pnl=None if mark is None else number(mark.unrealizedPNL),
        )
    return positions


def _unit_value(contract: Contract, mark: PortfolioItem, base_currency: str) -> Decimal | None:
    """Return what one unit is worth in the contract's currency, None where TWS gave no value above 0."""
    each = price(mark.marketPrice)
    if contract.secType == _STOCK and contract.currency == base_currency:
        return each
    # The value rather than price x multiplier: a bond is quoted in percent, London in pence, and TWS knows
    # each such rule.
    value, units = number(mark.marketValue), number(mark.position)
    if value and units:
        return price(value / units)
    multiplier = number(contract.multiplier) or _ONE
    return None if each is None else each * multiplier
