"""A noun does what the standard dataclass of the same body does."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.nouns import dataclass

HOWS = pytest.mark.parametrize("slots", [True, False])


def define(make: Callable[..., Any], slots: bool) -> Any:
    """Return the class `Point` made by `make`, with defaults, a factory, a field nobody sees and a check."""

    @make(frozen=True, slots=slots)
    class Point:
        """A place with a name."""

        x: float
        y: float = 2.0
        tags: list[str] = dataclasses.field(default_factory=list)
        note: str = dataclasses.field(default="", compare=False, repr=False)
        origin: ClassVar[str] = "here"

        def __post_init__(self) -> None:
            if self.x < 0.0:
                raise ValueError(f"x = {self.x} is below 0")

    Point.__qualname__ = "Point"
    return Point


@dataclass(frozen=True, slots=True)
class Slotted:
    """A noun at the top of a module, as pickle needs it."""

    name: str
    size: int = 1


@dataclass(frozen=True)
class Open:
    """A noun with room for what is derived from it."""

    size: int

    @cached_property
    def double(self) -> int:
        return 2 * self.size


@HOWS
@given(x=st.floats(0.0, 9.0), y=st.floats(), tags=st.lists(st.sampled_from(["a", "b"]), max_size=1), note=st.text())
def test_objects_are_shown_compared_and_taken_apart_as_those_of_the_standard_library(
    slots: bool, x: float, y: float, tags: list[str], note: str
) -> None:
    noun, plain = define(dataclass, slots), define(dataclasses.dataclass, slots)
    ours, theirs = noun(x, y, tags, note=note), plain(x, y, tags, note=note)
    assert repr(ours) == repr(theirs)
    assert dataclasses.asdict(ours).keys() == dataclasses.asdict(theirs).keys()
    assert dataclasses.astuple(ours)[0] == x
    for other in (noun(x, y, list(tags), "other note"), noun(1.0, y, ["c"])):
        twin = plain(other.x, other.y, other.tags, other.note)
        assert (ours == other) == (theirs == twin)
        assert (ours != other) == (theirs != twin)
    changed = dataclasses.replace(ours, x=5.0)
    assert repr(changed) == repr(dataclasses.replace(theirs, x=5.0))


@HOWS
def test_calls_are_refused_in_the_words_of_the_standard_library(slots: bool) -> None:
    noun, plain = define(dataclass, slots), define(dataclasses.dataclass, slots)
    wrong: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}), ((1.0, 2.0, [], "", 5), {}), ((1.0,), {"z": 1}), ((1.0,), {"x": 1}), ((-1.0,), {}),
    ]  # fmt: skip
    for arguments, by_name in wrong:
        with pytest.raises((TypeError, ValueError)) as theirs:
            plain(*arguments, **by_name)
        for _ in range(2):  # the first object makes the method
            with pytest.raises(type(theirs.value)) as ours:
                noun(*arguments, **by_name)
            assert str(ours.value).rpartition(".")[2] == str(theirs.value).rpartition(".")[2]


@HOWS
def test_each_object_gets_a_default_of_its_own_from_a_factory(slots: bool) -> None:
    noun = define(dataclass, slots)
    assert noun(1.0).tags == []
    assert noun(1.0).tags is not noun(1.0).tags
    assert noun(1.0).y == 2.0


@HOWS
def test_nothing_is_changed_or_deleted(slots: bool) -> None:
    noun, plain = define(dataclass, slots), define(dataclasses.dataclass, slots)
    for change in (lambda p: setattr(p, "x", 3.0), lambda p: delattr(p, "x"), lambda p: setattr(p, "new", 3.0)):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)) as theirs:
            change(plain(1.0))
        with pytest.raises(dataclasses.FrozenInstanceError) as ours:
            change(noun(1.0))
        if theirs.type is dataclasses.FrozenInstanceError:
            assert str(ours.value) == str(theirs.value)


def test_equal_nouns_hash_alike_and_what_cannot_be_hashed_is_not() -> None:
    assert hash(Slotted("a")) == hash(Slotted("a", 1))
    assert len({Slotted("a"), Slotted("a"), Slotted("b")}) == 2
    assert Slotted("a") != ("a", 1)
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        hash(define(dataclass, slots=True)(1.0))


@pytest.mark.parametrize("noun", [Slotted("a", 3), Open(4)])
def test_copies_and_pickles_are_equal(noun: Any) -> None:
    for twin in (copy.copy(noun), copy.deepcopy(noun), pickle.loads(pickle.dumps(noun))):
        assert twin == noun
        assert type(twin) is type(noun)


def test_slots_leave_no_room_and_their_absence_does() -> None:
    assert not hasattr(Slotted("a"), "__dict__")
    made = Open(4)
    assert (made.double, made.__dict__) == (8, {"size": 4, "double": 8})


def test_the_class_keeps_its_words_its_fields_and_its_place_in_a_match() -> None:
    noun = define(dataclass, slots=True)
    assert noun.__doc__ == "A place with a name."
    assert [item.name for item in dataclasses.fields(noun)] == ["x", "y", "tags", "note"]
    assert (noun.origin, dataclasses.is_dataclass(noun)) == ("here", True)
    match Slotted("a", 3):
        case Slotted(name, size):
            assert (name, size) == ("a", 3)
        case _:
            pytest.fail("the fields are not matched by their places")


def test_a_method_of_its_own_stays() -> None:
    @dataclass(frozen=True, slots=True)
    class Loud:
        name: str

        def __repr__(self) -> str:
            return self.name.upper()

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Loud) and other.name.upper() == self.name.upper()

    assert repr(Loud("a")) == "A"
    assert Loud("a") == Loud("A")


@HOWS
@pytest.mark.parametrize("make", [dataclasses.dataclass, dataclass])
def test_a_noun_may_be_the_parent_of_either_kind(make: Callable[..., Any], slots: bool) -> None:
    @make(frozen=True, slots=slots)
    class Named(define(dataclass, slots)):  # type: ignore[misc]  # made above
        name: str = "n"

    one = dataclasses.replace(Named(1.0, name="a"), name="b")
    assert (one.x, one.y, one.name) == (1.0, 2.0, "b")
    assert one == Named(1.0, name="b") != Named(1.0)
    for field in ("x", "name"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, field, 3.0)


def test_an_object_that_holds_itself_is_shown_as_the_standard_one() -> None:
    noun, plain = define(dataclass, slots=True), define(dataclasses.dataclass, slots=True)
    ours, theirs = noun(1.0, 2.0, held := []), plain(1.0, 2.0, kept := [])
    held.append(ours)
    kept.append(theirs)
    assert repr(ours) == repr(theirs) == "Point(x=1.0, y=2.0, tags=[...])"


def test_what_a_noun_cannot_be_is_refused() -> None:
    with pytest.raises(TypeError, match="a noun is frozen"):
        dataclass(frozen=False)
    with pytest.raises(TypeError, match=r"Late: a field has init, kw_only or hash; take dataclasses\.dataclass"):

        @dataclass(frozen=True)
        class Late:
            x: int = dataclasses.field(init=False)
