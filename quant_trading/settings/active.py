"""The active strategy of the intraday tools, read without the rest of the settings.

`Settings.active_strategy` holds the same. Here nothing heavy is imported: a backtest of one file should not wait for
the desk's settings, of which it needs none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quant_trading.domain.errors import ConfigError, UsageError
from quant_trading.settings.choice import build, own_parameters
from quant_trading.settings.env_files import EnvValue, read_env_file
from quant_trading.settings.scalars import show, to_free, to_text

if TYPE_CHECKING:  # strategies import numpy
    from quant_trading.strategy.base import Strategy

__all__ = ["ActiveChoice", "read_active"]

_ACTIVE = "ACTIVE_STRATEGY"
_COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class ActiveChoice:
    """A strategy by name with its parameters.

    Attributes:
        name: upper case.
        params: its fields by name, typed as their text shows.
        sources: the place of the name and of each parameter, by variable.
    """

    name: str
    params: Mapping[str, bool | int | float | str]
    sources: Mapping[str, str]

    def build(self) -> "Strategy":
        """Return the strategy; its module must have been loaded (`plugins`).

        Raises:
            ConfigError: in one line with place, variable and cure when the name or a parameter is refused.
        """
        own = own_parameters(self.name, self.params)
        place = self.sources.get(_ACTIVE, "default")
        return build(self.name, own, place, lambda name: f"{self.name}_{name.upper()}", self.sources)


def read_active(
    root: Path, environ: Mapping[str, str], name: str | None = None, params: Sequence[str] = ()
) -> ActiveChoice:
    """Return what strategy.env, .env, the environment and the command line say, the last one strongest.

    Args:
        root: the folder of both files.
        name: the strategy the command line names, None = not said.
        params: NAME=VALUE pairs of the command line.

    Raises:
        ConfigError: for a line that cannot be read or a value in two meanings, with its place.
        UsageError: for a pair that is none.
    """
    places = (
        read_env_file(root / "strategy.env", "strategy.env"),
        read_env_file(root / ".env", ".env"),
        {k: EnvValue(k, v, "environment") for k, v in environ.items() if v},
    )
    chosen = next((values[_ACTIVE] for values in reversed(places) if _ACTIVE in values), None)
    if name is not None:
        chosen = EnvValue("--strategy", name, _COMMAND_LINE)
    label = chosen or EnvValue(_ACTIVE, "MACD", "default")
    try:
        known_as = to_text(label.value).upper()
    except ValueError as error:
        raise ConfigError(f"{_place(label)}: {label.name} = {show(label.value)} {error}") from None
    given = {
        variable: value
        for values in places
        for variable, value in values.items()
        if variable.startswith(f"{known_as}_") and len(variable) > len(known_as) + 1
    }
    for pair in params:
        field, equals, text = pair.partition("=")
        if not (field and equals and text):
            raise UsageError(f"--param {pair} is not NAME=VALUE; write --param fast=12")
        given[f"{known_as}_{field.upper()}"] = EnvValue(f"--param {field}", text, _COMMAND_LINE)
    typed = {}
    for variable, value in given.items():
        try:
            typed[variable[len(known_as) + 1 :].lower()] = to_free(value.value)
        except ValueError as error:
            raise ConfigError(f"{_place(value)}: {value.name} = {show(value.value)} {error}") from None
    sources = {variable: _place(value) for variable, value in given.items()}
    return ActiveChoice(known_as, typed, {_ACTIVE: _place(label), **sources})


def _place(value: EnvValue) -> str:
    return f"{value.place}:{value.line}" if value.line else value.place
