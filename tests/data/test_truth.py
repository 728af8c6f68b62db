"""Bar truth: what is counted as different, by days changed on purpose; and the whole walk against the simulator."""

import json
import socket
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from quant_trading.core.ibkr_account import IBKRAccount
from quant_trading.data.bar_store import BarMeta, BarStore
from quant_trading.data.store import load_panel, save_bars
from quant_trading.data.store_exchange import column_of
from quant_trading.data.truth import compare
from quant_trading.domain.bars import BarColumns, panel_from_columns
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import at
from quant_trading.tools.data import main
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from tests.data.stores import META, cut
from tests.shared_data import market_data, needs_shared
from tests.tools.test_data import minutes

DAY = date(2018, 7, 12)
SERVED = minutes(date(2018, 7, 2), DAY)
LAST = slice(-78, None)  # five-minute bars of the day


def edited(row: int, name: str, value: float) -> BarColumns:
    """Return the served day with one number of one bar changed."""
    columns = {key: getattr(SERVED, key)[LAST].copy() for key in BarColumns.__slots__}
    columns[name][row] = value
    return BarColumns(**columns)


def test_a_day_that_was_recorded_as_it_is_served_is_true():
    found = compare("AAPL", DAY, cut(SERVED, LAST), SERVED)
    assert (found.equal, found.changed, found.changed_signals, found.is_true) == (78, (), 0, True)
    assert found.recorded_crossings == found.served_crossings != ()
    assert found.warm_up_bars == 5 * 78 + 42 + 78  # 2, 5, 6, 9, 10, 11 July and the half day of the 3rd
    assert found.is_warm


def test_prices_and_volumes_that_differ_are_told_apart():
    found = compare("AAPL", DAY, edited(3, "volume", 7.0), SERVED)
    assert (found.equal, len(found.changed), found.changed_prices, found.changed_signals) == (77, 1, 0, 0)
    assert (found.changed[0].stored[4], found.changed[0].received[4]) == (7.0, 100.0)
    found = compare("AAPL", DAY, edited(3, "low", 1.0), SERVED)
    assert (found.changed_prices, found.changed_signals) == (1, 0)
    assert found.changed[0].start_ns == SERVED.start_ns[LAST][3]


def test_a_wrong_close_makes_and_moves_signals():
    spike = compare("AAPL", DAY, edited(40, "close", 180.0), SERVED)
    assert spike.changed_signals > 0
    assert spike.served_crossings == compare("AAPL", DAY, cut(SERVED, LAST), SERVED).served_crossings


def test_holes_are_named_on_either_side():
    kept = np.ones(78, dtype=bool)
    kept[[10, 11]] = False
    found = compare("AAPL", DAY, cut(cut(SERVED, LAST), kept), SERVED)
    assert found.only_served == tuple(SERVED.start_ns[LAST][10:12].tolist())
    assert (found.equal, found.only_recorded, found.is_true) == (76, (), False)
    turned = compare("AAPL", DAY, cut(SERVED, LAST), cut(cut(SERVED, LAST), kept))
    assert turned.only_recorded == found.only_served
    assert not turned.is_warm


def test_a_tracker_that_was_started_within_the_day_is_judged_by_what_it_saw():
    """The last 30 bars alone: the bars before are warm-up for both sides, and their crossings are nobody's."""
    whole = compare("AAPL", DAY, cut(SERVED, LAST), SERVED)
    found = compare("AAPL", DAY, cut(SERVED, slice(-30, None)), SERVED)
    assert (found.equal, len(found.only_served), found.changed_signals) == (30, 48, 0)
    first = SERVED.start_ns[-30]
    assert found.served_crossings == tuple(one for one in whole.served_crossings if one.start_ns >= first)
    assert found.warm_up_bars == whole.warm_up_bars + 48


def test_a_day_without_bars_is_refused():
    with pytest.raises(DataGap, match="no recorded bars of 2018-07-13"):
        compare("AAPL", date(2018, 7, 13), SERVED, SERVED)
    with pytest.raises(DataGap, match="no served bars"):
        compare("AAPL", DAY, SERVED, cut(SERVED, slice(0, 78)))


@needs_shared
def test_real_bars_of_one_broker_served_twice_are_true():
    """Minutes of one day as they were served, against themselves with the real volume of another day's bar."""
    panel = load_panel(market_data("csv"), ["SPY"], "1 min")
    bars = column_of(panel, 0)
    day = date.fromordinal(int(panel.sessions[-1]) + 719_163)
    assert compare("SPY", day, bars, bars).is_true


# --- the command -------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["truth", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_report_of_a_recorded_folder_against_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_bars(tmp_path / "live", panel_from_columns(["AAPL"], "5 mins", [edited(3, "volume", 7.0)]))
    save_bars(tmp_path / "later", panel_from_columns(["AAPL"], "5 mins", [SERVED]))
    sides = ("--recorded", tmp_path / "live", "--served", tmp_path / "later", "--bar-size", "5m")
    code, out, _ = command(capsys, "AAPL", DAY, *sides)
    crossings = len(compare("AAPL", DAY, cut(SERVED, LAST), SERVED).served_crossings)
    assert (code, out.splitlines()[0]) == (
        1,
        "AAPL 2018-07-12: 1 of 78 bars differ (0 in price), 0 were not recorded, 0 are not served; "
        f"0 of {crossings} MACD signals would change",
    )
    assert out.splitlines()[1].split()[0] == "2018-07-12T13:45:00Z"
    code, out, _ = command(capsys, "AAPL,MSFT", DAY, *sides, "--json")
    found = json.loads(out)
    assert (code, found["truths"][0]["equal"]) == (1, 77)
    assert found["problems"] == ["MSFT: no recorded bars of 5 mins; record some with market_data_tracker --record"]
    code, _, err = command(capsys, "AAPL", "soon", *sides)
    assert (code, err) == (2, "error: the day soon is not a date; write 2026-01-30\n")


def test_a_day_recorded_as_the_simulator_serves_it_is_true(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("QT_HOME", str(tmp_path))
    simulator = Simulator(open_source("seed:7"), SimConfig(), at(date(2026, 11, 19), "17:00"))
    with ThreadedTwsServer(simulator, SimClock(simulator.now_ns, 0.0)) as tws:
        check_a_day(tws.port, tmp_path, capsys)


def check_a_day(port, tmp_path, capsys):
    with IBKRAccount(client_id=50, host="127.0.0.1", port=port, allow_port_mismatch=True, environ={}) as account:
        panel = account.history(["AAPL"], "1 min", "1 D")
    bars = column_of(panel, 0)
    store = BarStore(tmp_path / "store")
    place = ("--store", store.root, "--port", port)
    store.append("AAPL", "1 min", bars, BarMeta("tracker", META.fetched_at, "LIVE"))
    code, out, err = command(capsys, "AAPL", "2026-11-19", *place)
    assert (code, err) == (0, "")
    assert out.startswith(
        "AAPL 2026-11-19: 0 of 390 bars differ (0 in price), 0 were not recorded, 0 are not served; 0 "
    )
    close = bars.close.copy()
    close[100] = bars.high[100] = bars.close[100] * 1.05
    store.append("AAPL", "1 min", replace(bars, close=close), BarMeta("tracker", META.fetched_at, "LIVE"), replace=True)
    code, out, _ = command(capsys, "AAPL", "2026-11-19", *place)
    assert code == 1
    assert "1 of 390 bars differ (1 in price)" in out


def test_without_tws_the_exit_code_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("QT_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        BarStore(tmp_path / "store").append("AAPL", "5m", SERVED, replace(META, what="LIVE"))
        words = ("--store", tmp_path / "store", "--host", "127.0.0.1", "--port", taken.getsockname()[1])
        code, _, err = command(capsys, "AAPL", DAY, "--bar-size", "5m", *words)
    assert code == 3
    assert "error: " in err
