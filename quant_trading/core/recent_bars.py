"""The newest bars of many symbols over a session that is open already."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quant_trading.core.ib_client import RequestError
from quant_trading.core.ibkr_mapping import bar_columns, contract_of
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.instruments import Instrument

if TYPE_CHECKING:
    from quant_trading.core.ibkr_connection import IBKRConnection

__all__ = ["recent_bars"]

_AT_ONCE = 10
_ANSWER_SECONDS = 60.0


async def recent_bars(
    connection: "IBKRConnection", symbols: Sequence[str], bar_size: str, duration: str
) -> tuple[dict[str, BarColumns], dict[str, str]]:
    """Return the regular-hours trade bars up to now by symbol, and why the other symbols have none.

    The last bar may be running still. Run it with `IBKRSession.call`.

    Args:
        symbols: US stocks and ETFs.
        bar_size: IBKR's words or a timeframe, 1 minute or more: smaller ones have pacing rules of their own.
        duration: IBKR's words, "15 D".
    """
    size, room = parse_bar_size(bar_size), asyncio.Semaphore(_AT_ONCE)
    found: dict[str, BarColumns] = {}
    missing: dict[str, str] = {}

    async def read(symbol: str) -> None:
        async with room:
            try:
                bars = await connection.ib.reqHistoricalDataAsync(
                    contract_of(Instrument(symbol)), "", duration, size.words, "TRADES", True, formatDate=2,
                    timeout=_ANSWER_SECONDS,
                )  # fmt: skip
            except RequestError as error:
                missing[symbol] = f"TWS said {error.code}: {error.message}"
                return
        if bars:
            found[symbol] = bar_columns(symbol, size, bars)
        else:
            missing[symbol] = f"TWS sent none for {duration}"

    await asyncio.gather(*(read(symbol) for symbol in dict.fromkeys(symbols)))
    return found, missing
