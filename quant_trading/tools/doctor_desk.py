"""What the desk's own files say: settings, strategy, journals, the record of requests, and when TWS restarts."""

import json
import os
import sys
import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from quant_trading.core.diagnose_table import Finding, found, is_fine

if TYPE_CHECKING:
    from quant_trading.ports import Clock
    from quant_trading.refdata.restart_windows import RestartSchedule
    from quant_trading.settings import Settings

__all__ = ["check_restart", "check_settings", "check_strategy", "journals", "local_zone", "pacing"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEW_YORK = "America/New_York"
_SHIPPED = (time(23, 45), _NEW_YORK)  # restart.time and restart.zone of the settings as they come


def check_settings(
    config: Path, root: Path, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> "tuple[Finding, Settings | None]":
    """Return the finding about the settings, and the settings when they can be read."""
    try:
        from quant_trading.domain.errors import ConfigError
        from quant_trading.settings import load_settings
    except ImportError as error:
        return found("settings-unread", f"not read, {error.name} is not installed"), None
    try:
        settings = load_settings(config, overrides=overrides, environ=environ, root=root)
    except ImportError as error:  # its parts are imported when they are first used
        return found("settings-unread", f"not read, {error.name} is not installed"), None
    except ConfigError as error:
        return found("settings-wrong", str(error)), None
    if (root / ".env").is_file():
        return is_fine("settings", f".env is there and overrides {settings.config_name}"), settings
    return found("settings-shared", f"no .env, {settings.config_name} holds"), settings


def check_strategy(root: Path, environ: Mapping[str, str]) -> Finding:
    """Return whether the strategy of strategy.env exists and takes its parameters."""
    from quant_trading.domain.errors import DeskError
    from quant_trading.plugins import load_user_strategies
    from quant_trading.settings.active import read_active

    try:
        load_user_strategies(root / "strategies")
        choice = read_active(root, environ)
        choice.build()
    except DeskError as error:
        return found("strategy-wrong", str(error))
    return is_fine("strategy.env", choice.name)


# The journals.


def journals(state: Path) -> Iterator[Finding]:
    """Yield a finding about the journal of each account below `state`; nothing is changed."""
    from quant_trading.desk.journal import read_journal
    from quant_trading.domain.errors import JournalError

    for folder in sorted(state.glob("*/journal")):
        account = folder.parent.name
        try:
            count = sum(1 for _ in read_journal(folder))
        except (JournalError, OSError) as error:
            yield found("journal-broken", f"{account}: {error}")
            continue
        if _is_held(folder / "lock"):
            yield found("journal-in-use", f"{account}: a run holds {folder / 'lock'}")
        else:
            yield is_fine("journal", f"{account}: {count} records, each linked to the one before")


def _is_held(path: Path) -> bool:
    """Return True while a run holds the lock of a journal; where that can only be found out by taking it, False.

    A shared lock is tried and given back at once: two doctors do not see each other.
    """
    if sys.platform == "win32" or not path.exists():
        return False
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


# IBKR's limits.


def pacing(folder: Path, clock: "Clock") -> Iterator[Finding]:
    """Yield what is left of the requests for small bars, from the records the downloader keeps in `folder`."""
    from quant_trading.core.pacing_file import PacingFile

    for path in sorted(folder.glob("*.json")):
        try:
            requests = json.loads(path.read_text(encoding="utf-8"))["requests"]
            whole = all(len(row) == 5 for row in requests)
        except (OSError, ValueError, TypeError, KeyError):
            whole = False
        if not whole:
            yield found("pacing-broken", f"{path} cannot be read")
        elif PacingFile(path, clock).waiting_seconds(1) > 0:
            yield found("pacing-full", f"{path.name}: all that IBKR allows in ten minutes has been asked")
        else:
            yield is_fine("pacing", f"{path.name}: there is room for requests")


# When TWS restarts.


def local_zone(environ: Mapping[str, str], link: Path = Path("/etc/localtime")) -> zoneinfo.ZoneInfo | None:
    """Return this machine's zone, None when its name cannot be found out."""
    name = environ.get("TZ", "").lstrip(":")
    if not name:
        _, _, name = os.path.realpath(link).partition("zoneinfo/")
    try:
        return zoneinfo.ZoneInfo(name) if name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def check_restart(schedule: "RestartSchedule", machine: zoneinfo.ZoneInfo | None, now: datetime) -> Finding:
    """Return whether TWS's daily restart falls into New York's next session.

    TWS restarts by the clock of its machine. So the values the settings are shipped with, which nobody may have looked
    at, are also tried on that clock.

    Args:
        schedule: of the settings.
        machine: the zone of the machine TWS runs on; None when it is not known, or is not this one.
        now: aware.
    """
    from quant_trading.refdata.sessions import SessionRangeError

    restart, zone = schedule.restart, schedule.zone
    if restart is None:
        return is_fine("TWS restart", "never by itself, say the settings")
    try:
        finding = _in_session(restart, zone, now, "TWS's restart")
    except SessionRangeError:
        return found("clock-beyond", f"this machine's clock says {now:%Y-%m-%d}")
    is_shipped = (restart, zone.key) == _SHIPPED
    if finding is None and is_shipped and machine is not None and not _same_clock(machine, zone, now):
        seen = f"the settings say {restart:%H:%M} {zone.key}, and this machine's clock is that of {machine.key}"
        finding = _in_session(restart, machine, now, "TWS's usual restart") or found("restart-unsure", seen)
    return finding or is_fine("TWS restart", f"{restart:%H:%M} ({zone.key}) is outside the session")


def _same_clock(one: zoneinfo.ZoneInfo, other: zoneinfo.ZoneInfo, now: datetime) -> bool:
    return now.astimezone(one).utcoffset() == now.astimezone(other).utcoffset()


def _in_session(restart: time, zone: zoneinfo.ZoneInfo, now: datetime, whose: str) -> Finding | None:
    """Return the finding when TWS is away at some moment of the next session, or not back by its open."""
    from quant_trading.refdata.sessions import next_session

    session = next_session((now - _EPOCH) // timedelta(microseconds=1) * 1000)
    opens, closes = (_EPOCH + timedelta(microseconds=ns // 1000) for ns in (session.open_ns, session.close_ns))
    for days in (-1, 0, 1):
        moment = datetime.combine(session.day + timedelta(days=days), restart, tzinfo=zone)
        if opens - timedelta(minutes=2) <= moment < closes:
            there = moment.astimezone(zoneinfo.ZoneInfo(_NEW_YORK))
            seen = f"{whose} at {restart:%H:%M} ({zone.key}) is {there:%H:%M} in New York, within the session"
            hours = f"{opens.astimezone(zone):%H:%M} to {closes.astimezone(zone):%H:%M} ({zone.key})"
            return found("restart-in-session", seen, session=hours)
    return None
