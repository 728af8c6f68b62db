"""The command line of the backtest: numbers out of their range are refused in a sentence, with exit code 2."""

import pytest

from quant_trading.backtesting.options import parser_of

LEAST = {"--vol-window": 2, "--time-exit": 1, "--blotter": 0, "--seed": 0, "--purge": 0, "--workers": 1}


@pytest.mark.parametrize("text", ["-1", "-3", "1.5", "many", "", "nan"])
@pytest.mark.parametrize("name", LEAST)
def test_what_is_no_whole_number_of_its_range_is_refused(name, text, capsys):
    with pytest.raises(SystemExit) as ended:
        parser_of().parse_args([name, text])
    assert ended.value.code == 2
    assert f"argument {name}: {text!r} is not a whole number of at least {LEAST[name]}" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_the_least_is_taken_and_one_below_is_not(name, least, capsys):
    place = name.removeprefix("--").replace("-", "_")
    assert getattr(parser_of().parse_args([name, str(least)]), place) == least
    with pytest.raises(SystemExit):
        parser_of().parse_args([name, str(least - 1)])


@pytest.mark.parametrize("text", ["nan", "inf", "much"])
def test_what_is_no_number_is_refused(text, capsys):
    with pytest.raises(SystemExit) as ended:
        parser_of().parse_args(["--capital", text])
    assert ended.value.code == 2
    assert f"argument --capital: {text!r} is not a number" in capsys.readouterr().err
