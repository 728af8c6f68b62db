"""The effective configuration, as it is shown before anything happens."""

from collections.abc import Mapping

from quant_trading.settings.model import Settings
from quant_trading.settings.scalars import is_secret, show

__all__ = ["banner", "mask_account", "mask_value"]

_NAME_WIDTH = 22
_SHORTEST_MASKED = 8


def mask_account(account: str) -> str:
    """Return an account id that can be recognised but not copied: DU***567."""
    if len(account) < _SHORTEST_MASKED:
        return f"{account[:1]}***"
    return f"{account[:2]}***{account[-3:]}"


def mask_value(name: str, value: object) -> str:
    """Return `value` as text, or *** when its name says that it is a secret."""
    return "***" if is_secret(name) else show(value)


def banner(
    settings: Settings,
    *,
    run: str,
    mode: str,
    dry_run: bool,
    uses_ibkr: bool = True,
    client_id: int | None = None,
    is_static: bool = False,
) -> list[str]:
    """Return the lines that say what this run will do and where each value comes from.

    Args:
        settings: the settings of the run.
        run: "trade", "backtest" or "live".
        mode: "paper" or "live".
        dry_run: orders are computed and logged, none is sent.
        uses_ibkr: a broker is connected; else bars come from local files.
        client_id: the entry point's default, shown when the settings name none.
        is_static: the run goes by the configured weights, whatever strategy is configured.
    """
    lines = [f"Trading desk: run {run}, mode {mode}{', dry run' if dry_run else ''}"]
    if uses_ibkr:
        lines += _ibkr_lines(settings, mode, client_id)
    else:
        lines.append(_line("bars", str(settings.paths.data), settings.source("paths.data")))
    lines += _strategy_lines(settings, is_static)
    lines.append(_line("universe", f"{len(settings.universe)} symbols", settings.source("universe")))
    for name in ("max_position_pct", "max_gross_exposure"):
        share = getattr(settings.risk, name)
        lines.append(_line(name, f"{share:.12g} ({share * 100:.12g} % of equity)", settings.source(f"risk.{name}")))
    if run == "backtest":
        lines += _backtest_lines(settings)
    else:
        lines += _order_lines(settings, dry_run)
    if mode == "live" and run != "backtest":
        lines.append(_warning(dry_run))
    return lines


def _ibkr_lines(settings: Settings, mode: str, client_id: int | None) -> list[str]:
    ibkr = settings.ibkr
    port_key = "ibkr.live_port" if mode == "live" else "ibkr.port"
    if ibkr.client_id is not None:
        client, client_source = str(ibkr.client_id), settings.source("ibkr.client_id")
    else:
        client, client_source = ("-" if client_id is None else str(client_id)), "default of this command"
    account = mask_account(ibkr.account) if ibkr.account else "the only one TWS reports"
    return [
        _line("host", ibkr.host, settings.source("ibkr.host")),
        _line("port", str(settings.port(mode)), settings.source(port_key)),
        _line("client id", client, client_source),
        _line("account", account, settings.source("ibkr.account")),
    ]


def _strategy_lines(settings: Settings, is_static: bool) -> list[str]:
    if is_static:
        weights = settings.strategy.weights
        first = f"strategy.weights.{next(iter(weights), '')}"
        return [
            _line("strategy", "STATIC", "--run trade"),
            _line("weights", _pairs(weights) or "none: everything is sold", settings.source(first).partition(":")[0]),
        ]
    choice = settings.strategy
    lines = [_line("strategy", choice.name, settings.source("strategy.name"))]
    if choice.name == "STATIC":
        lines.append(_line("weights", _pairs(choice.weights) or "none: everything is sold", settings.config_name))
    for name, value in choice.params.items():
        lines.append(_line(f"  {name}", mask_value(name, value), settings.source(f"strategy.params.{name}")))
    return lines


def _backtest_lines(settings: Settings) -> list[str]:
    values = settings.backtest
    names = ("duration", "bar_size", "initial_capital", "cost_bps", "commission_per_trade", "fill", "accounting")
    return [_line(name, _plain(getattr(values, name)), settings.source(f"backtest.{name}")) for name in names]


def _order_lines(settings: Settings, dry_run: bool) -> list[str]:
    ibkr = settings.ibkr
    lines = [_line("orders", ibkr.order_type, settings.source("ibkr.order_type"))]
    if ibkr.order_type == "limit":
        lines.append(_line("limit_offset_bps", _plain(ibkr.limit_offset_bps), settings.source("ibkr.limit_offset_bps")))
    timeout = f"{_plain(ibkr.fill_timeout_seconds)} s, then {ibkr.on_fill_timeout}"
    lines.append(_line("fill timeout", timeout, settings.source("ibkr.fill_timeout_seconds")))
    sends = "yes: nothing is sent" if dry_run else "no: orders are sent"
    lines.append(_line("dry run", sends, "command line" if dry_run else "default"))
    return lines


def _warning(dry_run: bool) -> str:
    if dry_run:
        return "WARNING: live mode reads a real account; this is a dry run, no order is sent."
    return "WARNING: live mode: REAL ORDERS MAY BE PLACED, with real money. Stop now (Ctrl-C) if you are unsure."


def _pairs(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{symbol} {weight:.12g}" for symbol, weight in weights.items())


def _plain(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else show(value)


def _line(name: str, value: str, source: str) -> str:
    return f"  {name:<{_NAME_WIDTH}}{value:<34} [{source}]"
