"""A device's end of the serial link in plain Python: what the gateware is to do, written down a second time.

It shares no code with the host but the COBS library and zlib.
"""

import struct
import zlib
from collections import deque
from collections.abc import Callable

from cobs import cobs

OPEN, STATUS, COMMAND, READ, WRITE, TIME, REPORT, VALUE = range(1, 9)
AGAIN, IDLE = 1, 2
SIZES = {OPEN: 0, STATUS: 0, COMMAND: 33, READ: 2, WRITE: 6, TIME: 8}
SLOTS = 16

Message = tuple[int, bytes]


class DeviceEnd:
    """A link whose messages go to `act`, which returns what is to be answered, or None while it can take none.

    Arguments
    ---------
    act : The device behind the link.
    timeout_s : Without progress for so long, everything that is not acknowledged is sent again.
    """

    def __init__(self, act: Callable[[int, bytes], list[Message] | None], timeout_s: float) -> None:
        self._act = act
        self._timeout_s = timeout_s
        self._begun = b""
        self._session = 0
        self._open()

    def _open(self) -> None:
        self._waiting: deque[Message] = deque()
        self._answers: deque[Message] = deque()
        self._kept: deque[Message] = deque()
        self._base = self._cursor = self._limit = self._expected = 0
        self._missing = self._asking = self._owed = self._told = False
        self._deadline_s: float | None = None

    def take(self, received: bytes) -> None:
        *frames, self._begun = (self._begun + received).split(b"\0")
        for encoded in frames:
            try:
                raw = cobs.decode(encoded)
            except cobs.DecodeError:
                continue
            if len(raw) >= 13 and zlib.crc32(raw[:-4]) == int.from_bytes(raw[-4:], "little"):
                self._follow(raw[:-4])

    def _follow(self, raw: bytes) -> None:
        kind, flags, sequence, acknowledged, credit, session = struct.unpack("<BBBBBI", raw[:9])
        payload = raw[9:]
        if len(payload) != SIZES.get(kind):
            return
        if kind == OPEN:
            if session != self._session:
                self._session = session
                self._open()
                self._limit = credit
            self._owed = True
            return
        is_message = kind not in (OPEN, STATUS)
        self._owed |= is_message or bool(flags & AGAIN)
        if session != self._session:
            return
        newly = (acknowledged - self._base) % 256
        if newly <= len(self._kept):
            for _ in range(newly):
                self._kept.popleft()
            self._base += newly
            self._limit = self._base + credit
            self._cursor = self._base if flags & AGAIN else max(self._cursor, self._base)
            if newly:
                self._deadline_s = None
        ahead = (sequence - self._expected) % 256
        if 0 < ahead < 128 and not self._missing:
            self._missing = self._asking = self._owed = True
        if is_message and ahead == 0 and len(self._waiting) < SLOTS:
            self._waiting.append((kind, payload))
            self._expected += 1
            self._missing = False
            self._told = False

    def give(self, now_s: float) -> bytes:
        while self._waiting and not self._answers:
            answers = self._act(*self._waiting[0])
            if answers is None:
                break
            self._waiting.popleft()
            self._answers.extend(answers)
        while self._answers and len(self._kept) < SLOTS:
            self._kept.append(self._answers.popleft())
        if self._deadline_s is not None and now_s >= self._deadline_s:
            self._deadline_s, self._cursor = None, self._base
            self._asking = self._owed = True
        if self._kept and self._deadline_s is None:
            self._deadline_s = now_s + self._timeout_s
        out = b""
        idle = not self._waiting and not self._answers
        self._owed |= idle and not self._told
        end = self._base + len(self._kept)
        while self._cursor < min(end, self._limit):
            kind, payload = self._kept[self._cursor - self._base]
            out += self._frame(kind, payload, idle and self._cursor + 1 == end)
            self._cursor += 1
        if self._owed:
            out += self._frame(STATUS, b"", idle and self._cursor == end)
        return out

    def _frame(self, kind: int, payload: bytes, idle: bool) -> bytes:
        flags = AGAIN * self._asking | IDLE * idle
        self._asking = self._owed = False
        self._told = idle
        fields = flags, self._cursor % 256, self._expected % 256, SLOTS - len(self._waiting), self._session
        raw = struct.pack("<BBBBBI", kind, *fields) + payload
        return b"\0" + bytes(cobs.encode(raw + struct.pack("<I", zlib.crc32(raw)))) + b"\0"
