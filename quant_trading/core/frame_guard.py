"""A watch over inbound framing: is this TWS, and is a frame's length believable?

TWS frames are a 4-byte big-endian length and a body of at most 0xFFFFFF bytes. The client library
trusts the length: an answer from something that is not TWS ("HTTP" reads as 1.2 GB) makes it wait
in silence for bytes that never come.
"""

__all__ = ["MAX_FRAME_BYTES", "FrameGuard"]

MAX_FRAME_BYTES = 0xFFFFFF
_SHOWN_BYTES = 60


class FrameGuard:
    """Follows the framing of one connection; fed the same bytes as the client."""

    __slots__ = ("_body_left", "_first_body", "_header", "_opening", "frames", "problem", "server_version")

    def __init__(self) -> None:
        self._header = b""
        self._body_left = 0
        self._opening = b""
        self._first_body = b""
        self.frames = 0
        self.problem = ""
        self.server_version = 0

    @property
    def opening(self) -> bytes:
        """Return the first bytes the peer sent, at most 60."""
        return self._opening

    def feed(self, data: bytes) -> str:
        """Return what is wrong with the framing so far, empty while nothing is."""
        if len(self._opening) < _SHOWN_BYTES:
            self._opening = (self._opening + data)[:_SHOWN_BYTES]
        at = 0
        while at < len(data) and not self.problem:
            if self._body_left == 0:
                taken = data[at : at + 4 - len(self._header)]
                self._header += taken
                at += len(taken)
                if len(self._header) == 4:
                    self._start_frame(int.from_bytes(self._header, "big"))
                    self._header = b""
            else:
                step = min(self._body_left, len(data) - at)
                if self.frames == 0:
                    self._first_body += data[at : at + step]
                self._body_left -= step
                at += step
                if self._body_left == 0:
                    self._end_frame()
        return self.problem

    def _start_frame(self, length: int) -> None:
        limit = MAX_FRAME_BYTES if self.frames else 4096  # the first answer is a version and a time, nothing more
        if not 0 < length <= limit:
            self.problem = f"frame {self.frames + 1} claims {length} bytes, expected 1..{limit}"
        self._body_left = length

    def _end_frame(self) -> None:
        if self.frames == 0:
            version = self._first_body.split(b"\0", 1)[0]
            if version.isdigit():
                self.server_version = int(version)
            else:
                self.problem = "the first frame does not begin with a server version"
        self.frames += 1
