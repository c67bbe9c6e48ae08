"""The host's side of the serial link, without input or output of its own: bytes and times go in, bytes come out."""

from collections import deque

from bandgap.hdl.protocol.frames import PAYLOAD_BYTES, SEQUENCES, TO_HOST, FrameFlags, FrameKind

from .framing import Frame, FrameReader, encode

_CREDIT = 64
_TO_HOST = {kind.value: PAYLOAD_BYTES[kind] for kind in TO_HOST}


class Session:
    """One session with a device: messages go across once each and in order, whatever becomes of frames.

    Parameters
    ----------
    number : Names the session, 1 to 2**32 - 1; another one than the device's last.
    timeout_s : Without progress for so long, the device is asked, and what it has not acknowledged is sent again.

    Attributes
    ----------
    received : Messages from the device, kind and payload; the user takes them from the left.
    opened : The device has begun the session.
    acknowledged : The device has received everything that was sent.
    settled : It has also carried it out, and everything that it had to say has come.
    heard : How many frames of this session have come.
    progress : Grows with every message that has newly arrived, on either side.
    foreign : The session of the last frame, if that was of another one; else None.
    repeated : How many messages were sent once more.
    damaged : How many frames came damaged.

    Raises
    ------
    ValueError : The number is outside its limits.
    """

    def __init__(self, number: int, timeout_s: float) -> None:
        if not 0 < number < 1 << 32:
            raise ValueError(f"a session's number is 1 to {(1 << 32) - 1}, not {number}")
        self._number = number
        self._timeout_s = timeout_s
        self._reader = FrameReader()
        self.received: deque[tuple[int, bytes]] = deque()
        self.opened = False
        self.settled = False
        self.heard = 0
        self.progress = 0
        self.foreign: int | None = None
        self.repeated = 0

        # Counted without end; on the line modulo SEQUENCES.
        self._kept: deque[tuple[int, bytes]] = deque()  # from `_base` on
        self._base = 0  # the first message that is not acknowledged
        self._cursor = 0  # the next to send
        self._sent = 0  # the first that was never sent
        self._limit = 0  # the first that the device has no room for
        self._expected = 0  # the next of the device's

        self._owed = False
        self._asking = False
        self._missing = False
        self._deadline_s: float | None = None

    @property
    def acknowledged(self) -> bool:
        return not self._kept

    @property
    def damaged(self) -> int:
        return self._reader.damaged

    def send(self, kind: FrameKind, payload: bytes) -> None:
        """Have a message sent.

        Raises
        ------
        ValueError : The payload has not the length of its kind.
        """
        if len(payload) != PAYLOAD_BYTES[kind]:
            raise ValueError(f"a {kind.name} has {PAYLOAD_BYTES[kind]} bytes, not {len(payload)}")
        self._kept.append((kind.value, payload))
        self.settled = False

    def give(self, now_s: float) -> bytes:
        """What is to go over the line now. To be called after every `take` and `send`, and now and then."""
        if self._deadline_s is not None and now_s >= self._deadline_s:
            self._deadline_s = None
            self._cursor = self._base
            self._asking = self._owed = True
        waiting = not self.opened or not self.settled
        if not waiting:
            self._deadline_s = None
        elif self._deadline_s is None:
            self._deadline_s = now_s + self._timeout_s
            self._owed |= not self.opened
        if not self.opened:
            return self._flush(b"", FrameKind.OPEN.value) if self._owed else b""
        out = b""
        while self._cursor < min(self._base + len(self._kept), self._limit):
            kind, payload = self._kept[self._cursor - self._base]
            out = self._flush(out, kind, payload)
            self.repeated += self._cursor < self._sent
            self._cursor += 1
            self._sent = max(self._sent, self._cursor)
        return self._flush(out, FrameKind.STATUS.value) if self._owed else out

    def take(self, received: bytes) -> None:
        """Bytes that have come."""
        for frame in self._reader.take(received):
            if frame.session == self._number:
                self._follow(frame)
            else:
                self.foreign = frame.session

    def _flush(self, before: bytes, kind: int, payload: bytes = b"") -> bytes:
        flags = FrameFlags.AGAIN.value if self._asking else 0
        sequence, expected = self._cursor % SEQUENCES, self._expected % SEQUENCES
        self._asking = self._owed = False
        return before + encode(Frame(kind, flags, sequence, expected, _CREDIT, self._number, payload))

    def _follow(self, frame: Frame) -> None:
        self.opened = True
        self.heard += 1
        self.foreign = None
        newly = (frame.acknowledged - self._base) % SEQUENCES
        if newly <= self._sent - self._base:
            for _ in range(newly):
                self._kept.popleft()
            self._base += newly
            self._cursor = max(self._cursor, self._base)
            self._limit = self._base + frame.credit
            if newly:
                self._proceed()
        if frame.flags & FrameFlags.AGAIN.value:
            self._cursor = self._base
            self._owed = True
        self._receive(frame)
        is_message = frame.kind in _TO_HOST
        self.settled = (
            bool(frame.flags & FrameFlags.IDLE.value)
            and not self._kept
            and (frame.acknowledged - self._base) % SEQUENCES == 0
            and (frame.sequence + is_message - self._expected) % SEQUENCES == 0
        )

    def _receive(self, frame: Frame) -> None:
        ahead = (frame.sequence - self._expected) % SEQUENCES
        is_message = len(frame.payload) == _TO_HOST.get(frame.kind)
        if is_message and ahead == 0:
            self.received.append((frame.kind, frame.payload))
            self._expected += 1
            self._missing = False
            self._proceed()
        elif 0 < ahead < SEQUENCES // 2 and not self._missing:
            self._missing = self._asking = self._owed = True
        self._owed |= is_message

    def _proceed(self) -> None:
        self.progress += 1
        self._deadline_s = None
