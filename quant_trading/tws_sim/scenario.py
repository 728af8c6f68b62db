"""Scenarios: what goes wrong in a session, written in a file.

    {
      "about": "The socket breaks between order and acknowledgement; TWS never received the order.",
      "covers": ["W1"],
      "source": "seed:7",                        what trades, as for `desk sim --source`
      "now": "2026-11-19 10:00",                 simulated start, New York time
      "seed": 1,                                 of everything random in the faults
      "config": {"cash": 1000000},               settings of the simulator
      "pacing": "strict",
      "latency": {"history": [0.3, 60]},
      "resets": {"daily": ["north-america"]},    see `resets`
      "faults": [{"when": "recv:placeOrder#1", "do": "drop"}]
    }

Only "about" and "faults" are needed. The reader is strict: an unknown or doubled key is an error of one line
that names the file, the entry, the key and the cure.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from pathlib import Path
from typing import Any

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.faults import Fault, read_fault
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.latency import Latency, read_latency
from quant_trading.tws_sim.resets import Resets, read_resets
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source

__all__ = ["Scenario", "ScenarioError", "load_scenario", "read_scenario", "shipped_scenarios"]

_KEYS = ("about", "covers", "source", "now", "seed", "config", "pacing", "latency", "resets", "faults")
_FOLDER = "scenarios"
_LARGEST = 1_000_000
_DECIMALS = frozenset(
    {"cash", "margin_rate", "initial_margin_rate", "short_margin_rate", "fill_volume_share"}
)  # fmt: skip


class ScenarioError(ValueError):
    """A scenario cannot be used; one line that says where, what was found, and the cure."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario.

    Attributes:
        name: that of its file, without the ending.
        covers: rows of the fault catalogue or of the list of failures that it shows.
        now: simulated start, New York time; None leaves it to whoever starts the simulator.
        settings: fields of `SimConfig` with their values.
    """

    name: str
    about: str
    covers: tuple[str, ...]
    faults: tuple[Fault, ...]
    settings: Mapping[str, Any]
    source: str = "seed:7"
    now: str | None = None
    seed: int = 0
    latency: Latency | None = None
    resets: Resets | None = None

    def config(self, **settings: Any) -> SimConfig:
        """Return the simulator's settings; those of the scenario go before `settings`."""
        return SimConfig(**(settings | dict(self.settings)))

    def build(self, start_ns: int | None = None, **settings: Any) -> Gateway:
        """Return a simulator in which this scenario happens.

        Args:
            start_ns: simulated start, UTC ns, for a scenario that names none.

        Raises:
            ValueError: when the source, a setting or a symbol cannot be used.
        """
        begin_ns = moment_ns(self.now) if self.now is not None else start_ns
        if begin_ns is None:
            raise ScenarioError(f'{self.name}: now is missing; write "now": "2026-11-19 10:00" or name a start')
        simulator = Simulator(open_source(self.source), self.config(**settings), begin_ns)
        return self.behind(simulator)

    def behind(self, simulator: Simulator) -> Gateway:
        """Return a gateway with this scenario in front of a simulator."""
        gateway = Gateway(simulator, self.faults, latency=self.latency, seed=self.seed)
        if self.resets is not None:
            self.resets.arm(gateway)
        return gateway


def shipped_scenarios() -> dict[str, Path]:
    """Return the scenarios that come with the package, by name."""
    folder = Path(str(files("quant_trading.tws_sim"))) / _FOLDER
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def load_scenario(name_or_file: str) -> Scenario:
    """Return a scenario from a file, or one that is shipped, by its name or the beginning of it.

    Raises:
        ScenarioError: when there is none, or it is not as it should be.
    """
    shipped = shipped_scenarios()
    path = Path(name_or_file)
    if not path.is_file():
        found = [name for name in shipped if name == name_or_file] or [
            name for name in shipped if name.startswith(f"{name_or_file}_")
        ]
        if len(found) != 1:
            raise ScenarioError(
                f"scenario {name_or_file!r}: no such file, and {len(found)} shipped scenarios of that name; "
                f"there are {', '.join(found or shipped)}"
            )
        path = shipped[found[0]]
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read ({error}); a scenario is a JSON file in UTF-8") from error
    if len(text) > _LARGEST:
        raise ScenarioError(f"{path}: {len(text)} characters are too many; a scenario has at most {_LARGEST}")
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise ScenarioError(f"{path}: {error}; a scenario is one JSON object") from error
    return read_scenario(data, path.stem, str(path))


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    doubled = sorted({key for key in keys if keys.count(key) > 1})
    if doubled:
        raise ValueError(f"the key {doubled[0]!r} stands twice in one object; write it once")
    return dict(pairs)


def read_scenario(data: Any, name: str, where: str = "") -> Scenario:
    """Return the scenario that `data` describes; `where` begins every error.

    Raises:
        ScenarioError: one line that names the entry, the key, what was found and the cure.
    """
    where = where or name
    if not isinstance(data, Mapping):
        raise ScenarioError(f'{where}: {data!r:.40} is no scenario; write {{"about": "...", "faults": []}}')
    unknown = sorted(set(data) - set(_KEYS))
    if unknown:
        raise ScenarioError(f"{where}: {unknown[0]} is unknown; write {', '.join(_KEYS)}")
    about, entries = data.get("about"), data.get("faults")
    if not isinstance(about, str) or not about.strip():
        raise ScenarioError(f"{where}: about = {about!r} is no sentence; say what goes wrong and what it shows")
    if not isinstance(entries, list):
        raise ScenarioError(f"{where}: faults = {entries!r:.40} is no list; write [] for none")
    covers = data.get("covers", [])
    if not isinstance(covers, list) or not all(isinstance(one, str) for one in covers):
        raise ScenarioError(f'{where}: covers = {covers!r:.40} is no list of rows; write ["W1"]')
    seed = data.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ScenarioError(f"{where}: seed = {seed!r} is no number; write 0 or above")
    try:
        return Scenario(
            name=name,
            about=about,
            covers=tuple(covers),
            faults=tuple(_fault(number, entry) for number, entry in enumerate(entries, start=1)),
            settings=_settings(data),
            source=_text("source", data.get("source", "seed:7")),
            now=_now(data.get("now")),
            seed=seed,
            latency=read_latency(_table("latency", data["latency"]), seed) if "latency" in data else None,
            resets=read_resets(_table("resets", data["resets"]), seed) if "resets" in data else None,
        )
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}") from error


def _fault(number: int, entry: Any) -> Fault:
    try:
        return read_fault(entry)
    except ValueError as error:
        raise ValueError(f"faults[{number}]: {error}") from None


def _table(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} = {value!r:.40} is no table; write {{}}")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} = {value!r:.40} is no text")
    return value


def _now(value: Any) -> str | None:
    if value is None:
        return None
    words = _text("now", value)
    moment_ns(words)
    return words


def moment_ns(words: str) -> int:
    """Return the UTC ns of "2026-11-19 10:00", New York time.

    Raises:
        ValueError: when the words are no moment.
    """
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        raise ValueError(f'now = {words!r} is no moment; write "2026-11-19 10:00", New York time') from None
    return at(moment.date(), moment.strftime("%H:%M:%S"))


def _settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `SimConfig` that a scenario sets, as the types they have there."""
    given = dict(_table("config", data.get("config", {})))
    if "pacing" in data:
        given["pacing"] = data["pacing"]
    known = {field.name for field in fields(SimConfig)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValueError(f"config.{unknown[0]} is no setting; there are {', '.join(sorted(known))}")
    settings = {key: _setting(key, value) for key, value in given.items()}
    try:
        SimConfig(**settings)
    except (TypeError, InvalidOperation) as error:
        raise ValueError(f"config: {error}") from None
    return settings


def _setting(key: str, value: Any) -> Any:
    if key in _DECIMALS:
        return _decimal(f"config.{key}", value)
    if key == "accounts":
        return tuple(value) if isinstance(value, list) else value
    if key == "never_fill":
        return frozenset(value) if isinstance(value, list) else value
    if key == "positions":
        held = _table("config.positions", value)
        return {name: tuple(_decimal(f"config.positions.{name}", one) for one in pair) for name, pair in held.items()}
    if key == "reject":
        return {name: (rule[0], rule[1]) for name, rule in _table("config.reject", value).items()}
    if key in ("foreign_cash", "exchange_rates"):
        return {name: _decimal(f"config.{key}.{name}", one) for name, one in _table(f"config.{key}", value).items()}
    if key == "next_order_ids":
        return {int(name): one for name, one in _table(f"config.{key}", value).items()}
    return value


def _decimal(key: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{key} = {value!r} is not a number") from None
