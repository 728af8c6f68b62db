"""Requests about the workstation itself: its windows, its advisors, its subscriptions to research.

A workstation without a screen, without managed accounts and without research subscriptions still answers
each of them: with what it has, or with the refusal TWS gives to such a user.
"""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["DeskService"]

_GROUPS = 7
_NOTHING_SHOWN = "none"
"""What TWS calls a display group in which no contract is chosen (documented)."""

# The letters of the consolidated tape for the exchanges SMART routes to.
_TAPE_LETTERS = (
    ("AMEX", "A"), ("BEX", "B"), ("NYSENAT", "C"), ("EDGEA", "J"), ("DRCTEDGE", "K"), ("CHX", "M"), ("NYSE", "N"),
    ("ARCA", "P"), ("ISLAND", "Q"), ("IEX", "V"), ("PSX", "X"), ("BYX", "Y"), ("BATS", "Z"), ("MEMX", "U"),
)  # fmt: skip

Handler = Callable[[Session, Message], None]


class DeskService:
    """Display groups, financial advisors, fundamentals, the calendar, verification, smart routing's exchanges."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._shown = dict.fromkeys(range(1, _GROUPS + 1), _NOTHING_SHOWN)
        self._watchers: WeakKeyDictionary[Session, dict[int, int]] = WeakKeyDictionary()
        self._has_asked_for_wsh: WeakKeyDictionary[Session, bool] = WeakKeyDictionary()

    def handlers(self) -> dict[str, Handler]:
        """Return what this service answers, by request name."""
        return {
            "cancelContractData": self._accept,
            "cancelHistoricalTicks": self._accept,
            "cancelFundamentalData": self._accept,
            "cancelWshMetaData": self._accept,
            "cancelWshEventData": self._accept,
            "reqCurrentTimeInMillis": self._send_time,
            "queryDisplayGroups": self._send_groups,
            "subscribeToGroupEvents": self._watch_group,
            "updateDisplayGroup": self._show_in_group,
            "unsubscribeFromGroupEvents": self._leave_group,
            "requestFA": self._refuse_advisor,
            "replaceFA": self._refuse_advisor,
            "reqFundamentalData": self._refuse_fundamentals,
            "reqWshMetaData": self._refuse_calendar,
            "reqWshEventData": self._refuse_events,
            "verifyRequest": self._refuse_verification,
            "verifyMessage": self._refuse_verification,
            "verifyAndAuthRequest": self._refuse_authentication,
            "verifyAndAuthMessage": self._refuse_authentication,
            "reqSmartComponents": self._send_smart_components,
        }

    def _accept(self, session: Session, request: Message) -> None:
        """End what has ended already: these requests are answered at once, and TWS confirms no cancel."""

    def _send_time(self, session: Session, request: Message) -> None:
        session.send("currentTimeInMillis", timeInMillis=self._timeline.now_ns // 1_000_000)

    # Display groups: windows of the same colour show the same contract; here they only remember it.

    def _send_groups(self, session: Session, request: Message) -> None:
        groups = "|".join(str(number) for number in self._shown)
        session.send("displayGroupList", reqId=request.integer("reqId"), groups=groups)

    def _watch_group(self, session: Session, request: Message) -> None:
        req_id, group = request.integer("reqId"), request.integer("groupId")
        if group not in self._shown:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid display group {group}, there are 1..{_GROUPS}")
        self._watchers.setdefault(session, {})[req_id] = group
        session.send("displayGroupUpdated", reqId=req_id, contractInfo=self._shown[group])

    def _show_in_group(self, session: Session, request: Message) -> None:
        group = self._group_of(session, request)
        self._shown[group] = request.text("contractInfo") or _NOTHING_SHOWN
        # In the order of their subscriptions, so that the same run says the same.
        for watcher, subscriptions in list(self._watchers.items()):
            for req_id, watched in subscriptions.items():
                if watched == group:
                    watcher.send("displayGroupUpdated", reqId=req_id, contractInfo=self._shown[group])

    def _leave_group(self, session: Session, request: Message) -> None:
        self._group_of(session, request)
        del self._watchers[session][request.integer("reqId")]

    def _group_of(self, session: Session, request: Message) -> int:
        req_id = request.integer("reqId")
        group = self._watchers.get(session, {}).get(req_id)
        if group is None:
            raise RequestRefused(321, tag=request.name, cause=f"No display group is subscribed with id {req_id}")
        return group

    # What needs a subscription or another kind of account

    def _refuse_advisor(self, session: Session, request: Message) -> None:
        raise RequestRefused(321, tag=request.name, cause="FA data operations ignored for non FA customers.")

    def _refuse_fundamentals(self, session: Session, request: Message) -> None:
        raise RequestRefused(430)

    def _refuse_calendar(self, session: Session, request: Message) -> None:
        self._has_asked_for_wsh[session] = True
        raise RequestRefused(10276)

    def _refuse_events(self, session: Session, request: Message) -> None:
        raise RequestRefused(10276 if session in self._has_asked_for_wsh else 10282)

    def _refuse_verification(self, session: Session, request: Message) -> None:
        session.send("verifyCompleted", isSuccessful=False, errorText="This workstation verifies no applications.")

    def _refuse_authentication(self, session: Session, request: Message) -> None:
        session.send(
            "verifyAndAuthCompleted", isSuccessful=False, errorText="This workstation authenticates no applications."
        )

    def _send_smart_components(self, session: Session, request: Message) -> None:
        components = [
            {"bit": bit, "exchange": exchange, "exchangeLetter": letter}
            for bit, (exchange, letter) in enumerate(_TAPE_LETTERS)
        ]
        session.send("smartComponents", reqId=request.integer("reqId"), components=components)
