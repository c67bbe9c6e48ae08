"""The serial link, gateware alone: what it makes of frames, right and wrong, and what a core sees of it."""

import struct
from collections.abc import Awaitable, Callable

import pytest
from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.link.serial import SerialLink
from bandgap.hdl.protocol.frames import FrameFlags, FrameKind
from bandgap.host.device.framing import Frame, FrameReader, encode
from bandgap.host.device.session import Session
from bandgap.sim.embedded.uart_line import LineReader, levels_of

SLOTS = 4
TIMEOUT_CYCLES = 20_000
SESSION = 0x1234_5678
REGISTER = 0x89AB_CDEF


class Bench:
    """A link between a line and a core that takes commands and gives reports when it is told to."""

    def __init__(self) -> None:
        self.dut = SerialLink(4, SLOTS, TIMEOUT_CYCLES)
        self.taking = True
        self.reports: list[int] = []
        self.commands: list[tuple[int, bytes]] = []
        self.writes: list[tuple[int, int]] = []
        self.reads: list[int] = []
        self._line, self._reader = LineReader(), FrameReader()

    def run(self, test: Callable[[SimulatorContext], Awaitable[None]]) -> None:
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-8)
        simulator.add_testbench(test)
        simulator.run()

    async def clock(self, ctx: SimulatorContext, levels: bytes) -> bytes:
        """One cycle for each level; what the line gave meanwhile."""
        dut = self.dut
        out = bytearray()
        for level in levels:
            ctx.set(dut.rx, level)
            ctx.set(dut.core_idle, self.taking and not self.reports)
            ctx.set(dut.commands.ready, self.taking)
            ctx.set(dut.reports.valid, bool(self.reports))
            if self.reports:
                ctx.set(dut.reports.payload, self.reports[0])
            ctx.set(dut.registers.read_data, REGISTER)
            if ctx.get(dut.commands.valid) and self.taking:
                command = ctx.get(dut.commands.payload)
                self.commands.append((command.link, command.command.to_bytes(32, "little")))
            if ctx.get(dut.registers.write_enable):
                self.writes.append((ctx.get(dut.registers.address), ctx.get(dut.registers.write_data)))
            if ctx.get(dut.registers.read_enable):
                self.reads.append(ctx.get(dut.registers.address))
            if self.reports and ctx.get(dut.reports.ready):
                self.reports.pop(0)
            out.append(ctx.get(dut.tx))
            await ctx.tick()
        return self._line.take(bytes(out))

    async def exchange(self, ctx: SimulatorContext, frames: list[Frame], cycles: int = 2_000) -> list[Frame]:
        """Send frames, wait, and take those that come back."""
        sent = levels_of(b"".join(map(encode, frames)))
        return self._reader.take(await self.clock(ctx, sent + b"\1" * cycles))

    async def open(self, ctx: SimulatorContext, session: int = SESSION, credit: int = 64) -> None:
        frames = await self.exchange(ctx, [Frame(FrameKind.OPEN.value, 0, 0, 0, credit, session)])
        assert frames[-1].session == session


def frame(kind: FrameKind, sequence: int, payload: bytes, flags: int = 0, acknowledged: int = 0) -> Frame:
    return Frame(kind.value, flags, sequence, acknowledged, 64, SESSION, payload)


def command(sequence: int) -> Frame:
    return frame(FrameKind.COMMAND, sequence, bytes([sequence % 2]) + bytes([sequence]) * 32)


def test_each_kind_of_message_does_its_work() -> None:
    bench = Bench()

    async def test(ctx: SimulatorContext) -> None:
        await bench.open(ctx)
        messages = [
            frame(FrameKind.TIME, 0, struct.pack("<Q", 0x0123_4567_89AB_CDEF)),
            command(1),
            frame(FrameKind.WRITE, 2, struct.pack("<HI", 0x2C, 77)),
            frame(FrameKind.READ, 3, struct.pack("<H", 0x44)),
        ]
        *_, answer = await bench.exchange(ctx, messages)
        assert ctx.get(bench.dut.time_ns) == 0x0123_4567_89AB_CDEF
        assert bench.commands == [(1, b"\1" * 32)]
        assert bench.writes == [(0x2C, 77)]
        assert bench.reads == [0x44]
        assert answer == Frame(
            FrameKind.VALUE.value, FrameFlags.IDLE.value, 0, 4, SLOTS, SESSION, struct.pack("<I", REGISTER)
        )

    bench.run(test)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(frame(FrameKind.COMMAND, 0, bytes(32)), id="too short"),
        pytest.param(frame(FrameKind.COMMAND, 0, bytes(34)), id="too long"),
        pytest.param(frame(FrameKind.WRITE, 0, bytes(200)), id="longer than any"),
        pytest.param(frame(FrameKind.REPORT, 0, bytes(64)), id="goes the other way"),
        pytest.param(Frame(99, 0, 0, 0, 64, SESSION), id="of no kind"),
        pytest.param(command(0)._replace(session=SESSION + 1), id="of another session"),
        pytest.param(command(1), id="ahead"),
        pytest.param(command(255), id="behind"),
    ],
)
def test_a_wrong_frame_does_nothing_and_the_next_one_is_taken(wrong: Frame) -> None:
    bench = Bench()

    async def test(ctx: SimulatorContext) -> None:
        await bench.open(ctx)
        await bench.exchange(ctx, [wrong])
        assert (bench.commands, bench.writes) == ([], [])
        (status,) = await bench.exchange(ctx, [command(0)])
        assert bench.commands == [(0, bytes(32))]
        assert status.acknowledged == 1

    bench.run(test)


def test_a_message_that_comes_twice_acts_once_and_is_acknowledged_again() -> None:
    bench = Bench()

    async def test(ctx: SimulatorContext) -> None:
        await bench.open(ctx)
        for _ in range(3):
            (status,) = await bench.exchange(ctx, [command(0)])
            assert status.acknowledged == 1
        assert len(bench.commands) == 1

    bench.run(test)


def test_a_gap_is_asked_for_once() -> None:
    bench = Bench()

    async def test(ctx: SimulatorContext) -> None:
        await bench.open(ctx)
        answers = await bench.exchange(ctx, [command(1), command(2)])
        assert [bool(one.flags & FrameFlags.AGAIN.value) for one in answers] == [True, False]
        assert {one.acknowledged for one in answers} == {0}
        assert await bench.exchange(ctx, [command(0), command(1), command(2)])
        assert [data[0] for _, data in bench.commands] == [0, 1, 2]

    bench.run(test)


def test_a_core_that_takes_nothing_closes_the_credit_and_opens_it_again() -> None:
    bench = Bench()
    bench.taking = False

    async def test(ctx: SimulatorContext) -> None:
        await bench.open(ctx)
        # One more than there are slots: the command that is offered to the core keeps its slot until it is all read.
        sent = [command(number) for number in range(SLOTS + 3)]
        status = (await bench.exchange(ctx, sent))[-1]
        assert (status.acknowledged, status.credit) == (SLOTS + 1, 0)
        bench.taking = True
        status = (await bench.exchange(ctx, []))[-1]
        assert (status.acknowledged, status.credit) == (SLOTS + 1, SLOTS)
        await bench.exchange(ctx, sent[SLOTS + 1 :])
        assert [data[0] for _, data in bench.commands] == list(range(SLOTS + 3))

    bench.run(test)


def test_reports_wait_for_a_host_and_come_again_until_it_has_them() -> None:
    bench = Bench()
    reports = [int.from_bytes(bytes([number]) * 64, "little") for number in range(1, SLOTS + 4)]

    async def test(ctx: SimulatorContext) -> None:
        await bench.open(ctx)
        bench.reports = list(reports)
        first = await bench.exchange(ctx, [], 20_000)
        assert [one.sequence for one in first] == list(range(SLOTS))
        # As many as there are slots are kept, and one waits behind them; the others stay in the core.
        assert bench.reports == reports[SLOTS + 1 :]
        again = await bench.exchange(ctx, [], TIMEOUT_CYCLES)
        assert [(one.sequence, one.payload) for one in again] == [(one.sequence, one.payload) for one in first]
        assert [one.flags for one in again] == [FrameFlags.AGAIN.value] + [0] * (SLOTS - 1)
        rest = await bench.exchange(ctx, [frame(FrameKind.STATUS, 0, b"", acknowledged=SLOTS)], 18_000)
        new = [one for one in rest if one.sequence >= SLOTS]  # what was acknowledged may still be on its way
        assert [(one.sequence, one.payload[0]) for one in new] == [(number, number + 1) for number in range(4, 7)]
        assert rest[-1].flags & FrameFlags.IDLE.value

    bench.run(test)


def test_a_host_without_room_gets_nothing_until_it_has() -> None:
    bench = Bench()

    async def test(ctx: SimulatorContext) -> None:
        await bench.open(ctx, credit=1)
        bench.reports = [1, 2]
        first, status = await bench.exchange(ctx, [], 8_000)
        assert (first.sequence, status.kind) == (0, FrameKind.STATUS.value)
        full = frame(FrameKind.STATUS, 0, b"", acknowledged=1)._replace(credit=0)
        assert await bench.exchange(ctx, [full], 8_000) == []
        (second,) = await bench.exchange(ctx, [frame(FrameKind.STATUS, 0, b"", acknowledged=1)], 8_000)
        assert second.sequence == 1

    bench.run(test)


def test_a_new_session_begins_with_empty_windows_and_time_zero() -> None:
    """Also in the middle of a frame, and with a command on its way to a core that does not take it."""
    bench = Bench()
    bench.taking = False

    async def test(ctx: SimulatorContext) -> None:
        await bench.open(ctx)
        bench.reports = [1, 2]
        await bench.exchange(ctx, [frame(FrameKind.TIME, 0, struct.pack("<Q", 5)), command(1), command(2)], 10_000)
        await bench.clock(ctx, levels_of(encode(command(3))[:20]))
        bench.taking = True
        session = SESSION + 1
        opened = await bench.exchange(ctx, [Frame(FrameKind.OPEN.value, 0, 0, 0, 64, session)])
        assert opened[-1] == Frame(FrameKind.STATUS.value, FrameFlags.IDLE.value, 0, 0, SLOTS, session)
        assert ctx.get(bench.dut.time_ns) == 0
        bench.commands.clear()
        assert await bench.exchange(ctx, [Frame(FrameKind.OPEN.value, 0, 0, 0, 64, session)])
        await bench.exchange(ctx, [command(0)._replace(session=session)])
        assert bench.commands == [(0, bytes(32))]

    bench.run(test)


def test_the_host_settles_with_it_when_both_are_done() -> None:
    """And not before: the core is busy for a while after it took the command."""
    bench = Bench()

    async def test(ctx: SimulatorContext) -> None:
        host = Session(SESSION, 1.0)
        host.send(FrameKind.COMMAND, bytes(33))
        for turn in range(40):
            host.take(await bench.clock(ctx, levels_of(host.give(0.0)) or b"\1" * 400))
            bench.taking = not 10 < turn < 20
            assert not (host.settled and 11 < turn < 20 and not bench.commands)
        assert host.settled
        assert ctx.get(bench.dut.quiet)

    bench.run(test)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), "a bit takes at least 4 cycles, not 3"),
        ((4, 3), "slots must be a power of two from 2 to 64, not 3"),
        ((4, 128), "slots must be a power of two from 2 to 64, not 128"),
        ((4, 16, -1), "timeout_cycles must be positive, not -1"),
    ],
)
def test_parameters_are_checked(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SerialLink(*arguments)
