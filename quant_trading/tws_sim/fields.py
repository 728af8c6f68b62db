"""The small language in which every TWS message is described once, for both directions.

A `Layout` lists the fields of one message in wire order, with the server versions that have them.
`encode` and `decode` walk the same list, so what one writes the other reads.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

from quant_trading.tws_sim.field_texts import READERS, UNSET_DOUBLE, WRITERS, Kind, format_number, read_integer

__all__ = [
    "UNSET_DOUBLE", "Field", "FieldError", "Fixed", "Kind", "Layout", "Many", "Message", "Rest", "Values", "When",
    "decode", "encode", "encode_body", "format_number",
]  # fmt: skip

Values = dict[str, Any]
"""Field values by name: int, str, bool, Decimal or None (unset); a list of `Values` for a repeated group."""

_FOREVER = 1 << 30
_NO_NAME = ""
# Longer runs are cut, so that one field that differs does not cost the memory of all the others.
_LONGEST_RUN = 16
_LONG_MESSAGE = 60


class FieldError(ValueError):
    """A message does not have the fields its id promises.

    Attributes:
        partial: the values that were read before the offending field, to find the request's id.
    """

    def __init__(self, reason: str, partial: Values) -> None:
        super().__init__(reason)
        self.partial = partial


@dataclass(frozen=True, slots=True)
class Field:
    """One field; present from server version `since` until before `until`.

    Attributes:
        unset: what an absent number is written as.
    """

    name: str
    kind: Kind
    since: int = 0
    until: int = _FOREVER
    unset: str = ""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A field with one possible content, such as the version number of an old message; ignored when read."""

    text: str
    since: int = 0
    until: int = _FOREVER


@dataclass(frozen=True, slots=True)
class Many:
    """A count, then that many times `items`."""

    name: str
    items: tuple["Item", ...]
    since: int = 0
    until: int = _FOREVER


@dataclass(frozen=True, slots=True)
class When:
    """`items`, present only if `test` holds for the values before them."""

    test: Callable[[Mapping[str, Any]], bool]
    items: tuple["Item", ...]
    since: int = 0
    until: int = _FOREVER


@dataclass(frozen=True, slots=True)
class Rest:
    """All remaining fields as a list of texts: requests that are refused, whatever they hold."""

    name: str
    since: int = 0
    until: int = _FOREVER


Item = Field | Fixed | Many | When | Rest


@dataclass(frozen=True)
class Layout:
    """One message: its id, its name in the API's own words, its fields in wire order."""

    id: int
    name: str
    items: tuple[Item, ...]
    _plans: dict[int, "_Plan"] = field(default_factory=dict, compare=False, repr=False)

    def plan(self, version: int) -> "_Plan":
        """Return the items this version has; worked out once, because ticks are encoded by the hundred thousand."""
        plan = self._plans.get(version)
        if plan is None:
            plan = self._plans[version] = _make_plan(self.items, version)
        return plan


class _Run:
    """Fields in a row, taken at one go.

    One client's orders differ in a few fields out of a hundred, so a run remembers what it has read last. The
    memory is one tuple, put in place at once: threads that share a layout cannot see half of it.
    """

    __slots__ = ("_known", "_names", "_readers", "_size", "_skipped", "_writes")

    def __init__(self, items: "list[Field | Fixed]") -> None:
        """Take fields, after fixed texts if there are any."""
        fields = [item for item in items if isinstance(item, Field)]
        self._size, self._skipped = len(items), len(items) - len(fields)
        self._names = tuple(field.name for field in fields)
        self._readers = tuple(READERS[field.kind] for field in fields)
        self._writes = tuple(_write_of(item) for item in items)
        self._known: tuple[tuple[str, ...], dict[str, Any]] = ((), {})

    def write(self, values: Mapping[str, Any]) -> list[str]:
        """Return the texts of the fields."""
        get = values.get
        return [absent if (value := get(name)) is None else writer(value) for name, writer, absent in self._writes]

    def read(self, texts: tuple[str, ...], at: int, values: Values) -> int:
        """Read `texts[at:]` into `values`; return where the next field stands.

        Raises:
            ValueError: something is missing or not of its kind.
        """
        end = at + self._size
        if end > len(texts):
            raise ValueError(end)
        mine = texts[at + self._skipped : end]
        known, found = self._known
        if mine != known:
            read = [reader(text) for reader, text in zip(self._readers, mine, strict=True)]
            found = dict(zip(self._names, read, strict=True))
            self._known = (mine, found)
        values.update(found)
        return end


def _write_of(item: Field | Fixed) -> tuple[str, Callable[[Any], str], str]:
    """Return name, writer and text when absent; a fixed text is always absent, under a name nothing has."""
    if isinstance(item, Fixed):
        return _NO_NAME, str, item.text
    return item.name, WRITERS[item.kind], _absent(item)


class _Sparse:
    """A long message of which a few fields are set: written by filling in a form.

    The form is the message without its repeated and optional parts; with one of them it does not fit.
    """

    __slots__ = ("_form", "_optional", "_places", "_repeated")

    def __init__(self, items: tuple[Item, ...]) -> None:
        """Take the items of one version, none of them a `Rest`."""
        self._form: list[str] = []
        self._places: dict[str, list[tuple[int, Callable[[Any], str]]]] = {}
        self._repeated = [item.name for item in items if isinstance(item, Many)]
        self._optional = [item.test for item in items if isinstance(item, When)]
        for item in items:
            if isinstance(item, Field | Fixed):
                name, writer, absent = _write_of(item)
                self._places.setdefault(name, []).append((len(self._form), writer))
                self._form.append(absent)
            elif isinstance(item, Many):
                self._form.append("0")
        self._places.pop(_NO_NAME, None)

    def write(self, values: Mapping[str, Any]) -> list[str] | None:
        """Return the texts, None when the message has parts the form has not."""
        for name in self._repeated:
            if values.get(name):
                return None
        for test in self._optional:
            if test(values):
                return None
        texts = self._form.copy()
        place_of = self._places.get
        for name, value in values.items():
            if value is not None:
                for at, writer in place_of(name, ()):
                    texts[at] = writer(value)
        return texts


@dataclass(frozen=True, slots=True)
class _Rows:
    """A `Many`: a count, then the steps of each row."""

    name: str
    steps: tuple["_Step", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    """A `When`: steps that some values have."""

    test: Callable[[Mapping[str, Any]], bool]
    steps: tuple["_Step", ...]


_Step = _Run | _Rows | _Choice | Rest


@dataclass(frozen=True, slots=True)
class _Plan:
    """The items of one version, and the same made ready to be written and read at speed."""

    items: tuple[Item, ...]
    steps: tuple[_Step, ...]
    sparse: _Sparse | None


def _make_plan(items: tuple[Item, ...], version: int) -> _Plan:
    kept = _items_of(items, version)
    is_long = len(kept) >= _LONG_MESSAGE and not any(isinstance(item, Rest) for item in kept)
    return _Plan(kept, _steps_of(kept), _Sparse(kept) if is_long else None)


def _steps_of(items: tuple[Item, ...]) -> tuple[_Step, ...]:
    steps: list[_Step] = []
    run: list[Field | Fixed] = []
    for item in items:
        if isinstance(item, Field | Fixed):
            if run and (len(run) == _LONGEST_RUN or (isinstance(item, Fixed) and isinstance(run[-1], Field))):
                steps.append(_Run(run))
                run = []
            run.append(item)
            continue
        if run:
            steps.append(_Run(run))
            run = []
        if isinstance(item, Many):
            steps.append(_Rows(item.name, _steps_of(item.items)))
        else:
            steps.append(_Choice(item.test, _steps_of(item.items)) if isinstance(item, When) else item)
    return (*steps, _Run(run)) if run else tuple(steps)


def _items_of(items: tuple[Item, ...], version: int) -> tuple[Item, ...]:
    kept = (item for item in items if item.since <= version < item.until)
    return tuple(
        replace(item, items=_items_of(item.items, version)) if isinstance(item, Many | When) else item for item in kept
    )


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded request.

    Attributes:
        surplus: fields after the last known one; TWS ignores them (assumed), and so do we.
    """

    name: str
    values: Values
    surplus: tuple[str, ...] = ()

    def text(self, name: str) -> str:
        """Return a text field, empty when the version has no such field."""
        return cast(str, self.values.get(name) or "")

    def integer(self, name: str, default: int = 0) -> int:
        """Return an integer field, `default` when it is unset."""
        value = self.values.get(name)
        return default if value is None else cast(int, value)

    def number(self, name: str) -> Decimal | None:
        """Return a number field, None when it is unset."""
        return cast("Decimal | None", self.values.get(name))

    def flag(self, name: str) -> bool:
        """Return a flag, False when the version has no such field."""
        return bool(self.values.get(name))


def encode(layout: Layout, values: Mapping[str, Any], version: int) -> list[str]:
    """Return the wire fields of a message, its id first; a value that is missing is written as unset.

    Raises:
        FieldError: when a value does not fit its kind, which is a mistake of ours.
    """
    texts = [str(layout.id)]
    _write(layout, values, version, texts)
    return texts


def encode_body(layout: Layout, values: Mapping[str, Any], version: int) -> list[str]:
    """Return the wire fields of a message without its id.

    Raises:
        FieldError: when a value does not fit its kind.
    """
    texts: list[str] = []
    _write(layout, values, version, texts)
    return texts


def _write(layout: Layout, values: Mapping[str, Any], version: int, texts: list[str]) -> None:
    plan, begun = layout.plan(version), len(texts)
    try:
        found = None if plan.sparse is None else plan.sparse.write(values)
        if found is not None:
            texts += found
        else:
            _write_steps(plan.steps, values, texts)
    except (TypeError, ValueError):
        del texts[begun:]
        # Once more, slowly: this way knows the name of the field.
        _encode_items(layout.name, plan.items, values, texts)


def _write_steps(steps: tuple[_Step, ...], values: Mapping[str, Any], texts: list[str]) -> None:
    get = values.get
    for step in steps:
        if isinstance(step, _Run):
            texts += step.write(values)
        elif isinstance(step, _Rows):
            rows = get(step.name) or ()
            texts.append(str(len(rows)))
            for row in rows:
                _write_steps(step.steps, row, texts)
        elif isinstance(step, _Choice):
            if step.test(values):
                _write_steps(step.steps, values, texts)
        else:
            texts.extend(get(step.name) or ())


def _encode_items(where: str, items: tuple[Item, ...], values: Mapping[str, Any], texts: list[str]) -> None:
    for item in items:
        if isinstance(item, Field):
            value = values.get(item.name)
            try:
                texts.append(WRITERS[item.kind](value) if value is not None else _absent(item))
            except (TypeError, ValueError) as error:
                raise FieldError(f"{where}.{item.name} = {value!r} is not {item.kind.value}", dict(values)) from error
        elif isinstance(item, Fixed):
            texts.append(item.text)
        elif isinstance(item, Many):
            rows = values.get(item.name) or ()
            texts.append(str(len(rows)))
            for row in rows:
                _encode_items(f"{where}.{item.name}", item.items, row, texts)
        elif isinstance(item, When):
            if item.test(values):
                _encode_items(where, item.items, values, texts)
        else:
            texts.extend(cast("Iterable[str]", values.get(item.name) or ()))


def _absent(field: Field) -> str:
    return "0" if field.kind is Kind.FLAG else field.unset


def decode(layout: Layout, texts: tuple[str, ...], version: int) -> Message:
    """Return the message whose wire fields, without the id, are `texts`.

    Raises:
        FieldError: when a field is missing or is not of its kind; it carries what was read so far.
    """
    plan = layout.plan(version)
    values: Values = {}
    try:
        end = _read_steps(plan.steps, texts, 0, values)
    except ValueError:
        # Once more, slowly: this way knows what is wrong where.
        values = {}
        end = _decode_items(layout.name, plan.items, texts, 0, values, values)
    return Message(layout.name, values, texts[end:])


def _read_steps(steps: tuple[_Step, ...], texts: tuple[str, ...], at: int, values: Values) -> int:
    """Read `texts[at:]` into `values`; return where the next field stands.

    Raises:
        ValueError: something is missing or not of its kind.
    """
    for step in steps:
        if isinstance(step, _Run):
            at = step.read(texts, at, values)
        elif isinstance(step, _Rows):
            count = (read_integer(texts[at]) or 0) if at < len(texts) else -1
            at += 1
            if not 0 <= count <= len(texts) - at:
                raise ValueError(count)
            rows: list[Values] = []
            for _ in range(count):
                row: Values = {}
                at = _read_steps(step.steps, texts, at, row)
                rows.append(row)
            values[step.name] = rows
        elif isinstance(step, _Choice):
            if step.test(values):
                at = _read_steps(step.steps, texts, at, values)
        else:
            values[step.name] = list(texts[at:])
            return len(texts)
    return at


def _decode_items(
    where: str, items: tuple[Item, ...], texts: tuple[str, ...], at: int, values: Values, top: Values
) -> int:
    """Read `items` from `texts[at:]` into `values`; return where the next field stands."""
    for item in items:
        if isinstance(item, When):
            if item.test(values):
                at = _decode_items(where, item.items, texts, at, values, top)
            continue
        if isinstance(item, Rest):
            values[item.name] = list(texts[at:])
            return len(texts)
        name = "version" if isinstance(item, Fixed) else item.name
        if at >= len(texts):
            raise FieldError(f"{where} ends after {len(texts)} fields, {name} is missing", top)
        text = texts[at]
        at += 1
        if isinstance(item, Field):
            values[name] = _read(where, item, text, top)
        elif isinstance(item, Many):
            count = _read_count(where, item, text, len(texts) - at, top)
            rows: list[Values] = []
            for _ in range(count):
                row: Values = {}
                at = _decode_items(f"{where}.{item.name}", item.items, texts, at, row, top)
                rows.append(row)
            values[name] = rows
    return at


def _read(where: str, field: Field, text: str, top: Values) -> Any:
    try:
        return READERS[field.kind](text)
    except ValueError as error:
        raise FieldError(f"{where}.{field.name} = {text[:40]!r} is not {field.kind.value}", top) from error


def _read_count(where: str, item: Many, text: str, remaining: int, top: Values) -> int:
    try:
        count = read_integer(text) or 0
    except ValueError as error:
        raise FieldError(f"{where}: the count of {item.name} = {text[:40]!r} is not an integer", top) from error
    if not 0 <= count <= remaining:
        raise FieldError(f"{where}: {count} {item.name} announced, {remaining} fields are left", top)
    return count
