"""A market small enough to work out by hand: prices change at stated moments and nowhere else."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from quant_trading.refdata.sessions import session_at
from quant_trading.tws_sim.tape import BarSize, Contract, Quote, TapeBars, What

ACME = Contract(
    101, "ACME", local_symbol="ACME", trading_class="NMS", long_name="Acme Käse AG", valid_exchanges=("SMART", "NASDAQ")
)
BOLT = Contract(102, "BOLT", primary_exchange="NYSE", local_symbol="BOLT", trading_class="BOLT")
TWIN_US = Contract(201, "TWIN", local_symbol="TWIN", trading_class="NMS")
TWIN_CA = Contract(202, "TWIN", currency="CAD", primary_exchange="TSE", local_symbol="TWIN", trading_class="TWIN")


class StepTape:
    """Trades at given moments; the quote is one cent around the last of them."""

    def __init__(self, trades: Mapping[str, Sequence[tuple[int, str]]]) -> None:
        self._trades = {symbol: [(at_ns, Decimal(price)) for at_ns, price in steps] for symbol, steps in trades.items()}

    def contracts(self) -> tuple[Contract, ...]:
        return (ACME, BOLT, TWIN_US, TWIN_CA)

    def head_ns(self, contract: Contract, what: What) -> int | None:
        return self._trades[contract.symbol][0][0] if contract.symbol in self._trades else None

    def last_ns(self) -> int | None:
        return None

    def bars(
        self, contract: Contract, size: BarSize, what: What, start_ns: int, end_ns: int, use_rth: bool,
        as_of_ns: int | None = None,
    ) -> TapeBars | None:  # fmt: skip
        return None

    def quote(self, contract: Contract, at_ns: int) -> Quote | None:
        past = [price for trade_ns, price in self._trades.get(contract.symbol, ()) if trade_ns <= at_ns]
        if not past:
            return None
        last, cent = past[-1], Decimal("0.01")
        return Quote(
            bid=last - cent,
            ask=last + cent,
            last=last,
            bid_size=100,
            ask_size=200,
            last_size=300,
            open=past[0],
            high=max(past),
            low=min(past),
            volume=1000,
            previous_close=past[0],
            is_open=session_at(at_ns) is not None,
        )

    def open_auction(self, contract: Contract, session_open_ns: int) -> Decimal | None:
        found = [price for at_ns, price in self._trades.get(contract.symbol, ()) if at_ns == session_open_ns]
        return found[0] if found else None

    def next_trade_at_or_beyond(
        self, contract: Contract, price: Decimal, is_buy: bool, from_ns: int, until_ns: int
    ) -> tuple[int, Decimal] | None:
        for at_ns, traded in self._trades.get(contract.symbol, ()):
            if from_ns <= at_ns < until_ns and (traded <= price if is_buy else traded >= price):
                return at_ns, price
        return None
