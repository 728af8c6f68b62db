"""Resets, restarts and logins on the simulated clock."""

from datetime import date, time, timedelta

import pytest

from quant_trading.refdata.restart_windows import RESET_WINDOWS
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.resets import read_resets
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, names
from tests.tws_sim.step_tape import StepTape

MONDAY = date(2026, 11, 16)
SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS


def gateway(start_ns: int, **resets: object) -> Gateway:
    tws = Gateway(Simulator(StepTape({"ACME": [(at(MONDAY, "09:30"), "10.00")]}), SimConfig(), start_ns))
    read_resets(resets, seed=3).arm(tws)
    return tws


@pytest.mark.parametrize(
    ("name", "day", "begins", "ends"),
    [
        # Worked out by hand: Zurich is six hours ahead of New York in November, Hong Kong thirteen.
        ("north-america", date(2026, 11, 17), at(date(2026, 11, 17), "00:15"), at(date(2026, 11, 17), "01:45")),
        ("europe", date(2026, 11, 17), at(date(2026, 11, 17), "00:25"), at(date(2026, 11, 17), "01:45")),
        ("asia-morning", date(2026, 11, 17), at(date(2026, 11, 16), "15:45"), at(date(2026, 11, 16), "17:05")),
        ("asia-evening", date(2026, 11, 17), at(date(2026, 11, 17), "07:15"), at(date(2026, 11, 17), "08:15")),
        ("weekend", date(2026, 11, 20), at(date(2026, 11, 20), "23:00"), at(date(2026, 11, 21), "03:00")),
    ],
)
def test_resets_fall_into_their_windows(name: str, day: date, begins: int, ends: int) -> None:
    moments = set()
    for seed in range(300):
        [(moment, _)] = read_resets({"daily": [name]}, seed).events_on(day)
        assert begins <= moment < ends
        moments.add(moment)
    assert len(moments) > 250


def test_days_without_a_reset() -> None:
    saturday = date(2026, 11, 21)
    assert list(read_resets({"daily": list(RESET_WINDOWS)}).events_on(saturday)) == []


def test_a_reset_keeps_the_socket_and_tells_of_link_and_farms() -> None:
    tws = gateway(at(MONDAY, "23:00"), daily=["north-america"])
    client = RawClient(tws)
    tws.advance_to(at(MONDAY, "23:00") + 3 * HOUR_NS)
    told = [name for name in names(client.read()) if name.startswith("error")]
    assert told[:3] == ["error 1100", "error 2103", "error 2105"]
    assert told[3] in ("error 1101", "error 1102")
    assert told[4:] == ["error 2104", "error 2106"]
    assert not client.session.is_closed


def test_five_nights_have_five_resets() -> None:
    tws = gateway(at(MONDAY, "12:00"), daily=["north-america"])
    client = RawClient(tws)
    tws.advance_to(at(MONDAY, "12:00") + 5 * 24 * HOUR_NS)
    # Tuesday to Friday, and none in the night to Saturday.
    assert names(client.read()).count("error 1100") == 4


def test_the_daily_restart() -> None:
    tws = gateway(at(MONDAY, "23:40"), restart="23:45", restart_seconds=180)
    for night in range(3):
        client = RawClient(tws)
        tws.advance_to(at(MONDAY + timedelta(days=night), "23:44:59"))
        assert not client.session.is_closed
        tws.advance_to(at(MONDAY + timedelta(days=night), "23:45"))
        assert client.session.is_closed
        with pytest.raises(ConnectionRefusedError):
            tws.connect()
        client.session.receive_eof()
        tws.advance_to(at(MONDAY + timedelta(days=night), "23:48"))


def test_the_weekly_login_waits_for_a_person() -> None:
    sunday = date(2026, 11, 22)
    tws = gateway(at(sunday, "00:50"), login=True)
    client = RawClient(tws)
    tws.advance_to(at(sunday, "20:00"))
    assert client.session.is_closed
    with pytest.raises(ConnectionRefusedError):
        tws.connect()
    tws.open_port()
    assert names(RawClient(tws).greeting)[0] == "managedAccounts"


def test_a_login_that_comes_by_itself() -> None:
    sunday = date(2026, 11, 22)
    tws = gateway(at(sunday, "00:50"), login=True, login_seconds=600)
    tws.advance_to(at(sunday, "01:09:59"))
    with pytest.raises(ConnectionRefusedError):
        tws.connect()
    tws.advance_to(at(sunday, "01:10"))
    tws.connect()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"weekly": True}, "resets.weekly is unknown"),
        ({"daily": "europe"}, "resets.daily = 'europe' is no window"),
        ({"restart": "25:00"}, "resets.restart = '25:00' is no time"),
        ({"order_ids": "lose"}, "resets.order_ids = 'lose' is unknown"),
        ({"login": 1}, "resets.login = 1 is not true or false"),
        ({"restart_seconds": -1}, "resets.restart_seconds = -1"),
    ],
)
def test_mistakes_are_named(data: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match="resets") as error:
        read_resets(data)
    assert words in str(error.value)


def test_a_restart_is_read_as_new_york_time() -> None:
    assert read_resets({"restart": "23:45"}).restart == time(23, 45)
