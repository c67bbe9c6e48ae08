"""The UART's two halves, back to back and on lines that are not right."""

from random import Random

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator, SimulatorContext

from bandgap.hdl.link.uart import UartReceiver, UartTransmitter, cycles_per_bit


class Loop(wiring.Component):
    """A transmitter whose line goes to a receiver of its own bit time, or to `rx` while `cut`."""

    bytes_in: In(stream.Signature(8))
    bytes_out: Out(stream.Signature(8))
    cut: In(1)
    rx: In(1, init=1)

    def __init__(self, transmitter_cycles: int, receiver_cycles: int) -> None:
        self.transmitter, self.receiver = UartTransmitter(transmitter_cycles), UartReceiver(receiver_cycles)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules += [self.transmitter, self.receiver]
        wiring.connect(m, wiring.flipped(self.bytes_in), self.transmitter.bytes)
        wiring.connect(m, self.receiver.bytes, wiring.flipped(self.bytes_out))
        m.d.comb += self.receiver.rx.eq(self.transmitter.tx)
        with m.If(self.cut):
            m.d.comb += self.receiver.rx.eq(self.rx)
        return m


def simulate(dut: Loop, *benches: object) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(("transmitter_cycles", "receiver_cycles"), [(4, 4), (5, 5), (16, 16), (100, 98), (98, 100)])
def test_bytes_come_through_without_a_gap_and_with_gaps(
    transmitter_cycles: int, receiver_cycles: int, seed: int
) -> None:
    """Also when the two clocks are two percent apart."""
    dut = Loop(transmitter_cycles, receiver_cycles)
    rng = Random(seed)
    sent = [0x00, 0xFF, 0x55, 0xAA, *rng.randbytes(40)]
    received: list[int] = []

    async def send(ctx: SimulatorContext) -> None:
        for place, byte in enumerate(sent):
            if place > len(sent) // 2:
                await ctx.tick().repeat(rng.randrange(1, 3 * transmitter_cycles))
            ctx.set(dut.bytes_in.payload, byte)
            ctx.set(dut.bytes_in.valid, 1)
            await ctx.tick().until(dut.bytes_in.ready)
            ctx.set(dut.bytes_in.valid, 0)

    async def receive(ctx: SimulatorContext) -> None:
        ctx.set(dut.bytes_out.ready, 1)
        while len(received) < len(sent):
            (byte,) = await ctx.tick().sample(dut.bytes_out.payload).until(dut.bytes_out.valid)
            received.append(byte)

    simulate(dut, send, receive)
    assert received == sent


def test_bytes_follow_each_other_at_once() -> None:
    dut = Loop(4, 4)

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(dut.bytes_in.valid, 1)
        await ctx.tick().until(dut.bytes_in.ready)
        for _ in range(5):
            cycles = 1
            while not ctx.get(dut.bytes_in.ready):
                await ctx.tick()
                cycles += 1
            await ctx.tick()
            assert cycles == 40

    simulate(dut, bench)


@pytest.mark.parametrize(
    "levels",
    [
        pytest.param([0], id="a glitch"),
        pytest.param([0] * 1000, id="a line held low"),
        pytest.param([0] * 16 + [1] * 16 * 8 + [0] * 16, id="no stop bit"),
    ],
)
def test_what_is_no_byte_is_none_and_the_next_one_is_read(levels: list[int]) -> None:
    dut = Loop(16, 16)
    received: list[int] = []

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(dut.cut, 1)
        for level in levels:
            ctx.set(dut.rx, level)
            await ctx.tick()
        ctx.set(dut.rx, 1)
        await ctx.tick().repeat(16)
        assert not ctx.get(dut.bytes_out.valid)
        ctx.set(dut.cut, 0)
        ctx.set(dut.bytes_in.payload, 0x5C)
        ctx.set(dut.bytes_in.valid, 1)
        await ctx.tick().until(dut.bytes_in.ready)
        ctx.set(dut.bytes_in.valid, 0)
        (byte,) = await ctx.tick().sample(dut.bytes_out.payload).until(dut.bytes_out.valid)
        received.append(byte)

    simulate(dut, bench)
    assert received == [0x5C]


@pytest.mark.parametrize(
    ("clock_hz", "baud", "cycles"),
    [(48_000_000, 3_000_000, 16), (50_000_000, 3_000_000, 17), (12_000_000, 3_000_000, 4), (25_000_000, 115_200, 217)],
)
def test_cycles_per_bit(clock_hz: int, baud: int, cycles: int) -> None:
    assert cycles_per_bit(clock_hz, baud) == cycles


@pytest.mark.parametrize(
    ("clock_hz", "baud", "message"),
    [
        (11_999_999, 3_000_000, "3000000 baud needs a clock of at least 4 cycles a bit, which 11999999 Hz is not"),
        (25_000_000, 0, "0 baud needs"),
        (13_500_000, 3_000_000, r"13500000 Hz over 4 is 3375000 baud, \+125000 ppm from 3000000; at most 20000 ppm"),
    ],
)
def test_a_baud_rate_that_the_clock_cannot_do_is_an_error(clock_hz: int, baud: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cycles_per_bit(clock_hz, baud)


@pytest.mark.parametrize("half", [UartReceiver, UartTransmitter])
def test_a_bit_takes_at_least_four_cycles(half: type[UartReceiver] | type[UartTransmitter]) -> None:
    with pytest.raises(ValueError, match="a bit takes at least 4 cycles, not 3"):
        half(3)
