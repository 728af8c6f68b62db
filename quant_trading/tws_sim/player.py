"""One side of a recorded session, played again to whoever takes the other side. Without I/O.

A `Player` says what its side said, in order, each message as soon as the other side has said what it had
said before it in the recording. What the other side says more, or in another order, does not disturb it;
what is missing makes it wait until the driver loses its patience and calls `go_on`. Nothing is said before
the driver has let the recording's time come that far with `play_until`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from quant_trading.tws_sim.recorder import Recorder
from quant_trading.tws_sim.transcript import Direction, Kind, Record, wire_bytes

__all__ = ["ORDER_REQUESTS", "Player", "ReplayRefused"]

ORDER_REQUESTS = frozenset({"placeOrder", "exerciseOptions", "cancelOrder", "reqGlobalCancel"})
"""What changes orders: not played to a server whose accounts are not paper accounts."""


class ReplayRefused(RuntimeError):
    """The recording is not played any further to this server; the message says why."""


class Player:
    """Plays one connection of a transcript.

    Attributes:
        heard: what the other side said, and what this side said, as lines of a new transcript, with the
            accounts named as in the played one.
        waited: how often the driver had to call `go_on`.
        hangs_up: True from the moment at which this side closed the recorded connection.
    """

    def __init__(self, records: Sequence[Record], side: Direction) -> None:
        """Play `side` of `records`, the lines of one connection."""
        self._side = side
        self._other = Direction.SERVER if side is Direction.CLIENT else Direction.CLIENT
        self._script = [record for record in records if record.direction is not Direction.LINK]
        self._script += [record for record in records if _is_closed_by(record, side)]
        self._place = 0
        self._until_us = -1
        self._expected: Counter[str] = Counter()
        self._said: Counter[str] = Counter()
        self._version = 0
        self._accounts: dict[str, str] = {}
        self._theirs: tuple[str, ...] = ()
        self._now_us = 0
        self._output = bytearray()
        self.heard: list[Record] = []
        self.waited = 0
        self.hangs_up = False
        connection = records[0].connection if records else 1
        self._connection = connection
        self._recorder = Recorder(self._on_record, is_scrubbed=False)
        self._recorder.opened(0, connection)

    @property
    def is_done(self) -> bool:
        """True when everything was said and everything expected was heard."""
        return self._place >= len(self._script) and not self._expected - self._said

    def next_at_us(self) -> int | None:
        """Return when, in the recording, this side acts next; None when it has nothing more to do."""
        own = (record for record in self._script[self._place :] if record.direction is not self._other)
        record = next(own, None)
        return None if record is None else record.at_us

    def play_until(self, at_us: int, now_us: int = 0) -> None:
        """Say what was said up to `at_us` of the recording; `now_us` is the time of the new transcript."""
        self._now_us = now_us
        self._until_us = max(at_us, self._until_us)
        self._play()

    def receive(self, data: bytes, now_us: int = 0) -> None:
        """Take bytes of the other side.

        Raises:
            ReplayRefused: when orders would go to an account that is not a paper account.
        """
        self._now_us = now_us
        self._recorder.passed(now_us, self._connection, self._other, data)
        self._play()

    def go_on(self) -> bool:
        """Stop waiting for what was expected so far; return False when nothing was waited for."""
        if not self._expected - self._said:
            return False
        self.waited += 1
        self._said |= self._expected
        self._play()
        return True

    def data_to_send(self) -> bytes:
        """Return the bytes for the other side and forget them."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def _play(self) -> None:
        while self._place < len(self._script):
            record = self._script[self._place]
            if record.direction is self._other:
                self._expected[record.name] += 1
                self._place += 1
                continue
            if record.at_us > self._until_us or self._expected - self._said:
                return
            self._place += 1
            if record.direction is Direction.LINK:
                self.hangs_up = True
            else:
                self._say(record)

    def _say(self, record: Record) -> None:
        if record.kind is Kind.VERSION:
            self._version = int(record.get("serverVersion", "0"))
        if self._side is Direction.CLIENT and record.name in ORDER_REQUESTS:
            self._check_accounts(record.name)
        self._output += wire_bytes(self._translated(record), self._version)
        self._recorder.passed(self._now_us, self._connection, self._side, wire_bytes(record, self._version))

    def _check_accounts(self, name: str) -> None:
        if not self._theirs:
            raise ReplayRefused(f"{name} is not played: the server has not said which accounts it has")
        real = [account for account in self._theirs if not account.startswith("D")]
        if real:
            raise ReplayRefused(
                f"{name} is not played: account {real[0][:2]}... of this server is not a paper account (D...); "
                "replay to a simulator or a paper login"
            )

    def _translated(self, record: Record) -> Record:
        """Return a record with the server's accounts in place of the recorded ones."""
        if all(ours == theirs for ours, theirs in self._accounts.items()):
            return record
        return _renamed(record, self._accounts)

    def _on_record(self, record: Record) -> None:
        if record.kind is Kind.VERSION and record.direction is self._other:
            self._version = int(record.get("serverVersion", "0") or 0)
        if record.direction is self._other and record.kind is not Kind.LINK:
            self._said[record.name] += 1
        if record.name == "managedAccounts" and record.direction is self._other:
            self._learn_accounts(record)
        if self._accounts and record.direction is self._other:
            record = _renamed(record, {theirs: ours for ours, theirs in self._accounts.items()})
        self.heard.append(record)

    def _learn_accounts(self, record: Record) -> None:
        """Pair the accounts of the recording with those of the server, in the order in which both are listed."""
        self._theirs = tuple(filter(None, record.get("accounts").split(",")))
        recorded = next((line.get("accounts") for line in self._script if line.name == "managedAccounts"), "")
        self._accounts = dict(zip(filter(None, recorded.split(",")), self._theirs, strict=False))


def _renamed(record: Record, names: dict[str, str]) -> Record:
    """Return a record with account ids replaced; in protobuf only by ones of the same length."""
    fields, payload = [], record.payload
    for path, text in record.fields:
        for old, new in names.items():
            if old in text:
                text = text.replace(old, new)
        fields.append((path, text))
    for old, new in names.items():
        if len(old) == len(new):
            payload = payload.replace(old.encode(), new.encode())
    return replace(record, fields=tuple(fields), payload=payload)


def _is_closed_by(record: Record, side: Direction) -> bool:
    name = "client" if side is Direction.CLIENT else "server"
    return record.kind is Kind.LINK and record.name == "closed" and record.get("by") == name
