"""How fast the embedded device is: `python -m bandgap.sim.lab.throughput` measures it and writes the result down.

Requests become commands once, beforehand; what is timed is the way of these commands through the device and of its
reports back, on one core, nothing else.
"""

import json
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bandgap.hdl.config import PRESETS
from bandgap.host.device.device import Device
from bandgap.host.device.transport import Bytes2D, Transport
from bandgap.sim.embedded import EmbeddedTransport, open_config
from bandgap.sim.flow.file import CHUNK_ROWS, Chunk, PriceRange, Survey
from bandgap.sim.flow.flash_crash import flash_crash
from bandgap.sim.replay.session import ReplaySession

from .statistics import QUANTILES, FlowStatistics

RESULTS = Path("docs/results/embedded.json")
RUNS = 5
SEED = 1
MESSAGES = 200_000
START_TICKS = (9_600, 6_800, 10_500, 7_000)
ACCOUNTS = 128

Call = tuple[Bytes2D, NDArray[np.uint64] | None, int]


class Recorder(Transport):
    """Passes everything on, and remembers what was sent and which registers were written.

    Attributes
    ----------
    sent : Arguments of every `send`.
    written : Offset and value of every register write.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.sent: list[Call] = []
        self.written: list[tuple[int, int]] = []

    def read_register(self, offset: int) -> int:
        return self._inner.read_register(offset)

    def write_register(self, offset: int, value: int) -> None:
        self.written.append((offset, value))
        self._inner.write_register(offset, value)

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        self.sent.append((commands.copy(), arrival_ns, link))
        self._inner.send(commands, arrival_ns, link)

    def receive(self) -> Bytes2D:
        return self._inner.receive()

    def advance(self, time_ns: int) -> None:
        self._inner.advance(time_ns)

    def close(self) -> None:
        self._inner.close()


def record(preset: str) -> tuple[Recorder, FlowStatistics]:
    """The invented session as commands for this preset, and what they come to."""
    market = flash_crash(SEED, MESSAGES, START_TICKS, ACCOUNTS)
    prices = [PriceRange(ticks, ticks, ticks) for ticks in START_TICKS]
    names = [str(number) for number in range(len(START_TICKS))]
    survey = Survey(MESSAGES, names, prices, list(range(ACCOUNTS)), {})
    recorder = Recorder(open_config(PRESETS[preset]))
    device = Device(recorder)
    session = ReplaySession(device, survey)
    for start in range(0, MESSAGES, CHUNK_ROWS):
        requests = market.requests[start : start + CHUNK_ROWS]
        session.run(Chunk(np.arange(start + 1, start + 1 + len(requests)), requests))
    device.close()
    return recorder, session.statistics


def play(preset: str, recorder: Recorder) -> tuple[float, int]:
    """Seconds that the recorded commands take on a fresh device, and clock cycles they take in it."""
    device: EmbeddedTransport = open_config(PRESETS[preset])
    for offset, value in recorder.written:
        device.write_register(offset, value)
    started_cycles, started_s = device.cycles, time.perf_counter()
    for commands, arrival_ns, link in recorder.sent:
        device.send(commands, arrival_ns, link)
        device.receive()
    spent = time.perf_counter() - started_s, device.cycles - started_cycles
    device.close()
    return spent


def measure(preset: str) -> list[dict[str, str | float]]:
    """All figures of one preset."""
    recorder, counted = record(preset)
    commands = sum(len(sent) for sent, _, _ in recorder.sent)
    spent = [play(preset, recorder) for _ in range(RUNS)]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    common = {"preset": preset, "flow": f"flash crash, {MESSAGES:,} messages, seed {SEED}", "commit": commit}
    speed = statistics.median(commands / seconds for seconds, _ in spent)
    figures = [
        ("commands through the embedded device", f"median of {RUNS} runs", round(speed), "commands/s"),
        ("clock cycles per command", "mean", round(spent[0][1] / commands, 2), "cycles"),
    ]
    figures += [
        ("latency, first seen to last report", name, counted.latencies.quantile(fraction), "cycles")
        for name, fraction in QUANTILES.items()
    ]
    return [
        {"figure": figure, **common, "statistic": statistic, "value": value, "unit": unit}
        for figure, statistic, value, unit in figures
    ]


def main() -> None:
    """Measure both presets, print and write down."""
    results = [figure for preset in ("ecp5", "ultrascale") for figure in measure(preset)]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    console = Console()
    for result in results:
        console.print("{preset}: {figure}, {statistic}: {value:,} {unit}".format(**result), highlight=False)
    console.print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
