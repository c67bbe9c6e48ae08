"""A UART of eight data bits, no parity and one stop bit."""

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

LEAST_CYCLES_PER_BIT = 4
LARGEST_ERROR_PPM = 20_000
"""The stop bit is sampled nine and a half bits after the start bit began: 5 % are half a bit, for both sides."""

FRAME_BITS = 10
"""Bits on the line for one byte: start, data, stop."""


def cycles_per_bit(clock_hz: int, baud: int) -> int:
    """Clock cycles that one bit takes.

    Raises
    ------
    ValueError : The clock is too slow for the baud rate, or no whole number of cycles comes near enough to it.
    """
    if baud <= 0 or clock_hz < LEAST_CYCLES_PER_BIT * baud:
        raise ValueError(
            f"{baud} baud needs a clock of at least {LEAST_CYCLES_PER_BIT} cycles a bit, which {clock_hz} Hz is not"
        )
    cycles = round(clock_hz / baud)
    error_ppm = round((clock_hz / cycles - baud) / baud * 1_000_000)
    if abs(error_ppm) > LARGEST_ERROR_PPM:
        raise ValueError(
            f"{clock_hz} Hz over {cycles} is {clock_hz / cycles:.0f} baud, {error_ppm:+} ppm from {baud}; "
            f"at most {LARGEST_ERROR_PPM} ppm are allowed"
        )
    return cycles


def _checked(cycles: int) -> int:
    if cycles < LEAST_CYCLES_PER_BIT:
        raise ValueError(f"a bit takes at least {LEAST_CYCLES_PER_BIT} cycles, not {cycles}")
    return cycles


class UartTransmitter(wiring.Component):
    """Bytes to a line. The next byte is taken while the stop bit ends, so that bytes can follow without a gap.

    Parameters
    ----------
    cycles_per_bit : Clock cycles a bit, at least 4.

    Attributes
    ----------
    bytes : Stream in.
    tx : The line, high when idle; a register.
    busy : A byte is on the line.

    Raises
    ------
    ValueError : Too few cycles a bit.
    """

    bytes: In(stream.Signature(unsigned(8)))
    tx: Out(1, init=1)
    busy: Out(1)

    def __init__(self, cycles_per_bit: int):
        self._cycles = _checked(cycles_per_bit)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        cycle = Signal(range(self._cycles))
        left = Signal(range(FRAME_BITS + 1))
        rest = Signal(FRAME_BITS - 1)
        bit_ends = cycle == self._cycles - 1
        m.d.comb += [
            self.busy.eq(left != 0),
            self.bytes.ready.eq(~self.busy | ((left == 1) & bit_ends)),
        ]
        with m.If(self.busy):
            m.d.sync += cycle.eq(cycle + 1)
            with m.If(bit_ends):
                m.d.sync += [cycle.eq(0), left.eq(left - 1), Cat(self.tx, rest).eq(Cat(rest, Const(1, 1)))]
        with m.If(self.bytes.valid & self.bytes.ready):
            m.d.sync += [
                cycle.eq(0),
                left.eq(FRAME_BITS),
                Cat(self.tx, rest).eq(Cat(Const(0, 1), self.bytes.payload, 1)),
            ]
        return m


class UartReceiver(wiring.Component):
    """A line to bytes. Bits are sampled in their middle; a byte without its stop bit is dropped.

    Parameters
    ----------
    cycles_per_bit : Clock cycles a bit, at least 4.

    Attributes
    ----------
    rx : The line, high when idle, of any clock.
    bytes : Stream out. A line cannot wait: a byte that is not taken before the next one is complete is lost.
    busy : A byte is on the line.

    Raises
    ------
    ValueError : Too few cycles a bit.
    """

    rx: In(1, init=1)
    bytes: Out(stream.Signature(unsigned(8)))
    busy: Out(1)

    def __init__(self, cycles_per_bit: int):
        self._cycles = _checked(cycles_per_bit)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules += FFSynchronizer(self.rx, line, init=1)
        cycle = Signal(range(self._cycles))
        index = Signal(range(8))
        bits = Signal(8)
        m.d.sync += cycle.eq(cycle - 1)
        with m.If(self.bytes.ready):
            m.d.sync += self.bytes.valid.eq(0)
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += cycle.eq(self._cycles // 2 - 1)
                with m.If(~line):
                    m.next = "START"
            with m.State("START"):
                with m.If(cycle == 0):
                    m.d.sync += [cycle.eq(self._cycles - 1), index.eq(0)]
                    m.next = "DATA"
                    with m.If(line):
                        m.next = "IDLE"
            with m.State("DATA"):
                with m.If(cycle == 0):
                    m.d.sync += [cycle.eq(self._cycles - 1), index.eq(index + 1), bits.eq(Cat(bits[1:], line))]
                    with m.If(index == 7):
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(cycle == 0):
                    m.next = "BREAK"
                    with m.If(line):
                        m.d.sync += [self.bytes.payload.eq(bits), self.bytes.valid.eq(1)]
                        m.next = "IDLE"
            with m.State("BREAK"):  # a line that is held low sends no bytes
                with m.If(line):
                    m.next = "IDLE"
        return m
