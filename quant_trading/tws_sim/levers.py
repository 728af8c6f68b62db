"""What happens to orders and accounts without a client's doing: other people's trades, corrections, lost ids.

Levers work on the parts of a simulator the way TWS itself would: a trade of somebody else goes through the
same order engine, a correction changes the same books.
"""

import contextlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.fields import Message, encode
from quant_trading.tws_sim.halts import Halt
from quant_trading.tws_sim.orders import Order
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.wire import encode_frame

__all__ = ["Levers"]

_SECOND_NS = 1_000_000_000
_VERSION = 178


class Levers:
    """Hands on the market, the accounts and the order ids of one simulator."""

    ACTIONS = frozenset({"halt", "split", "trade", "liquidate", "position", "roll_back_ids", "burn_ids"})

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._parts = simulator.parts

    def perform(self, action: str, values: Mapping[str, Any]) -> None:
        """Do one of `ACTIONS`.

        Raises:
            ValueError: when the market does not know the symbol, or cannot do it.
        """
        if action == "halt":
            self.halt(values["symbol"], values["seconds"])
        elif action == "split":
            self._parts.exchange.book_split(self.contract(values["symbol"]), Decimal(str(values["ratio"])))
        elif action == "trade":
            self._trade(values)
        elif action == "liquidate":
            self._liquidate(values["symbol"])
        elif action == "position":
            self._set_position(values)
        elif action == "roll_back_ids":
            for client_id in self._client_ids():
                self._parts.hub.set_next_order_id(client_id, values["to"])
        else:
            for client_id in self._client_ids():
                hub = self._parts.hub
                hub.burn_order_id(client_id, hub.next_order_id(client_id) + values["count"] - 1)

    def _client_ids(self) -> list[int]:
        return sorted({session.client_id for session in self._parts.hub} | self._parts.hub.known_clients())

    def contract(self, symbol: str) -> Contract:
        """Return the contract of a symbol.

        Raises:
            ValueError: when the market does not know it.
        """
        contract = self._parts.book.by_symbol(symbol)
        if contract is None:
            known = ", ".join(sorted({one.symbol for one in self._parts.book.all()})[:8])
            raise ValueError(f"symbol = {symbol!r} is not in this market; it knows {known}, ...")
        return contract

    # Market

    def halt(self, symbol: str, seconds: float) -> None:
        """Stop trading in a symbol for so long; what would have traded then trades afterwards.

        Raises:
            ValueError: when the symbol is unknown or the source knows no halts.
        """
        contract = self.contract(symbol)
        add_halt = getattr(self._parts.tape, "add_halt", None)
        if add_halt is None:
            raise ValueError(f"halt: this source of prices cannot be halted ({type(self._parts.tape).__name__})")
        now = self._simulator.now_ns
        add_halt(contract, Halt(now, now + round(seconds * _SECOND_NS)))
        self._parts.exchange.look_again(contract)

    # Orders of others

    def _trade(self, values: Mapping[str, Any]) -> None:
        limit = None if values["limit"] is None else Decimal(str(values["limit"]))
        contract, side, quantity = self.contract(values["symbol"]), values["side"], Decimal(values["quantity"])
        if values["by"] == 0:
            self._parts.orders.place_manual(contract, side, quantity, limit=limit, tif=values["tif"])
            return
        fields = {
            "conId": contract.con_id,
            "symbol": contract.symbol,
            "secType": contract.sec_type,
            "exchange": contract.exchange,
            "currency": contract.currency,
            "action": side,
            "totalQuantity": quantity,
            "orderType": "MKT" if limit is None else "LMT",
            "lmtPrice": limit,
            "tif": values["tif"],
            "account": self._simulator.config.accounts[0],
            "transmit": True,
        }
        self._as_client(values["by"], fields)

    def _as_client(self, client_id: int, fields: Mapping[str, Any]) -> None:
        """Place an order as another client, through a connection of its own."""
        hub = self._parts.hub
        known = hub.client(client_id)
        session = known or Session(self._simulator)
        if known is None:
            hello = f"v{_VERSION}..{_VERSION}".encode()
            session.receive(b"API\0" + len(hello).to_bytes(4, "big") + hello)
            session.receive(encode_frame(encode(REQUEST_NAMES["startApi"], {"clientId": client_id}, _VERSION)))
        order = {**fields, "orderId": hub.next_order_id(client_id)}
        self._simulator.on_request(session, Message("placeOrder", order))
        if known is None:
            session.receive_eof()

    def _liquidate(self, symbol: str) -> None:
        contract = self.contract(symbol)
        held = self._ledger().positions.get(contract.con_id)
        if held is not None and held.quantity:
            side = "SELL" if held.quantity > 0 else "BUY"
            self._parts.orders.place_manual(contract, side, abs(held.quantity), is_liquidation=True)

    def about_order(self, action: str, client_id: int, order_id: int, values: Mapping[str, Any]) -> None:
        """Do something to the order a client's message is about; an unknown order is no matter."""
        order = self._parts.orders.orders.get((client_id, order_id))
        if order is None or order.status.is_done:
            return
        if action == "fork":
            self._parts.orders.forks += 1
        else:
            quantity = values["quantity"]
            self._parts.exchange.fill_now(order, order.remaining if quantity is None else Decimal(quantity))

    def _forget_id(self, order: Order) -> None:
        """Let the order live on under its permId only."""
        orders = self._parts.orders.orders
        del orders[order.client_id, order.order_id]
        orders[order.client_id, -order.perm_id] = order

    # Order ids

    def restart_ids(self, *, to_first: bool) -> None:
        """Forget order ids as a TWS that was restarted: those above the last order it knows, or all of them."""
        for client_id in self._client_ids():
            mine = [one for one in list(self._parts.orders.orders.values()) if one.client_id == client_id]
            if to_first:
                for order in mine:
                    if order.order_id > 0 and (client_id, order.order_id) in self._parts.orders.orders:
                        self._forget_id(order)
            known = [0] if to_first else [0, *(one.order_id for one in mine)]
            self._parts.hub.set_next_order_id(client_id, max(known) + 1)

    # Books

    def _ledger(self) -> Any:
        return self._parts.exchange.ledger(self._simulator.config.accounts[0])

    def _set_position(self, values: Mapping[str, Any]) -> None:
        contract = self.contract(values["symbol"])
        price = values["price"]
        cost = self._parts.exchange.mark(contract) if price is None else Decimal(str(price))
        self._ledger().open_position(contract, Decimal(str(values["quantity"])), cost or Decimal(0))
        self._parts.accounts.on_fill(self._simulator.config.accounts[0], contract)

    def correct(self, exec_id: str, shares: float | None, price: float | None) -> None:
        """Correct an execution in the books and to its client; an unknown one is no matter."""
        with contextlib.suppress(KeyError):
            self._parts.exchange.correct(
                exec_id,
                price=None if price is None else Decimal(str(price)),
                shares=None if shares is None else Decimal(str(shares)),
            )
