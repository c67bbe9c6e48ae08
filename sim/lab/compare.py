"""A device beside the reference model: the same commands in, the same reports out, byte for byte.

The model is fed the time stamps that the device put into its reports. The first difference stops the run; the episode
that shows it is then cut down to the few commands that are needed to show it on a fresh device.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import COMMAND_BYTES
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.hdl.protocol.reports import REPORT_BYTES, ReportFlags, ReportKind
from bandgap.host.device.transport import Bytes2D, Transport
from bandgap.host.wire import report_headers, without_cycles
from bandgap.sim.flow.episode import Episode
from bandgap.sim.model import Appliance
from bandgap.sim.model_device import open_model

from .coverage import Coverage
from .describe import command_fields, report_fields

MOST_TRIALS = 500
"""Fresh devices that shrinking may use."""


@dataclass(frozen=True)
class Difference:
    """Where a device and the model part.

    Attributes
    ----------
    place : Index of the command whose reports differ; the number of commands when it is what follows them all.
    device : The device's report, None when it has no more, or a text that says how it failed.
    model : The model's report, None when it has no more.
    """

    place: int
    device: bytes | str | None
    model: bytes | None


class DifferenceError(AssertionError):
    """A device and the model differ; the message shows where, and how to see it again."""


def compare(
    config: BookConfig,
    open_device: Callable[[], Transport],
    episodes: Iterable[Episode],
    coverage: Coverage | None = None,
    repeat: str = "",
) -> int:
    """Run episodes through a device and the model; the number of commands that were compared.

    Arguments
    ---------
    config : Sizes of the device.
    open_device : Opens a fresh device; it is called once, and again and again to shrink a failure.
    episodes : What to send.
    coverage : Where to count what happened.
    repeat : The command line that repeats this run, for the message of a failure.

    Raises
    ------
    DifferenceError : A report differs.
    """
    compared = 0
    model = open_model(config)
    device = open_device()
    try:
        for episode in episodes:
            difference = run_episode(device, model, episode, coverage)
            if difference is not None:
                raise DifferenceError(_explain(config, open_device, episode, difference, repeat))
            compared += len(episode.commands)
    finally:
        device.close()
    return compared


def run_episode(
    device: Transport, model: Appliance, episode: Episode, coverage: Coverage | None = None
) -> Difference | None:
    """Run one episode in a new epoch of both; where they part, or None."""
    try:
        received = without_cycles(run_device(device, episode))
    except (RuntimeError, ValueError, OSError) as error:
        return Difference(0, f"{type(error).__name__}: {error}", None)
    expected, ends = _run_model(model, episode, _stamps(received, episode.arrivals_ns), coverage)
    if np.array_equal(received, expected):
        return None
    shorter = min(len(received), len(expected))
    unequal = np.flatnonzero((received[:shorter] != expected[:shorter]).any(axis=1))
    row = int(unequal[0]) if len(unequal) else shorter
    return Difference(int(np.searchsorted(ends, row, side="right")), _row(received, row), _row(expected, row))


def _row(reports: Bytes2D, row: int) -> bytes | None:
    return reports[row].tobytes() if row < len(reports) else None


def run_device(device: Transport, episode: Episode) -> Bytes2D:
    """Run one episode in a new epoch of a device; all its reports."""
    device.write_register(BY_NAME["epoch"].at(), episode.epoch)
    for link, (first, count) in enumerate(episode.token_ranges):
        device.write_register(BY_NAME["token_first"].at(link), first)
        device.write_register(BY_NAME["token_count"].at(link), count)
    links, arrivals_ns = episode.links, episode.arrivals_ns
    borders = [0, *(np.flatnonzero(np.diff(links)) + 1).tolist(), len(links)]
    for start, end in pairwise(borders):
        if start < end:
            device.send(episode.commands[start:end], arrivals_ns[start:end], int(links[start]))
    reports = device.receive()
    device.advance(episode.end_ns)
    return np.concatenate([reports, device.receive()])


def _stamps(reports: Bytes2D, arrivals_ns: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """When the device took each command in, as its reports say; its arrival where they make no sense."""
    headers = report_headers(reports)
    by_timer = (headers["command_number"] == 0) & (headers["kind"] != ReportKind.REJECTED.value)
    lasts = (headers["flags"] & ReportFlags.LAST.value != 0) & ~by_timer
    stamps = headers["time_ns"][lasts][: len(arrivals_ns)]
    stamps = np.concatenate([stamps, arrivals_ns[len(stamps) :]])
    sensible = bool((stamps[1:] >= stamps[:-1]).all() and (stamps >= arrivals_ns).all())
    return stamps if sensible else arrivals_ns


def _run_model(
    model: Appliance, episode: Episode, stamps_ns: NDArray[np.uint64], coverage: Coverage | None
) -> tuple[Bytes2D, NDArray[np.int64]]:
    """All reports of an episode, and after each command how many there are."""
    model.reset(episode.epoch)
    for link, (first, count) in enumerate(episode.token_ranges):
        model.set_token_range(link, first, count)
    if coverage:
        coverage.start_epoch()
    reports: list[bytes] = []
    ends = []
    raw = episode.commands.tobytes()
    for place, (time_ns, link) in enumerate(zip(stamps_ns.tolist(), episode.links.tolist(), strict=True)):
        command = raw[place * COMMAND_BYTES : (place + 1) * COMMAND_BYTES]
        by_timer = _advance(model, time_ns, coverage)
        answer = model.execute(time_ns, link, command)
        if coverage:
            coverage.add(command, link, answer)
            coverage.look(model)
        reports += by_timer
        reports += answer
        ends.append(len(reports))
    reports += _advance(model, max(episode.end_ns, model.time_ns), coverage)
    return np.frombuffer(b"".join(reports), np.uint8).reshape(-1, REPORT_BYTES), np.array(ends, np.int64)


def _advance(model: Appliance, time_ns: int, coverage: Coverage | None) -> list[bytes]:
    """Let the model's time reach `time_ns`, from deadline to deadline where coverage is counted."""
    reports: list[bytes] = []
    while coverage and (deadline_ns := model.next_deadline_ns) is not None and deadline_ns <= time_ns:
        coverage.add_deadline(model.timers())
        by_timer = model.advance(deadline_ns)
        coverage.add_timers(by_timer)
        coverage.look(model)
        reports += by_timer
    return reports + model.advance(time_ns)


# Explaining a failure


def shrink(config: BookConfig, open_device: Callable[[], Transport], episode: Episode) -> Episode:
    """The shortest part of an episode that was found to differ still on a fresh device; the whole if none does.

    Ever smaller stretches of commands are left out, from the end to the beginning, while the difference stays.
    """
    trials = 0
    size = len(episode.commands)
    while size and trials < MOST_TRIALS:
        end = len(episode.commands)
        while end > 0 and trials < MOST_TRIALS:
            kept = [place for place in range(len(episode.commands)) if not end - size <= place < end]
            candidate = _part(episode, kept)
            if _run_fresh(config, open_device, candidate) is not None:
                episode = candidate
            trials += 1
            end -= size
        size //= 2
    return episode


def _run_fresh(config: BookConfig, open_device: Callable[[], Transport], episode: Episode) -> Difference | None:
    device = open_device()
    try:
        return run_episode(device, open_model(config), episode)
    finally:
        device.close()


def _part(episode: Episode, places: list[int]) -> Episode:
    return replace(
        episode,
        commands=episode.commands[places],
        links=episode.links[places],
        arrivals_ns=episode.arrivals_ns[places],
    )


def _explain(
    config: BookConfig,
    open_device: Callable[[], Transport],
    episode: Episode,
    difference: Difference,
    repeat: str,
) -> str:
    """What differs, after how few commands, and how to see it again."""
    lines = [f"device and model differ in episode {episode.index}, epoch {episode.epoch},"]
    failed = isinstance(difference.device, str)
    cut = episode if failed else _part(episode, list(range(len(episode.commands)))[: difference.place + 1])
    again = _run_fresh(config, open_device, cut)
    if again is None:
        lines += ["but not when it runs on a fresh device: something of an earlier epoch is left."]
        lines += _show(episode, difference)
    else:
        short = shrink(config, open_device, cut)
        lines += [f"shrunk from {len(episode.commands)} to {len(short.commands)} commands,"]
        lines += [f"token ranges {short.token_ranges}:"]
        lines += _show(short, _run_fresh(config, open_device, short) or again)
    return "\n".join([*lines, f"repeat: {repeat}"])


def _show(episode: Episode, difference: Difference, most: int = 40) -> list[str]:
    """The last commands up to a difference, and the two reports side by side."""
    failed = isinstance(difference.device, str)
    end = len(episode.commands) if failed else min(difference.place + 1, len(episode.commands))
    lines = []
    for place in range(max(0, end - most), end):
        fields = " ".join(f"{name}={text}" for name, text in command_fields(episode.commands[place].tobytes()).items())
        lines.append(f"  {place}: at {episode.arrivals_ns[place]} ns by link {episode.links[place]}: {fields}")
    if failed or difference.place >= len(episode.commands):
        lines.append(f"  then: time reaches {episode.end_ns} ns")
    if isinstance(difference.device, str):
        return [*lines, f"the device failed: {difference.device}"]
    ours = report_fields(difference.device) if difference.device else {}
    theirs = report_fields(difference.model) if difference.model else {}
    lines.append(f"    {'':24}{'device':24}{'model':24}")
    for name in {**ours, **theirs}:
        left, right = ours.get(name, "no report"), theirs.get(name, "no report")
        lines.append(f"  {' ' if left == right else '!'} {name:24}{left:24}{right:24}")
    return lines
