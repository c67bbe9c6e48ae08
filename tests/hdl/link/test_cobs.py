"""COBS in gateware against the library that the host uses."""

from random import Random

import pytest
from amaranth.sim import Simulator, SimulatorContext
from cobs import cobs

from bandgap.hdl.link.cobs import CobsDecoder, CobsEncoder, ReceivedKind


def encode(frames: list[bytes], longest: int, rng: Random) -> bytes:
    """What the encoder makes of frames, offered and taken with pauses."""
    dut = CobsEncoder(longest)
    expected = sum(len(cobs.encode(frame)) + 2 for frame in frames)
    out = bytearray()

    async def send(ctx: SimulatorContext) -> None:
        for frame in frames:
            for place, byte in enumerate(frame):
                await ctx.tick().repeat(rng.choice((1, 1, 4)))
                ctx.set(dut.frame.payload, {"data": byte, "last": place == len(frame) - 1})
                ctx.set(dut.frame.valid, 1)
                await ctx.tick().until(dut.frame.ready)
                ctx.set(dut.frame.valid, 0)

    async def receive(ctx: SimulatorContext) -> None:
        while len(out) < expected:
            await ctx.tick().repeat(rng.choice((1, 1, 4)))
            ctx.set(dut.bytes.ready, 1)
            (byte,) = await ctx.tick().sample(dut.bytes.payload).until(dut.bytes.valid)
            out.append(byte)
            ctx.set(dut.bytes.ready, 0)
        await ctx.tick().repeat(5)
        assert not ctx.get(dut.bytes.valid)
        assert not ctx.get(dut.busy)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send)
    simulator.add_testbench(receive)
    simulator.run()
    return bytes(out)


def decode(line: bytes, rng: Random, count: int) -> list[tuple[ReceivedKind, bytes]]:
    """The first so many frames that the decoder finds, and how each ends."""
    dut = CobsDecoder()
    frames: list[tuple[ReceivedKind, bytes]] = []

    async def send(ctx: SimulatorContext) -> None:
        for byte in line:
            ctx.set(dut.bytes.payload, byte)
            ctx.set(dut.bytes.valid, 1)
            await ctx.tick().until(dut.bytes.ready)
            ctx.set(dut.bytes.valid, 0)
            await ctx.tick().repeat(rng.choice((1, 1, 4)))

    async def receive(ctx: SimulatorContext) -> None:
        frame = bytearray()
        while len(frames) < count:
            ctx.set(dut.frame.ready, 1)
            (byte,) = await ctx.tick().sample(dut.frame.payload).until(dut.frame.valid)
            ctx.set(dut.frame.ready, 0)
            await ctx.tick().repeat(rng.choice((1, 1, 4)))
            if byte.kind == ReceivedKind.BYTE:
                frame.append(byte.data)
            else:
                frames.append((ReceivedKind(byte.kind), bytes(frame)))
                frame.clear()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send)
    simulator.add_testbench(receive)
    simulator.run()
    return frames


def some_frames(rng: Random, longest: int) -> list[bytes]:
    """Of all kinds: zeros at either end and everywhere, none at all, the shortest and the longest."""
    frames = [b"\0", b"\1", b"\0\0", b"\0\1\0", b"\1\0", bytes(longest), bytes([7]) * longest]
    for _ in range(20):
        length = rng.randint(1, longest)
        frames.append(bytes(rng.choice((0, 0, rng.randrange(256))) for _ in range(length)))
        frames.append(rng.randbytes(length))
    return frames


@pytest.mark.parametrize("longest", [20, 254])
def test_encoder(longest: int, seed: int) -> None:
    rng = Random(seed)
    frames = some_frames(rng, longest)
    assert encode(frames, longest, rng) == b"".join(b"\0" + cobs.encode(frame) + b"\0" for frame in frames)


def test_decoder(seed: int) -> None:
    rng = Random(seed)
    frames = some_frames(rng, 254)
    line = b"".join(cobs.encode(frame) + b"\0" * rng.choice((1, 2, 3)) for frame in frames)
    assert decode(line, rng, len(frames)) == [(ReceivedKind.END, frame) for frame in frames]


def test_decoder_tells_frames_that_end_within_a_block(seed: int) -> None:
    line = b"\5ab\0" + cobs.encode(b"whole") + b"\0" + b"\2\0" + b"\3a\0" + cobs.encode(b"\0") + b"\0"
    assert decode(line, Random(seed), 5) == [
        (ReceivedKind.BROKEN, b"ab"),
        (ReceivedKind.END, b"whole"),
        (ReceivedKind.BROKEN, b""),
        (ReceivedKind.BROKEN, b"a"),
        (ReceivedKind.END, b"\0"),
    ]


@pytest.mark.parametrize("longest", [0, 255])
def test_a_frame_fits_into_a_block(longest: int) -> None:
    with pytest.raises(ValueError, match=f"a frame has 1 to 254 bytes, not {longest}"):
        CobsEncoder(longest)
