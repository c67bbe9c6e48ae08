"""The host's side of the serial link against a device's end in plain Python, over lines that spoil what they carry."""

import struct
from collections import Counter
from random import Random

import pytest
from device_end import COMMAND, READ, REPORT, VALUE, WRITE, DeviceEnd, Message
from faulty_line import FaultyLine

from bandgap.hdl.protocol.frames import FrameFlags, FrameKind
from bandgap.host.device.framing import Frame, encode
from bandgap.host.device.session import Session

FAULTS = 100_000
STEP_S = 0.001
TIMEOUT_S = 0.02
MOST_STEPS = 20_000


class Core:
    """A device that answers a command with none to three reports, counts what it reports, and is busy at times.

    A WRITE of the epoch starts it anew.
    """

    def __init__(self, rng: Random, business: float) -> None:
        self._rng = rng
        self._business = business
        self.carried_out: list[Message] = []
        self.said: list[Message] = []

    def act(self, kind: int, payload: bytes) -> list[Message] | None:
        if self._rng.random() < self._business:
            return None
        if kind == WRITE:
            self.carried_out, self.said = [], []
        self.carried_out.append((kind, payload))
        answers: list[Message] = []
        if kind == READ:
            answers = [(VALUE, struct.pack("<I", len(self.said)))]
        elif kind == COMMAND:
            answers = [
                (REPORT, struct.pack("<II", len(self.said) + place, payload[1]).ljust(64, payload[2:3]))
                for place in range(payload[1] % 4)
            ]
        self.said += answers
        return answers


class Scene:
    """Host and device with a line each way, in time that is counted, not waited for."""

    def __init__(self, seed: int, distance_bytes: int = 1 << 60, business: float = 0.0) -> None:
        self.rng = Random(seed)
        self.core = Core(Random(self.rng.random()), business)
        self.device = DeviceEnd(self.core.act, TIMEOUT_S)
        self.lines = [FaultyLine(Random(self.rng.random()), distance_bytes) for _ in range(2)]
        self.now_s = 0.0
        self.sessions = 0
        self.restart()

    @property
    def faults(self) -> Counter[str]:
        return self.lines[0].faults + self.lines[1].faults

    def restart(self) -> None:
        """The host is started anew, perhaps in the middle of a frame, and starts the device anew."""
        if self.sessions:
            rest = self.host.give(self.now_s)
            self.device.take(self.lines[0].carry(rest[: self.rng.randrange(len(rest) + 1)]))
        self.sessions += 1
        self.host = Session(self.sessions, TIMEOUT_S)
        self.sent: list[Message] = []
        self.send(FrameKind.WRITE, struct.pack("<HI", 0, self.sessions))

    def send(self, kind: FrameKind, payload: bytes) -> None:
        self.host.send(kind, payload)
        self.sent.append((kind.value, payload))

    def send_at_random(self) -> None:
        for _ in range(self.rng.choice((1, 2, 10, 40))):
            if self.rng.random() < 0.1:
                self.send(FrameKind.READ, self.rng.randbytes(2))
            else:
                # Mostly zeros, as commands are, and as COBS has most to do with.
                self.send(FrameKind.COMMAND, bytes([0, self.rng.randrange(256)]) + self.rng.randbytes(2) + bytes(29))

    def step(self) -> None:
        self.now_s += STEP_S
        self.device.take(self.lines[0].carry(self.host.give(self.now_s)))
        self.host.take(self.lines[1].carry(self.device.give(self.now_s)))

    def settle(self) -> None:
        for _ in range(MOST_STEPS):
            self.step()
            if self.host.settled:
                return
        raise AssertionError("nothing moves any more")

    def check(self) -> None:
        """Everything that was sent was carried out, and everything that was said has come: once, and in order."""
        assert self.core.carried_out == self.sent
        assert list(self.host.received) == self.core.said


def test_faults_lose_and_double_nothing(seed: int) -> None:
    """One in four batches is cut short by a host that is started anew, in the middle of a frame or window."""
    print(f"repeat with BANDGAP_SEED={seed} python -m pytest tests/host/device/test_session.py")
    scene = Scene(seed, distance_bytes=120, business=0.1)
    restarts = 0
    while scene.faults.total() < FAULTS:
        scene.send_at_random()
        if scene.rng.random() < 0.25:
            for _ in range(scene.rng.randrange(8)):
                scene.step()
            scene.restart()
            restarts += 1
        scene.settle()
        scene.check()
        if len(scene.sent) > 500:
            scene.restart()
    assert restarts > 100
    assert min(scene.faults.values()) > 1_000


def test_a_slow_core_is_not_overrun() -> None:
    scene = Scene(1, business=0.98)
    for _ in range(5):
        scene.send_at_random()
    scene.settle()
    scene.check()


def test_a_clean_line_sends_nothing_twice() -> None:
    scene = Scene(1)
    for _ in range(100):
        scene.send(FrameKind.COMMAND, bytes(33))
    carried = 0
    for _ in range(20):
        data = scene.host.give(0.0)
        carried += data.count(b"\0") // 2
        scene.device.take(data)
        scene.host.take(scene.device.give(0.0))
    assert scene.host.settled
    assert carried <= 101 + 20


def test_nothing_is_sent_when_there_is_nothing_to_say() -> None:
    scene = Scene(1)
    scene.settle()
    scene.step()
    assert scene.host.give(1e6) == b""
    assert scene.device.give(1e6) == b""


def test_a_session_of_another_host_is_seen() -> None:
    scene = Scene(1)
    scene.settle()
    other = Session(77, TIMEOUT_S)
    scene.device.take(other.give(0.0))
    scene.send(FrameKind.COMMAND, bytes(33))
    for _ in range(100):
        scene.step()
    assert scene.host.foreign == 77
    assert not scene.host.settled


def test_an_old_frame_does_not_settle_a_host_that_has_sent_more() -> None:
    host = Session(1, TIMEOUT_S)
    old = encode(Frame(FrameKind.STATUS.value, FrameFlags.IDLE.value, 0, 0, 16, 1))
    host.take(old)
    assert host.settled
    host.send(FrameKind.COMMAND, bytes(33))
    host.give(0.0)
    host.take(encode(Frame(FrameKind.STATUS.value, 0, 0, 1, 16, 1)))
    assert host.acknowledged
    host.take(old)
    assert not host.settled
    host.take(encode(Frame(FrameKind.STATUS.value, FrameFlags.IDLE.value, 0, 1, 16, 1)))
    assert host.settled


@pytest.mark.parametrize("number", [0, 1 << 32])
def test_a_session_has_a_number(number: int) -> None:
    with pytest.raises(ValueError, match="a session's number is 1 to 4294967295"):
        Session(number, 1.0)


def test_a_payload_has_the_length_of_its_kind() -> None:
    with pytest.raises(ValueError, match="a COMMAND has 33 bytes, not 32"):
        Session(1, 1.0).send(FrameKind.COMMAND, bytes(32))
