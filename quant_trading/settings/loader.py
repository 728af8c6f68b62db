"""From files, environment and command line to one frozen Settings; every error is one line.

Precedence: command line > environment > .env > YAML (strategy.env for the active strategy) > default.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from quant_trading.domain.errors import ConfigError
from quant_trading.settings.env_files import EnvValue, read_env_file
from quant_trading.settings.model import Settings
from quant_trading.settings.scalars import is_secret, nearest, show
from quant_trading.settings.yaml_text import Document, parse_yaml

__all__ = ["ENV_NAMES", "load_settings"]

# Environment variables that stand for a setting of the YAML file.
ENV_NAMES: Mapping[str, str] = MappingProxyType({
    "IBKR_HOST": "ibkr.host",
    "IBKR_PAPER_PORT": "ibkr.port",
    "IBKR_LIVE_PORT": "ibkr.live_port",
    "IBKR_CLIENT_ID": "ibkr.client_id",
    "IBKR_ACCOUNT": "ibkr.account",
})  # fmt: skip
_SECTION_NAMES = ("ibkr", "strategy", "risk", "backtest", "live", "restart", "paths")
_SECTIONS: Mapping[str, type[BaseModel]] = MappingProxyType({
    name: annotation
    for name in _SECTION_NAMES
    if isinstance(annotation := Settings.model_fields[name].annotation, type) and issubclass(annotation, BaseModel)
})  # fmt: skip
_FREE_MAPPINGS = ("strategy.params", "strategy.weights")
_LISTS = ("universe", "ibkr.live_accounts", "restart.regions")
_ACTIVE = "ACTIVE_STRATEGY"
_COMMAND_LINE = "command line"
_ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class _Given:
    """One value as it was given.

    Attributes:
        value: text, list of text, or a typed value of the command line.
        place: how messages call where it stands, "configs/paper.yaml".
        label: what a person would look for there: the dotted path, or the variable's name.
        line: 1-based, 0 when the place has no lines.
    """

    value: object
    place: str
    label: str
    line: int = 0

    @property
    def source(self) -> str:
        return f"{self.place}:{self.line}" if self.line else self.place

    def error(self, expected: str) -> ConfigError:
        """Return the error that says `expected` of this value."""
        tail = f" (line {self.line})" if self.line else ""
        value = "***" if is_secret(self.label) else show(self.value)
        return ConfigError(f"{self.place}: {self.label} = {value} {expected}{tail}")


@dataclass(slots=True)
class _Layers:
    """Values by dotted path; a later `put` overrides an earlier one."""

    given: dict[str, _Given] = field(default_factory=dict)

    def put(self, path: str, value: _Given) -> None:
        self.given[path] = value


def load_settings(
    config_path: Path, *, overrides: Mapping[str, object] = MappingProxyType({}), environ: Mapping[str, str], root: Path
) -> Settings:
    """Return the settings of one run; nothing is read before this is called.

    Args:
        config_path: the YAML file, relative to `root` or absolute.
        overrides: values of the command line by dotted path, `{"backtest.cost_bps": 5.0}`; a None was not given.
            "active_strategy.name" names the strategy of the intraday tools.
        environ: the environment of the process.
        root: the checkout, where `.env` and `strategy.env` lie and relative folders begin.

    Raises:
        ConfigError: for anything missing, unknown, doubled, ill-typed or out of range: file, key, value, what was
            expected and the cure, in one line.
    """
    root = root.absolute()
    name = _display_name(config_path, root)
    layers = _Layers()
    _put_yaml(layers, _read_yaml(root / config_path, name))
    env_file = read_env_file(root / ".env", ".env")
    _check_env_names(env_file)
    environment = {k: EnvValue(k, v, _ENVIRONMENT) for k, v in environ.items() if v}
    for values in (env_file, environment):
        for variable, path in ENV_NAMES.items():
            if variable in values:
                layers.put(path, _from_env(values[variable]))
    given_overrides = {path: value for path, value in overrides.items() if value is not None}
    active_override = given_overrides.pop("active_strategy.name", None)
    _put_overrides(layers, given_overrides)
    active = _active_strategy(
        (read_env_file(root / "strategy.env", "strategy.env"), env_file, environment), active_override
    )
    settings = _build(layers, active, root, name)
    _check_together(settings, layers)
    return settings


def _display_name(config_path: Path, root: Path) -> str:
    path = root / config_path
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else config_path.as_posix()


def _read_yaml(path: Path, name: str) -> Document:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        there = f" (there are {', '.join(near)})" if near else ""
        raise ConfigError(f"{name}: there is no such file; write --config configs/paper.yaml{there}") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}; write --config configs/paper.yaml") from error
    return parse_yaml(content, name)


def _put_yaml(layers: _Layers, document: Document) -> None:
    for key, value in document.root.items():
        if key == "universe":
            _put_leaf(layers, document, key, value)
        elif key not in _SECTIONS:
            raise _unknown(document, key, (*_SECTION_NAMES, "universe"))
        elif isinstance(value, dict):
            for inner, inner_value in value.items():
                path = f"{key}.{inner}"
                if inner not in _SECTIONS[key].model_fields:
                    raise _unknown(document, path, tuple(_SECTIONS[key].model_fields))
                _put_leaf(layers, document, path, inner_value)
        elif value is not None:
            raise _given(document, key, value).error("is not a section; write its settings below it, indented")


def _put_leaf(layers: _Layers, document: Document, path: str, value: object) -> None:
    given = _given(document, path, value)
    if path in _FREE_MAPPINGS:
        if value is not None and not isinstance(value, dict):
            raise given.error("is not a mapping; write `name: value` lines below it, indented")
        for name, inner in (value or {}).items():
            inner_given = _given(document, f"{path}.{name}", inner)
            if isinstance(inner, dict | list) or inner is None:
                raise inner_given.error("is not one value; write a number, true, false or text")
            layers.put(f"{path}.{name}", inner_given)
        return
    if value is None and not _may_be_empty(path):
        raise ConfigError(f"{given.place}: {path} is empty; write a value or take the line out (line {given.line})")
    if isinstance(value, dict):
        raise given.error("is a mapping, one value is expected")
    if isinstance(value, list):
        if path not in _LISTS:
            raise given.error("is a list, one value is expected")
        for index, item in enumerate(value):
            if isinstance(item, dict | list) or item is None:
                raise _given(document, f"{path}[{index}]", item).error("is not one word; write one name per entry")
    layers.put(path, given)


def _may_be_empty(path: str) -> bool:
    section, _, leaf = path.partition(".")
    return bool(leaf) and _SECTIONS[section].model_fields[leaf].default is None


def _given(document: Document, path: str, value: object) -> _Given:
    return _Given(value, document.name, path, document.lines.get(path, 0))


def _unknown(document: Document, path: str, known: tuple[str, ...]) -> ConfigError:
    line = document.lines[path]
    leaf = path.rpartition(".")[2]
    near = nearest(leaf, known)
    elsewhere = [f"{section}.{leaf}" for section, model in _SECTIONS.items() if leaf in model.model_fields]
    if near is not None:
        cure = f"did you mean {near}?"
    elif elsewhere:
        cure = f"did you mean {elsewhere[0]}?"
    else:
        cure = f"known are {', '.join(sorted(known))}"
    return ConfigError(f"{document.name}: {show(path)} is unknown; {cure} (line {line})")


def _check_env_names(env_file: Mapping[str, EnvValue]) -> None:
    for variable, value in env_file.items():
        if variable.startswith("IBKR_") and variable not in ENV_NAMES:
            near = nearest(variable, ENV_NAMES)
            cure = f"did you mean {near}?" if near else f"known are {', '.join(ENV_NAMES)}"
            raise ConfigError(f"{value.place}: {show(variable)} is unknown; {cure} (line {value.line})")


def _from_env(value: EnvValue) -> _Given:
    return _Given(value.value, value.place, value.name, value.line)


def _put_overrides(layers: _Layers, overrides: Mapping[str, object]) -> None:
    for path, value in overrides.items():
        section, _, leaf = path.partition(".")
        name = leaf.partition(".")[0]
        is_known = path == "universe" or (section in _SECTIONS and name in _SECTIONS[section].model_fields)
        is_free = f"{section}.{name}" in _FREE_MAPPINGS
        if not is_known or is_free != ("." in leaf):
            raise ConfigError(f"{_COMMAND_LINE}: {show(path)} is unknown; settings are written section.name, such as "
                              "backtest.cost_bps")  # fmt: skip
        if path == "strategy.name":
            _drop_foreign_params(layers, value)
        layers.put(path, _Given(value, _COMMAND_LINE, path))


def _drop_foreign_params(layers: _Layers, name: object) -> None:
    """Take out the file's parameters when the command line names another strategy: they belong to the file's."""
    before = layers.given.get("strategy.name")
    file_name = str(before.value) if before else "REVERSAL"
    if str(name).upper() != file_name.upper():
        for path in [p for p in layers.given if p.startswith("strategy.params.")]:
            del layers.given[path]


def _active_strategy(places: tuple[Mapping[str, EnvValue], ...], override: object) -> dict[str, _Given]:
    """Return ACTIVE_STRATEGY and its prefixed parameters by variable name.

    Args:
        places: strategy.env, .env and the environment, weakest first.
        override: the name the command line gave, or None.
    """
    found: dict[str, _Given] = {}
    for values in places:
        if _ACTIVE in values:
            found[_ACTIVE] = _from_env(values[_ACTIVE])
    if override is not None:
        found[_ACTIVE] = _Given(override, _COMMAND_LINE, "active_strategy.name")
    name = str(found[_ACTIVE].value).upper() if _ACTIVE in found else "MACD"
    for values in places:
        for variable, value in values.items():
            if variable.startswith(f"{name}_") and len(variable) > len(name) + 1:
                found[variable] = _from_env(value)
    return found


def _build(layers: _Layers, active: Mapping[str, _Given], root: Path, name: str) -> Settings:
    data: dict[str, Any] = {section: {} for section in _SECTION_NAMES}
    for path, given in layers.given.items():
        keys = _keys(path)
        at = data
        for key in keys[:-1]:
            at = at.setdefault(key, {})
        at[keys[-1]] = given.value
    chosen = active[_ACTIVE].value if _ACTIVE in active else "MACD"
    prefix = len(str(chosen)) + 1
    params = {v[prefix:].lower(): given.value for v, given in active.items() if v != _ACTIVE}
    data["active_strategy"] = {"name": chosen, "params": params}
    data["root"], data["config_name"] = root, name
    data["sources"] = {path: given.source for path, given in layers.given.items()}
    data["active_sources"] = {variable: given.source for variable, given in active.items()}
    try:
        return Settings.model_validate(data, context={"root": root})
    except ValidationError as error:
        by_param = {v[prefix:].lower(): given for v, given in active.items() if v != _ACTIVE}
        raise _translate(error, layers, active, by_param) from None


def _keys(path: str) -> list[str]:
    """Split a dotted path; below a free mapping the rest is one name, for a symbol may hold a dot (BRK.B)."""
    for free in _FREE_MAPPINGS:
        if path.startswith(f"{free}."):
            return [*free.split("."), path[len(free) + 1 :]]
    return path.split(".")


def _translate(
    error: ValidationError, layers: _Layers, active: Mapping[str, _Given], by_param: Mapping[str, _Given]
) -> ConfigError:
    """Return the first complaint as one line that names the place of the value."""
    first = error.errors(include_url=False)[0]
    reason = first.get("ctx", {}).get("error")
    expected = str(reason) if reason is not None else f"is refused: {first['msg']}"
    location = first["loc"]
    if location[0] == "active_strategy":
        given = by_param[str(location[2])] if location[1] == "params" else active[_ACTIVE]
        return given.error(expected)
    for path, given in _candidates(location, layers):
        if path == given.label or path not in layers.given:
            return _Given(first["input"], given.place, path, given.line).error(expected)
        return given.error(expected)
    return ConfigError(f"settings: {'.'.join(map(str, location))} = {show(first['input'])} {expected}")


def _candidates(location: tuple[int | str, ...], layers: _Layers) -> Iterator[tuple[str, _Given]]:
    """Yield the path a complaint is about with the value that was given at it or above it."""
    names = [part for part in location if part != "[key]"]
    for length in range(len(names), 0, -1):
        given = layers.given.get(".".join(map(str, names[:length])))
        if given is not None:
            rest = "".join(f"[{part}]" for part in names[length:])
            yield ".".join(map(str, names[:length])) + rest, given


def _check_together(settings: Settings, layers: _Layers) -> None:
    """Refuse values that are each allowed but contradict one another."""
    weights = settings.strategy.weights
    risk = settings.risk
    for symbol, weight in weights.items():
        given = layers.given[f"strategy.weights.{symbol}"]
        # A universe of the command line narrows one run; the file's weights stay for the others.
        if symbol not in settings.universe and settings.source("universe") != _COMMAND_LINE:
            raise given.error("is for a symbol that is not in the universe; add it to universe or take the line out")
        if abs(weight) > risk.max_position_pct:
            raise given.error(f"is above risk.max_position_pct = {risk.max_position_pct:.12g}; lower the weight or "
                              "raise the limit")  # fmt: skip
    gross = sum(abs(weight) for weight in weights.values())
    if gross > risk.max_gross_exposure + 1e-12:
        place = layers.given[f"strategy.weights.{next(iter(weights))}"].place
        raise ConfigError(f"{place}: strategy.weights sum to {gross:.12g} in absolute value, above "
                          f"risk.max_gross_exposure = {risk.max_gross_exposure:.12g}; lower weights or raise the "
                          "limit")  # fmt: skip
