"""ECP5 boards: their clocks can be made, and their constraints name the ports that there are."""

import re
from fractions import Fraction

import pytest

from bandgap.hdl.boards.ecp5 import LARGEST_DIVISOR, VCO_HZ, Ecp5Board, pll
from bandgap.hdl.link.uart import cycles_per_bit
from bandgap.hdl.tools.bitstream import BAUD, BOARDS, LOOPBACK, sources

BY_BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)


@BY_BOARD
def test_every_clock_of_a_board_can_be_made_and_divided_down_to_the_serial_port(board: Ecp5Board) -> None:
    for clock_hz in board.clocks_hz.values():
        setting = pll(board.oscillator_hz, clock_hz)
        assert Fraction(board.oscillator_hz * setting.multiplier, setting.divisor) == clock_hz
        assert VCO_HZ[0] <= board.oscillator_hz * setting.multiplier <= VCO_HZ[1]
        assert 1 <= setting.multiplier <= LARGEST_DIVISOR and 1 <= setting.divisor <= LARGEST_DIVISOR
        assert cycles_per_bit(clock_hz, BAUD)


def test_a_clock_that_cannot_be_made_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no PLL makes 71 MHz of 12 MHz; the nearest are 70\.8 MHz and 72 MHz"):
        pll(12_000_000, 71_000_000)


@BY_BOARD
def test_every_port_has_its_pin_and_every_pin_a_port(board: Ecp5Board) -> None:
    verilog, constraints = sources(board, LOOPBACK, board.clocks_hz[LOOPBACK])
    top = verilog[verilog.index("module bandgap(") :]
    ports: set[str] = set()
    for width, name in re.findall(
        r"^  (?:input|output)(?: \[(\d+):0\])? (\w+)", top[: top.index("endmodule")], re.MULTILINE
    ):
        ports |= {f"{name}[{bit}]" for bit in range(int(width) + 1)} if width else {name}
    placed = re.findall(r'LOCATE COMP "(.*)" SITE "(.*)";', constraints)
    assert {port for port, _ in placed} == ports
    assert len({site for _, site in placed}) == len(placed)
    assert "EHXPLLL" in top
