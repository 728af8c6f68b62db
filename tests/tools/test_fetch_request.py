"""What a download is asked for: each form of each option, and what is refused."""

import shlex
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data.bar_store import BarMeta, BarStore
from quant_trading.data.store_gaps import Gap, fetch_command
from quant_trading.domain.bar_sizes import BAR_SIZES, Duration, parse_bar_size
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import ConfigError, UsageError
from quant_trading.refdata.sessions import at, session_arrays
from quant_trading.tools import data, fetch_historical_data
from quant_trading.tools.fetch_request import Request, check_place, moment_of, request_of

HOME = {"QT_HOME": str(Path("desk").absolute())}


def parsed(*words: str) -> Request:
    return request_of(fetch_historical_data.build_parser().parse_args(words), HOME)


def of_command(line: str) -> Request:
    """Return what a command line for the shell asks for."""
    python, flag, module, *words = shlex.split(line)
    assert (python, flag, module) == ("python", "-m", "quant_trading.tools.fetch_historical_data")
    return parsed(*words)


def test_the_command_of_the_specification() -> None:
    line = 'python -m quant_trading.tools.fetch_historical_data --symbols SMR --duration "6 M" --bar-size "5 mins"'
    found = of_command(line)
    folder = Path(HOME["QT_HOME"]) / "market_data"
    assert found == Request(
        ("SMR",),
        parse_bar_size("5 mins"),
        Duration(6, "M"),
        "TRADES",
        False,
        None,
        folder,
        folder / "store",
        False,
        False,
    )


def test_symbols_by_spaces_and_commas_each_once() -> None:
    assert parsed("--symbols", "smr,AAPL", "BRK B", "brk.b", "BRK  B", "AAPL,").symbols == ("SMR", "AAPL", "BRK.B")
    with pytest.raises(UsageError, match="names none"):
        parsed("--symbols", ",")


def test_places_and_flags() -> None:
    found = parsed("--symbols", "SMR", "--all-hours", "--output-dir", "there", "--what", "MIDPOINT", "--refresh")
    assert (found.all_hours, found.what, found.refresh, found.repair) == (True, "MIDPOINT", True, False)
    assert (found.folder, found.store) == (Path("there"), Path("there/store"))
    assert parsed("--symbols", "SMR", "--store", "else").store == Path("else")


def test_without_a_duration_a_year_is_fetched_and_repair_looks_at_what_there_is() -> None:
    assert parsed("--symbols", "SMR").duration == Duration(1, "Y")
    assert parsed("--symbols", "SMR", "--repair").duration is None
    assert parsed("--symbols", "SMR", "--repair", "--duration", "5 D").duration == Duration(5, "D")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20260130-21:00:00", "2026-01-30T21:00:00+00:00"),
        ("20260130 16:00:00", "2026-01-30T16:00:00-05:00"),
        ("20260730 16:00:00", "2026-07-30T16:00:00-04:00"),
        ("20260130 16:00:00 US/Eastern", "2026-01-30T16:00:00-05:00"),
        ("20260130 22:00:00 Europe/Zurich", "2026-01-30T22:00:00+01:00"),
        ("2026-01-30 16:00", "2026-01-30T16:00:00-05:00"),
        ("2026-01-30T21:00:00Z", "2026-01-30T21:00:00+00:00"),
        ("2026-01-30T22:00:00+01:00", "2026-01-30T22:00:00+01:00"),
        ("2026-01-30", "2026-01-31T00:00:00-05:00"),
        ("20260308", "2026-03-09T00:00:00-04:00"),  # the clock changes on that day
    ],
)
def test_every_form_of_the_end(text: str, moment: str) -> None:
    assert moment_of(text) == int(datetime.fromisoformat(moment).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-13-01", "20260130-25:00:00", "16:00", "2026-01-30 US/Eastern", "2026-01-30 16:00 Mars/Base",
     "2026-01-30T16:00Z UTC", "30.01.2026", "1769806800", "9999-12-31"],
)  # fmt: skip
def test_what_names_no_moment_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no moment .*20260130-21:00:00"):
        moment_of(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # The clock goes from 02:00 EST (07:00 UTC) to 03:00 EDT, and from 02:00 EDT (06:00 UTC) back to 01:00 EST.
        (
            "2026-03-08 02:30",
            "is left out by .* America/New_York; write it in UTC, 20260308-06:30:00 or 20260308-07:30",
        ),
        (
            "2026-11-01 01:30",
            "occurs twice by .* America/New_York; write it in UTC, 20261101-05:30:00 or 20261101-06:3",
        ),
        ("20261025 02:30:00 Europe/Zurich", "occurs twice by .* Europe/Zurich; .* 20261025-00:30:00 or 20261025-01:30"),
    ],
)
def test_a_time_that_the_clock_leaves_out_or_repeats_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        moment_of(text)
    assert moment_of("2026-11-01T01:30:00-04:00") + 3_600 * 10**9 == moment_of("2026-11-01T01:30:00-05:00")


@pytest.mark.parametrize("text", ["1985-01-01", "19850104-21:00:00", "1989-12-31"])
def test_an_end_before_all_sessions_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"calendar of sessions begins \(1990-01-01\).*; name a later end"):
        parsed("--symbols", "SMR", "--end-datetime", text)
    assert parsed("--symbols", "SMR", "--end-datetime", "1990-01-02").end_ns == at(date(1990, 1, 3), "00:00")


@pytest.mark.parametrize("option", ["--output-dir", "--store"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, option: str) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "below", Path("/proc/none")):
        with pytest.raises(ConfigError, match=rf"{option} .* cannot be written .*; name another folder"):
            check_place(folder, option)
    check_place(tmp_path / "new" / "folder", option)
    assert list(tmp_path.iterdir()) == [file], "nothing is left there"


@given(st.integers(631_238_400, 1_924_905_600))  # 1990 to 2030
def test_the_end_in_ibkrs_utc_form_comes_back(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert moment_of(f"{moment:%Y%m%d-%H:%M:%S}") == int(moment.timestamp()) * 1_000_000_000


@given(
    symbol=st.sampled_from(["SMR", "BRK B", "BF.B"]),
    size=st.sampled_from([size.words for size in BAR_SIZES]),
    what=st.sampled_from(["TRADES", "ADJUSTED_LAST", "MIDPOINT", "BID", "ASK", "BID_ASK", "RAW", "LIVE"]),
    all_hours=st.booleans(),
    sessions=st.integers(1, 3000),
)
def test_every_command_that_repair_may_print_is_understood(
    symbol: str, size: str, what: str, all_hours: bool, sessions: int
) -> None:
    found = of_command(
        fetch_command(Gap(symbol, size, what, all_hours, date(2018, 7, 3), date(2018, 7, 3), sessions, 1))
    )
    assert found.symbols == (symbol.replace(" ", "."),) and found.size.words == size and found.all_hours == all_hours
    assert found.what == (what if what not in ("RAW", "LIVE") else "TRADES")
    assert found.end_ns == at(date(2018, 7, 3), "13:00")  # the close of a half day
    assert found.duration is not None and found.duration.count == (sessions if sessions <= 365 else -(-sessions // 250))


def test_what_repair_prints_for_a_gap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, opens, closes = session_arrays(date(2018, 7, 2), date(2018, 7, 20))
    step = 300_000_000_000
    start = np.concatenate(
        [np.arange(a, b, step) for k, (a, b) in enumerate(zip(opens, closes, strict=True)) if k != 5]
    )
    price = np.full(len(start), 20.0)
    bars = BarColumns(start, start + step, price, price, price, price, price)
    BarStore(tmp_path).append("SMR", "5 mins", bars, BarMeta("test", datetime(2018, 8, 1, tzinfo=UTC)))
    assert data.main(["repair", "--store", str(tmp_path)]) == 1
    [line] = [text.strip() for text in capsys.readouterr().out.splitlines() if "python -m" in text]
    found = of_command(line)
    # 2018-07-10 is the sixth session of the span: 2, 3, 5, 6, 9, 10
    assert (found.duration, found.end_ns) == (Duration(1, "D"), at(date(2018, 7, 10), "16:00"))


def test_help_names_every_option_and_loads_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fetch_historical_data.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for option in ("--symbols", "--duration", "--bar-size", "--all-hours", "--end-datetime", "--output-dir", "--store",
                   "--what", "--repair", "--refresh", "--host", "--port", "--client-id", "--account"):  # fmt: skip
        assert option in text
