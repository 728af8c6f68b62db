"""Who is connected, and which order id each client is to use next."""

from collections.abc import Iterator

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.errors import RequestRefused

__all__ = ["Hub"]


class Hub:
    """The ready sessions by client id, and the order ids of every client there ever was.

    Order ids are per client id, survive its reconnects and are never given out twice (captured: client 1
    was at 295 while client 0 was at 13).
    """

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._next_ids: dict[int, int] = {}

    def join(self, session: Session, client_id: int) -> None:
        """Register a session.

        Raises:
            RequestRefused: 326 when the id is in use.
        """
        if client_id in self._sessions:
            raise RequestRefused(326)
        session.client_id = client_id
        self._sessions[client_id] = session

    def leave(self, session: Session) -> None:
        """Forget a session; one that was never registered is no matter."""
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]

    def client(self, client_id: int) -> Session | None:
        """Return the session of a client, None when it is not connected."""
        return self._sessions.get(client_id)

    def __iter__(self) -> Iterator[Session]:
        """Return the ready sessions, oldest first; safe against joining and leaving meanwhile."""
        return iter(list(self._sessions.values()))

    def next_order_id(self, client_id: int) -> int:
        """Return the lowest order id the client may use."""
        return self._next_ids.get(client_id, 1)

    def known_clients(self) -> set[int]:
        """Return every client id that has used an order id."""
        return set(self._next_ids)

    def set_next_order_id(self, client_id: int, order_id: int) -> None:
        """Give out `order_id` next, whatever was used before: a TWS that has lost its memory."""
        self._next_ids[client_id] = order_id

    def burn_order_id(self, client_id: int, order_id: int) -> None:
        """Take an id, and all below it, out of use; a rejected order burns its id as well (reported)."""
        self._next_ids[client_id] = max(self.next_order_id(client_id), order_id + 1)
