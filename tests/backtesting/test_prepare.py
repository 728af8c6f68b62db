"""What a strategy is shown around splits, dividends and jumps, in a run, a sweep and a walk-forward alike."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant_trading.backtesting.engine import BacktestSettings, FillConvention, Rounding, run_backtest
from quant_trading.backtesting.prepare import guarded, jumps_of, seen_bars
from quant_trading.backtesting.run_backtest import main
from quant_trading.data.checker import check_panel
from quant_trading.data.store import save_bars
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.refdata.sessions import sessions_between
from quant_trading.strategy.reversal import Reversal
from tests.backtesting.panels import panel_of

# 2018-01-02 is the first session of `panel_of`; the fourth is 2018-01-05.
EX_DATE = date(2018, 1, 5)


def test_a_split_and_a_dividend_by_hand() -> None:
    panel = panel_of([[100.0], [104.0], [112.0], [28.0], [29.0]], symbols=("AAA",))
    split = CorporateAction("AAA", EX_DATE, "split", 4.0)
    assert seen_bars(panel, [split]).close[:, 0].tolist() == [25.0, 26.0, 28.0, 28.0, 29.0]
    assert seen_bars(panel, [split]).volume[:, 0].tolist() == [4000.0, 4000.0, 4000.0, 1000.0, 1000.0]
    # 7 a share on a close of 28: a quarter of the price is gone.
    paid = CorporateAction("AAA", EX_DATE, "dividend", 7.0)
    before = panel_of([[32.0], [30.0], [28.0], [21.0], [22.0]], symbols=("AAA",))
    assert seen_bars(before, [paid]).close[:, 0].tolist() == [24.0, 22.5, 21.0, 21.0, 22.0]
    # Both at once: 112 is 28 in new shares, of which 7 leave three quarters.
    both = seen_bars(panel_of([[100.0], [104.0], [112.0], [21.0], [22.0]], symbols=("AAA",)), [paid, split])
    assert both.close[:3, 0] == pytest.approx([18.75, 19.5, 21.0])
    assert seen_bars(panel, []) is panel
    assert seen_bars(panel, [CorporateAction("BBB", EX_DATE, "split", 4.0)]) is panel


def test_a_booked_split_is_not_traded_and_the_account_goes_through_it() -> None:
    """A reversal buys what fell by 2 %: the split is no fall, whether raw or adjusted bars are given."""
    closes = np.array([[100.0], [100.0], [100.0], [25.0], [25.0], [25.0]])
    split = CorporateAction("AAA", EX_DATE, "split", 4.0)
    panel = panel_of(closes, symbols=("AAA",))
    strategy = Reversal(lookback=1)
    settings = BacktestSettings(cost_bps=0.0)
    assert len(run_backtest(panel, strategy, Limits(), settings, actions=[split]).fills) == 0
    assert len(run_backtest(panel, strategy, Limits(), settings).fills) > 0


@dataclass(frozen=True)
class Careless:
    """Multiplies its signal: where that is NaN, so is the target."""

    warmup: int = 2

    def signal(self, bars: BarPanel) -> FloatArray:
        return np.where(np.isnan(bars.close), np.nan, 1.0)

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return signal * limits.max_position_pct


def test_a_guarded_strategy_keeps_its_name_and_is_not_blamed_for_the_mask() -> None:
    rng = np.random.default_rng(1)
    closes = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, (60, 1)), axis=0)), 2)
    closes[30:] = np.round(closes[30:] * 0.55, 2)  # nothing explains this one
    panel = panel_of(closes, symbols=("AAA",))
    findings = check_panel(panel)
    day = sessions_between(date(2018, 1, 2), date(2018, 12, 31))[30].day
    assert jumps_of(findings) == f"AAA {day}"
    settings = BacktestSettings(cost_bps=0.0, fill=FillConvention.SAME_CLOSE, rounding=Rounding.NONE)
    result = run_backtest(panel, guarded(Careless(), panel, findings), Limits(), settings)
    # With a warm-up of two bars only that of the jump has a window with prices from both sides.
    assert result.target[28:33, 0].tolist() == [0.2, 0.2, 0.0, 0.2, 0.2]
    assert dict(result.conventions.parameters) == {"warmup": "2"}


@pytest.fixture
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / "strategies").mkdir(parents=True)
    monkeypatch.setenv("QT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ACTIVE_STRATEGY", raising=False)
    monkeypatch.chdir(tmp_path)


def jumpy() -> None:
    """Write two years of a stock that splits 4 for 1 and of one that falls by half, raw."""
    rng = np.random.default_rng(3)
    closes = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (300, 2)), axis=0)), 2)
    closes[150:, 0] = np.round(closes[150:, 0] / 4.0, 2)
    closes[200:, 1] = np.round(closes[200:, 1] * 0.5, 2)
    save_bars(Path("market_data"), panel_of(closes, symbols=("SPLT", "SPIN")))
    day = sessions_between(date(2018, 1, 2), date(2019, 12, 31))[150].day
    Path("actions.csv").write_text(f"symbol,ex_date,kind,value\nSPLT,{day},split,4\n", encoding="utf-8")


def sweep_and_run(*more: str) -> tuple[dict[str, Any], dict[str, Any]]:
    words = ["--timeframe", "1d", "--strategy", "REVERSAL", "--param", "lookback=3", "--sweep", "lookback=3:4", *more]
    assert main(words) == 0
    folder = Path("backtest_results/1d")
    return tuple(json.loads((folder / name).read_text(encoding="utf-8")) for name in ("sweep.json", "account.json"))  # type: ignore[return-value]


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("more", [(), ("--actions", "actions.csv"), ("--trade-jumps",)])
def test_a_sweep_earns_with_the_same_parameters_what_the_run_earns(more: tuple[str, ...]) -> None:
    jumpy()
    swept, account = sweep_and_run(*more)
    at = swept["parameters"]["lookback"].index(3)
    assert swept["figures"]["final_equity"][at] == pytest.approx(account["final_equity"], rel=1e-12)
    assert account["strategy"]["parameters"] == {"lookback": "3", "threshold": "-0.02"}
    assert (account["conventions"]["jumps"] is None) is False
    assert account["conventions"]["actions_file"] == ("actions.csv" if "--actions" in more else None)


LAGGED = '''
from dataclasses import dataclass
import numpy as np
from quant_trading.strategy.base import equal_weights, register

@register("LAGGED_PREPARE")
@dataclass(frozen=True)
class Lagged:
    """Honest with ahead 0, a leak with 1."""
    ahead: int = 0
    warmup = 3
    def signal(self, bars):
        moved = np.roll(bars.close, -self.ahead, axis=0)
        change = np.zeros_like(moved)
        change[1:] = moved[1:] - moved[:-1]
        return np.sign(change)
    def target(self, signal, limits):
        return equal_weights(signal, limits)
'''

BROKEN = '''
from dataclasses import dataclass
from quant_trading.strategy.base import register

@register("BROKEN_PREPARE")
@dataclass(frozen=True)
class Broken:
    """Has a mistake."""
    warmup = 3
    def signal(self, bars):
        return bars.nosuch
    def target(self, signal, limits):
        return signal
'''


@pytest.mark.usefixtures("_alone")
def test_the_winner_of_a_sweep_is_put_to_the_causality_test(capsys: pytest.CaptureFixture[str]) -> None:
    jumpy()
    Path("home/strategies/lagged_prepare.py").write_text(LAGGED, encoding="utf-8")
    words = ["--timeframe", "1d", "--strategy", "LAGGED_PREPARE", "--sweep", "ahead=0:1", "--trade-jumps"]
    assert main(words) == 7
    error = capsys.readouterr().err
    assert "with ahead = 1" in error
    assert "reads the future" in error


@pytest.mark.usefixtures("_alone")
def test_a_mistake_in_a_strategy_is_named_by_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    jumpy()
    Path("home/strategies/broken_prepare.py").write_text(BROKEN, encoding="utf-8")
    assert main(["--timeframe", "1d", "--strategy", "BROKEN_PREPARE"]) == 2
    error = capsys.readouterr().err
    assert "broken_prepare.py line 11: AttributeError" in error
    assert len(error.splitlines()) == 1


@pytest.mark.usefixtures("_alone")
def test_a_search_without_anything_to_try_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--walk-forward", "60:20"]) == 2
    assert "--walk-forward belongs to a search" in capsys.readouterr().err


@pytest.mark.usefixtures("_alone")
def test_a_symbol_without_a_bar_in_the_sample_is_left_out_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    jumpy()
    path = Path("market_data/SPIN_1d.csv")
    path.write_text("\n".join([*path.read_text(encoding="utf-8").splitlines()[:50], ""]), encoding="utf-8")
    assert main(["--timeframe", "1d", "--strategy", "REVERSAL", "--start", "2018-12-03"]) == 1
    assert "SPIN: no bar in the sample" in capsys.readouterr().err
    assert [path.name for path in Path("backtest_results/1d").glob("*_backtest.json")] == ["SPLT_backtest.json"]
