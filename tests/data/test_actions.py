"""Corporate actions from a file, read strictly."""

from collections import Counter
from datetime import date

import pytest

from quant_trading.data.actions import read_actions
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.errors import ConfigError, DataGap
from tests.shared_data import market_data, needs_shared

HEAD = "symbol,ex_date,kind,value\n"


def read(tmp_path, text, **named):
    path = tmp_path / "actions.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_actions(path, **named)


def test_actions_by_date_whatever_the_order_of_lines_and_columns(tmp_path):
    lines = ("x,0.82,Dividend,A,2020-08-07", "", "y,4,split,A,2020-08-31", "z,5,SPLIT,T,2020-08-06")
    text = "\ufeffSource,Value,Kind,Symbol,Ex_Date\n" + "\n".join(lines)
    split = CorporateAction("T", date(2020, 8, 6), "split", 5.0)
    mine = [
        CorporateAction("A", date(2020, 8, 7), "dividend", 0.82),
        CorporateAction("A", date(2020, 8, 31), "split", 4),
    ]
    assert read(tmp_path, text) == [split, *mine]
    assert read(tmp_path, text, symbols=["A", "B"]) == mine
    assert read(tmp_path, HEAD) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("A,2020-08-31,split\n", "line 3: 3 cells are too few"),
        ("A,31/08/2020,split,4\n", "line 3: ex_date = '31/08/2020' is no date; write it as"),
        ("A,2020-02-30,split,4\n", "line 3: ex_date = '2020-02-30' is no date"),
        ("A,2020-08-31,merger,4\n", "line 3: kind = 'merger' is neither split nor dividend"),
        ("A,2020-08-31,split,four\n", "line 3: value = 'four' is no number"),
        ("A,2020-08-31,split,0\n", "line 3: split of A on 2020-08-31: value = 0.0 is not above 0"),
        ("A,2020-08-31,dividend,-1\n", "line 3: dividend of A on 2020-08-31: value = -1.0 is not above 0"),
        ("A,2020-08-31,dividend,nan\n", "line 3"),
        (",2020-08-31,split,4\n", "line 3: symbol is missing"),
        ("B,2019-01-02,dividend,1.0\n", "line 3: the dividend of B on 2019-01-02 is the same as in line 2"),
    ],
)
def test_what_is_wrong_is_named_by_line(tmp_path, lines, words):
    with pytest.raises(DataGap) as caught:
        read(tmp_path, HEAD + "B,2019-01-02,dividend,1\n" + lines)
    assert words in str(caught.value)
    assert "actions.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="do not exist; name a file"):
        read_actions(tmp_path / "none.csv")
    with pytest.raises(DataGap, match="line 1: lacks the columns ex_date, kind"):
        read(tmp_path, "symbol,value\n")
    with pytest.raises(DataGap, match="line 1: lacks the columns symbol"):
        read(tmp_path, "")
    with pytest.raises(DataGap, match="cannot be read"):
        read(tmp_path, HEAD.encode() + b"\xff\xfe\x00")
    with pytest.raises(DataGap, match="cannot be read"):
        read_actions(tmp_path)


@needs_shared
def test_the_real_file():
    actions = read_actions(market_data("corporate_actions/corporate_actions_dev.csv"))
    assert Counter(action.kind for action in actions) == {"dividend": 8080, "split": 63}  # as its README counts them
    assert CorporateAction("AAPL", date(2014, 6, 9), "split", 7.0) in actions
