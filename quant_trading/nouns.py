"""`dataclass` for the frozen nouns of the desk: the standard library's, defined ten times as fast.

The standard one writes and compiles six methods of a frozen class when its module is imported, a millisecond for each
class. A backtest imports seventy such classes and is over in a third of a second. Here one method is compiled,
`__init__`, and not before the first object is made; the others are the same few lines for all classes. What a class
can do, and what `dataclasses` does with it (fields, replace, asdict), is the same; type checkers see the standard one.
"""

import dataclasses
from collections.abc import Callable, Sequence
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

_Method = Callable[..., Any]
_NOT_GIVEN = object()

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool, slots: bool = False) -> Callable[[type], type]:
        """Return a class decorator that does as `dataclasses.dataclass` with these arguments.

        Args:
            frozen: True; for what changes there is the standard one.
            slots: whether the objects do without `__dict__`.

        Raises:
            TypeError: when `frozen` is False; when a field says `init=False`, `kw_only=True` or `hash=...`.
        """
        if not frozen:
            raise TypeError("a noun is frozen; take dataclasses.dataclass for what changes")

        def complete(plain: type) -> type:
            if plain.__doc__ is None:  # the standard one would read the signature of `object` for its words: 4 ms
                plain.__doc__ = f"{plain.__name__}({', '.join(plain.__annotations__)})"
            # A child of a frozen class has to be frozen, says the standard one: what ours are, told when they are made.
            parents = [kind.__dataclass_params__ for kind in plain.__mro__ if "__dataclass_params__" in vars(kind)]
            frozen_ones = [params for params in parents if params.frozen]
            _tell_frozen(frozen_ones, is_so=False)
            try:
                cls = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(plain)
            finally:
                _tell_frozen(frozen_ones, is_so=True)
            _tell_frozen([cls.__dataclass_params__], is_so=True)
            for name, method in _methods_of(cls, slots).items():
                method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"
                setattr(cls, name, method)
            return cls

        return complete


def _tell_frozen(params: Sequence[Any], *, is_so: bool) -> None:
    """Set what `dataclasses` knows about classes, so that a standard frozen one may be the child of ours."""
    for one in params:
        one.frozen = is_so


def _methods_of(cls: type[Any], slots: bool) -> dict[str, _Method]:
    """Return the methods of a frozen dataclass that `cls` does not have of its own, by name."""
    fields = dataclasses.fields(cls)
    if not all(item.init and not item.kw_only and item.hash is None for item in fields):
        raise TypeError(f"{cls.__qualname__}: a field has init, kw_only or hash; take dataclasses.dataclass")
    names = [item.name for item in fields]
    own = dict(vars(cls))
    if own.get("__hash__") is None:  # so it is in a class with an __eq__ of its own
        own.pop("__hash__", None)
    compared = _values_of([item.name for item in fields if item.compare])
    methods: dict[str, _Method] = {
        "__init__": _first_init(cls),
        "__repr__": _repr_of([item.name for item in fields if item.repr]),
        "__eq__": _equality(compared),
        "__hash__": lambda self: hash(compared(self)),
        **_refusals(cls, names),
        **(_state_of(names) if slots else {}),
    }
    return {name: method for name, method in methods.items() if name not in own}


def _first_init(cls: type[Any]) -> _Method:
    """Return the `__init__` that makes the right one, leaves its place to it and calls it."""

    def first(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__ = _init_of(cls)
        cls.__init__(self, *args, **kwargs)

    return first


def _init_of(cls: type[Any]) -> _Method:
    """Return the method that takes the fields as arguments, in their order, and sets them."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_not_given": _NOT_GIVEN}
    arguments, body = ["self"], []
    for item in dataclasses.fields(cls):
        name = value = item.name
        argument = name
        if item.default_factory is not dataclasses.MISSING:
            scope[f"_make_{name}"] = item.default_factory
            argument, value = f"{name}=_not_given", f"_make_{name}() if {name} is _not_given else {name}"
        elif item.default is not dataclasses.MISSING:
            scope[f"_default_{name}"] = item.default
            argument = f"{name}=_default_{name}"
        arguments.append(argument)
        body.append(f"_set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    exec(f"def __init__({', '.join(arguments)}):\n " + "\n ".join(body or ["pass"]), scope)
    made: _Method = scope["__init__"]
    made.__qualname__, made.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return made


def _values_of(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the function from an object to the values that it is compared by."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple([getattr(self, name) for name in names])


def _equality(compared: Callable[[Any], tuple[Any, ...]]) -> _Method:
    def is_equal(self: Any, other: object) -> Any:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    return is_equal


def _repr_of(names: Sequence[str]) -> _Method:
    @recursive_repr()
    def of_fields(self: Any) -> str:
        return f"{self.__class__.__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"

    return of_fields


def _refusals(cls: type[Any], names: Sequence[str]) -> dict[str, _Method]:
    """Return what refuses to change a field; a subclass may have attributes of its own."""

    def refuse_set(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def refuse_delete(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return {"__setattr__": refuse_set, "__delattr__": refuse_delete}


def _state_of(names: Sequence[str]) -> dict[str, _Method]:
    """Return how objects without `__dict__` are copied and pickled: past what refuses to change them."""

    def get(self: Any) -> list[Any]:
        return [getattr(self, name) for name in names]

    def put(self: Any, state: Sequence[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return {"__getstate__": get, "__setstate__": put}
