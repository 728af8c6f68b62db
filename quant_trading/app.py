"""The only place where a broker, a store and a clock are chosen."""

import logging
import platform
from argparse import Namespace
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quant_trading
from quant_trading.core.client_ids import CLIENT_IDS
from quant_trading.desk.logs import configure_logging
from quant_trading.domain.errors import ConfigError, DataGap, UsageError
from quant_trading.plugins import load_builtin_strategies, load_user_strategies
from quant_trading.refdata.sessions import SessionRangeError
from quant_trading.settings import Settings, banner, build_chosen, build_static, load_settings
from quant_trading.settings.home import home
from quant_trading.settings.system_clock import SystemClock

if TYPE_CHECKING:
    from quant_trading.core.ibkr_account import IBKRAccount
    from quant_trading.core.ibkr_broker import IBKRBroker
    from quant_trading.desk.journal import FileJournal
    from quant_trading.desk.plan import DeskRules
    from quant_trading.domain.bars import BarPanel
    from quant_trading.ports import BarSource
    from quant_trading.refdata.sessions import Session
    from quant_trading.strategy.base import Strategy

__all__ = ["SystemClock", "home", "run"]

_log = logging.getLogger(__name__)
Say = Callable[[str], None]


def run(options: Namespace, *, environ: Mapping[str, str], say: Say) -> int:
    """Carry out one command line and return the exit code.

    Args:
        options: as `cli` parsed them; file names in them are relative to the current folder.
        environ: the environment, for settings only.
        say: takes each line for the console.

    Raises:
        DeskError: with its one line and exit code.
    """
    _check_options(options)
    root = home(environ)
    config = Path(options.config)
    config = config.absolute() if config.is_file() else root / config
    settings = load_settings(config, overrides=_overrides(options), environ=environ, root=root)
    client_id = settings.ibkr.client_id if settings.ibkr.client_id is not None else CLIENT_IDS[options.run]
    clock = SystemClock()
    with configure_logging(settings.paths.logs, environ=environ, console=options.verbose):
        tell = _teller(say)
        for line in banner(settings, run=options.run, mode=options.mode, dry_run=options.dry_run,
                           uses_ibkr=options.ibkr, client_id=client_id, is_static=_is_static(options)):  # fmt: skip
            tell(line)
        if options.run != "backtest" and options.slot > 1:
            tell(f"This is slot {options.slot}: a further rebalance of the same session, on purpose.")
        load_builtin_strategies()
        load_user_strategies(root / "strategies")
        use_case = _backtest if options.run == "backtest" else _trade
        try:
            return use_case(options, settings, client_id, clock, tell)
        except SessionRangeError as error:
            _log.error("%s", error)
            raise DataGap(str(error)) from error
        except BaseException as error:
            _log.error("%s: %s", type(error).__name__, error, exc_info=_log.isEnabledFor(logging.DEBUG))
            raise


def _is_static(options: Namespace) -> bool:
    """Return True for the rebalance to the configured weights, which needs no strategy of its own."""
    return options.run == "trade" and options.strategy is None


def _teller(say: Say) -> Say:
    def tell(line: str) -> None:
        say(line)
        _log.info("%s", line)

    return tell


def _check_options(options: Namespace) -> None:
    if options.run != "backtest" and not options.ibkr:
        raise UsageError(
            f"--run {options.run} trades an account, which needs --ibkr; add it (and --dry-run to only look)"
        )
    if options.live and options.mode != "live":
        raise UsageError("--live confirms real orders and goes with --mode live; leave it out for paper")
    if options.mode == "live" and options.run != "backtest" and not options.live and not options.dry_run:
        raise UsageError("--mode live places real orders; add --live to confirm, or --dry-run to only look")
    if not 1 <= options.slot <= 99:
        raise UsageError(f"--slot {options.slot} is not within 1..99")
    if options.run != "backtest":
        for name in ("duration", "bar_size", "out", "fill", "accounting", "capital", "start", "data_dir", "save_bars"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} belongs to --run backtest; leave it out of "
                                 f"--run {options.run}")  # fmt: skip
    if _is_static(options) and options.param:
        raise UsageError("--param sets parameters of a strategy, and --run trade has none: its weights are "
                         "strategy.weights; name a strategy with --strategy or leave --param out")  # fmt: skip


def _overrides(options: Namespace) -> dict[str, object]:
    """Return what the command line says about settings, by dotted path; None = not said."""
    port = "ibkr.live_port" if options.mode == "live" else "ibkr.port"
    given: dict[str, object] = {
        "ibkr.host": options.host,
        port: options.port,
        "ibkr.client_id": options.client_id,
        "ibkr.account": options.account,
        "strategy.name": options.strategy,
        "universe": None if options.symbols is None else [s.strip() for s in options.symbols.split(",") if s.strip()],
        "backtest.duration": options.duration,
        "backtest.bar_size": options.bar_size,
        "backtest.cost_bps": options.cost_bps,
        "backtest.fill": options.fill,
        "backtest.accounting": options.accounting,
        "backtest.initial_capital": options.capital,
        "paths.data": None if options.data_dir is None else str(Path(options.data_dir).absolute()),
    }
    for pair in options.param:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise UsageError(f"--param {pair} is not NAME=VALUE; write --param lookback=5")
        given[f"strategy.params.{name}"] = value
    return given


def _backtest(options: Namespace, settings: Settings, client_id: int, clock: SystemClock, tell: Say) -> int:
    from quant_trading.backtesting.causality import refuse_leaks
    from quant_trading.backtesting.engine import Accounting, BacktestSettings, FillConvention, run_backtest
    from quant_trading.backtesting.prepare import jumps_of
    from quant_trading.data.checker import check_panel
    from quant_trading.data.store import save_bars

    strategy = build_chosen(settings)
    chosen = settings.backtest
    panel = _backtest_bars(options, settings, client_id)
    tell(f"Bars: {len(panel)} x {len(panel.symbols)} symbols from {'IBKR' if options.ibkr else settings.paths.data}")
    if options.save_bars:
        saved = save_bars(Path(options.save_bars), panel)
        tell(f"Bars saved: {len(saved)} files in {options.save_bars}")
    tell(f"Causality: {refuse_leaks(strategy, panel, settings.limits).text}")
    if jumps := jumps_of(check_panel(panel)):
        tell(f"Jumps that nothing explains, traded as the desk would: {jumps}; look them up (docs/backtest.md)")
    result = run_backtest(
        panel,
        strategy,
        settings.limits,
        BacktestSettings(
            initial_capital=chosen.initial_capital,
            cost_bps=chosen.cost_bps,
            commission_per_trade=chosen.commission_per_trade,
            fill=FillConvention(chosen.fill),
            accounting=Accounting(chosen.accounting),
        ),
        strategy_name=settings.strategy.name,
    )
    stamp = clock.now().strftime("%Y%m%dT%H%M%SZ")
    out = Path(options.out) if options.out else settings.paths.outputs / f"backtest_{stamp}.csv"
    result.write_csv(out)
    for line in result.summary():
        tell(line)
    tell(f"Written: {out}")
    return 0


def _backtest_bars(options: Namespace, settings: Settings, client_id: int) -> "BarPanel":
    chosen = settings.backtest
    source: BarSource
    if options.ibkr:
        account = _open_account(options, settings, client_id)
        try:
            panel = account.bars(settings.universe, chosen.bar_size, chosen.duration)
            panel = panel.known_at(int(account.now().timestamp()) * 1_000_000_000)  # the running bar is no history
        finally:
            account.close()
    else:
        from quant_trading.data.store import LocalBars

        source = LocalBars(settings.paths.data)
        panel = source.bars(settings.universe, chosen.bar_size, chosen.duration)
    return panel if options.start is None else _from_session(panel, options.start)


def _from_session(panel: "BarPanel", start: str) -> "BarPanel":
    from quant_trading.refdata.sessions import exchange_date

    try:
        first = date.fromisoformat(start)
    except ValueError:
        raise UsageError(f"--start {start} is not a date; write 2013-01-02") from None
    row = next((i for i, ns in enumerate(panel.start_ns.tolist()) if exchange_date(ns) >= first), len(panel))
    return panel.rows(row, len(panel))


def _trade(options: Namespace, settings: Settings, client_id: int, clock: SystemClock, tell: Say) -> int:
    from quant_trading.desk.brokers import DryRunBroker
    from quant_trading.desk.loop import RunContext, run_session
    from quant_trading.ports import Broker

    is_static = _is_static(options)
    strategy = build_static(settings) if is_static else build_chosen(settings)
    name = "STATIC" if is_static else settings.strategy.name
    rules = _rules(settings, name, strategy, options.slot)
    run_id = f"{clock.now():%Y%m%dT%H%M%S%f}"
    broker: Broker
    if options.dry_run:
        broker = DryRunBroker(_open_account(options, settings, client_id))
    else:
        broker = _open_broker(options, settings, client_id)
    journals = _Journals(settings, run_id, clock, options.dry_run)
    try:
        context = RunContext(
            run_id=run_id,
            clock=clock,
            logs=settings.paths.logs,
            say=tell,
            dry_run=options.dry_run,
            notes={
                "mode": options.mode,
                "strategy": name,
                "settings_digest": settings.digest(),
                "version": quant_trading.__version__,
                "python": platform.python_version(),
            },
        )
        report = run_session(rules, broker, journals.open, context)
    finally:
        journals.close()
        broker.close()
    return 1 if report.problems else 0


class _Journals:
    """Opens the run's journal when the account is known and closes it at the end."""

    def __init__(self, settings: Settings, run_id: str, clock: SystemClock, dry_run: bool) -> None:
        self._settings, self._run_id, self._clock, self._dry_run = settings, run_id, clock, dry_run
        self._open: list[FileJournal] = []

    def open(self, account: str, session: "Session") -> "FileJournal":
        """Return the journal of `account`, locked for this run; a dry run has one of its own."""
        from quant_trading.desk.journal import FileJournal

        folder = self._settings.paths.state / account / ("dry-run" if self._dry_run else "journal")
        journal = FileJournal.open(folder, account, session.day, self._run_id, self._clock)
        self._open.append(journal)
        return journal

    def close(self) -> None:
        for journal in self._open:
            journal.close()


def _rules(settings: Settings, name: str, strategy: "Strategy", slot: int) -> "DeskRules":
    from quant_trading.desk.plan import DeskRules
    from quant_trading.domain.orders import OrderType

    return DeskRules(
        strategy_name=name,
        strategy=strategy,
        universe=settings.universe,
        limits=settings.limits,
        order_type=OrderType(settings.ibkr.order_type),
        limit_offset_bps=settings.ibkr.limit_offset_bps,
        fill_timeout_seconds=settings.ibkr.fill_timeout_seconds,
        keep_on_timeout=settings.ibkr.on_fill_timeout == "keep",
        history_days=settings.live.history_days,
        cost_bps=settings.backtest.cost_bps,
        slot=slot,
        open_wait_minutes=settings.live.open_wait_minutes,
        owns_account=settings.live.owns_account,
        restarts=settings.restart.schedule,
    )


def _open_account(options: Namespace, settings: Settings, client_id: int) -> "IBKRAccount":
    from quant_trading.core.ibkr_account import IBKRAccount

    return IBKRAccount.open(**_link(options, settings, client_id))


def _open_broker(options: Namespace, settings: Settings, client_id: int) -> "IBKRBroker":
    from quant_trading.core.ibkr_broker import IBKRBroker

    return IBKRBroker.open(**_link(options, settings, client_id))


def _link(options: Namespace, settings: Settings, client_id: int) -> dict[str, Any]:
    if options.mode == "live" and not settings.ibkr.live_accounts:
        raise ConfigError(
            f"{settings.config_name}: ibkr.live_accounts is empty, so no account may trade live; list the account there"
        )
    return {
        "host": settings.ibkr.host,
        "port": settings.port(options.mode),
        "client_id": client_id,
        "mode": options.mode,
        "expected_account": settings.ibkr.account,
        "live_accounts": settings.ibkr.live_accounts,
        "live_confirmed": options.live,
        "allow_port_mismatch": settings.ibkr.allow_port_mismatch,
        "timeout_seconds": settings.ibkr.connect_timeout_seconds,
    }
