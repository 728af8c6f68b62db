"""What happens to every TWS sooner or later, on the simulated clock: server resets, restarts, logins.

| event | when (documented) | what clients see |
| --- | --- | --- |
| server reset | once in the window of a region, for minutes | 1100, broken farms, 1102 or 1101; the socket stays |
| restart of TWS | once a day at a time the user has set | the socket closes, the port is refused for minutes |
| login | the week's token ends on Sunday 01:00 New York time | as a restart, but back only after a person logged in |

Client ids, orders and order ids are kept over a restart. When in its window a reset comes, how long it lasts
and whether subscriptions survive it is a function of the seed and the date (assumed: 1101 in one of four).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from quant_trading.refdata.restart_windows import RESET_WINDOWS, ResetWindow
from quant_trading.refdata.sessions import EXCHANGE_ZONE, exchange_date
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.link import FARMS
from quant_trading.tws_sim.noise import mix, name_key

__all__ = ["Resets", "read_resets"]

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_SUNDAY = 6


_KEYS = ("daily", "restart", "restart_seconds", "order_ids", "login", "login_seconds")


@dataclass(frozen=True, slots=True)
class Resets:
    """What happens by itself.

    Attributes:
        daily: names of the windows in which servers are reset.
        restart: New York time of TWS's daily restart, None for never.
        login: True when the weekly token ends; TWS is then away for `login_seconds`, None: until a person
            logs in (`desk sim ctl login`).
    """

    daily: tuple[str, ...]
    restart: time | None
    restart_seconds: float
    order_ids: str
    login: bool
    login_seconds: float | None
    seed: int

    def arm(self, gateway: Gateway) -> None:
        """Let it happen to a gateway, day by day."""
        first = exchange_date(gateway.now_ns) - timedelta(days=1)
        self._plan(gateway, first, gateway.now_ns)

    def _plan(self, gateway: Gateway, day: date, after_ns: int) -> None:
        """Arm the events of a day, and the planning of the next."""
        for at_ns, event in self.events_on(day):
            if at_ns > after_ns:
                gateway.timeline.call_at(at_ns, lambda event=event: event(gateway), is_background=True)  # type: ignore[misc]  # the default binds the event
        tomorrow = day + timedelta(days=1)
        next_ns = max(_moment_ns(tomorrow, time(0), EXCHANGE_ZONE), after_ns)
        if next_ns <= gateway.now_ns:
            self._plan(gateway, tomorrow, after_ns)
        else:
            gateway.timeline.call_at(next_ns, lambda: self._plan(gateway, tomorrow, gateway.now_ns), is_background=True)

    def events_on(self, day: date) -> Iterator[tuple[int, Any]]:
        """Yield what begins on a date, as moment (UTC ns) and a function of the gateway."""
        for name in self.daily:
            window = RESET_WINDOWS[name]
            if day.weekday() in window.weekdays:
                yield self._reset(name, window, day)
        if self.restart is not None:
            restart_ns = _moment_ns(day, self.restart, EXCHANGE_ZONE)
            yield restart_ns, lambda gateway: gateway.restart(self.restart_seconds, self.order_ids)
        if self.login and day.weekday() == _SUNDAY:
            yield _moment_ns(day, time(1), EXCHANGE_ZONE), self._log_out

    def _log_out(self, gateway: Gateway) -> None:
        gateway.restart(self.login_seconds or 0.0, self.order_ids)
        if self.login_seconds is None:
            gateway.close_port()

    def _reset(self, name: str, window: ResetWindow, day: date) -> tuple[int, Any]:
        key = mix(self.seed, name_key(name), day.toordinal())
        span = window.minutes * 60
        seconds = 60 + key % 540
        begin_ns = _moment_ns(day, window.begins, window.zone) + (key >> 16) % (span - seconds) * _SECOND_NS
        code = 1101 if (key >> 40) % 4 == 0 else 1102

        def reset(gateway: Gateway) -> None:
            gateway.link.lose(float(seconds), code)
            for farm in FARMS:
                gateway.link.lose_farm(farm, seconds + 5.0)

        return begin_ns, reset


def _moment_ns(day: date, clock: time, zone: ZoneInfo) -> int:
    local = datetime.combine(day, clock, tzinfo=zone)
    offset = local.utcoffset()
    assert offset is not None, "the zone is known"
    midnight_ns = (day.toordinal() - _EPOCH_ORDINAL) * _DAY_NS
    seconds = clock.hour * 3600 + clock.minute * 60 + clock.second - round(offset.total_seconds())
    return midnight_ns + seconds * _SECOND_NS


def read_resets(data: Mapping[str, Any], seed: int = 0) -> Resets:
    """Return what `data` describes: {"daily": ["europe"], "restart": "23:45", "login": true}.

    Raises:
        ValueError: one line that names the key, what was found and the cure.
    """
    unknown = sorted(set(data) - set(_KEYS))
    if unknown:
        raise ValueError(f"resets.{unknown[0]} is unknown; write {', '.join(_KEYS)}")
    daily = data.get("daily", [])
    wrong = [one for one in daily if one not in RESET_WINDOWS] if isinstance(daily, list) else [daily]
    if wrong:
        raise ValueError(f"resets.daily = {wrong[0]!r} is no window; write a list of {', '.join(RESET_WINDOWS)}")
    order_ids = data.get("order_ids", "keep")
    if order_ids not in ("keep", "rollback", "reset"):
        raise ValueError(f"resets.order_ids = {order_ids!r} is unknown; write keep, rollback or reset")
    login = data.get("login", False)
    if not isinstance(login, bool):
        raise ValueError(f"resets.login = {login!r} is not true or false")
    login_seconds = data.get("login_seconds")
    return Resets(
        daily=tuple(daily),
        restart=_clock(data["restart"]) if data.get("restart") is not None else None,
        restart_seconds=_seconds("restart_seconds", data.get("restart_seconds", 180)),
        order_ids=order_ids,
        login=login,
        login_seconds=None if login_seconds is None else _seconds("login_seconds", login_seconds),
        seed=seed,
    )


def _clock(value: Any) -> time:
    try:
        return time.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f'resets.restart = {value!r} is no time; write "23:45", New York time') from None


def _seconds(key: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1e6:
        raise ValueError(f"resets.{key} = {value!r} is no time; write seconds, 0 or above")
    return float(value)
