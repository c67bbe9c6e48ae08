"""What Lattice ECP5 boards share: a PLL, the reset at power-up, the serial port and three LEDs.

A board is a table of facts (`Ecp5Board`), in a file of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import ClockDomain, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer
from amaranth.lib.wiring import In, Out

from .serial import SerialBoard

VCO_HZ = (400_000_000, 800_000_000)
"""What the PLL's oscillator can do."""

LARGEST_DIVISOR = 128
LOCK_CYCLES = 1 << 14
"""So long the PLL has to be locked before the reset ends: a millisecond of a 12 MHz oscillator."""

LIT_CYCLES = 1 << 22
"""How long a LED shows a byte that has come: 70 ms at 60 MHz."""


@dataclass(frozen=True)
class Pad:
    """A pin: its place on the package, its IO type, and what else is set there (`PULLMODE=UP`)."""

    site: str
    io_type: str
    setting: str = ""


@dataclass(frozen=True)
class Ecp5Board:
    """A board's facts.

    Attributes
    ----------
    name, title : What a command calls it, and what people do.
    part, package, speed : The device.
    options : The same for nextpnr.
    loader : openFPGALoader's name of the board.
    oscillator_hz : Frequency at `oscillator`.
    oscillator, rx, tx : Clock; serial port as the device sees it.
    leds : Alive, ready, host.
    leds_low : They light when their pin is low.
    held_high : Pins that something else on the board needs high.
    clocks_hz : The core's clock, by preset; the first preset is the one that the board is delivered with.
    """

    name: str
    title: str
    part: str
    package: str
    speed: int
    options: tuple[str, ...]
    loader: str
    oscillator_hz: int
    oscillator: Pad
    rx: Pad
    tx: Pad
    leds: tuple[Pad, Pad, Pad]
    leds_low: bool
    clocks_hz: dict[str, int]
    held_high: tuple[Pad, ...] = ()

    @property
    def preset(self) -> str:
        """The preset that the board is delivered with."""
        return next(iter(self.clocks_hz))

    def constraints(self) -> str:
        """Pins and oscillator as Lattice's LPF; nextpnr derives the PLL's frequency from the oscillator's."""
        lines = [f'FREQUENCY PORT "oscillator" {self.oscillator_hz / 1e6} MHZ;']
        for port, pad in self._pads():
            settings = f"IO_TYPE={pad.io_type} {pad.setting}".strip()
            lines += [f'LOCATE COMP "{port}" SITE "{pad.site}";', f'IOBUF PORT "{port}" {settings};']
        return "\n".join(lines) + "\n"

    def _pads(self) -> Iterator[tuple[str, Pad]]:
        yield from (("oscillator", self.oscillator), ("rx", self.rx), ("tx", self.tx))
        yield from ((f"leds[{place}]", pad) for place, pad in enumerate(self.leds))
        yield from ((f"high_{place}", pad) for place, pad in enumerate(self.held_high))


@dataclass(frozen=True)
class Pll:
    """How the PLL divides: its oscillator runs at `multiplier` times the input, the clock at that over `divisor`."""

    multiplier: int
    divisor: int


def pll(oscillator_hz: int, clock_hz: int) -> Pll:
    """The setting for a clock.

    Raises
    ------
    ValueError : There is none; the message names the nearest clocks that there are.
    """
    settings = [
        Pll(multiplier, divisor)
        for multiplier in range(LARGEST_DIVISOR, 0, -1)
        for divisor in range(1, LARGEST_DIVISOR + 1)
        if VCO_HZ[0] <= oscillator_hz * multiplier <= VCO_HZ[1]
    ]
    clocks_hz = {Fraction(oscillator_hz * setting.multiplier, setting.divisor): setting for setting in settings[::-1]}
    if clock_hz in clocks_hz:
        return clocks_hz[Fraction(clock_hz)]
    whole_hz = sorted(int(clock) for clock in clocks_hz if clock.denominator == 1)
    below = [clock for clock in whole_hz if clock < clock_hz][-1:]
    above = [clock for clock in whole_hz if clock > clock_hz][:1]
    nearest = " and ".join(f"{clock / 1e6:g} MHz" for clock in below + above)
    raise ValueError(f"no PLL makes {clock_hz / 1e6:g} MHz of {oscillator_hz / 1e6:g} MHz; the nearest are {nearest}")


class Ecp5Top(wiring.Component):
    """A board's top: all that is on the device.

    The LEDs say: *alive*, blinking while the clock runs; *ready*, lit while the memories are cleared and the core is at
    rest; *host*, lit while something comes in from the host.

    Parameters
    ----------
    board : The board.
    clock_hz : The core's clock.
    appliance : What runs there, of that clock.

    Attributes
    ----------
    oscillator, rx, tx, leds : See `Ecp5Board`.
    high_0, ... : The pins that are held high.

    Raises
    ------
    ValueError : The PLL cannot make that clock.
    """

    def __init__(self, board: Ecp5Board, clock_hz: int, appliance: SerialBoard):
        self._board = board
        self._clock_hz = clock_hz
        self._pll = pll(board.oscillator_hz, clock_hz)
        self._appliance = appliance
        super().__init__(
            {
                "oscillator": In(1),
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "leds": Out(len(board.leds)),
                **{f"high_{place}": Out(1, init=1) for place in range(len(board.held_high))},
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.domains.boot = boot = ClockDomain(reset_less=True)
        m.domains.sync = sync = ClockDomain()
        pll_locked, locked, feedback = Signal(), Signal(), Signal()
        m.submodules.lock = FFSynchronizer(pll_locked, locked, o_domain="boot")
        lock_cycles = Signal(range(LOCK_CYCLES))
        unsteady = Signal(init=1)  # a register, because it resets at any time
        m.d.comb += boot.clk.eq(self.oscillator)
        m.d.boot += lock_cycles.eq(lock_cycles + 1)
        with m.If(~locked):
            m.d.boot += [lock_cycles.eq(0), unsteady.eq(1)]
        with m.Elif(lock_cycles == LOCK_CYCLES - 1):
            m.d.boot += unsteady.eq(0)
        m.submodules.reset = ResetSynchronizer(unsteady)
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_CLKI_DIV=1,
            p_CLKFB_DIV=1,
            p_FEEDBK_PATH="CLKOP",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=self._pll.multiplier,
            p_CLKOP_CPHASE=self._pll.multiplier - 1,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=self._pll.divisor,
            p_CLKOS_CPHASE=self._pll.divisor - 1,
            i_CLKI=self.oscillator,
            i_CLKFB=feedback,
            i_RST=0,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=1,
            i_PHASESTEP=1,
            i_PHASELOADREG=1,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            o_CLKOP=feedback,
            o_CLKOS=sync.clk,
            o_LOCK=pll_locked,
        )

        m.submodules.appliance = appliance = self._appliance
        received = Signal(init=1)
        m.submodules.received = FFSynchronizer(self.rx, received, init=1)
        second = Signal(range(self._clock_hz))
        lit = Signal(range(LIT_CYCLES))
        with m.If(second == self._clock_hz - 1):
            m.d.sync += second.eq(0)
        with m.Else():
            m.d.sync += second.eq(second + 1)
        with m.If(~received):
            m.d.sync += lit.eq(LIT_CYCLES - 1)
        with m.Elif(lit != 0):
            m.d.sync += lit.eq(lit - 1)
        leds = Signal.like(self.leds)
        m.d.comb += [
            appliance.rx.eq(self.rx),
            self.tx.eq(appliance.tx),
            leds[0].eq(second < self._clock_hz // 2),
            leds[1].eq(appliance.ready),
            leds[2].eq(lit != 0),
            self.leds.eq(~leds if self._board.leds_low else leds),
        ]
        return m
