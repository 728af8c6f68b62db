"""Where a command that reads from TWS connects: the same options and the same order of precedence for all of them."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from quant_trading.core.client_ids import CLIENT_IDS

if TYPE_CHECKING:
    from quant_trading.refdata.restart_windows import RestartSchedule

__all__ = ["Endpoint", "add_connect_options", "endpoint_of"]

_CONFIG = "configs/paper.yaml"


def _usual_schedule() -> "RestartSchedule":
    # Imported here: the doctor reads these options on machines that have no time zones.
    from quant_trading.refdata.restart_windows import RestartSchedule

    return RestartSchedule()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, and as whom.

    Attributes:
        account: the account named by the user, empty when none is.
        timeout_seconds: for opening the session.
        schedule: when TWS is away by plan.
    """

    host: str
    port: int
    client_id: int
    account: str
    timeout_seconds: float
    schedule: "RestartSchedule" = field(default_factory=_usual_schedule)


def add_connect_options(parser: ArgumentParser, name: str) -> None:
    """Add --host, --port, --client-id, --account and --config.

    Args:
        name: of the command in `CLIENT_IDS`. Its id is its own, so that several commands can run at once; the
            environment's IBKR_CLIENT_ID, which is the trading desk's, does not change it.
    """
    add = parser.add_argument
    add("--host", help="default: IBKR_HOST, else ibkr.host of the settings")
    add("--port", help="default: IBKR_PAPER_PORT, else ibkr.port of the settings; 7496 is TWS's live port")
    add("--client-id", default=str(CLIENT_IDS[name]), help="default: %(default)s, kept free for this command")
    add("--account", help="the account to use; default: IBKR_ACCOUNT, else the login's only one")
    add("--config", metavar="FILE", default=_CONFIG, help="settings (default: %(default)s)")


def endpoint_of(options: Namespace, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Return where to connect: command line > environment > .env > the settings file > defaults.

    Raises:
        ConfigError: when a value is none of its kind or the named settings file cannot be read.
    """
    # Imported here: --help must not wait for them.
    from quant_trading.settings import load_settings
    from quant_trading.settings.home import home

    root, config = home(environ), Path(options.config)
    config = config.absolute() if config.is_file() else root / config
    given = {
        "ibkr.host": options.host,
        "ibkr.port": options.port,
        "ibkr.client_id": options.client_id,
        "ibkr.account": options.account,
    }
    settings = load_settings(config, overrides=given, environ=environ, root=root)
    ibkr = settings.ibkr
    assert ibkr.client_id is not None, "--client-id has a default"
    return Endpoint(
        ibkr.host, ibkr.port, ibkr.client_id, ibkr.account or "", ibkr.connect_timeout_seconds,
        settings.restart.schedule,
    )  # fmt: skip
