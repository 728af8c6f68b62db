"""Splits and dividends: in the bars, in the quotes, in the books."""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.actions import Action, Actions, date_ns, read_actions
from quant_trading.tws_sim.barsize import DAY, WEEK, parse_bar_size
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Contract, SourceError, What
from tests.shared_data import market_data, needs_shared, shared_dir
from tests.tws_sim.bars_by_hand import bars_of

TAPE = seeded_tape(7)
SPLIT_DAY = date(2025, 11, 17)


def us(symbol: str, tape: SeriesTape = TAPE) -> Contract:
    return next(c for c in tape.contracts() if (c.symbol, c.currency) == (symbol, "USD"))


def close_on(tape: SeriesTape, contract: Contract, day: date, what: What, as_of: int) -> float:
    bars = tape.bars(contract, DAY, what, at(day, "00:00"), at(day, "20:00"), True, as_of)
    assert bars is not None
    assert len(bars) == 1
    return float(bars.close[0])


def test_factors_worked_by_hand() -> None:
    # 100 -> 2:1 split on day 2 (close 50) -> dividend of 1 on day 3 (close before it 50).
    days = bars_of([(100, 100, 100, 100, 10), (50, 50, 50, 50, 20), (49, 49, 49, 49, 20)], 86_400)
    events = [Action(date(1970, 1, 2), "split", 2.0), Action(date(1970, 1, 3), "dividend", 1.0)]
    actions = Actions(events)
    assert actions.split_factor(days.start_ns, date_ns(date(1970, 1, 3))).tolist() == [2.0, 1.0, 1.0]
    assert actions.split_factor(days.start_ns, date_ns(date(1970, 1, 1))).tolist() == [1.0, 0.5, 0.5]
    assert actions.dividend_factor(days.start_ns, date_ns(date(1970, 1, 3)), days).tolist() == [0.98, 0.98, 1.0]
    end = at(date(1970, 1, 3), "20:00")
    split = actions.adjusted(days, days.start_ns, end, None)
    both = actions.adjusted(days, days.start_ns, end, days)
    assert (split.close.tolist(), split.volume.tolist()) == ([50, 50, 49], [20, 20, 20])
    assert both.close.tolist() == [49, 49, 49]
    assert actions.on(date(1970, 1, 3)) == (events[1],)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("source", ["daily/daily_raw.parquet;basis=traded", "daily/daily_bars.parquet;basis=split"])
def test_views_of_real_stocks_are_the_vendor_s(source: str) -> None:
    name, basis = source.split(";")
    actions = market_data("corporate_actions/corporate_actions_dev.csv")
    tape = open_source(f"{market_data(name)};actions={actions};{basis}")
    now = at(date(2018, 12, 31), "20:00")
    shared = shared_dir()
    assert shared is not None
    with (shared / "golden" / "adjusted_close_views.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 400
    for row in rows:
        day, contract = date.fromisoformat(row["date"]), us(row["symbol"], tape)
        trades = close_on(tape, contract, day, What.TRADES, now)
        adjusted = close_on(tape, contract, day, What.ADJUSTED_LAST, now)
        assert trades == pytest.approx(float(row["trades_split_adj_2018_12_31"]), rel=1e-6)
        assert adjusted == pytest.approx(float(row["adjusted_last_2018_12_31"]), rel=3e-3)
        # Before anything happened to it, the price is the one that was traded.
        assert close_on(tape, contract, day, What.TRADES, at(day, "20:00")) == pytest.approx(
            float(row["close"]), rel=1e-5
        )


def test_history_knows_a_split_from_its_day_on_and_quotes_are_as_traded() -> None:
    nflx = us("NFLX")
    friday = date(2025, 11, 14)
    before = close_on(TAPE, nflx, friday, What.TRADES, at(friday, "20:00"))
    after = close_on(TAPE, nflx, friday, What.TRADES, at(SPLIT_DAY, "08:00"))
    assert after == pytest.approx(before / 10)
    weeks = TAPE.bars(nflx, WEEK, What.TRADES, at(date(2025, 11, 10), "00:00"), at(SPLIT_DAY, "12:00"), True)
    assert weeks is not None
    assert weeks.close[0] == pytest.approx(before / 10)
    size = parse_bar_size("30 mins")
    assert size is not None
    parts = TAPE.bars(nflx, size, What.TRADES, at(friday, "09:30"), at(SPLIT_DAY, "16:00"), True)
    assert parts is not None
    assert np.abs(np.diff(np.log(parts.close))).max() < 0.2
    evening, morning, open_ = (
        TAPE.quote(nflx, moment) for moment in (at(friday, "18:00"), at(SPLIT_DAY, "08:00"), at(SPLIT_DAY, "09:31"))
    )
    assert evening is not None
    assert morning is not None
    assert open_ is not None
    assert float(evening.last) == before
    assert float(morning.last) == pytest.approx(before / 10, abs=0.01)
    assert morning.previous_close == morning.last == open_.previous_close
    assert float(open_.last) < before / 5
    row = TAPE.cursor(nflx).move_to(at(SPLIT_DAY, "08:00"))
    assert row is not None
    assert row[2] == round(float(morning.last) * 100)


def test_a_holding_is_split_and_its_worth_stays() -> None:
    config = SimConfig(positions={"NFLX": (Decimal(7), Decimal(800))})
    simulator = Simulator(TAPE, config, at(date(2025, 11, 14), "18:00"))
    [account] = config.accounts
    before = simulator.equity()
    simulator.advance_to(at(SPLIT_DAY, "08:00"))
    [held] = simulator.ledgers[account].positions.values()
    assert (held.quantity, held.average_cost) == (70, 80)
    assert simulator.equity() == pytest.approx(before, abs=Decimal("0.5"))


@pytest.mark.parametrize(("quantity", "pays"), [(100, True), (-100, True), (100, False)])
def test_a_dividend_is_cash_on_its_ex_date(quantity: int, pays: bool) -> None:
    jnj = us("JNJ")
    event = next(e for e in TAPE.actions(jnj).events if e.kind == "dividend" and e.day > date(2025, 10, 1))
    config = SimConfig(positions={"JNJ": (Decimal(quantity), Decimal(150))}, pays_dividends=pays)
    simulator = Simulator(TAPE, config, at(event.day, "00:00") - 6 * 3600 * 10**9)
    ledger = simulator.ledgers[config.accounts[0]]
    before = ledger.cash
    simulator.advance_to(at(event.day, "09:00"))
    assert ledger.cash - before == (Decimal(repr(event.value)) * quantity if pays else 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbol,ex_date,kind,value\nA,2020-01-02,merger,1\n", "row 2"),
        ("symbol,ex_date,kind,value\nA,2020-13-02,split,2\n", "row 2"),
        ("symbol,ex_date,kind,value\nA,2020-01-02,split,0\n", "row 2"),
        ("symbol,date\nA,2020-01-02\n", "row 2"),
    ],
)
def test_a_file_of_actions_that_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "actions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=words):
        read_actions(path)


def test_a_source_says_which_of_its_words_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="basis"):
        open_source(f"{tmp_path};base=traded")
    with pytest.raises(SourceError, match="cannot be read"):
        read_actions(tmp_path / "none.csv")
