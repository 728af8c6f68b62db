"""From settings to strategy objects, and the errors a wrong parameter gives."""

from pathlib import Path

import pytest

import quant_trading.strategy.macd
import quant_trading.strategy.reversal
import quant_trading.strategy.static  # noqa: F401  # the three register themselves
from quant_trading.domain.errors import ConfigError
from quant_trading.settings import Settings, build_active, build_chosen, build_static, load_settings
from quant_trading.strategy.macd import Macd
from quant_trading.strategy.reversal import Reversal
from quant_trading.strategy.static import Static


def load(root: Path, yaml: str = "", env: str = "", **overrides: object) -> Settings:
    (root / "c.yaml").write_text(yaml)
    (root / "strategy.env").write_text(env)
    return load_settings(Path("c.yaml"), environ={}, root=root, overrides=overrides)


def test_the_yaml_strategy_is_built_with_its_parameters(tmp_path: Path) -> None:
    settings = load(tmp_path, "strategy: {name: reversal, params: {lookback: 3, threshold: -0.05}}")
    assert build_chosen(settings) == Reversal(3, -0.05)


def test_static_takes_the_weights_whether_chosen_or_for_a_trade_run(tmp_path: Path) -> None:
    settings = load(tmp_path, "strategy: {name: STATIC, weights: {SPY: 0.2}}")
    assert build_chosen(settings) == build_static(settings) == Static({"SPY": 0.2})


def test_the_active_strategy_is_built_from_prefixed_names(tmp_path: Path) -> None:
    assert build_active(load(tmp_path)) == Macd()
    assert build_active(load(tmp_path, env="MACD_TIMEFRAME=3\nMACD_SIGNAL_SPAN=5\n")) == Macd(
        timeframe=3, signal_span=5
    )


def test_parameters_of_a_longer_name_are_left_to_it(tmp_path: Path) -> None:
    env = "ACTIVE_STRATEGY=REVERSAL\nREVERSAL_LOOKBACK=2\nREVERSAL_RANK_COUNT=4\n"
    assert build_active(load(tmp_path, env=env)) == Reversal(lookback=2)


def test_a_timeframe_that_is_not_served_is_one_line_with_file_and_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build_active(load(tmp_path, env="ACTIVE_STRATEGY=MACD\nMACD_TIMEFRAME=7\n"))
    assert str(caught.value) == (
        "strategy.env:2: MACD_TIMEFRAME = 7 is refused: strategy MACD: timeframe = 7 is not among 1, 3, 5, 10 minutes; "
        "set MACD_TIMEFRAME=5"
    )


def test_an_unknown_parameter_names_its_line_and_the_known_ones(tmp_path: Path) -> None:
    settings = load(tmp_path, "strategy:\n  params:\n    look_back: 3\n")
    with pytest.raises(ConfigError) as caught:
        build_chosen(settings)
    assert str(caught.value) == (
        "c.yaml:3: strategy.params.look_back = 3 is refused: strategy REVERSAL: parameter 'look_back' is unknown; "
        "known are lookback, threshold"
    )


def test_an_unknown_strategy_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^command line: strategy 'NONE' is unknown; known are MACD, REVERSAL, "):
        build_chosen(load(tmp_path, **{"strategy.name": "NONE"}))
