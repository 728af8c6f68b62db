"""The window of small-bar requests, kept in a file: two runs one after the other, or at once, do not add up to a ban.

TWS counts what a login has asked in the last ten minutes, whichever program asked. So a request is entered in the file,
under a lock, before it is sent; a program that is killed in between has counted one too many, which costs a wait and
never a violation.

A clock may be set while a request ages. Each one is entered with the wall clock and with the clock that counts from the
start of the machine, and is held to be as old as the younger of the two ages: either clock alone may jump ahead, and
after a restart of the machine only the wall clock means anything.
"""

import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from quant_trading.core.file_lock import try_lock
from quant_trading.core.pacing import HistoryKey, Pacer, PacingRules, PastRequest, next_legal
from quant_trading.domain.errors import ConfigError
from quant_trading.ports import Clock

__all__ = ["CAREFUL_RULES", "PacingFile", "SharedPacer", "shared_pacer"]

# Between here and TWS's clerk a request may be held up and the next one not: what leaves exactly a window later may
# arrive a little earlier.
CAREFUL_RULES = PacingRules(identical_seconds=16.0, same_contract_seconds=2.5, small_bar_seconds=603.0)
_BUSY_SECONDS = 0.02
_NO_MOMENT = 1e300  # later than any moment of a monotonic clock
_FORMAT = 1


class _Entry(NamedTuple):
    """One request: when by the wall clock and by the monotonic one, in seconds, and what it counts as."""

    wall: float
    monotonic: float
    contract: str
    request: str
    weight: int

    def age(self, wall: float, monotonic: float) -> float:
        """Return the seconds since it was sent, rather too few than too many."""
        by_wall, by_monotonic = wall - self.wall, monotonic - self.monotonic
        if by_wall < 0.0 or by_monotonic < 0.0:
            return max(by_wall, by_monotonic, 0.0)
        return min(by_wall, by_monotonic)


class PacingFile:
    """Counts requests of all programs that use the same file.

    Args:
        path: one for each TWS; its folder is made when it is missing.
        clock: wall clock and monotonic clock.
        rules: their figures for small bars.
    """

    def __init__(self, path: Path, clock: Clock, rules: PacingRules = CAREFUL_RULES) -> None:
        self._path = path
        self._clock = clock
        self._rules = rules

    def claim(self, key: HistoryKey) -> float:
        """Return the seconds until a request may be sent; 0 = now, it has been entered.

        Raises:
            ConfigError: when the file cannot be written.
        """
        try:
            with self._locked() as is_mine:
                return self._claim(key) if is_mine else _BUSY_SECONDS
        except OSError as error:
            raise ConfigError(
                f"{self._path} cannot be written ({error.strerror}), and without it two runs could add up to a pacing "
                "ban; free the place, or name another home with QT_HOME"
            ) from error

    def waiting_seconds(self, weight: int) -> float:
        """Return about how long requests of so much weight together take from now on; nothing is entered."""
        used = sum(entry.weight for entry in self._read()[0])
        windows = max(0, math.ceil((used + weight) / self._rules.small_bar_count) - 1)
        return windows * self._rules.small_bar_seconds

    def _claim(self, key: HistoryKey) -> float:
        wall, monotonic = self._times()
        entries, was_set_back = self._read()
        wish = _Entry(wall, monotonic, *_texts(key))
        past = [PastRequest(-e.age(wall, monotonic), e.contract, e.request, e.weight) for e in entries]
        delay = next_legal(past, PastRequest(0.0, wish.contract, wish.request, wish.weight), self._rules)
        if delay <= 0.0:
            entries.append(wish)
        if delay <= 0.0 or was_set_back:
            self._write(entries)
        return delay

    def _times(self) -> tuple[float, float]:
        return self._clock.now().timestamp(), self._clock.monotonic()

    def _read(self) -> tuple[list[_Entry], bool]:
        """Return the requests that still count, and whether some were of later by both clocks: they are of now then."""
        wall, monotonic = self._times()
        longest = max(
            self._rules.small_bar_seconds, self._rules.same_contract_seconds, self._rules.identical_seconds
        )  # fmt: skip
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return [], False
        try:
            found = [_entry(*row) for row in json.loads(content)["requests"]]
        except (ValueError, TypeError, KeyError):
            # Of another make or damaged: as if all that may be asked had been asked when it was written.
            found = [_Entry(self._path.stat().st_mtime, _NO_MOMENT, "", "", self._rules.small_bar_count)]
        kept, was_set_back = [], False
        for entry in found:
            if wall < entry.wall and monotonic < entry.monotonic:
                entry, was_set_back = entry._replace(wall=wall, monotonic=monotonic), True
            if entry.age(wall, monotonic) < longest:
                kept.append(entry)
        return kept, was_set_back

    def _write(self, entries: list[_Entry]) -> None:
        written = self._path.with_name(f".{self._path.name}.new")
        written.write_text(json.dumps({"format": _FORMAT, "requests": entries}), encoding="utf-8")
        written.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Give whether the lock could be had; it goes with the process that holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield try_lock(descriptor)
        finally:
            os.close(descriptor)


class SharedPacer(Pacer):
    """A pacer that counts requests for small bars together with all other programs.

    Args:
        file: where.
        rules: of this connection.
    """

    def __init__(self, file: PacingFile, rules: PacingRules = CAREFUL_RULES) -> None:
        super().__init__(rules)
        self.file = file

    def claim(self, kind: str, key: HistoryKey | None, now: float) -> float:
        """Do as `Pacer.claim`; raises as `PacingFile.claim`."""
        delay = self.delay_before(kind, key, now)
        is_small = key is not None and key.bar_seconds <= self.rules.small_bar_limit_seconds
        if delay <= 0.0 and kind == "history" and key is not None and is_small:
            delay = self.file.claim(key)
        if delay <= 0.0:
            self.note_sent(kind, key, now)
        return delay


def shared_pacer(folder: Path, host: str, port: int, clock: Clock) -> SharedPacer:
    """Return a pacer for a session with the TWS at this address.

    Args:
        folder: of the desk's state; all programs name the same one.
        host, port: where TWS is; this machine has several names, and one window.
        clock: the machine's, not TWS's: all programs must go by the same one.
    """
    is_here = host.lower() in ("localhost", "::1") or host.startswith("127.")
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{'127.0.0.1' if is_here else host}-{port}")
    return SharedPacer(PacingFile(folder / "pacing" / f"{name}.json", clock))


def _texts(key: HistoryKey) -> tuple[str, str, int]:
    digest = blake2b(repr((key.bar_seconds, key.request)).encode(), digest_size=8).hexdigest()
    return f"{key.contract} {key.exchange} {key.what}", digest, 2 if key.what == "BID_ASK" else 1


def _entry(wall: float, monotonic: float, contract: str, request: str, weight: int) -> _Entry:
    return _Entry(float(wall), float(monotonic), str(contract), str(request), int(weight))
