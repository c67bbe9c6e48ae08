"""Epochs that are begun twice: what a reset cuts off is real work, and nothing of it is seen again."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.device.transport import Bytes2D
from bandgap.host.wire import COMMAND_DTYPES, report_headers, without_cycles
from bandgap.sim.embedded import EmbeddedTransport, open_config
from bandgap.sim.flow.random_commands import random_episode
from bandgap.sim.lab.compare import run_device
from bandgap.sim.lab.disturbed import RestartedWhileBusy

FORMAL = PRESETS["formal"]
EPISODES = 12


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> list[Bytes2D]:
    """The reports that had left before each reset."""
    left: list[Bytes2D] = []
    restart = EmbeddedTransport.restart

    def watched(device: EmbeddedTransport, epoch: int, commands: Bytes2D, link: int) -> tuple[Bytes2D, int]:
        reports, taken = restart(device, epoch, commands, link)
        left.append(reports)
        return reports, taken

    monkeypatch.setattr(EmbeddedTransport, "restart", watched)
    return left


@pytest.fixture
def calm() -> Iterator[EmbeddedTransport]:
    device = open_config(FORMAL)
    yield device
    device.close()


@pytest.fixture
def disturbed() -> Iterator[RestartedWhileBusy]:
    device = RestartedWhileBusy(open_config(FORMAL, memory_seed=3), Random(5))
    yield device
    device.close()


def test_resets_cut_off_trading_and_what_timers_do(
    calm: EmbeddedTransport, disturbed: RestartedWhileBusy, cut_off: list[Bytes2D]
) -> None:
    for index in range(EPISODES):
        episode = random_episode(FORMAL, 1, index)
        expected = without_cycles(run_device(calm, episode))
        assert np.array_equal(without_cycles(run_device(disturbed, episode)), expected)
    assert len(cut_off) == EPISODES
    headers = [report_headers(reports) for reports in cut_off]
    traded = sum(ReportKind.TRADE.value in header["kind"] for header in headers)
    by_timer = sum(
        ReportKind.TRADING_STATE.value in header["kind"][header["command_number"] == 0] for header in headers
    )
    assert traded > EPISODES // 2
    assert by_timer > EPISODES // 4


def test_a_part_that_time_has_no_room_for_is_cut_off_all_the_same(
    calm: EmbeddedTransport, disturbed: RestartedWhileBusy, cut_off: list[Bytes2D]
) -> None:
    """The device's time never goes back."""
    begun = random_episode(FORMAL, 1, 3)
    begin_ns = begun.arrivals_ns[0]
    episode = replace(begun, arrivals_ns=begun.arrivals_ns - begin_ns, end_ns=begun.end_ns - int(begin_ns))
    expected = without_cycles(run_device(calm, episode))
    assert np.array_equal(without_cycles(run_device(disturbed, episode)), expected)
    assert [len(reports) > 0 for reports in cut_off] == [True]


def test_timetables_of_a_part_are_as_far_ahead_as_they_will_be_again(
    disturbed: RestartedWhileBusy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []  # which command set an entry of a timetable, and how far ahead
    send = EmbeddedTransport.send

    def watched(device: EmbeddedTransport, commands: Bytes2D, arrival_ns: NDArray[np.uint64], link: int) -> None:
        records = commands.view(COMMAND_DTYPES[Opcode.SET_SCHEDULE])[:, 0]
        ahead_ns = records["at_ns"].astype(np.int64) - arrival_ns.astype(np.int64)
        for place in np.flatnonzero(records["header"]["opcode"] == Opcode.SET_SCHEDULE.value):
            if records["at_ns"][place]:
                sent.append((int(records["header"]["number"][place]), int(ahead_ns[place])))
        send(device, commands, arrival_ns, link)

    monkeypatch.setattr(EmbeddedTransport, "send", watched)
    twice = 0
    for index in range(EPISODES):
        sent.clear()
        run_device(disturbed, random_episode(FORMAL, 1, index))
        times = Counter(number for number, _ in sent)
        assert len(set(sent)) == len(times)
        twice += sum(count == 2 for count in times.values())
    assert twice > EPISODES


def test_commands_without_a_time_arrive_at_the_devices_own(
    calm: EmbeddedTransport, disturbed: RestartedWhileBusy
) -> None:
    commands = random_episode(FORMAL, 1, 0).commands
    answers = []
    for device in (calm, disturbed):
        device.write_register(BY_NAME["epoch"].at(), 1)
        device.advance(1_000)
        device.send(commands[:10])
        device.send(commands[10:20], np.full(10, 2_000, np.uint64))
        device.send(commands[20:])
        answers.append(without_cycles(device.receive()))
    assert np.array_equal(*answers)
    assert set(report_headers(answers[0])["time_ns"].tolist()) == {1_000, 2_000}
