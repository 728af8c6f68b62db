"""What goes on after the answer: streams that repeat until they are cancelled or their session ends."""

from collections.abc import Callable
from dataclasses import dataclass

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.timeline import Timeline, Timer

__all__ = ["Streams"]


@dataclass(slots=True)
class _Stream:
    action: Callable[[], None]
    interval_ns: int
    is_aligned: bool
    idle_until: Callable[[], int | None] | None
    timer: Timer | None = None


class Streams:
    """Repeating answers, one per (session, kind, request id)."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._streams: dict[tuple[Session, str, int], _Stream] = {}

    def start(
        self,
        session: Session,
        kind: str,
        req_id: int,
        interval_ns: int,
        action: Callable[[], None],
        *,
        is_aligned: bool = False,
        idle_until: Callable[[], int | None] | None = None,
    ) -> None:
        """Run `action` every `interval_ns` from now on; replaces the stream of the same kind and id.

        Args:
            is_aligned: run at multiples of the interval since 1970, not of the moment of the start, so that
                the end of a bar is met exactly.
            idle_until: returns until when there is nothing to say, None when there may be.
        """
        self.stop(session, kind, req_id)
        stream = _Stream(action, interval_ns, is_aligned, idle_until)
        self._streams[session, kind, req_id] = stream
        self._arm(stream)

    def _arm(self, stream: _Stream) -> None:
        def run() -> None:
            self._arm(stream)
            stream.action()

        now, interval = self._timeline.now_ns, stream.interval_ns
        resumes = stream.idle_until() if stream.idle_until is not None else None
        now = now if resumes is None else max(now, resumes)
        at_ns = (now // interval + 1) * interval if stream.is_aligned else now + interval
        stream.timer = self._timeline.call_at(at_ns, run, is_background=True)

    def stop(self, session: Session, kind: str, req_id: int) -> bool:
        """End a stream; return False when there is none of that kind and id."""
        stream = self._streams.pop((session, kind, req_id), None)
        if stream is None:
            return False
        if stream.timer is not None:
            stream.timer.cancel()
        return True

    def stop_all(self, session: Session) -> None:
        """End every stream of a session."""
        for owner, kind, req_id in [key for key in self._streams if key[0] is session]:
            self.stop(owner, kind, req_id)

    def count(self, session: Session, kind: str) -> int:
        """Return how many streams of a kind the session has."""
        return sum(1 for owner, name, _ in self._streams if owner is session and name == kind)

    def run_now(self, kind: str) -> None:
        """Serve every stream of a kind at once, because something happened."""
        for (_, name, _), stream in list(self._streams.items()):
            if name == kind:
                stream.action()

    def has(self, session: Session, kind: str, req_id: int) -> bool:
        """Say whether that stream runs."""
        return (session, kind, req_id) in self._streams
