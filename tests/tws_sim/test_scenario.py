"""Scenario files: those shipped can all be used and cover the catalogue, and mistakes are named in one line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from quant_trading.refdata.sessions import exchange_date
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.scenario import ScenarioError, load_scenario, read_scenario, shipped_scenarios
from tests.tws_sim.fault_tables import PAGE, TABLES, section

CATALOGUE = [*(f"W{n}" for n in range(1, 24)), *(f"M{n}" for n in range(1, 9)), "A1", "T1", "T2"]
FAILURES = [f"F{n}" for n in range(1, 25)]


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_shipped_scenario_can_be_played(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.about.endswith((".", ":"))
    # W03_..., F01_...: the name begins with a row that it shows.
    row = re.match(r"([A-Z])0*(\d+)_", name)
    assert row is not None
    assert f"{row[1]}{row[2]}" in scenario.covers
    gateway = scenario.build()
    assert len(gateway.faults) == len(scenario.faults)


def test_every_row_of_the_catalogue_and_every_failure_has_a_scenario() -> None:
    covered = {row for name in shipped_scenarios() for row in load_scenario(name).covers}
    assert covered == {*CATALOGUE, *FAILURES}


@pytest.mark.parametrize("table", sorted(set(TABLES) - {"messages"}))
def test_the_documentation_tells_what_the_code_does(table: str) -> None:
    """`python -m tests.tws_sim.fault_tables` writes it anew."""
    assert section(PAGE.read_text(encoding="utf-8"), table) == TABLES[table]()


def test_the_messages_of_the_documentation_exist() -> None:
    shown = set(re.findall(r"`(\w+)`", section(PAGE.read_text(encoding="utf-8"), "messages")))
    assert len(shown) > 150
    assert shown <= {"hello", "serverVersion", *REQUEST_NAMES, *RESPONSE_NAMES}


def test_a_scenario_sets_market_account_and_time() -> None:
    scenario = read_scenario(
        {
            "about": "All of it.",
            "now": "2026-11-19 15:00",
            "config": {"cash": "5000.50", "positions": {"AAPL": ["10", 120]}, "never_fill": ["MSFT"]},
            "pacing": "strict",
            "latency": {"default": 1},
            "resets": {"daily": ["europe"]},
            "faults": [],
        },
        "all",
    )
    gateway = scenario.build()
    config = gateway.simulator.config
    assert (str(config.cash), config.pacing, config.never_fill) == ("5000.50", "strict", {"MSFT"})
    assert str(exchange_date(gateway.now_ns)) == "2026-11-19"
    assert gateway.latency is not None


def test_a_name_may_be_shortened_and_a_file_may_be_anywhere(tmp_path: Path) -> None:
    assert load_scenario("W01").name == "W01_reset_before_ack"
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"about": "Mine.", "faults": []}), encoding="utf-8")
    assert load_scenario(str(file)).name == "mine"
    with pytest.raises(ScenarioError, match="'W03': no such file, and 6 shipped scenarios of that name"):
        load_scenario("W03")
    with pytest.raises(ScenarioError, match="'nonsense': no such file, and 0 shipped"):
        load_scenario("nonsense")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "is no scenario"),
        ({"faults": []}, "about = None is no sentence"),
        ({"about": "x"}, "faults = None is no list"),
        ({"about": "x", "faults": [], "fault": 1}, "fault is unknown; write about, covers"),
        ({"about": "x", "faults": [], "seed": -1}, "seed = -1 is no number"),
        ({"about": "x", "faults": [], "now": "noon"}, "now = 'noon' is no moment"),
        ({"about": "x", "faults": [], "covers": "W1"}, "covers = 'W1' is no list"),
        ({"about": "x", "faults": [], "config": {"money": 1}}, "config.money is no setting"),
        ({"about": "x", "faults": [], "config": {"cash": "much"}}, "config.cash = 'much' is not a number"),
        ({"about": "x", "faults": [], "pacing": "hard"}, "pacing = 'hard'"),
        ({"about": "x", "faults": [], "latency": {"slow": 1}}, "latency.slow is unknown"),
        ({"about": "x", "faults": [], "resets": {"daily": ["mars"]}}, "resets.daily = 'mars' is no window"),
        (
            {"about": "x", "faults": [{"when": "connect", "do": "drop"}, {"when": "connect", "do": "jump"}]},
            "faults[2]: do = 'jump' is no action",
        ),
        (
            {"about": "x", "faults": [{"when": "recv:placeOrder", "do": "reject", "code": 99999}]},
            'the words of code 99999 are not known here; write "text": "..." beside "code": 99999',
        ),
    ],
)
def test_mistakes_are_named(data: Any, words: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(words)) as error:
        read_scenario(data, "mine", "folder/mine.json")
    assert str(error.value).startswith("folder/mine.json: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "a scenario is one JSON object"),
        ('{"about": "x", "about": "y", "faults": []}', "the key 'about' stands twice"),
        ("[" * 100_000, "a scenario is one JSON object"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=re.escape(words)):
        load_scenario(str(file))
