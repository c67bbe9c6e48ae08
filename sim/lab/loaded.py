"""Throughput and latency under load: order flow of invented people, back to back or in bursts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.reports import Reason, ReportKind
from bandgap.host.device.transport import Bytes2D
from bandgap.host.wire import report_headers
from bandgap.sim.embedded import open_config
from bandgap.sim.flow.flash_crash import flash_crash
from bandgap.sim.flow.market import MIXED, NORMAL, QUIET, WIDE_SWING, Mood, market
from bandgap.sim.statistics import Latencies

from .probe import Measurement, MeasurementError, latency_cycles
from .recorder import Recorder, record_requests

MESSAGES = 100_000
RESTING = 2_000
HOST_BATCH = 256
"""Requests that the host sends before it learns from their reports which orders are gone."""

BURST_NS = 100_000_000
"""What arrives within this time is sent back to back; the appliance comes to rest before the next burst."""

ONE = (4_000,)
FOUR = (4_000, 3_000, 5_000, 3_500)
EIGHT = (4_000, 3_000, 5_000, 3_500, 4_500, 2_500, 2_000, 6_000)
"""First price of each instrument."""

DEEP, IN_ONE_LEVEL = 8_000, 4_000
DEEP_RESTING = 7_000
"""Fewer than there are: they cancel more than they enter, so that slots stay free."""

SUSTAINED = "sustained, back to back"
REPORTS = "reports a command"
CANCELED = "orders that end canceled"
LATENCY = "latency of every report, in bursts"

TAILS = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999, "max": 1.0}

_CANCELS = [Reason.REQUESTED.value, Reason.IMMEDIATE_REST.value, Reason.NOT_FILLABLE.value]


@dataclass(frozen=True)
class Load:
    """A flow to measure.

    Attributes
    ----------
    requests : Makes the requests for a seed and a number of accounts.
    start_ticks : First price of each instrument.
    built_up : How many of the first requests build the book up and are not measured.
    """

    requests: Callable[[int, int], NDArray[np.void]]
    start_ticks: tuple[int, ...]
    built_up: int


def _of(mood: Mood, start_ticks: tuple[int, ...]) -> Load:
    def requests(seed: int, accounts: int) -> NDArray[np.void]:
        return market(mood, seed, MESSAGES, start_ticks, accounts, RESTING, RESTING // len(start_ticks))

    return Load(requests, start_ticks, RESTING // len(start_ticks) * len(start_ticks))


def _deep(seed: int, accounts: int) -> NDArray[np.void]:
    return market(NORMAL, seed, MESSAGES, ONE, accounts, DEEP_RESTING, DEEP, IN_ONE_LEVEL)


def _flash_crash(seed: int, accounts: int) -> NDArray[np.void]:
    return flash_crash(seed, MESSAGES, FOUR, accounts).requests


BACK_TO_BACK = {
    "mixed, one instrument": _of(MIXED, ONE),
    "mixed, eight instruments interleaved": _of(MIXED, EIGHT),
}
IN_BURSTS = {
    "quiet, four instruments": _of(QUIET, FOUR),
    "normal, four instruments": _of(NORMAL, FOUR),
    "wide swing, four instruments": _of(WIDE_SWING, FOUR),
    "flash crash, four instruments": Load(_flash_crash, FOUR, 0),
    f"normal, one instrument, {DEEP:,} resting before, {IN_ONE_LEVEL:,} in one level": Load(_deep, ONE, DEEP),
}


def loaded(preset: str, accounts: int, seed: int) -> list[Measurement]:
    """Throughput of each flow back to back, latency of each flow in bursts."""
    measured = []
    for name, load in BACK_TO_BACK.items():
        reports, commands = _play(preset, load, accounts, seed, None)
        measured += _throughput(name, reports, commands)
    for name, load in IN_BURSTS.items():
        reports, _ = _play(preset, load, accounts, seed, BURST_NS)
        latencies = Latencies()
        latencies.add(latency_cycles(reports))
        measured += [Measurement(LATENCY, name, tail, latencies.quantile(fraction)) for tail, fraction in TAILS.items()]
    return measured


def _throughput(name: str, reports: Bytes2D, commands: int) -> list[Measurement]:
    headers = report_headers(reports)
    cycles = int(headers["exit_cycle"][-1] - headers["entry_cycle"][0]) + 1
    entered = np.count_nonzero(headers["kind"] == ReportKind.ACCEPTED.value)
    canceled = (headers["kind"] == ReportKind.CANCELED.value) & np.isin(headers["reason"], _CANCELS)
    return [
        Measurement(SUSTAINED, name, "mean", round(cycles / commands, 3), "cycles a command"),
        Measurement(REPORTS, name, "mean", round(len(reports) / commands, 3), "reports"),
        Measurement(CANCELED, name, "mean", round(100 * int(np.count_nonzero(canceled)) / int(entered), 1), "%"),
    ]


def _play(preset: str, load: Load, accounts: int, seed: int, burst_ns: int | None) -> tuple[Bytes2D, int]:
    """Reports of the measured part of a flow, and how many commands it has.

    The commands come from a run in which the host follows the reports; they are then sent again, to a fresh device, all
    back to back or in bursts.
    """
    recorder, _ = record_requests(
        open_config(PRESETS[preset]), load.requests(seed, accounts), load.start_ticks, accounts, HOST_BATCH
    )
    commands, arrival_ns = _flow(recorder)
    device = open_config(PRESETS[preset])
    for offset, value in recorder.written:
        device.write_register(offset, value)
    for sent, arrivals, link in recorder.sent:
        if arrivals is None:
            device.send(sent, arrivals, link)
    device.send(commands[: load.built_up], arrival_ns[: load.built_up])
    before = report_headers(device.receive())
    if load.built_up and not (before["kind"][-load.built_up :] == ReportKind.ACCEPTED.value).all():
        raise MeasurementError("the book that was to be built up is not")
    commands, arrival_ns = commands[load.built_up :], arrival_ns[load.built_up :]
    bursts = (
        np.zeros(0, np.intp) if burst_ns is None else np.flatnonzero(np.diff(arrival_ns // np.uint64(burst_ns))) + 1
    )
    reports = []
    for some, when in zip(np.split(commands, bursts), np.split(arrival_ns, bursts), strict=True):
        device.send(some, when)
        reports.append(device.receive())
    device.close()
    return np.concatenate(reports), len(commands)


def _flow(recorder: Recorder) -> tuple[Bytes2D, NDArray[np.uint64]]:
    """The commands that were sent with an arrival: all but the set-up."""
    timed = [(sent, arrivals) for sent, arrivals, _ in recorder.sent if arrivals is not None]
    return np.concatenate([sent for sent, _ in timed]), np.concatenate([arrivals for _, arrivals in timed])
