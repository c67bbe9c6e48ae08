"""How fast the embedded device is: `python -m bandgap.sim.lab.throughput` measures it and writes the result down.

Requests become commands once, beforehand; what is timed is the way of these commands through the device and of its
reports back, on one core, nothing else.
"""

import statistics
import time
from pathlib import Path

from rich.console import Console

from bandgap.hdl.config import PRESETS
from bandgap.sim.embedded import EmbeddedTransport, open_config
from bandgap.sim.flow.flash_crash import flash_crash
from bandgap.sim.statistics import QUANTILES, FlowStatistics

from .recorder import Recorder, record_requests
from .results import Figure, source_commit, write_figures

RESULTS = Path("docs/results/embedded.json")
RUNS = 5
SEED = 1
MESSAGES = 200_000
START_TICKS = (9_600, 6_800, 10_500, 7_000)
ACCOUNTS = 128


def record(preset: str) -> tuple[Recorder, FlowStatistics]:
    """The invented session as commands for this preset, and what they come to."""
    market = flash_crash(SEED, MESSAGES, START_TICKS, ACCOUNTS)
    return record_requests(open_config(PRESETS[preset]), market.requests, START_TICKS, ACCOUNTS)


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


def measure(preset: str) -> list[Figure]:
    """All figures of one preset."""
    recorder, counted = record(preset)
    commands = sum(len(sent) for sent, _, _ in recorder.sent)
    spent = [play(preset, recorder) for _ in range(RUNS)]
    speed = statistics.median(commands / seconds for seconds, _ in spent)
    figures: list[tuple[str, str, float, str]] = [
        ("commands through the embedded device", f"median of {RUNS} runs", round(speed), "commands/s"),
        ("clock cycles per command", "mean", round(spent[0][1] / commands, 2), "cycles"),
    ]
    figures += [
        ("latency, first seen to last report", name, counted.latencies.quantile(fraction), "cycles")
        for name, fraction in QUANTILES.items()
    ]
    flow, commit = f"flash crash, {MESSAGES:,} messages, seed {SEED}", source_commit()
    return [Figure(figure, preset, flow, statistic, value, unit, commit) for figure, statistic, value, unit in figures]


def main() -> None:
    """Measure both presets, print and write down."""
    results = [figure for preset in ("ecp5", "ultrascale") for figure in measure(preset)]
    write_figures(RESULTS, results)
    console = Console()
    for result in results:
        console.print(
            f"{result.preset}: {result.figure}, {result.statistic}: {result.value:,} {result.unit}", highlight=False
        )
    console.print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
