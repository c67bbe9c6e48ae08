"""Parts of the PCIe link alone: what a simulated block never does, and what is easier to count here."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Const
from amaranth.lib import data
from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.link.pcie.block import (
    CompleterRequest,
    CompleterRequestUser,
    CompletionError,
    RequesterCompletion,
    RequesterCompletionUser,
)
from bandgap.hdl.link.pcie.completer import Completer, RequestReader
from bandgap.hdl.link.pcie.link import PcieLink
from bandgap.hdl.link.pcie.reads import HostReader
from bandgap.hdl.link.pcie.window import CommandWindows
from bandgap.hdl.link.pcie.writer import PacketArbiter
from bandgap.hdl.protocol.pcie import BAR_BYTES, LINK_REGISTERS, LINK_REGISTERS_OFFSET, WINDOWS_OFFSET, LinkError
from bandgap.hdl.protocol.registers import REGISTERS

READ, WRITE, IO_READ, FETCH_ADD, MESSAGE, ATS_MESSAGE = 0, 1, 2, 4, 12, 14
UNSUPPORTED_REQUEST = 1

Beat = dict[str, int]


def run(dut: Any, *testbenches: Callable[[SimulatorContext], Awaitable[None]]) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(4e-9)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run()


def bits(layout: type[data.Struct], **fields: int) -> int:
    return int(Const.cast(data.Layout.cast(layout).const(fields)).value)


def packet(descriptor: int, descriptor_dwords: int, payload: bytes, user: Callable[[int], int]) -> list[Beat]:
    """A packet's beats; `user` gives what goes beside beat n."""
    raw = descriptor.to_bytes(4 * descriptor_dwords, "little") + payload
    beats = []
    for place in range(0, len(raw), 32):
        part = raw[place : place + 32]
        beats.append(
            {
                "data": int.from_bytes(part, "little"),
                "keep": (1 << len(part) // 4) - 1,
                "last": int(place + 32 >= len(raw)),
                "user": user(place // 32),
            }
        )
    return beats


def request(
    kind: int, address: int, payload: bytes = b"", dwords: int = 1, enables: int = 0x0F, bar: int = 0, **fields
):
    """A request of the host; a write's bytes begin and end on dwords."""
    dwords = len(payload) // 4 or dwords
    descriptor = bits(CompleterRequest, address=address >> 2, dwords=dwords, bar=bar, **fields) | kind << 75
    byte_enables = ((1 << len(payload)) - 1) << 16

    def user(beat: int) -> int:
        first = {"first": 1, "first_enable": enables & 15, "last_enable": enables >> 4} if beat == 0 else {}
        return bits(CompleterRequestUser, byte_enable=byte_enables >> 32 * beat & (1 << 32) - 1, **first)

    return packet(descriptor, 4, payload, user)


async def offer(ctx: SimulatorContext, stream: Any, beats: list[Beat], rng: Random | None = None) -> None:
    """Offer beats until all are taken; with a generator, not in every cycle."""
    for beat in beats:
        while rng and rng.random() < 0.4:
            await ctx.tick()
        for name, value in beat.items():
            field = getattr(stream.payload, name)
            ctx.set(field.as_value() if hasattr(field, "as_value") else field, value)
        ctx.set(stream.valid, 1)
        await ctx.tick().until(stream.ready)
        ctx.set(stream.valid, 0)


def test_writes_of_any_place_and_size_become_lines(seed: int) -> None:
    rng = Random(seed)
    dut = RequestReader()
    image, expected = bytearray(BAR_BYTES), bytearray(BAR_BYTES)
    writes = []
    for _ in range(150):
        dwords = rng.choice((1, 2, 3, 7, 8, 9, 16, rng.randint(1, 64)))
        address = 4 * rng.randrange(BAR_BYTES // 4 - dwords)
        writes.append((address, rng.randbytes(4 * dwords)))
    ends = []

    async def host(ctx: SimulatorContext) -> None:
        for address, payload in writes:
            await offer(ctx, dut.requests, request(WRITE, address, payload), rng)

    async def taker(ctx: SimulatorContext) -> None:
        begins = True
        while len(ends) < len(writes):
            ctx.set(dut.lines.ready, rng.random() < 0.7)
            _, _, valid, ready, line = await ctx.tick().sample(dut.lines.valid, dut.lines.ready, dut.lines.payload)
            if not (valid and ready):
                continue
            assert (line.first, line.corrupt, line.partial) == (begins, 0, 0)
            begins = bool(line.last)
            raw = line.data.to_bytes(32, "little")
            for lane in range(8):
                if line.dwords >> lane & 1:
                    place = 32 * line.line + 4 * lane
                    image[place : place + 4] = raw[4 * lane : 4 * lane + 4]
            if line.last:
                address, payload = writes[len(ends)]
                expected[address : address + len(payload)] = payload
                assert image == expected, f"write {len(ends)} of {len(payload)} bytes to {address:#x}; seed {seed}"
                ends.append(line.line)

    run(dut, host, taker)


@pytest.mark.parametrize(
    ("kind", "bar", "dwords", "answered"),
    [
        pytest.param(READ, 1, 1, True, id="read of another BAR"),
        pytest.param(READ, 0, 2, True, id="read of two dwords"),
        pytest.param(IO_READ, 0, 1, True, id="input or output"),
        pytest.param(FETCH_ADD, 0, 1, True, id="atomic operation"),
        pytest.param(WRITE, 1, 1, False, id="write to another BAR"),
        pytest.param(MESSAGE, 0, 1, False, id="message"),
        pytest.param(ATS_MESSAGE, 0, 1, False, id="message of address translation"),
    ],
)
def test_what_is_not_served_is_refused_if_it_wants_an_answer(kind: int, bar: int, dwords: int, answered: bool) -> None:
    dut = Completer()
    seen = {"unsupported": 0, "answers": []}
    payload = b"data" * 9 if kind in (WRITE, FETCH_ADD) else b""
    fields = {"requester": 0x1234, "tag": 0x56, "traffic_class": 3, "attributes": 5}
    beats = request(kind, 0x104, payload, dwords, bar=bar, **fields)

    async def host(ctx: SimulatorContext) -> None:
        await offer(ctx, dut.requests, beats)
        await offer(ctx, dut.requests, request(READ, 0x2C, tag=1))

    async def watcher(ctx: SimulatorContext) -> None:
        ctx.set(dut.completions.ready, 1)
        ctx.set(dut.registers.read_data, 0x89AB_CDEF)
        for _ in range(40):
            sampled = await ctx.tick().sample(dut.unsupported, dut.completions.valid, dut.completions.payload)
            seen["unsupported"] += sampled[2]
            if sampled[3]:
                seen["answers"].append(sampled[4].data)
            assert not ctx.get(dut.registers.write_enable)

    run(dut, host, watcher)
    *refusals, served = seen["answers"]
    assert served >> 96 & 0xFFFF_FFFF == 0x89AB_CDEF
    assert seen["unsupported"] == 1
    assert len(refusals) == answered
    for refusal in refusals:
        assert refusal >> 43 & 7 == UNSUPPORTED_REQUEST
        assert refusal >> 32 & 0x7FF == 0
        assert refusal >> 48 & 0xFFFF == 0x1234
        assert refusal >> 64 & 0xFF == 0x56
        assert refusal >> 89 & 0x3F == 3 | 5 << 3
        assert refusal >> 128 == beats[0]["data"] & (1 << 128) - 1


def test_a_command_does_not_overtake_the_write_of_registers() -> None:
    dut = Completer()
    events: list[int | str] = []

    async def host(ctx: SimulatorContext) -> None:
        await offer(ctx, dut.requests, request(WRITE, 0x1020, bytes(32)))
        await offer(ctx, dut.requests, request(WRITE, WINDOWS_OFFSET, b"\1" * 32))

    async def watcher(ctx: SimulatorContext) -> None:
        for _ in range(20):
            sampled = await ctx.tick().sample(dut.registers.write_enable, dut.registers.address, dut.commands.valid)
            if sampled[2]:
                events.append(sampled[3])
            if sampled[4]:
                events.append("command")

    run(dut, host, watcher)
    assert events == [*range(0x1020, 0x1040, 4), "command"]


def completion(tag: int, lines: int, address: int, error: int = 0, discontinue: int = 0) -> list[Beat]:
    descriptor = bits(RequesterCompletion, address=address, error=error, completed=1, tag=tag, dwords=8 * lines)
    payload = bytes(range(32 * lines))
    return packet(descriptor, 3, payload, lambda beat: bits(RequesterCompletionUser, discontinue=discontinue))


@pytest.mark.parametrize(
    ("error", "discontinue", "told"),
    [
        (CompletionError.NONE, 0, None),
        (CompletionError.NONE, 1, LinkError.READ_POISONED),
        (CompletionError.POISONED, 0, LinkError.READ_POISONED),
        (CompletionError.BAD_STATUS, 0, LinkError.READ_REFUSED),
        (CompletionError.BAD_LENGTH, 0, LinkError.READ_MALFORMED),
        (CompletionError.MISMATCH, 0, LinkError.READ_MALFORMED),
        (CompletionError.BAD_ADDRESS, 0, LinkError.READ_MALFORMED),
        (CompletionError.RESET, 0, LinkError.READ_MALFORMED),
        (CompletionError.TIMEOUT, 0, LinkError.READ_TIMEOUT),
    ],
)
def test_whatever_the_block_says_of_a_completion(
    error: CompletionError, discontinue: int, told: LinkError | None
) -> None:
    """Its neighbours with tags that are not ours change nothing."""
    dut = HostReader(tags=2, read_bytes=128, timeout_cycles=100)
    lines, errors = [], []

    async def asker(ctx: SimulatorContext) -> None:
        ctx.set(dut.run, 1)
        ctx.set(dut.requests.ready, 1)
        ctx.set(dut.asked.payload, {"line": 0x1235, "lines": 2, "descriptor": 0})
        ctx.set(dut.asked.valid, 1)
        await ctx.tick().until(dut.asked.ready)
        ctx.set(dut.asked.valid, 0)
        (asked,) = await ctx.tick().sample(dut.requests.payload).until(dut.requests.valid)
        tag = asked.data >> 96 & 0xFF
        assert asked.data & (1 << 64) - 1 == 0x1235 << 5
        for other in ({0, 1} - {tag}, {tag + 2}, {255}):
            await offer(ctx, dut.completions, completion(other.pop(), 1, 0x20))
        await offer(ctx, dut.completions, completion(tag, 2, 0x1235 << 5 & 0xFFF, error.value, discontinue))
        await ctx.tick().repeat(10)
        assert ctx.get(dut.busy) == 0
        assert ctx.get(dut.idle) == 1
        assert ctx.get(dut.failed) == (told is not None)

    async def watcher(ctx: SimulatorContext) -> None:
        ctx.set(dut.lines.ready, 1)
        for _ in range(60):
            sampled = await ctx.tick().sample(dut.errors, dut.lines.valid, dut.lines.payload.data)
            if sampled[2].value:
                errors.append(sampled[2])
            if sampled[3]:
                lines.append(sampled[4].to_bytes(32, "little"))

    run(dut, asker, watcher)
    assert errors == ([told] if told else [])
    assert lines == ([] if told else [bytes(range(32)), bytes(range(32, 64))])


def test_packets_follow_each_other_whole_and_stay_as_they_were_offered(seed: int) -> None:
    rng = Random(seed)
    dut = PacketArbiter(3)
    sent = [[(index, number, rng.randint(1, 4)) for number in range(20)] for index in range(3)]
    came: list[tuple[int, int, int]] = []

    def sender(index: int) -> Callable[[SimulatorContext], Awaitable[None]]:
        async def send(ctx: SimulatorContext) -> None:
            for _, number, size in sent[index]:
                beats = [
                    {"data": index << 16 | number << 8 | beat, "keep": 255, "last": int(beat == size - 1), "user": 0}
                    for beat in range(size)
                ]
                while rng.random() < 0.5:
                    await ctx.tick()
                await offer(ctx, dut.inputs[index], beats)

        return send

    async def taker(ctx: SimulatorContext) -> None:
        offered, begun = None, 0
        while len(came) < 60:
            ctx.set(dut.output.ready, rng.random() < 0.5)
            sampled = await ctx.tick().sample(dut.output.valid, dut.output.ready, dut.output.payload)
            valid, ready, beat = sampled[2:]
            if offered is not None:
                assert valid and beat.data == offered
            offered = beat.data if valid and not ready else None
            if valid and ready:
                assert beat.data & 0xFF == begun
                begun += 1
                if beat.last:
                    came.append((beat.data >> 16, beat.data >> 8 & 0xFF, begun))
                    begun = 0

    run(dut, *(sender(index) for index in range(3)), taker)
    assert [[one for one in came if one[0] == index] for index in range(3)] == sent


def test_no_two_registers_share_a_place() -> None:
    places = [
        register.offset + 4 * word for register in (*REGISTERS, *LINK_REGISTERS) for word in range(register.words)
    ]
    assert len(places) == len(set(places))
    assert all(register.offset >= LINK_REGISTERS_OFFSET for register in LINK_REGISTERS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CommandWindows(3), "depth must be a power of two from 2 to 1024, not 3"),
        (lambda: CommandWindows(2048), "depth must be a power of two from 2 to 1024, not 2048"),
        (lambda: HostReader(1, 256, 9), "tags must be a power of two from 2 to 32, not 1"),
        (lambda: HostReader(64, 256, 9), "tags must be a power of two from 2 to 32, not 64"),
        (lambda: HostReader(8, 64, 9), "read_bytes must be 128, 256 or 512, not 64"),
        (lambda: HostReader(8, 256, 0), "timeout_cycles must be positive, not 0"),
        (lambda: PacketArbiter(0), "count must be positive, not 0"),
        (lambda: PcieLink(tags=5), "tags must be a power of two from 2 to 32, not 5"),
    ],
)
def test_parameters_are_checked(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
