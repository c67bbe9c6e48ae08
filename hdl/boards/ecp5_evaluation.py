"""Lattice's ECP5 Evaluation Board (LFE5UM5G-85F-EVN).

The pins are those of its user guide (FPGA-EB-02017), as the amaranth-boards project has them. The serial port is the
FTDI's second one; it reaches the device when R34 and R35 are fitted: see `docs/deployment.md`.
"""

from .ecp5 import Ecp5Board, Pad

BOARD = Ecp5Board(
    name="ecp5-evaluation",
    title="ECP5 Evaluation Board",
    part="LFE5UM5G-85F",
    package="CABGA381",
    speed=8,
    options=("--um5g-85k", "--speed", "8", "--package", "CABGA381"),
    loader="ecp5_evn",
    oscillator_hz=12_000_000,
    oscillator=Pad("A10", "LVCMOS33"),
    rx=Pad("P2", "LVCMOS33", "PULLMODE=UP"),
    tx=Pad("P3", "LVCMOS33"),
    leds=(Pad("A13", "LVCMOS25"), Pad("A12", "LVCMOS25"), Pad("B19", "LVCMOS25")),
    leds_low=True,
    clocks_hz={"ecp5": 60_000_000, "formal": 60_000_000, "loopback": 102_000_000},
)
