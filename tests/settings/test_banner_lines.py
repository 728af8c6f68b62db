"""What is shown before anything happens: every value, its source, no secret."""

from pathlib import Path

import pytest

from quant_trading.settings import Settings, banner, load_settings, mask_account

CONFIG = """\
ibkr: {port: 7497, order_type: limit}
strategy: {params: {lookback: 3, api_key: hunter2}, weights: {SPY: 0.2}}
risk: {max_position_pct: 0.25}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "c.yaml").write_text(CONFIG)
    environ = {"IBKR_ACCOUNT": "DU1234567", "IBKR_HOST": "10.0.0.9"}
    return load_settings(Path("c.yaml"), environ=environ, overrides={"backtest.cost_bps": 7}, root=tmp_path)


def rows(lines: list[str]) -> dict[str, tuple[str, str]]:
    """Return value and source by name."""
    found = {}
    for line in lines:
        if line.endswith("]"):
            name, rest = line[2:24].strip(), line[24:]
            value, _, source = rest.rpartition(" [")
            found[name] = (value.strip(), source[:-1])
    return found


def test_live_run_shows_where_it_connects_and_what_it_may_send(settings: Settings) -> None:
    lines = banner(settings, run="live", mode="paper", dry_run=False, client_id=17)
    assert lines[0] == "Trading desk: run live, mode paper"
    assert rows(lines) == {
        "host": ("10.0.0.9", "environment"),
        "port": ("7497", "c.yaml:1"),
        "client id": ("17", "default of this command"),
        "account": ("DU***567", "environment"),
        "strategy": ("REVERSAL", "default"),
        "lookback": ("3", "c.yaml:2"),
        "api_key": ("***", "c.yaml:2"),
        "universe": ("20 symbols", "default"),
        "max_position_pct": ("0.25 (25 % of equity)", "c.yaml:3"),
        "max_gross_exposure": ("1 (100 % of equity)", "default"),
        "orders": ("limit", "c.yaml:1"),
        "limit_offset_bps": ("10", "default"),
        "fill timeout": ("60 s, then cancel", "default"),
        "dry run": ("no: orders are sent", "default"),
    }
    assert not any("WARNING" in line for line in lines)


def test_live_mode_uses_the_live_port_and_warns_that_real_orders_may_be_placed(settings: Settings) -> None:
    lines = banner(settings, run="live", mode="live", dry_run=False)
    assert rows(lines)["port"] == ("7496", "default")
    assert lines[-1].startswith("WARNING: live mode: REAL ORDERS MAY BE PLACED")
    dry = banner(settings, run="live", mode="live", dry_run=True)
    assert dry[-1] == "WARNING: live mode reads a real account; this is a dry run, no order is sent."
    assert rows(dry)["dry run"] == ("yes: nothing is sent", "command line")


def test_a_local_backtest_shows_its_folder_and_no_host(settings: Settings) -> None:
    shown = rows(banner(settings, run="backtest", mode="paper", dry_run=False, uses_ibkr=False))
    assert "host" not in shown
    assert shown["bars"] == (str(settings.root / "market_data"), "default")
    assert shown["cost_bps"] == ("7", "command line")
    assert shown["fill"] == ("next_open", "default")


def test_a_trade_run_shows_the_weights(settings: Settings) -> None:
    named = rows(banner(settings, run="trade", mode="paper", dry_run=True))
    assert named["strategy"][0] == settings.strategy.name  # --run trade --strategy NAME
    shown = rows(banner(settings, run="trade", mode="paper", dry_run=True, is_static=True))
    assert shown["strategy"] == ("STATIC", "--run trade")
    assert shown["weights"] == ("SPY 0.2", "c.yaml")


@pytest.mark.parametrize("run", ["trade", "backtest", "live"])
@pytest.mark.parametrize("mode", ["paper", "live"])
def test_no_banner_shows_a_secret_or_the_whole_account(settings: Settings, run: str, mode: str) -> None:
    text = "\n".join(banner(settings, run=run, mode=mode, dry_run=False))
    assert "hunter2" not in text
    assert "1234567" not in text


@pytest.mark.parametrize(
    ("account", "shown"), [("DU1234567", "DU***567"), ("U1234567", "U1***567"), ("U12345", "U***"), ("", "***")]
)
def test_an_account_can_be_recognised_but_not_copied(account: str, shown: str) -> None:
    assert mask_account(account) == shown
