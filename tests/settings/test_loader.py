"""Precedence, strictness and the one-line errors of the settings."""

import subprocess
import sys
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.domain.errors import ConfigError
from quant_trading.refdata.restart_windows import RestartSchedule
from quant_trading.settings import DEFAULT_UNIVERSE, Settings, load_settings

REPOSITORY = Path(__file__).resolve().parents[2]
NO_ENVIRONMENT: dict[str, str] = {}


def write(root: Path, text: str, name: str = "configs/paper.yaml") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def load(root: Path, **arguments: object) -> Settings:
    environ = arguments.pop("environ", NO_ENVIRONMENT)
    return load_settings(Path("configs/paper.yaml"), environ=environ, root=root, **arguments)  # type: ignore[arg-type]


def refusal(root: Path, text: str, **arguments: object) -> str:
    write(root, text)
    with pytest.raises(ConfigError) as caught:
        load(root, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


def test_an_empty_file_gives_every_documented_default(tmp_path: Path) -> None:
    write(tmp_path, "# nothing yet\nrisk:\nibkr:\n  client_id:\n")
    s = load(tmp_path)
    assert (s.ibkr.host, s.ibkr.port, s.ibkr.live_port, s.ibkr.client_id) == ("127.0.0.1", 7497, 7496, None)
    assert (s.ibkr.order_type, s.ibkr.limit_offset_bps, s.ibkr.fill_timeout_seconds) == ("market", 10.0, 60.0)
    assert (s.ibkr.on_fill_timeout, s.ibkr.connect_timeout_seconds) == ("cancel", 30.0)
    assert (s.ibkr.account, s.ibkr.live_accounts, s.ibkr.allow_port_mismatch) == (None, (), False)
    assert (s.risk.max_position_pct, s.risk.max_gross_exposure) == (0.2, 1.0)
    assert (s.backtest.initial_capital, s.backtest.cost_bps, s.backtest.commission_per_trade) == (1_000_000.0, 5.0, 0.0)
    assert (s.backtest.fill, s.backtest.accounting) == ("next_open", "shares")
    assert (s.backtest.duration, s.backtest.bar_size) == ("1 Y", "1 day")
    assert (s.live.history_days, s.live.owns_account) == (20, False)
    assert s.universe == DEFAULT_UNIVERSE
    assert len(s.universe) == 20
    assert s.paths.logs == tmp_path / "logs"
    assert s.paths.data == tmp_path / "market_data"
    assert (s.active_strategy.name, dict(s.active_strategy.params)) == ("MACD", {})
    assert s.source("ibkr.port") == "default"


def test_the_shipped_files_load_and_say_the_same_as_the_defaults() -> None:
    s = load_settings(Path("configs/paper.yaml"), environ={}, root=REPOSITORY)
    assert s.strategy.name == "REVERSAL"
    assert dict(s.strategy.params) == {"lookback": 5, "threshold": -0.02}
    assert dict(s.strategy.weights) == {"SPY": 0.2, "QQQ": 0.2, "TLT": 0.2, "GLD": 0.1}
    assert s.universe == DEFAULT_UNIVERSE
    assert dict(s.active_strategy.params) == {"timeframe": 5}


def test_the_live_example_loads_and_allows_no_account_yet() -> None:
    s = load_settings(Path("configs/live.example.yaml"), environ={}, root=REPOSITORY)
    assert s.ibkr.live_accounts == ()
    assert s.risk.max_position_pct < 0.2
    assert s.ibkr.order_type == "limit"


def test_the_shipped_env_example_loads_after_copying(tmp_path: Path) -> None:
    write(tmp_path, "")
    write(tmp_path, (REPOSITORY / ".env.example").read_text(), ".env")
    s = load(tmp_path)
    assert (s.ibkr.host, s.ibkr.port, s.ibkr.live_port) == ("127.0.0.1", 7497, 7496)
    assert (s.ibkr.client_id, s.ibkr.account) == (None, None)
    assert s.source("ibkr.port").startswith(".env:")


def test_the_restart_of_tws_is_what_the_session_waits_for(tmp_path: Path) -> None:
    write(tmp_path, "")
    assert load(tmp_path).restart.schedule == RestartSchedule()  # the documented defaults are those of the table
    write(tmp_path, "restart: {time: 4:05, zone: Europe/Zurich, minutes: 20, login_hours: 0, regions: [europe]}")
    at_night = load(tmp_path).restart
    assert at_night.schedule == RestartSchedule(("europe",), time(4, 5), 20, 0.0, ZoneInfo("Europe/Zurich"))
    write(tmp_path, "restart:\n  time: none\n  regions: []\n")
    never = load(tmp_path).restart.schedule
    assert (never.restart, never.regions) == (None, ())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "time: 24:00",
            "restart.time = 24:00 is not a time of day; write 23:45, or none for a TWS that never restarts",
        ),
        ("time: soon", "restart.time = soon is not a time of day"),
        ("time:", "restart.time is empty; write a value or take the line out (line 2)"),
        ("zone: EST5", "restart.zone = EST5 is not a time zone; write the one TWS's clock shows, such as America/New"),
        ("zone: ../etc", "restart.zone = ../etc is not a time zone"),
        ("zone: America", "restart.zone = America is not a time zone"),
        ("minutes: 0", "restart.minutes = 0 is not within [1, 720]"),
        ("login_hours: 73", "restart.login_hours = 73 is not within [0, 72]"),
        ("regions: [north-americas]", "names the unknown region 'north-americas'; did you mean north-america?"),
        ("regions: [mars]", "known are north-america, europe, asia-morning, asia-evening, weekend"),
        ("regions: europe", "restart.regions = europe is not a list; write [north-america, weekend]"),
        ("tme: 23:45", "restart.tme is unknown; did you mean time?"),
    ],
)
def test_a_restart_that_is_none_is_refused(tmp_path: Path, line: str, words: str) -> None:
    message = refusal(tmp_path, f"restart:\n  {line}\n")
    assert words in message
    assert "line 2" in message


LAYERS = ["default", "yaml", "dotenv", "environment", "command line"]


@pytest.mark.parametrize("top", range(len(LAYERS)))
def test_precedence_is_command_line_environment_dotenv_yaml_default(tmp_path: Path, top: int) -> None:
    write(tmp_path, "ibkr: {port: 1001}" if top >= 1 else "")
    if top >= 2:
        write(tmp_path, "IBKR_PAPER_PORT=1002\n", ".env")
    environ = {"IBKR_PAPER_PORT": "1003"} if top >= 3 else {}
    overrides = {"ibkr.port": 1004} if top >= 4 else {"ibkr.port": None}
    s = load(tmp_path, environ=environ, overrides=overrides)
    assert s.ibkr.port == [7497, 1001, 1002, 1003, 1004][top]
    assert s.source("ibkr.port") == ["default", "configs/paper.yaml:1", ".env:1", "environment", "command line"][top]
    assert s.port("paper") == s.ibkr.port
    assert s.port("live") == 7496


def test_every_environment_name_reaches_its_setting(tmp_path: Path) -> None:
    write(tmp_path, "")
    environ = {
        "IBKR_HOST": "tws.example", "IBKR_PAPER_PORT": "5001", "IBKR_LIVE_PORT": "5002", "IBKR_CLIENT_ID": "9",
        "IBKR_ACCOUNT": "DU7654321",
    }  # fmt: skip
    ibkr = load(tmp_path, environ=environ).ibkr
    assert (ibkr.host, ibkr.port, ibkr.live_port) == ("tws.example", 5001, 5002)
    assert (ibkr.client_id, ibkr.account) == (9, "DU7654321")


def test_env_file_takes_crlf_quotes_export_and_comments(tmp_path: Path) -> None:
    write(tmp_path, "")
    write(tmp_path, "# mine\r\nexport IBKR_HOST=\"10.0.0.5\"\r\nIBKR_CLIENT_ID='42' # me\r\nDJANGO_X=1\r\n", ".env")
    ibkr = load(tmp_path).ibkr
    assert (ibkr.host, ibkr.client_id) == ("10.0.0.5", 42)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("IBKR_HOTS=x\n", ".env: IBKR_HOTS is unknown; did you mean IBKR_HOST? (line 1)"),
        ("\nIBKR_HOST=a\nIBKR_HOST=b\n", ".env: IBKR_HOST is given twice, in lines 2 and 3; take one out"),
        ("A=1\nwhat is this\n", ".env: line 2 is not NAME=value; write it so, or put # before it"),
        (
            "IBKR_PAPER_PORT=99999\n",
            ".env: IBKR_PAPER_PORT = 99999 is not within [1, 65535] (line 1)",
        ),
        ("IBKR_CLIENT_ID=seven\n", ".env: IBKR_CLIENT_ID = seven is not a whole number (line 1)"),
    ],
)
def test_env_file_errors(tmp_path: Path, content: str, expected: str) -> None:
    write(tmp_path, content, ".env")
    assert refusal(tmp_path, "") == expected


def test_a_broken_env_line_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    write(tmp_path, "DJANGO_SECRET_KEY hunter2\n", ".env")
    assert "hunter2" not in refusal(tmp_path, "")


# Each row is one trap: file, then the whole message.
REFUSED = [
    ("risk:\n  max_position_pct: 20\n",
     "risk.max_position_pct = 20 is not within (0, 1]; write 0.2 for 20 % (line 2)"),
    ("risk: {max_gross_exposure: 100}",
     "risk.max_gross_exposure = 100 is not within (0, 4]; write 1 for 100 % (line 1)"),
    ("risk: {max_position_pct: 0}", "risk.max_position_pct = 0 is not within (0, 1] (line 1)"),
    ("risk: {max_position_pct: -0.1}", "risk.max_position_pct = -0.1 is not within (0, 1] (line 1)"),
    ("risk:\n  max_position_pct: 0.2\n  max_gross_exposure: 1\n  max_position_pct: 20\n",
     "risk.max_position_pct is written twice, in lines 2 and 4; take one out"),
    ("risk: {}\nrisk: {}\n", "risk is written twice, in lines 1 and 2; take one out"),
    ("risk: {max_postion_pct: 0.2}", "risk.max_postion_pct is unknown; did you mean max_position_pct? (line 1)"),
    ("rsik: {max_position_pct: 0.2}", "rsik is unknown; did you mean risk? (line 1)"),
    ("port: 7497", "port is unknown; did you mean ibkr.port? (line 1)"),
    ("risk: {max_position_pct: .inf}",
     "risk.max_position_pct = .inf is not a finite number; write a decimal number (line 1)"),
    ("risk: {max_position_pct: .nan}",
     "risk.max_position_pct = .nan is not a finite number; write a decimal number (line 1)"),
    ("risk: {max_position_pct: 1e999}",
     "risk.max_position_pct = 1e999 is not a finite number; write a decimal number (line 1)"),
    ("risk: {max_position_pct: 20%}", "risk.max_position_pct = 20% is not a number (line 1)"),
    ("risk: {max_position_pct: '0.2'}",
     'risk.max_position_pct = "0.2" is text in quotes, a number is expected; take the quotes off (line 1)'),
    ("risk: {max_position_pct: null}",
     "risk.max_position_pct is empty; write a value or take the line out (line 1)"),
    ("risk: {max_position_pct: [0.2]}",
     "risk.max_position_pct = ['0.2'] is a list, one value is expected (line 1)"),
    ("risk: 0.2", "risk = 0.2 is not a section; write its settings below it, indented (line 1)"),
    ("live: {history_days: 010}",
     "live.history_days = 010 has a leading zero, which could mean base 8; write 10 (line 1)"),
    ("live: {history_days: 16:00}", "live.history_days = 16:00 is not a whole number (line 1)"),
    ("live: {history_days: 20.5}", "live.history_days = 20.5 is not a whole number (line 1)"),
    ("live: {history_days: 0x14}", "live.history_days = 0x14 is not a whole number (line 1)"),
    ("live: {history_days: 1_000}", "live.history_days = 1_000 is not a whole number (line 1)"),
    ("live: {owns_account: yes}",
     "live.owns_account = yes is not true or false; write true or false, in small letters and without quotes (line 1)"),
    ("live: {owns_account: 1}",
     "live.owns_account = 1 is not true or false; write true or false, in small letters and without quotes (line 1)"),
    ("ibkr: {order_type: markt}", "ibkr.order_type = markt is not one of market, limit; did you mean market? (line 1)"),
    ("ibkr: {order_type: stop}", "ibkr.order_type = stop is not one of market, limit; write one of them (line 1)"),
    ("ibkr: {on_fill_timeout: drop}",
     "ibkr.on_fill_timeout = drop is not one of cancel, keep; write one of them (line 1)"),
    ("ibkr: {port: 70000}", "ibkr.port = 70000 is not within [1, 65535] (line 1)"),
    ("ibkr: {host: 'a b'}",
     'ibkr.host = "a b" is not a host name or address; write 127.0.0.1 for this machine (line 1)'),
    ("universe: AAPL",
     "universe = AAPL is not a list of symbols; write [AAPL, MSFT] or one symbol per line after a dash (line 1)"),
    ("universe: []", "universe = [] has 0 symbols, expected 1 to 500 (line 1)"),
    ("universe: [AAPL, aapl]",
     "universe[1] = aapl is not 1 to 12 of A-Z, 0-9, dot and dash; write AAPL (line 1)"),
    ("universe: [AAPL, SPY, AAPL]",
     "universe = ['AAPL', 'SPY', 'AAPL'] names AAPL more than once; take one out (line 1)"),
    ("universe:\n  - SPY\n  -\n", "universe[1] = nothing is not one word; write one name per entry (line 3)"),
    ("strategy: {name: 'rm -rf'}",
     'strategy.name = "rm -rf" is not a strategy name; write letters, digits and _, such as REVERSAL (line 1)'),
    ("strategy: {params: {lookback: 010}}",
     "strategy.params.lookback = 010 has a leading zero, which could mean base 8; write 10 (line 1)"),
    ("strategy: {params: {threshold: -.inf}}",
     "strategy.params.threshold = -.inf is not a finite number; write a decimal number (line 1)"),
    ("strategy: {params: {lookback: [5]}}",
     "strategy.params.lookback = ['5'] is not one value; write a number, true, false or text (line 1)"),
    ("strategy: {weights: {SPY: 20}}",
     "strategy.weights.SPY = 20 is not within [-1, 1]; write 0.2 for 20 % (line 1)"),
    ("strategy: {weights: {spy: 0.2}}",
     "strategy.weights.spy = spy is not 1 to 12 of A-Z, 0-9, dot and dash; write SPY (line 1)"),
    ("strategy: {weights: {ZZZ: 0.2}}",
     "strategy.weights.ZZZ = 0.2 is for a symbol that is not in the universe; add it to universe or take the line out"
     " (line 1)"),
    ("strategy: {weights: {SPY: -0.3}}",
     "strategy.weights.SPY = -0.3 is above risk.max_position_pct = 0.2; lower the weight or raise the limit (line 1)"),
    ("strategy: {weights: {SPY: 0.2, QQQ: -0.2}}\nrisk: {max_gross_exposure: 0.3}",
     "strategy.weights sum to 0.4 in absolute value, above risk.max_gross_exposure = 0.3; lower weights or raise the"
     " limit"),
    ("backtest: {cost_bps: -1}", "backtest.cost_bps = -1 is not within [0, 1000] (line 1)"),
    ("backtest: {duration: 1 year}",
     "backtest.duration = 1 year is refused: duration '1 year' is not a number and a unit of IBKR's: 1..86400 S "
     '(seconds), 1..365 D (days), 1..52 W (weeks), 1..12 M (months), 1..68 Y (years); did you mean "1 Y"?'
     " (line 1)"),
    ("paths: {logs: ~/logs}",
     "paths.logs = ~/logs begins with ~, which is not expanded here; write the full path or one below the checkout"
     " (line 1)"),
    ("a: &x 1\n",
     "& anchors and * aliases are not used here; write the value out, or in quotes if it is text (line 1)"),
    ("risk: !!python/object:os.system {}",
     "tag tag:yaml.org,2002:python/object:os.system is not used here; write the plain value (line 1)"),
    ("- a\n- b\n", "holds no settings at its top; write lines such as `risk:` (line 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text.replace("\n", "|") for text, _ in REFUSED])
def test_each_trap_is_one_line_with_file_key_value_and_cure(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text) == ("configs/paper.yaml: " + message)


@pytest.mark.parametrize("text", ["risk: {", "a:\n\t- b", "\x00", "risk: 'open", "a: b: c", "--- {}\n--- {}\n"])
def test_what_is_no_yaml_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).startswith("configs/paper.yaml: this is not YAML: ")


def test_a_bomb_of_nested_lists_is_refused(tmp_path: Path) -> None:
    assert "nested deeper than 8 levels" in refusal(tmp_path, "universe: " + "[" * 5000 + "]" * 5000)


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/paper.yaml").write_bytes(b"risk:\n  # 20 \xa4\n")
    with pytest.raises(ConfigError, match=r"byte 13 is not UTF-8; save the file as UTF-8 \(line 2\)"):
        load(tmp_path)


def test_words_that_yaml_reads_as_something_else_stay_symbols(tmp_path: Path) -> None:
    write(tmp_path, "universe: [NO, ON, Y, N, OFF, TRUE, NULL, 1E5, BRK.B, '5']\nstrategy: {weights: {ON: 2e-1}}")
    s = load(tmp_path)
    assert s.universe == ("NO", "ON", "Y", "N", "OFF", "TRUE", "NULL", "1E5", "BRK.B", "5")
    assert dict(s.strategy.weights) == {"ON": 0.2}


def test_durations_and_bar_sizes_are_kept_in_ibkr_s_words(tmp_path: Path) -> None:
    write(tmp_path, "backtest: {duration: 6M, bar_size: 5m}")
    s = load(tmp_path)
    assert (s.backtest.duration, s.backtest.bar_size) == ("6 M", "5 mins")


def test_a_universe_of_the_command_line_leaves_the_file_s_weights_alone(tmp_path: Path) -> None:
    write(tmp_path, "strategy: {weights: {SPY: 0.1}}")
    assert load(tmp_path, overrides={"universe": ["AAPL"]}).universe == ("AAPL",)


def test_numbers_are_read_where_a_number_is_wanted(tmp_path: Path) -> None:
    write(tmp_path, "backtest: {initial_capital: 1e5, cost_bps: 5}\nlive: {history_days: 2e1}\nibkr: {port: +4002}")
    s = load(tmp_path)
    assert (s.backtest.initial_capital, s.backtest.cost_bps) == (100_000.0, 5.0)
    assert (s.live.history_days, s.ibkr.port) == (20, 4002)


def test_parameters_get_the_type_their_text_shows(tmp_path: Path) -> None:
    write(tmp_path, "strategy:\n  params: {a: 5, b: -0.02, c: true, d: word, e: '5', f: 16:00, g: 1e3}")
    params = dict(load(tmp_path).strategy.params)
    assert params == {"a": 5, "b": -0.02, "c": True, "d": "word", "e": "5", "f": "16:00", "g": 1000.0}
    assert [type(params[k]) for k in "abcdefg"] == [int, float, bool, str, str, str, float]


def test_a_symbol_with_a_dot_may_have_a_weight(tmp_path: Path) -> None:
    write(tmp_path, "universe: [BRK.B]\nstrategy: {weights: {BRK.B: 0.1}}")
    assert dict(load(tmp_path).strategy.weights) == {"BRK.B": 0.1}


def test_a_missing_file_names_the_cure_and_the_files_that_exist(tmp_path: Path) -> None:
    write(tmp_path, "", "configs/mine.yaml")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        "configs/paper.yaml: there is no such file; write --config configs/paper.yaml (there are mine.yaml)"
    )


def test_errors_of_the_command_line_name_it(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"^command line: backtest.cost_bps = -5.0 is not within \[0, 1000\]$"):
        load(tmp_path, overrides={"backtest.cost_bps": -5.0})
    with pytest.raises(
        ConfigError, match=r"^command line: backtest.bar_size = 7 mins is refused: .* none of IBKR's: 1 secs, "
    ):
        load(tmp_path, overrides={"backtest.bar_size": "7 mins"})
    with pytest.raises(ConfigError, match=r"^command line: backtest.cost is unknown"):
        load(tmp_path, overrides={"backtest.cost": 1})


def test_another_strategy_on_the_command_line_leaves_the_file_s_parameters_behind(tmp_path: Path) -> None:
    write(tmp_path, "strategy: {name: REVERSAL, params: {lookback: 3}}")
    assert dict(load(tmp_path, overrides={"strategy.name": "reversal"}).strategy.params) == {"lookback": 3}
    other = load(tmp_path, overrides={"strategy.name": "SMA_CROSS"}).strategy
    assert (other.name, dict(other.params)) == ("SMA_CROSS", {})


def test_the_active_strategy_comes_from_its_file_and_the_environment_overrides_it(tmp_path: Path) -> None:
    write(tmp_path, "")
    write(tmp_path, "ACTIVE_STRATEGY=MACD\nMACD_TIMEFRAME=3\nMACD_FAST=8\nREVERSAL_LOOKBACK=2\n", "strategy.env")
    s = load(tmp_path).active_strategy
    assert (s.name, dict(s.params)) == ("MACD", {"timeframe": 3, "fast": 8})
    s = load(tmp_path, environ={"MACD_TIMEFRAME": "10", "HOME": "/x"}).active_strategy
    assert dict(s.params) == {"timeframe": 10, "fast": 8}
    s = load(tmp_path, environ={"ACTIVE_STRATEGY": "reversal"}).active_strategy
    assert (s.name, dict(s.params)) == ("REVERSAL", {"lookback": 2})
    s = load(tmp_path, environ={"ACTIVE_STRATEGY": "STATIC"}, overrides={"active_strategy.name": "MACD"})
    assert s.active_strategy.name == "MACD"
    assert s.active_sources["MACD_TIMEFRAME"] == "strategy.env:2"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    write(tmp_path, "strategy: {params: {lookback: 3}, weights: {SPY: 0.1}}")
    s = load(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        s.risk.max_position_pct = 0.9  # type: ignore[misc]
    for mapping in (s.strategy.params, s.strategy.weights):
        with pytest.raises(TypeError):
            mapping["SPY"] = 1.0  # type: ignore[index]


def test_the_digest_follows_values_and_not_their_places(tmp_path: Path) -> None:
    write(tmp_path, "ibkr: {port: 7497}")
    written = load(tmp_path).digest()
    write(tmp_path, "")
    assert load(tmp_path).digest() == written
    assert load(tmp_path, overrides={"ibkr.port": 7498}).digest() != written


def test_importing_settings_reads_nothing_and_needs_no_numpy() -> None:
    code = (
        "import sys, pathlib\n"
        "opened = []\n"
        "sys.addaudithook(lambda e, a: opened.append(str(a[0])) if e == 'open' else None)\n"
        "import quant_trading.settings\n"
        "assert 'numpy' not in sys.modules, 'numpy'\n"
        "bad = [f for f in opened if f.endswith(('.yaml', '.env'))]\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@given(st.binary(max_size=200) | st.text(alphabet="risk:{}[]-&*!\n\t '\"max_position_pct0.2", max_size=120))
def test_any_file_gives_settings_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes | str) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    (root / "configs").mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    (root / "configs/paper.yaml").write_bytes(data)
    (root / ".env").write_bytes(data)
    try:
        load(root)
    except ConfigError as error:
        assert str(error).isprintable()


@given(st.floats())
def test_no_number_outside_its_range_gets_through(tmp_path_factory: pytest.TempPathFactory, number: float) -> None:
    root = tmp_path_factory.getbasetemp() / "number"
    write(root, f"risk: {{max_position_pct: {number!r}}}")
    if 0.0 < number <= 1.0:
        assert load(root).risk.max_position_pct == number
    else:
        with pytest.raises(ConfigError, match="max_position_pct"):
            load(root)
