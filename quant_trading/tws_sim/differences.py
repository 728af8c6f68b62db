"""Two transcripts side by side: which messages are missing, which are new, which fields differ.

What differs from run to run by its nature is ignored by rules `message.field` with `*` as a wildcard:
times of the wall clock, permanent order ids and execution ids. Connections are compared one by one, each
direction by itself, so that it does not matter how the two interleave.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from typing import Any

from quant_trading.tws_sim.transcript import Direction, Kind, Named, Record, Transcript, format_record

__all__ = ["IGNORED", "Difference", "differences"]

IGNORED = (
    "version.time",
    "currentTime.time",
    "currentTimeInMillis.time",
    "updateAccountTime.time",
    "execDetails.time",
    "error.errorTime",
    "completedOrder.completedTime",
    "*.permId",
    "*.parentPermId",
    "*.execId",
)
"""The rules that hold unless others are given."""

_PERM_ID = re.compile(r"(?i)(perm ?id\s*[=:]\s*)[0-9]+")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """One finding.

    Attributes:
        place: number of the message within its connection and direction, from 1, in the left transcript; in
            the right one when the left has no such message.
        field: the path of the field; empty when a whole message is missing or new.
        left, right: the two texts; None where there is none.
    """

    connection: int
    direction: Direction
    place: int
    message: str
    field: str
    left: str | None
    right: str | None

    def __str__(self) -> str:
        """Return the finding on one line."""
        where = f"connection {self.connection} {self.direction.value} message {self.place} {self.message}"
        if self.field:
            return f"{where}: {self.field} {_shown(self.left)} -> {_shown(self.right)}"
        if self.right is None:
            return f"{where}: missing: {_shown(self.left)}"
        return f"{where}: new: {_shown(self.right)}"


def _shown(text: str | None) -> str:
    if text is None:
        return "(none)"
    return text[:_SHOWN] + ("..." if len(text) > _SHOWN else "") if text else '""'


def differences(left: Transcript, right: Transcript, ignored: Sequence[str] = IGNORED) -> list[Difference]:
    """Return what differs from `left` to `right`, in the order of the left one; empty when nothing does."""
    ones, others = left.connections(), right.connections()
    rules = _Rules(ignored)
    found: list[Difference] = []
    for number in sorted(ones.keys() | others.keys()):
        for direction in (Direction.CLIENT, Direction.SERVER):
            before = [record for record in ones.get(number, ()) if record.direction is direction]
            after = [record for record in others.get(number, ()) if record.direction is direction]
            found += _compare(number, direction, before, after, rules)
    return found


class _Rules:
    def __init__(self, ignored: Sequence[str]) -> None:
        self._ignored = tuple(ignored)
        self._known: dict[tuple[str, str], bool] = {}

    def skips(self, message: str, path: str) -> bool:
        """Say whether a field is ignored; rows of a group count without their number."""
        name = re.sub(r"\[[0-9]+\]", "", path)
        if (message, name) not in self._known:
            full = f"{message}.{name}"
            self._known[message, name] = any(fnmatchcase(full, rule) for rule in self._ignored)
        return self._known[message, name]

    @property
    def hides_perm_ids(self) -> bool:
        return self.skips("error", "permId")


def _compare(
    number: int, direction: Direction, before: list[Record], after: list[Record], rules: _Rules
) -> Iterator[Difference]:
    for one, other in _pairs(before, after):
        if one is None:
            record = after[other or 0]
            yield Difference(number, direction, (other or 0) + 1, record.name, "", None, _body(record))
        elif other is None:
            yield Difference(number, direction, one + 1, before[one].name, "", _body(before[one]), None)
        else:
            yield from _fields(number, one + 1, before[one], after[other], rules)


def _pairs(before: list[Record], after: list[Record]) -> Iterator[tuple[int | None, int | None]]:
    """Yield which message of one side is which of the other; None where there is none."""
    for start, end, other_start, other_end, is_equal in _blocks([*map(_key, before)], [*map(_key, after)]):
        if is_equal:
            yield from zip(range(start, end), range(other_start, other_end), strict=True)
            continue
        # Where the ids differ, a message is still the same kind of message.
        names = [record.name for record in before[start:end]]
        other_names = [record.name for record in after[other_start:other_end]]
        for first, last, other_first, other_last, is_same in _blocks(names, other_names):
            ones, others = (
                range(start + first, start + last),
                range(other_start + other_first, other_start + other_last),
            )
            if is_same:
                yield from zip(ones, others, strict=True)
            else:
                yield from ((one, None) for one in ones)
                yield from ((None, other) for other in others)


def _blocks(keys: list[Any], other_keys: list[Any]) -> Iterator[tuple[int, int, int, int, bool]]:
    if keys == other_keys:
        # The usual case, and the matcher needs quadratic time for it when messages repeat.
        yield 0, len(keys), 0, len(keys), True
        return
    for tag, start, end, other_start, other_end in SequenceMatcher(
        None, keys, other_keys, autojunk=False
    ).get_opcodes():
        yield start, end, other_start, other_end, tag == "equal"


def _key(record: Record) -> tuple[str, str]:
    """Return by what a message is found again: its name, and the request or order it belongs to."""
    return record.name, record.get("reqId") or record.get("orderId")


def _body(record: Record) -> str:
    return format_record(record).split(" ", 4)[-1] if record.fields or record.payload else record.name


def _fields(number: int, place: int, left: Record, right: Record, rules: _Rules) -> Iterator[Difference]:
    if left.kind is Kind.BYTES or (left.kind is Kind.PROTOBUF and not left.fields):
        if left.payload != right.payload:
            one, other = left.payload.hex(), right.payload.hex()
            yield Difference(number, left.direction, place, left.name, "bytes", one, other)
        return
    ones, others = _numbered(left.fields), _numbered(right.fields)
    for path in [*ones, *(path for path in others if path not in ones)]:
        text, other_text = ones.get(path), others.get(path)
        if text == other_text or rules.skips(left.name, path):
            continue
        if rules.hides_perm_ids and _without_perm_id(text) == _without_perm_id(other_text):
            continue
        yield Difference(number, left.direction, place, left.name, path, text, other_text)


def _without_perm_id(text: str | None) -> str | None:
    return text and _PERM_ID.sub(r"\1*", text)


def _numbered(fields: tuple[Named, ...]) -> dict[str, str]:
    """Return the fields by path; one that comes twice in a message gets `~2`."""
    found: dict[str, str] = {}
    for path, text in fields:
        name, count = path, 1
        while name in found:
            count += 1
            name = f"{path}~{count}"
        found[name] = text
    return found
