"""`./desk data`: each command as a person runs it, with what it prints and its exit code."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from quant_trading.data.bar_store import BarStore
from quant_trading.data.store import load_panel, save_bars
from quant_trading.data.store_exchange import sizes_in
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarColumns, panel_from_columns
from quant_trading.refdata.sessions import session_arrays
from quant_trading.tools.data import main
from tests.data.stores import META, a_store, cut, daily, same_bars, with_close
from tests.shared_data import market_data, needs_shared

YEARS = daily(date(2017, 1, 1), date(2018, 12, 31), 1)


def minutes(first: date, last: date, size: int = 5) -> BarColumns:
    """Return bars of `size` minutes of whole sessions."""
    _, opens, closes = session_arrays(first, last)
    step = size * 60_000_000_000
    start = np.concatenate([np.arange(a, b, step) for a, b in zip(opens, closes, strict=True)])
    close = np.round(100.0 + 5.0 * np.sin(np.arange(len(start)) / 17.0), 2)
    return BarColumns(start, start + step, close, close + 0.5, close - 0.5, close, np.full(len(start), 100.0))


@pytest.fixture
def run(tmp_path, capsys):
    """Return a function that runs a command on the store of this test."""

    def command(*words: object) -> tuple[int, str, str]:
        code = main([str(words[0]), "--store", str(tmp_path / "store"), *map(str, words[1:])])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_ls_names_what_there_is(tmp_path, run):
    store = a_store(tmp_path, "AAPL", "MSFT")
    store.append("AAPL", "5m", minutes(date(2018, 7, 2), date(2018, 7, 6)), replace(META, source="tws", all_hours=True))
    store.append("MSFT", "1 day", with_close(daily(date(2017, 1, 1), date(2018, 12, 31), 2), 7, 50.0), META)
    code, out, _ = run("ls")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["symbol", "bars", "of", "kind", "bars", "first", "last", "MB", "fetched", "source"]
    # 251 sessions in 2017 and 251 in 2018
    assert lines[1][:6] == ["AAPL", "1", "day", "TRADES", "502", "2017-01-03"]
    assert lines[2][-3:] == ["test", "(1", "changed)"]
    # four sessions, one of them a half day: 3 x 78 + 42
    assert lines[3][:7] == ["AAPL", "5", "mins", "TRADES", "all", "hours", "276"]
    assert out.splitlines()[-1].startswith("3 series, 1,280 bars, ")
    found = json.loads(run("ls", "--json")[1])["series"]
    assert [(row["symbol"], row["bars"], row["changed"]) for row in found] == [
        ("AAPL", 502, 0), ("MSFT", 502, 1), ("AAPL", 276, 0),
    ]  # fmt: skip
    assert found[0]["fetched_at"] == "2019-01-02T03:04:05Z"


def test_a_store_that_is_none_is_refused_with_the_cure(run):
    for words in (["ls"], ["check"], ["repair"], ["export", "x"], ["adjust"]):
        code, _, err = run(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert "make one with `./desk data import`" in err


@pytest.mark.parametrize("place", ["folder", "file", "long"])
def test_import_brings_in_files_of_the_downloader_and_long_ones(tmp_path, run, place):
    panel = panel_from_columns(["AAPL"], "5 mins", [minutes(date(2018, 7, 2), date(2018, 7, 6))])
    (path,) = save_bars(tmp_path / "csv", panel)
    sought: list[object] = [path.parent if place == "folder" else path]
    if place == "long":
        lines = path.read_text().splitlines()
        long = tmp_path / "everything.csv"
        long.write_text("\n".join([f"symbol,{lines[0]}", *(f"AAPL,{line}" for line in lines[1:]), ""]))
        sought = [long, "--bar-size", "5 mins"]
    assert run("import", *sought)[:2] == (0, "AAPL 5 mins: 276 new, 0 there already\n")
    assert run("import", *sought)[:2] == (0, "AAPL 5 mins: 0 new, 276 there already\n")
    store = BarStore(tmp_path / "store")
    assert np.array_equal(store.panel(["AAPL"], "5m").close, panel.close)
    stored = store.manifest("AAPL", "5m")
    assert stored is not None
    assert stored.years[2018].sources == (Path(str(sought[0])).name,)


def test_import_finds_every_size_the_names_tell(tmp_path, run):
    week = (date(2018, 7, 2), date(2018, 7, 6))
    for words, size in (("5 mins", 5), ("1 min", 1)):
        save_bars(tmp_path / "csv", panel_from_columns(["A", "B"], words, [minutes(*week, size)] * 2))
    (tmp_path / "csv/A_5m.csv").rename(tmp_path / "csv/A_5m_bars_macd.csv")
    assert sizes_in(tmp_path / "csv") == ["1 min", "5 mins"]
    code, out, _ = run("import", tmp_path / "csv")
    assert code == 0
    assert [line.partition(":")[0] for line in out.splitlines()] == ["A 1 min", "B 1 min", "A 5 mins", "B 5 mins"]


def test_bars_that_are_made_up_are_said_to_be_so_in_the_store_too(tmp_path, run):
    for name in ("A", "B"):
        save_bars(tmp_path / name, panel_from_columns([name], "1 day", [YEARS]))
        (tmp_path / name / "MADE_UP.txt").write_text(f"Made up.\n{name}_1d.csv\n")
        assert run("import", tmp_path / name)[0] == 0
    assert (tmp_path / "store/MADE_UP.txt").read_text().splitlines() == ["Made up.", "A_1d.csv", "B_1d.csv"]


def test_import_goes_on_without_an_unsound_symbol_and_says_so(tmp_path, run):
    save_bars(tmp_path / "csv", panel_from_columns(["A", "B"], "1 day", [YEARS, YEARS]))
    with (tmp_path / "csv/B_1d.csv").open("a") as file:
        file.write("2018-12-31,1,1,1,1,1\n")
    code, out, err = run("import", tmp_path / "csv")
    assert (code, out) == (1, "A 1 day: 502 new, 0 there already\n")
    assert "refused B: " in err
    assert "line 504" in err


def test_import_of_another_store_and_words_that_do_not_fit(tmp_path, run):
    other = a_store(tmp_path / "other", "AAPL")
    assert run("import", other.root, "--bar-size", "1d", "--what", "RAW", "--fetched", "2018-12-31")[0] == 0
    stored = BarStore(tmp_path / "store").manifest("AAPL", "1d", "RAW")
    assert stored is not None
    assert stored.fetched_at.date() == date(2018, 12, 31)
    for words, cure in (
        (["import", other.root], "name it, for example --bar-size 5m"),
        (["import", other.root, "--bar-size", "1d", "--fetched", "31.12.2018"], "write 2026-01-30"),
        (["import", tmp_path / "nowhere", "--bar-size", "1d"], "does not exist"),
        (["export", tmp_path / "x", "--bar-size", "5m"], "./desk data ls says"),
    ):
        code, _, err = run(*words)
        assert code in (2, 6)
        assert cure in err


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_is_exported_reads_back_as_it_was(tmp_path, run, kind):
    a_store(tmp_path, "AAPL", "MSFT")
    words = ["--format", kind, "--start", "2018-01-02", "--end", "2018-01-31"]
    code, out, _ = run("export", tmp_path / "out", *words)
    assert code == 0
    assert out.splitlines() == [str(tmp_path / f"out/{symbol}_1d.{kind}") for symbol in ("AAPL", "MSFT")]
    panel = load_panel(tmp_path / "out", ["AAPL", "MSFT"], "1 day")
    wanted = load_panel(tmp_path / "store", ["AAPL", "MSFT"], "1 day", start=date(2018, 1, 2), end=date(2018, 1, 31))
    assert len(panel) == 21
    for name in ("start_ns", "end_ns", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(panel, name), getattr(wanted, name))


def test_export_serves_the_adjusted_view(tmp_path, run):
    store = a_store(tmp_path, "AAPL")
    store.write_actions([CorporateAction("AAPL", date(2018, 6, 1), "dividend", 1.0)])
    assert run("export", tmp_path / "out", "--what", "ADJUSTED_LAST")[0] == 0
    close = load_panel(tmp_path / "out", ["AAPL"], "1 day").close[:, 0]
    row = int(np.searchsorted(YEARS.start_ns, np.datetime64("2018-06-01", "ns").astype(np.int64)))
    assert close[:row] == pytest.approx(YEARS.close[:row] * (1.0 - 1.0 / YEARS.close[row - 1]), rel=1e-15)
    assert np.array_equal(close[row:], YEARS.close[row:])


def test_check_finds_damage_changes_and_what_the_checker_finds(tmp_path, run):
    store = a_store(tmp_path, "AAPL", "MSFT")
    code, out, _ = run("check", "--symbols", "AAPL")
    assert (code, out) == (0, "1 series checked: all well\n")
    store.append("JUMP", "1 day", with_close(YEARS, 100, YEARS.close[100] * 9), META)
    store.append("AAPL", "1 day", with_close(YEARS, 100, 50.0), META)
    path = min((store.root / "1d/MSFT").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    code, out, _ = run("check")
    assert code == 1
    assert "warning  1d/AAPL: 1 bars were served again with other values" in out
    assert "error    1d/MSFT: " in out
    assert "hash differs" in out
    assert "1d/JUMP: JUMP 2017-05-26" in out  # the 101st session of 2017
    kinds = {(line["series"], line["kind"]) for line in json.loads(run("check", "--json")[1])["findings"]}
    assert kinds >= {("1d/AAPL", "changed"), ("1d/MSFT", "unreadable"), ("1d/JUMP", "jump")}


@needs_shared
def test_check_looks_at_a_single_file_too(run):
    path = market_data("dirty/dirty_TSLL_5m.csv")
    if not path.is_file():
        path = next(market_data("dirty").glob("dirty_TSLL_5m*"))
    code, out, _ = run("check", path, "--bar-size", "5m")
    assert code == 1
    assert "outside regular hours" in out
    assert run("check", path)[0] == 2


def test_repair_names_the_gaps_and_what_fetches_them(tmp_path, run):
    store = BarStore(tmp_path / "store")
    bars = minutes(date(2018, 7, 2), date(2018, 7, 13))  # nine sessions: 3 July closes early, 4 July is closed
    days = (bars.start_ns // 86_400_000_000_000).astype("datetime64[D]").astype(str)
    kept = (days != "2018-07-09") & (days != "2018-07-10")
    kept[np.flatnonzero(days == "2018-07-12")[10:13]] = False
    store.append("AAPL", "5m", cut(bars, kept), META)
    store.append("AAPL", "1 day", YEARS, META)
    code, out, _ = run("repair")
    fetch = 'python -m quant_trading.tools.fetch_historical_data --symbols "AAPL" --duration'
    assert (code, out.splitlines()) == (1, [
        "AAPL 5 mins TRADES: 2018-07-09..2018-07-10, 2 session(s) lack 156 bars",
        f'  {fetch} "2 D" --bar-size "5 mins" --end-datetime "20180710-20:00:00"',
        "AAPL 5 mins TRADES: 2018-07-12..2018-07-12, 1 session(s) lack 3 bars",
        f'  {fetch} "1 D" --bar-size "5 mins" --end-datetime "20180712-20:00:00"',
        "2 to mend",
    ])  # fmt: skip
    store.append("AAPL", "5m", bars, META)
    assert run("repair")[:2] == (0, "no gaps\n")
    assert same_bars(store.columns("AAPL", "5m"), bars)


def test_adjust_keeps_actions_once_and_shows_every_view(tmp_path, run):
    store = BarStore(tmp_path / "store")
    store.append("AAPL", "1 day", YEARS, replace(META, what="RAW"))
    lines = ["symbol,ex_date,kind,value", "AAPL,2018-06-04,split,2", "AAPL,2017-03-01,dividend,0.5"]
    (tmp_path / "a.csv").write_text("\n".join([*lines, ""]))
    for new in (2, 0):
        code, out, _ = run("adjust", tmp_path / "a.csv")
        assert (code, out) == (0, f"{new} new splits and dividends, 2 in {tmp_path / 'store/actions.csv'}\n")
    assert run("adjust")[1] == "AAPL: 1 splits, 1 dividends\n2 splits and dividends of 1 symbols\n"
    code, out, _ = run("adjust", "--show", "AAPL")
    rows = [line.split() for line in out.splitlines()]
    at = {str(day): k for k, day in enumerate((YEARS.start_ns // 86_400_000_000_000).astype("datetime64[D]"))}
    paid = 1.0 - 0.5 / YEARS.close[at["2017-02-28"]]
    for row, day in zip(rows[1:5], ("2017-02-28", "2017-03-01", "2018-06-01", "2018-06-04"), strict=True):
        close = YEARS.close[at[day]]
        split = 1.0 if day == "2018-06-04" else 0.5
        dividend = paid if day == "2017-02-28" else 1.0
        wanted = (close, close * split, close * split * dividend)
        assert row[0] == day
        assert [float(text) for text in row[-3:]] == pytest.approx(wanted, abs=6e-5)
    assert rows[2][1:3] == ["dividend", "0.5"]
    assert rows[-1][-1] == "RAW"
