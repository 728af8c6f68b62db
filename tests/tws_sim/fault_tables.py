"""The tables of docs/simulator-faults.md, made from the code; run it to write them anew."""

import re
from pathlib import Path

from quant_trading.tws_sim.control import COMMANDS
from quant_trading.tws_sim.faults import ACTIONS, Parameter
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.scenario import load_scenario, shipped_scenarios
from quant_trading.tws_sim.steps import Place

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulator-faults.md"

_PLACES = {
    frozenset(Place): "anywhere",
    frozenset({Place.RECEIVE, Place.SEND}): "recv, send",
    frozenset({Place.RECEIVE}): "recv",
    frozenset({Place.SEND}): "send",
    frozenset({Place.RECEIVE, Place.SEND, Place.CONNECT, Place.TIME}): "recv, send, connect, t",
}


def _parameter(name: str, one: Parameter) -> str:
    what = " or ".join(f"`{choice}`" for choice in one.choices) or one.type.value
    default = "" if one.default is ... or one.default is None else f", default `{one.default}`"
    return f"`{name}`: {one.about} ({what}{default})"


def actions() -> str:
    """Return one row per action."""
    rows = ["| action | at | what goes wrong | parameters |", "| --- | --- | --- | --- |"]
    for action in ACTIONS.values():
        parameters = "<br>".join(_parameter(name, one) for name, one in action.parameters.items())
        rows.append(f"| `{action.name}` | {_PLACES[action.places]} | {action.about} | {parameters} |")
    return "\n".join(rows)


def scenarios() -> str:
    """Return one row per shipped scenario."""
    rows = ["| scenario | shows | what happens |", "| --- | --- | --- |"]
    for name in shipped_scenarios():
        scenario = load_scenario(name)
        rows.append(f"| `{name}` | {', '.join(scenario.covers)} | {scenario.about} |")
    return "\n".join(rows)


def messages() -> str:
    """Return the names there are in both directions."""
    received, sent = (", ".join(f"`{name}`" for name in sorted(table)) for table in (REQUEST_NAMES, RESPONSE_NAMES))
    return f"From clients (`recv:`): `hello`, {received}.\n\nFrom TWS (`send:`): `serverVersion`, {sent}."


def commands() -> str:
    """Return the commands that are no actions."""
    return ", ".join(f"`{name}`" for name in COMMANDS)


TABLES = {"actions": actions, "scenarios": scenarios, "messages": messages, "commands": commands}


def section(page: str, name: str) -> str:
    """Return what stands between the marks of a table."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert found is not None, f"the page has no marks for {name}"
    return found[1]


def main() -> None:
    """Write the tables into the page."""
    page = PAGE.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        page = page.replace(section(page, name), make())
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
