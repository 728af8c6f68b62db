"""The values a sweep tries: `fast=5:15` read from the command line, and their product."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from quant_trading.domain.errors import ConfigError
from quant_trading.strategy.base import Strategy, build_strategy, strategy_type

__all__ = ["Combinations", "Value", "combine", "parse_grid"]

Value = int | float | str
_MOST_VALUES = 100_000
_MOST_COMBINATIONS = 10_000_000


@dataclass(frozen=True, slots=True)
class Combinations:
    """What a sweep will run.

    Attributes:
        names: the parameters that vary.
        values: one row per combination, in the order of `names`.
        strategies: one per combination.
        left_out: combinations of the grid that the strategy refuses, as fast >= slow.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    strategies: tuple[Strategy, ...]
    left_out: int


def parse_grid(texts: Sequence[str]) -> dict[str, tuple[Value, ...]]:
    """Return the values by parameter name.

    Args:
        texts: "fast=5:15" (both ends, step 1), "fast=5:15:2", "threshold=-0.05:-0.01:0.01" or "seed=first,sma".

    Raises:
        ConfigError: naming the text that cannot be read.
    """
    grid: dict[str, tuple[Value, ...]] = {}
    for text in texts:
        name, equals, said = text.partition("=")
        name = name.strip()
        if not (equals and name.isidentifier() and said.strip()):
            raise ConfigError(f"sweep {text!r} is not name=values; write fast=5:15, fast=5:15:2 or seed=first,sma")
        if name in grid:
            raise ConfigError(f"sweep {text!r}: {name} is given twice; put all its values into one, as {name}=1,2,5")
        grid[name] = _range(text, said) if ":" in said else tuple(_value(text, part) for part in said.split(","))
        if len(set(grid[name])) < len(grid[name]):
            raise ConfigError(f"sweep {text!r}: a value stands there twice; each combination is run once")
    return grid


def combine(strategy: str, grid: Mapping[str, Sequence[Value]], fixed: Mapping[str, Any]) -> Combinations:
    """Return every combination of `grid` that the strategy accepts.

    Args:
        strategy: a registered name.
        grid: the values to try of each parameter.
        fixed: the parameters that stay.

    Raises:
        ConfigError: when a name is unknown, the grid is empty or too large, or no combination is accepted.
    """
    known = [item.name for item in fields(strategy_type(strategy)) if item.init]
    for name in grid:
        if name not in known:
            raise ConfigError(f"sweep: {strategy} has no parameter {name!r}; it has {', '.join(known) or 'none'}")
    if not grid:
        raise ConfigError(f"sweep of {strategy}: no parameter varies; write --sweep fast=5:15")
    size = math.prod(len(values) for values in grid.values())
    if size > _MOST_COMBINATIONS:
        raise ConfigError(f"sweep of {strategy}: {size:,} combinations are more than {_MOST_COMBINATIONS:,}; "
                          "take larger steps")  # fmt: skip
    names = tuple(grid)
    kept: list[tuple[Value, ...]] = []
    strategies: list[Strategy] = []
    refused: ConfigError | None = None
    for values in itertools.product(*grid.values()):
        try:
            strategies.append(build_strategy(strategy, {**fixed, **dict(zip(names, values, strict=True))}))
        except ConfigError as error:
            refused = error
        else:
            kept.append(values)
    if refused is not None and not kept:
        raise ConfigError(f"sweep: none of {size:,} combinations is accepted: {refused}")
    return Combinations(names, tuple(kept), tuple(strategies), size - len(kept))


def _range(text: str, said: str) -> tuple[Value, ...]:
    parts = [_value(text, part) for part in said.split(":")]
    numbers = [part for part in parts if not isinstance(part, str)]
    if len(numbers) != len(parts) or len(parts) not in (2, 3):
        raise ConfigError(f"sweep {text!r}: {said!r} is not first:last or first:last:step; write 5:15 or 5:15:2")
    first, last, step = (*numbers, 1) if len(numbers) == 2 else numbers
    if not step > 0:
        raise ConfigError(f"sweep {text!r}: the step {step} is not above 0; write 5:15:2")
    if last < first:
        raise ConfigError(f"sweep {text!r}: {last} is below {first}; write the smaller number first")
    # A hair of rounding must not cost the last value: -0.05:-0.01:0.01 has five.
    count = math.floor((last - first) / step + 1e-9) + 1
    if count > _MOST_VALUES:
        raise ConfigError(f"sweep {text!r}: {count:,} values are more than {_MOST_VALUES:,}; take a larger step")
    if all(isinstance(number, int) for number in (first, last, step)):
        return tuple(int(first + i * step) for i in range(count))
    return tuple(round(first + i * step, 12) for i in range(count))


def _value(text: str, part: str) -> Value:
    part = part.strip()
    if not part:
        raise ConfigError(f"sweep {text!r}: a value is missing; write fast=5:15 or fast=5,8,13")
    for kind in (int, float):
        try:
            number = kind(part)
        except ValueError:
            continue
        if not math.isfinite(number):
            raise ConfigError(f"sweep {text!r}: {part} is not a number one can try")
        return number
    return part
