"""Sample bars: the simulator's market as files that the backtest reads."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from quant_trading.data.store import load_panel
from quant_trading.domain.errors import UsageError
from quant_trading.refdata.sessions import exchange_date, session_on
from quant_trading.tools.sample_data import main, sample_panel


def test_the_files_read_back_and_follow_the_calendar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--symbols", "AAPL,SMR", "--timeframe", "30m", "--years", "1", "--end", "2025-12-31"]
    assert main([*arguments, "--output-dir", str(tmp_path)]) == 0
    assert "made up (seed 7)" in capsys.readouterr().out
    panel = load_panel(tmp_path, ["AAPL", "SMR"], "30m")
    assert exchange_date(int(panel.start_ns[-1])) == date(2025, 12, 31)
    days, counts = np.unique([exchange_date(ns) for ns in panel.start_ns.tolist()], return_counts=True)
    sessions = {day: session_on(day) for day in days.tolist()}
    # 13 half hours from 09:30 to 16:00, 7 to 13:00 on a half day.
    for day, count in zip(days.tolist(), counts.tolist(), strict=True):
        session = sessions[day]
        assert session is not None, day
        assert count == (7 if session.is_half_day else 13), day
    assert np.isfinite(panel.close).all()


def test_the_same_seed_makes_the_same_bars_and_daily_bars_span_their_session() -> None:
    one, two = (sample_panel(["SPY"], "1d", 1, date(2025, 12, 31), 3) for _ in range(2))
    assert np.array_equal(one.close, two.close)
    other = sample_panel(["SPY"], "1d", 1, date(2025, 12, 31), 4)
    assert not np.array_equal(one.close, other.close)
    session = session_on(date(2025, 12, 31))
    assert session is not None
    assert (int(one.start_ns[-1]), int(one.end_ns[-1])) == (session.open_ns, session.close_ns)


def test_what_cannot_be_made_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="lists no such US stock"):
        sample_panel(["NOSUCH"], "1d", 1, date(2025, 12, 31), 7)
    assert main(["--end", "yesterday"]) == 2
    assert "is not a date" in capsys.readouterr().err
    assert main(["--years", "0", "--end", "2025-12-31"]) == 2
    assert "--years 0 is not within 1..10" in capsys.readouterr().err
