"""A long flow runs in the memory of a short one."""

import tracemalloc
from collections import deque
from pathlib import Path

from bandgap.hdl.config import BookConfig
from bandgap.host.device.device import Device
from bandgap.sim.flow.file import FlowFile
from bandgap.sim.model_device import ModelTransport
from bandgap.sim.replay.session import ReplaySession

DEVICE = BookConfig(instruments=1, orders=64, ticks=2_048, accounts=8)
SHORT_ROWS, LONG_ROWS = 20_000, 100_000
RESTING = 20
SLACK_BYTES = 5 * (LONG_ROWS - SHORT_ROWS)
"""Less than a pointer to each of the rows that the long flow has more."""


def write_flow(path: Path, rows: int) -> None:
    """Orders of ever new ids that rest for a while, then are canceled or taken."""
    with path.open("w") as file:
        file.write("command,client_order_id,side,price_ticks,quantity,time_in_force,account\n")
        for number in range(1, rows, 2):
            account, side = number // 2 % 8, "buy" if number % 4 == 1 else "sell"
            file.write(f"new,{number},{side},{100 if side == 'buy' else 100 + number % 3},1,gtc,{account}\n")
            earlier = max(1, number - 2 * RESTING)
            file.write(f"cancel,{earlier},,,,,{earlier // 2 % 8}\n")


def peak_bytes(flow: FlowFile) -> int:
    """The most memory that a replay of the whole flow has at one time."""
    tracemalloc.start()
    session = ReplaySession(Device(ModelTransport(DEVICE)), flow.survey())
    deque((session.run(chunk) for chunk in flow.chunks()), maxlen=0)
    assert all(passed for _, passed, _ in session.settle())
    assert session.statistics.reports["TRADE"] and session.statistics.reports["CANCELED"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_five_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for rows in (2_048, SHORT_ROWS, LONG_ROWS):  # the first run fills what Python and numpy keep
        write_flow(tmp_path / "flow.csv", rows)
        peaks.append(peak_bytes(FlowFile(tmp_path / "flow.csv")))
    assert peaks[2] < peaks[1] + SLACK_BYTES
