"""The settings themselves: names, types, ranges and defaults, one class per section of the YAML file."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from quant_trading.domain.bar_sizes import parse_bar_size, parse_duration
from quant_trading.domain.errors import UsageError
from quant_trading.domain.limits import Limits
from quant_trading.settings.scalars import Within, nearest, one_of, to_flag, to_free, to_number, to_text, to_whole
from quant_trading.settings.universe import DEFAULT_UNIVERSE

if TYPE_CHECKING:
    from quant_trading.refdata.restart_windows import RestartSchedule

__all__ = ["DEFAULT_UNIVERSE", "ActiveStrategy", "Backtest", "Ibkr", "Live", "ParamValue", "Paths", "Restart",
           "Risk", "Settings", "StrategyChoice"]  # fmt: skip

_MAX_SYMBOLS = 500
_SYMBOL = re.compile(r"[A-Z0-9.-]{1,12}")
_ACCOUNT = re.compile(r"[A-Z0-9]{3,20}")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")

ParamValue = bool | int | float | str


def check_symbol(value: object) -> str:
    """Return a ticker in IBKR's form, upper case."""
    text = to_text(value)
    if not _SYMBOL.fullmatch(text):
        better = re.sub(r"[/ _]", ".", text.upper())
        cure = f"write {better}" if _SYMBOL.fullmatch(better) else "write a ticker such as AAPL"
        raise ValueError(f"is not 1 to 12 of A-Z, 0-9, dot and dash; {cure}")
    return text


def _check_universe(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("is not a list of symbols; write [AAPL, MSFT] or one symbol per line after a dash")
    if not 1 <= len(value) <= _MAX_SYMBOLS:
        raise ValueError(f"has {len(value)} symbols, expected 1 to {_MAX_SYMBOLS}")
    return tuple(value)


def _check_unique(value: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({symbol for symbol in value if value.count(symbol) > 1})
    if twice:
        raise ValueError(f"names {twice[0]} more than once; take one out")
    return value


def _check_account(value: object) -> str:
    text = to_text(value)
    if not _ACCOUNT.fullmatch(text):
        raise ValueError("is not an account id; write it as TWS shows it, such as DU and seven digits")
    return text


def _check_accounts(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("is not a list of account ids; write them as [ID, ID], or [] for none")
    return tuple(value)


def _check_host(value: object) -> str:
    text = to_text(value)
    if not _HOST.fullmatch(text):
        raise ValueError("is not a host name or address; write 127.0.0.1 for this machine")
    return text


def _check_name(value: object) -> str:
    text = to_text(value)
    if not _NAME.fullmatch(text):
        raise ValueError("is not a strategy name; write letters, digits and _, such as REVERSAL")
    return text.upper()


def _check_duration(value: object) -> str:
    try:
        return parse_duration(to_text(value)).words
    except UsageError as error:
        raise ValueError(f"is refused: {error}") from None


def _check_bar_size(value: object) -> str:
    try:
        return parse_bar_size(to_text(value)).words
    except UsageError as error:
        raise ValueError(f"is refused: {error}") from None


def _check_clock(value: object) -> str:
    """Return a time of day as "23:45", or "none"."""
    text = to_text(value)
    if text == "none":
        return text
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError("is not a time of day; write 23:45, or none for a TWS that never restarts by itself")
    return f"{int(found[1]):02}:{found[2]}"


def _check_zone(value: object) -> str:
    text = to_text(value)
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # unknown, none at all such as "../x", or a folder such as "America"
        raise ValueError(
            "is not a time zone; write the one TWS's clock shows, such as America/New_York or Europe/Zurich"
        ) from None
    return text


def _check_regions(value: object) -> object:
    from quant_trading.refdata.restart_windows import RESET_WINDOWS

    if not isinstance(value, list | tuple):
        raise ValueError("is not a list; write [north-america, weekend], or [] for no known resets")
    for name in value:
        if name not in RESET_WINDOWS:
            near = nearest(str(name), RESET_WINDOWS)
            cure = f"did you mean {near}?" if near else f"known are {', '.join(RESET_WINDOWS)}"
            raise ValueError(f"names the unknown region {name!r}; {cure}")
    return tuple(str(name) for name in value)


def _to_path(value: object, info: ValidationInfo) -> Path:
    """Return an absolute path; a relative one starts at the root that `load_settings` was given."""
    if isinstance(value, Path):
        path = value
    else:
        text = to_text(value)
        if text.startswith("~"):
            raise ValueError("begins with ~, which is not expanded here; write the full path or one below the checkout")
        path = Path(text)
    root: Path = (info.context or {})["root"]
    return root / path


def _optional(check: Callable[[object], object]) -> Callable[[object], object]:
    """Return `check` for values that may be absent."""
    return lambda value: None if value is None else check(value)


def _check_client_id(value: object) -> int:
    return int(Within(0, 2**31 - 1)(to_whole(value)))


def _freeze_numbers(value: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType(dict(value))


def _freeze_params(value: Mapping[str, ParamValue]) -> Mapping[str, ParamValue]:
    return MappingProxyType(dict(value))


_Number = Annotated[float, BeforeValidator(to_number)]
_Whole = Annotated[int, BeforeValidator(to_whole)]
_Flag = Annotated[bool, BeforeValidator(to_flag)]
_Symbol = Annotated[str, BeforeValidator(check_symbol)]
_Account = Annotated[str, BeforeValidator(_check_account)]
_StrategyName = Annotated[str, BeforeValidator(_check_name)]
_Port = Annotated[_Whole, AfterValidator(Within(1, 65535))]
_Folder = Annotated[Path, BeforeValidator(_to_path)]
_Weight = Annotated[_Number, AfterValidator(Within(-1, 1, is_share=True))]
_Weights = Annotated[Mapping[_Symbol, _Weight], AfterValidator(_freeze_numbers)]
_Param = Annotated[ParamValue, BeforeValidator(to_free)]
_Params = Annotated[Mapping[str, _Param], AfterValidator(_freeze_params)]
_Universe = Annotated[tuple[_Symbol, ...], BeforeValidator(_check_universe), AfterValidator(_check_unique)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class Ibkr(_Section):
    """How TWS is reached and how orders are written.

    Attributes:
        host: machine on which TWS runs.
        port, live_port: TWS's socket for paper and for live.
        client_id: our number at TWS; None takes the default of the entry point.
        account: the one account that may answer; None accepts the only one there is.
        live_accounts: the accounts on which live mode is allowed.
        allow_port_mismatch: accept the usual live port in paper mode and the other way round.
        order_type: "market" or "limit".
        limit_offset_bps: how far a limit stands from the reference price toward the market.
        fill_timeout_seconds: how long an order may wait for its fills.
        on_fill_timeout: "cancel" the rest or "keep" it working.
        connect_timeout_seconds: how long TWS may take to answer.
    """

    host: Annotated[str, BeforeValidator(_check_host)] = "127.0.0.1"
    port: _Port = 7497
    live_port: _Port = 7496
    client_id: Annotated[int | None, BeforeValidator(_optional(_check_client_id))] = None
    account: Annotated[str | None, BeforeValidator(_optional(_check_account))] = None
    live_accounts: Annotated[tuple[_Account, ...], BeforeValidator(_check_accounts)] = ()
    allow_port_mismatch: _Flag = False
    order_type: Annotated[Literal["market", "limit"], BeforeValidator(one_of("market", "limit"))] = "market"
    limit_offset_bps: Annotated[_Number, AfterValidator(Within(0, 1000))] = 10.0
    fill_timeout_seconds: Annotated[_Number, AfterValidator(Within(0, 86400, low_open=True))] = 60.0
    on_fill_timeout: Annotated[Literal["cancel", "keep"], BeforeValidator(one_of("cancel", "keep"))] = "cancel"
    connect_timeout_seconds: Annotated[_Number, AfterValidator(Within(0, 600, low_open=True))] = 30.0


class StrategyChoice(_Section):
    """The strategy of `--run backtest` and `--run live`, and the weights of `--run trade`.

    Attributes:
        name: as registered, upper case.
        params: its fields by name.
        weights: wished share of equity by symbol for STATIC, -1..1; a symbol that is not named is held at 0.
    """

    name: _StrategyName = "REVERSAL"
    params: _Params = Field(default_factory=lambda: MappingProxyType({}))
    weights: _Weights = Field(default_factory=lambda: MappingProxyType({}))


class ActiveStrategy(_Section):
    """The strategy of the intraday tools, from strategy.env and the environment.

    Attributes:
        name: as registered, upper case.
        params: the prefixed settings, `MACD_TIMEFRAME=3` as timeframe: 3.
    """

    name: _StrategyName = "MACD"
    params: _Params = Field(default_factory=lambda: MappingProxyType({}))


class Risk(_Section):
    """Limits as shares of equity, 0.2 = 20 %.

    A gross exposure above 4 is refused: it is the most a margin account may carry within a day, so a larger number is
    a percentage written as a share.
    """

    max_position_pct: Annotated[_Number, AfterValidator(Within(0, 1, low_open=True, is_share=True))] = 0.2
    max_gross_exposure: Annotated[_Number, AfterValidator(Within(0, 4, low_open=True, is_share=True))] = 1.0


class Backtest(_Section):
    """What a backtest assumes.

    Attributes:
        initial_capital: equity at the start, in the account's currency.
        cost_bps: cost of traded value.
        commission_per_trade: charged for each order besides.
        fill: which price an order decided on bar t gets.
        accounting: whole "shares" or textbook "weights".
        duration, bar_size: IBKR's words.
    """

    initial_capital: Annotated[_Number, AfterValidator(Within(0, 1e12, low_open=True))] = 1_000_000.0
    cost_bps: Annotated[_Number, AfterValidator(Within(0, 1000))] = 5.0
    commission_per_trade: Annotated[_Number, AfterValidator(Within(0, 10_000))] = 0.0
    fill: Annotated[
        Literal["next_open", "same_close", "next_close"],
        BeforeValidator(one_of("next_open", "same_close", "next_close")),
    ] = "next_open"
    accounting: Annotated[Literal["shares", "weights"], BeforeValidator(one_of("shares", "weights"))] = "shares"
    duration: Annotated[str, BeforeValidator(_check_duration)] = "1 Y"
    bar_size: Annotated[str, BeforeValidator(_check_bar_size)] = "1 day"


class Live(_Section):
    """The daily run.

    Attributes:
        history_days: daily bars to fetch; more are taken when the strategy's warm-up needs them.
        open_wait_minutes: how long before the open a run may send its orders; earlier it refuses.
        owns_account: also close positions outside the universe.
    """

    history_days: Annotated[_Whole, AfterValidator(Within(2, 5000))] = 20
    open_wait_minutes: Annotated[_Number, AfterValidator(Within(0, 1440))] = 30.0
    owns_account: _Flag = False


class Restart(_Section):
    """When TWS and IBKR's servers are away by plan: an outage within it is told, but is no alarm.

    Attributes:
        time: TWS's own daily restart (Global Configuration > Lock and Exit > Auto restart) on `zone`'s clock, "23:45";
            "none" when it never restarts by itself.
        zone: whose clock that is, a name such as "America/New_York".
        minutes: how long TWS may be away for it.
        login_hours: how long a person may take to log in again after Sunday 01:00 New York, when IBKR ends the week's
            login; 0 for none.
        regions: whose nightly server resets concern this login, names of `restart_windows.RESET_WINDOWS`.
    """

    time: Annotated[str, BeforeValidator(_check_clock)] = "23:45"
    zone: Annotated[str, BeforeValidator(_check_zone)] = "America/New_York"
    minutes: Annotated[_Whole, AfterValidator(Within(1, 720))] = 15
    login_hours: Annotated[_Number, AfterValidator(Within(0, 72))] = 16.0
    regions: Annotated[tuple[str, ...], BeforeValidator(_check_regions)] = ("north-america", "weekend")

    @property
    def schedule(self) -> "RestartSchedule":
        """Return it as the supervisor of a session takes it."""
        from quant_trading.refdata.restart_windows import RestartSchedule

        clock = None if self.time == "none" else time.fromisoformat(self.time)
        return RestartSchedule(self.regions, clock, self.minutes, self.login_hours, ZoneInfo(self.zone))


class Paths(_Section):
    """Folders; a relative one lies below the checkout."""

    logs: _Folder = Path("logs")
    outputs: _Folder = Path("outputs")
    state: _Folder = Path("state")
    data: _Folder = Path("market_data")


class Settings(_Section):
    """Everything a run was told, frozen, with the place each value came from.

    Attributes:
        root: the checkout.
        config_name: the YAML file as messages call it.
        sources: place of each value that is not a default, by its dotted path.
        active_sources: the same for the parameters of `active_strategy`, by variable name.
    """

    ibkr: Ibkr
    universe: _Universe = DEFAULT_UNIVERSE
    strategy: StrategyChoice
    risk: Risk
    backtest: Backtest
    live: Live
    restart: Restart = Field(default_factory=Restart)
    paths: Paths
    active_strategy: ActiveStrategy
    root: Path
    config_name: str
    sources: Mapping[str, str]
    active_sources: Mapping[str, str]

    @property
    def limits(self) -> Limits:
        """Return the risk limits as the walk takes them."""
        return Limits(self.risk.max_position_pct, self.risk.max_gross_exposure)

    def source(self, path: str) -> str:
        """Return where the value at a dotted path came from, "default" when nobody set it."""
        return self.sources.get(path, "default")

    def port(self, mode: str) -> int:
        """Return TWS's port for mode "paper" or "live"."""
        return self.ibkr.live_port if mode == "live" else self.ibkr.port

    def digest(self) -> str:
        """Return 64 hex digits that change when any value changes; where values came from does not count."""
        values = {
            name: {k: dict(v) if isinstance(v, Mapping) else v for k, v in getattr(self, name)}
            for name in ("ibkr", "strategy", "risk", "backtest", "live", "restart", "active_strategy")
        }
        text = json.dumps({**values, "universe": self.universe}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
