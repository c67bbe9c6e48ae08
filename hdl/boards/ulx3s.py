"""Radiona's ULX3S with an LFE5U-85F.

The pins are those of its schematics, as the amaranth-boards project has them; the serial port is the USB connector
US1. L2 is the boot pin of the board's ESP32: high, so that this does not touch the device.
"""

from .ecp5 import Ecp5Board, Pad

BOARD = Ecp5Board(
    name="ulx3s",
    title="ULX3S-85F",
    part="LFE5U-85F",
    package="CABGA381",
    speed=6,
    options=("--85k", "--speed", "6", "--package", "CABGA381"),
    loader="ulx3s",
    oscillator_hz=25_000_000,
    oscillator=Pad("G2", "LVCMOS33"),
    rx=Pad("M1", "LVCMOS33", "PULLMODE=UP"),
    tx=Pad("L4", "LVCMOS33"),
    leds=(Pad("B2", "LVCMOS33", "DRIVE=4"), Pad("C2", "LVCMOS33", "DRIVE=4"), Pad("C1", "LVCMOS33", "DRIVE=4")),
    leds_low=False,
    clocks_hz={"ecp5-small": 45_000_000, "formal": 45_000_000, "loopback": 60_000_000},
    held_high=(Pad("L2", "LVCMOS33"),),
)
