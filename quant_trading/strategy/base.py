"""The one form of a strategy, for research, paper and live alike, and the registry of names."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.errors import ConfigError
from quant_trading.domain.limits import Limits

__all__ = [
    "Strategy", "build_strategy", "equal_weights", "is_equal_weighted", "register", "registered_names", "strategy_type",
]  # fmt: skip


class Strategy(Protocol):
    """Two arrows, bars -> signal -> target; row t may use bars 0..t only."""

    @property
    def warmup(self) -> int:
        """Return how many bars the last row needs to be exactly what the full history gives."""

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return float64[T, N]: what the strategy believes of each symbol; NaN where it cannot know."""

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        """Return float64[T, N]: wished share of equity, -1..1, 0.2 = 20 %; never NaN."""


_REGISTRY: dict[str, type[Any]] = {}
_StrategyClass = TypeVar("_StrategyClass", bound=type[Any])


def register(name: str) -> Callable[[_StrategyClass], _StrategyClass]:
    """Return a class decorator that makes a frozen dataclass known as `name` (upper case).

    Raises:
        ConfigError: when the name is taken by another class or the class is no dataclass.
    """

    def enter(cls: _StrategyClass) -> _StrategyClass:
        if not is_dataclass(cls):
            raise ConfigError(f"strategy {name}: {cls.__name__} is not a dataclass; put @dataclass(frozen=True) under "
                              "@register")  # fmt: skip
        known = _REGISTRY.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigError(
                f"strategy {name} is registered twice: {known.__module__} and {cls.__module__}; rename one"
            )
        _REGISTRY[name] = cls
        return cls

    return enter


def registered_names() -> tuple[str, ...]:
    """Return the known strategy names in alphabetical order."""
    return tuple(sorted(_REGISTRY))


def strategy_type(name: str) -> type[Any]:
    """Return the class registered as `name`, in any case.

    Raises:
        ConfigError: when there is none, listing the names that do exist.
    """
    try:
        return _REGISTRY[name.upper()]
    except KeyError:
        known = ", ".join(registered_names())
        raise ConfigError(f"strategy {name!r} is unknown; known are {known}; a file in strategies/ that uses "
                          "@register adds one") from None  # fmt: skip


def build_strategy(name: str, params: Mapping[str, Any]) -> Strategy:
    """Return the strategy `name` with `params` as its fields.

    Raises:
        ConfigError: when the name or a parameter is unknown, missing or refused by the strategy.
    """
    cls = strategy_type(name)
    known = {f.name: f for f in fields(cls) if f.init}
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise ConfigError(
            f"strategy {name}: parameter {unknown[0]!r} is unknown; known are {', '.join(known) or 'none'}"
        )
    missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in params]
    if missing:
        raise ConfigError(f"strategy {name}: parameter {missing[0]!r} is missing; set it under strategy.params")
    try:
        built: Strategy = cls(**params)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"strategy {name}: {error}") from error
    return built


def equal_weights(signal: FloatArray, limits: Limits) -> FloatArray:
    """Return each row's active names at min(max_gross_exposure / n, max_position_pct), signed by the signal.

    Args:
        signal: float64[T, N]; positive = long, negative = short, 0 or NaN = flat.
    """
    side = np.sign(signal)
    side[np.isnan(side)] = 0.0
    active = np.count_nonzero(side, axis=1, keepdims=True)
    per_name = np.minimum(limits.max_gross_exposure / np.maximum(active, 1), limits.max_position_pct)
    return np.asarray(side * per_name, dtype=np.float64)


def is_equal_weighted(strategy: Strategy) -> bool:
    """Return True when the class that gives `target` says, by `equal_weighted = True`, that it is `equal_weights`.

    A class that inherits the word but has a target of its own does not say so.
    """
    for cls in type(strategy).__mro__:
        if "target" in vars(cls):
            return bool(vars(cls).get("equal_weighted", False))
    return False
