"""The shim, on a device small enough to know by heart: it answers command n with (n mod 4) + 1 reports."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bandgap.sim.embedded import BuildError, DeviceHungError, EmbeddedTransport, build

ECHO = """
module bandgap(
    input clk, input rst, input [63:0] time_ns,
    input command_valid, input [7:0] command_link, input [255:0] command_data, output command_ready,
    output report_valid, output [511:0] report_data, input report_ready,
    input [15:0] register_address, input [31:0] register_write_data, input register_write_enable,
    input register_read_enable,
    output [31:0] register_read_data, output idle
);
    reg [2:0] left;
    reg [31:0] number, scratch, serial;
    reg [63:0] stamp;
    reg [7:0] link;
    reg latched;
    wire hangs = command_data[7:0] == 8'hFF;
    assign idle = left == 0;
    assign command_ready = idle && !hangs;
    assign report_valid = left != 0;
    assign report_data = {352'b0, serial, stamp, 24'b0, link, number};
    assign register_read_data = register_address == 16'h10 ? scratch : {31'b0, latched};
    always @(posedge clk) begin
        if (register_write_enable && register_address == 16'h10) scratch <= register_write_data;
        if (register_read_enable) latched <= 1;
        if (report_valid && report_ready) begin left <= left - 1; serial <= serial + 1; end
        if (command_valid && command_ready) begin
            left <= {1'b0, command_data[1:0]} + 1;
            number <= command_data[31:0]; stamp <= time_ns; link <= command_link;
        end
        if (rst) begin left <= 0; scratch <= 7; serial <= 0; latched <= 0; end
    end
endmodule
"""


def commands(numbers: NDArray[np.uint32]) -> NDArray[np.uint8]:
    rows = np.zeros((len(numbers), 32), np.uint8)
    rows[:, :4] = numbers.astype("<u4").view(np.uint8).reshape(-1, 4)
    return rows


def column(reports: NDArray[np.uint8], first: int, dtype: str) -> list[int]:
    size = np.dtype(dtype).itemsize
    return np.ascontiguousarray(reports[:, first : first + size]).view(dtype)[:, 0].tolist()


def expected(numbers: NDArray[np.uint32]) -> list[int]:
    return [int(n) for n in numbers for _ in range(n % 4 + 1)]


@pytest.fixture(scope="module")
def library() -> Path:
    return build.library(ECHO)


@pytest.mark.parametrize("stall_seed", [0, 1, 2**63 + 5])
def test_every_command_arrives_once_and_in_order(library: Path, stall_seed: int) -> None:
    device = EmbeddedTransport(library, links=2, stall_seed=stall_seed)
    numbers = np.arange(1, 3_000, dtype=np.uint32) * 7 % 251
    device.send(commands(numbers[:1_000]), link=1)
    device.send(commands(numbers[1_000:]), link=1)
    reports = device.receive()
    assert column(reports, 0, "<u4") == expected(numbers)
    assert column(reports, 16, "<u4") == list(range(len(reports)))
    assert set(column(reports, 4, "<u1")) == {1}
    assert len(device.receive()) == 0
    device.close()


def test_stalls_are_repeatable_and_cost_cycles(library: Path) -> None:
    def cycles(stall_seed: int) -> int:
        device = EmbeddedTransport(library, links=1, stall_seed=stall_seed)
        device.send(commands(np.arange(1, 500, dtype=np.uint32) % 251))
        device.receive()
        spent = device.cycles
        device.close()
        return spent

    assert cycles(3) == cycles(3) > cycles(0)
    assert cycles(3) != cycles(4)


def test_time_is_the_arrival_and_stands_still_without(library: Path) -> None:
    device = EmbeddedTransport(library, links=1)
    device.send(commands(np.array([4, 8, 12], np.uint32)), np.array([5, 5, 2**63], np.uint64))
    device.send(commands(np.array([16], np.uint32)))
    device.advance(2**63 + 9)
    device.send(commands(np.array([20], np.uint32)))
    assert column(device.receive(), 8, "<u8") == [5, 5, 2**63, 2**63, 2**63 + 9]
    device.close()


def test_registers(library: Path) -> None:
    device = EmbeddedTransport(library, links=1)
    assert device.read_register(0) == 0
    assert device.read_register(0) == 1, "reading is seen at a clock edge, so that a register can latch another"
    assert device.read_register(0x10) == 7
    device.write_register(0x10, 0xFFFF_FFFF)
    assert device.read_register(0x10) == 0xFFFF_FFFF
    device.close()


def test_two_devices_of_one_library_share_nothing(library: Path) -> None:
    one, other = (EmbeddedTransport(library, links=1) for _ in range(2))
    one.write_register(0x10, 1)
    one.send(commands(np.array([4], np.uint32)))
    assert other.read_register(0x10) == 7
    assert len(other.receive()) == 0
    assert len(one.receive()) == 1
    one.close()
    other.close()


MEMORY = ECHO.replace(
    "register_address == 16'h10 ? scratch", "register_address[15] ? rows[register_address[5:0]]"
).replace("reg [2:0] left;", "reg [2:0] left; reg [31:0] rows [63:0];")


def test_a_memory_seed_fills_memories_and_nothing_else() -> None:
    def contents(memory_seed: int) -> list[int]:
        device = EmbeddedTransport(build.library(MEMORY), links=1, memory_seed=memory_seed)
        assert device.read_register(0) == 0
        words = [device.read_register(0x8000 + row) for row in range(64)]
        device.close()
        return words

    assert contents(0) == [0] * 64
    assert contents(1) == contents(1) != contents(2)
    assert 0 not in contents(1)


def test_an_offer_lasts_its_cycles_and_waits_for_nothing(library: Path) -> None:
    device = EmbeddedTransport(library, links=1)
    rows = commands(np.array([1, 2, 3], np.uint32))
    started = device.cycles
    assert device.offer(rows, 4) == 2, "two reports and three reports follow the first two"
    assert device.cycles == started + 4
    assert device.offer(rows[2:], 5, take_reports=False) == 0
    device.send(rows[2:])
    assert column(device.receive(), 0, "<u4") == expected(np.array([1, 2, 3], np.uint32))
    device.close()


def test_an_offer_may_come_at_a_later_time(library: Path) -> None:
    device = EmbeddedTransport(library, links=1)
    device.offer(commands(np.array([1], np.uint32)), 9, time_ns=1_000)
    device.offer(commands(np.array([1], np.uint32)), 9)
    assert column(device.receive(), 8, "<u8") == [1_000] * 4
    with pytest.raises(ValueError, match="time would go back from 1000 ns to 999 ns"):
        device.offer(commands(np.array([1], np.uint32)), 9, time_ns=999)
    assert device.time_ns == 1_000
    device.close()


def test_a_restart_hands_over_what_had_left(library: Path) -> None:
    device = EmbeddedTransport(library, links=1)
    device.offer(commands(np.array([3], np.uint32)), 3)
    assert column(device.restart(7)[0], 0, "<u4") == [3, 3, 3, 3]
    assert len(device.receive()) == 0
    device.close()


@pytest.mark.parametrize("patience_cycles", [100, 1_000])
def test_reports_without_end_are_a_hang(patience_cycles: int) -> None:
    endless = build.library(ECHO.replace("left <= left - 1;", ""))
    device = EmbeddedTransport(endless, links=1, patience_cycles=patience_cycles)
    device.send(commands(np.array([4], np.uint32)))
    with pytest.raises(DeviceHungError, match=f"reports without end, for {patience_cycles:,} cycles"):
        device.receive()
    device.close()


def test_a_device_that_hangs_names_itself(library: Path) -> None:
    device = EmbeddedTransport(library, links=1)
    with pytest.raises(DeviceHungError, match="took no command and gave no report"):
        device.send(commands(np.array([4, 0xFF], np.uint32)))
    device.close()


@pytest.mark.parametrize(
    ("rows", "arrivals", "link", "message"),
    [
        (np.zeros((1, 31), np.uint8), None, 0, r"uint8 \(n, 32\)"),
        (np.zeros((1, 32), np.int8), None, 0, r"uint8 \(n, 32\)"),
        (np.zeros((1, 32), np.uint8), None, 1, "link must be below 1, not 1"),
        (np.zeros((2, 32), np.uint8), [50], 0, "2 commands need as many arrivals"),
        (np.zeros((2, 32), np.uint8), [51, 50], 0, "backwards"),
        (np.zeros((2, 32), np.uint8), [19, 50], 0, "backwards; the appliance's time is 20 ns"),
    ],
)
def test_a_bad_call_changes_nothing(
    library: Path, rows: NDArray[np.uint8], arrivals: list[int] | None, link: int, message: str
) -> None:
    device = EmbeddedTransport(library, links=1)
    device.advance(20)
    with pytest.raises(ValueError, match=message):
        device.send(rows, None if arrivals is None else np.array(arrivals, np.uint64), link)
    assert len(device.receive()) == 0
    with pytest.raises(ValueError, match="from 20 ns to 19 ns"):
        device.advance(19)
    device.close()


def test_a_closed_device_says_so(library: Path) -> None:
    device = EmbeddedTransport(library, links=1)
    device.close()
    device.close()
    with pytest.raises(ValueError, match="closed"):
        device.receive()


def test_vcd_waves(tmp_path: Path) -> None:
    waves = tmp_path / "run.vcd"
    device = EmbeddedTransport(build.library(ECHO, ".vcd"), links=1, waves=waves)
    device.send(commands(np.array([4], np.uint32)))
    device.close()
    text = waves.read_text()
    assert "command_valid" in text and "$enddefinitions" in text


def test_a_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for tool in ("make", "perl"):
        (tmp_path / tool).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"g\+\+ is not installed: apt install g\+\+"):
        build.library(ECHO)


def test_a_missing_fst_header_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\n! grep -q lz4\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(BuildError, match=r"lz4\.h: apt install liblz4-dev, or name a \.vcd"):
        build.library(ECHO, ".fst")


def test_verilog_that_does_not_compile_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BuildError, match=r"Verilator failed with status 1(.|\n)*syntax error"):
        build.library("module bandgap(input clk); wat endmodule")
    assert [path.suffix for path in (tmp_path / "bandgap").iterdir()] == [".lock"]
