"""The comparison itself: it must see every kind of difference, cut it short, and say how to see it again."""

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.hdl.protocol.commands import Opcode, TimeInForce
from bandgap.hdl.protocol.reports import ReportFlags, ReportKind
from bandgap.host.device.transport import Bytes2D
from bandgap.host.wire import COMMAND_DTYPES, command_headers, report_headers
from bandgap.sim.flow.random_commands import random_episode, random_episodes
from bandgap.sim.lab.compare import DifferenceError, compare
from bandgap.sim.lab.coverage import Coverage
from bandgap.sim.model_device import ModelTransport

CONFIG = BookConfig(instruments=3, orders=32, ticks=32, accounts=8, links=3, word_bits=4)
EPISODES = 40


class TreatsFillOrKillAsImmediate(ModelTransport):
    """A mistake in a rule."""

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        commands = commands.copy()
        orders = commands.view(COMMAND_DTYPES[Opcode.NEW_ORDER])[:, 0]
        wrong = (orders["header"]["opcode"] == Opcode.NEW_ORDER.value) & (
            orders["time_in_force"] == TimeInForce.FOK.value
        )
        orders["time_in_force"][wrong] = TimeInForce.IOC.value
        super().send(commands, arrival_ns, link)


class FlipsOneBit(ModelTransport):
    """A mistake in one byte of one kind of report."""

    def receive(self) -> Bytes2D:
        reports = super().receive().copy()
        reports[report_headers(reports)["kind"] == ReportKind.REPLACED.value, 40] ^= 1
        return reports


class LosesReports(ModelTransport):
    """The last report of what was sent goes missing."""

    def receive(self) -> Bytes2D:
        return super().receive()[:-1]


class SaysTooMuch(ModelTransport):
    """The last report comes twice."""

    def receive(self) -> Bytes2D:
        reports = super().receive()
        return np.concatenate([reports, reports[-1:]])


class Hangs(ModelTransport):
    """Kill commands are never answered."""

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        if (command_headers(commands)["opcode"] == Opcode.KILL_ACCOUNT.value).any():
            raise RuntimeError("no answer")
        super().send(commands, arrival_ns, link)


class ForgetsToReset(ModelTransport):
    """A new epoch keeps the token ranges of a link that the model was given anew, from the second epoch on."""

    epochs = 0

    def write_register(self, offset: int, value: int) -> None:
        if offset == 0x2C:
            self.epochs += 1
        if self.epochs < 2 or offset == 0x2C:
            super().write_register(offset, value)


def run(device: type[ModelTransport], config: BookConfig = CONFIG, seed: int = 1) -> int:
    return compare(config, lambda: device(config), islice(random_episodes(config, seed), EPISODES), repeat="again")


@pytest.mark.parametrize("config", [CONFIG, PRESETS["formal"], PRESETS["ecp5"]], ids=["small", "formal", "ecp5"])
def test_the_model_equals_itself(config: BookConfig) -> None:
    compared = run(ModelTransport, config)
    assert compared == sum(len(random_episode(config, 1, index).commands) for index in range(EPISODES))


@pytest.mark.parametrize(
    ("device", "most_commands", "said"),
    [
        (TreatsFillOrKillAsImmediate, 8, "! reason                  IMMEDIATE_REST          NOT_FILLABLE"),
        (FlipsOneBit, 8, "! account"),
        (LosesReports, 1, "no report"),
        (SaysTooMuch, 1, "no report"),
        (Hangs, 1, "the device failed: RuntimeError: no answer"),
    ],
)
def test_a_mistake_is_found_and_cut_short(device: type[ModelTransport], most_commands: int, said: str) -> None:
    with pytest.raises(DifferenceError) as caught:
        run(device)
    message = str(caught.value)
    assert said in message
    assert "repeat: again" in message
    shrunk = int(message.split(" to ")[1].split(maxsplit=1)[0])
    assert shrunk <= most_commands, message


def test_what_an_earlier_epoch_left_is_told_apart() -> None:
    with pytest.raises(DifferenceError, match="something of an earlier epoch is left"):
        run(ForgetsToReset)


def test_coverage_that_saw_nothing_misses_everything() -> None:
    coverage = Coverage(CONFIG)
    assert len(coverage.missing()) > 200
    assert coverage.excluded() == []


def test_coverage_tells_what_the_rules_exclude() -> None:
    coverage = Coverage(CONFIG)
    cancel = bytes([Opcode.CANCEL.value]) + bytes(31)
    rejected_for_credit = (
        bytes([ReportKind.REJECTED.value, 11]) + bytes(29) + bytes([ReportFlags.LAST.value]) + bytes(32)
    )
    coverage.add(cancel, 0, [rejected_for_credit])
    assert [point.name for point in coverage.excluded()] == ["cancel: credit"]
