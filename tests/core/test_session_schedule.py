"""The restart schedule on its way from the settings file to the sessions of the commands."""

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from quant_trading.core import portfolio_tracker
from quant_trading.core.session_runner import SessionSettings
from quant_trading.core.supervisor import ReportKind, SupervisorState
from quant_trading.data import market_data_tracker
from quant_trading.domain.errors import ConnectionFailed
from quant_trading.refdata.restart_windows import RestartSchedule
from quant_trading.settings.system_clock import SystemClock
from tests.core.supervised import here, play

EVENING = RestartSchedule(("europe",), time(22, 30), 20, 2.0, ZoneInfo("Europe/Zurich"))
YAML = """\
ibkr: {connect_timeout_seconds: 7}
restart: {time: "22:30", zone: Europe/Zurich, minutes: 20, login_hours: 2, regions: [europe]}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("QT_HOME", str(tmp_path))
    path = tmp_path / "mine.yaml"
    path.write_text(YAML, encoding="utf-8")
    return str(path)


def test_the_market_data_tracker_hands_it_to_its_session(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[SessionSettings] = []

    def session(*_: Any, settings: SessionSettings, **__: Any) -> None:
        taken.append(settings)
        raise ConnectionFailed("enough seen")

    monkeypatch.setattr("quant_trading.core.session_thread.IBKRSession", session)
    assert market_data_tracker.main(["--config", config]) == 3
    assert [(one.schedule, one.policy.connect_timeout_seconds) for one in taken] == [(EVENING, 7.0)]


def test_the_watch_of_the_portfolio_goes_by_it(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[RestartSchedule] = []
    monkeypatch.setattr(portfolio_tracker, "_watch", lambda _reader, _options, schedule: taken.append(schedule) or 0)
    assert portfolio_tracker.main(["--config", config, "--watch"]) == 0
    assert taken == [EVENING]


@pytest.mark.parametrize(
    ("minute", "words"), [(43, ""), (50, " (by plan until Fri 00:00 New York)")]
)  # of 23 o'clock on a Thursday in New York; TWS restarts at 23:45
def test_a_watch_says_when_tws_is_away_by_plan(minute: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 11, 20, 4, minute, tzinfo=UTC)
    monkeypatch.setattr(SystemClock, "now", lambda _self: moment)
    assert portfolio_tracker._planned(RestartSchedule()) == words


@pytest.mark.parametrize(("schedule", "is_expected"), [(EVENING, True), (RestartSchedule(), False)])
def test_an_absence_is_by_plan_when_the_settings_say_so(schedule: RestartSchedule, is_expected: bool) -> None:
    """16:31 in New York is 22:31 in Zurich: by plan for the one, an outage with an alarm for the other."""
    fault = {"when": "t=+60", "do": "restart", "seconds": 300}
    with play(here(fault, now="2026-11-19 16:30"), settings=SessionSettings(schedule=schedule)) as on:
        on.run(180)
        assert (on.session.state is SupervisorState.EXPECTED_RESTART) is is_expected
        assert bool(on.told(ReportKind.ALARM)) is not is_expected
        on.run(400)
        assert on.session.state is SupervisorState.LIVE
        [outage] = on.session.outages
        assert outage.is_expected is is_expected


def test_the_doctor_judges_by_it(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from quant_trading.core import diagnose
    from quant_trading.tools import doctor

    taken: list[RestartSchedule] = []
    monkeypatch.setattr(diagnose, "diagnose", lambda target, _clock: taken.append(target.schedule) or [])
    doctor.main(["--config", config])
    assert taken == [EVENING]
    assert "TWS" in capsys.readouterr().out
