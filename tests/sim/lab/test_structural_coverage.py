"""Reading what Verilator counted."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandgap.sim.embedded import EmbeddedTransport, build
from bandgap.sim.lab.structural_coverage import Share, read_points, shares, total

COUNTER = """
module bandgap(
    input clk, input rst, input [63:0] time_ns,
    input command_valid, input [7:0] command_link, input [255:0] command_data, output command_ready,
    output report_valid, output [511:0] report_data, input report_ready,
    input [15:0] register_address, input [31:0] register_write_data, input register_write_enable,
    input register_read_enable,
    output [31:0] register_read_data, output idle
);
  assign idle = 1;
  assign command_ready = 1;
  inner inner(.clk(clk), .up(register_write_enable), .down(command_valid));
endmodule
module inner(input clk, input up, input down);
  reg [1:0] count;
  always @(posedge clk) begin
    if (up) begin
      count <= count + 1;
    end
    if (down) begin
      count <= 0;
    end
  end
endmodule
"""


def covered(path: Path, writes: int, commands: NDArray[np.uint8]) -> dict[str, Share]:
    device = EmbeddedTransport(build.library(COUNTER, counted=""), links=1)
    for _ in range(writes):
        device.write_register(0, 0)
    device.send(commands)
    device.receive()
    device.write_coverage(path)
    device.close()
    return {share.module: share for share in shares(read_points(path))}


def test_branches_and_bits_that_were_seen_are_counted(tmp_path: Path) -> None:
    idle = covered(tmp_path / "idle.dat", 0, np.zeros((0, 32), np.uint8))["inner"]
    counted = covered(tmp_path / "counted.dat", 2, np.zeros((0, 32), np.uint8))["inner"]
    reset = covered(tmp_path / "reset.dat", 3, np.zeros((1, 32), np.uint8))["inner"]
    assert (idle.branches, idle.bits) == (counted.branches, counted.bits) == (5, 5)
    assert [share.branches_taken for share in (idle, counted, reset)] == [3, 4, 5]
    assert [share.bits_toggled for share in (idle, counted, reset)] == [1, 3, 5]


def test_points_add_up_and_shares_too(tmp_path: Path) -> None:
    path = tmp_path / "counted.dat"
    covered(path, 2, np.zeros((0, 32), np.uint8))
    once, parts = read_points(path), shares(read_points(path))
    twice = once + read_points(path)
    assert all(twice[point] == 2 * count for point, count in once.items())
    whole = total(parts)
    assert whole.bits == sum(part.bits for part in parts)
    assert whole.branches_taken == sum(part.branches_taken for part in parts)


def test_coverage_is_counted_in_the_modules_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "counted.dat"
    device = EmbeddedTransport(build.library(COUNTER, counted="inner"), links=1)
    device.write_coverage(path)
    device.close()
    assert {point.module for point in read_points(path)} == {"inner"}
