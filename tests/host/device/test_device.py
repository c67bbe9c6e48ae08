"""The device API: handshake, numbering and gapless reports, against the model and against devices that misbehave."""

import numpy as np
import pytest

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.device.device import Device, DeviceSizes, HandshakeError, NotReadyError, ReportGapError
from bandgap.host.device.transport import Bytes2D, DeviceUrlError, open_transport
from bandgap.host.wire import command_headers, new_commands, report_headers, select_reports, to_bytes
from bandgap.sim.model_device import ModelTransport

CONFIG = BookConfig(instruments=2, orders=8, ticks=256, accounts=4)


class Altered(ModelTransport):
    """A model whose registers read as told, and whose reports can be tampered with."""

    def __init__(self, **registers: int) -> None:
        super().__init__(CONFIG)
        self._altered = {BY_NAME[name].offset: value for name, value in registers.items()}
        self.dropped: int | None = None

    def read_register(self, offset: int) -> int:
        return self._altered.get(offset, super().read_register(offset))

    def receive(self) -> Bytes2D:
        reports = super().receive()
        return reports if self.dropped is None else np.delete(reports, self.dropped, axis=0)


def clock_reads(count: int) -> Bytes2D:
    return to_bytes(new_commands(Opcode.READ_CLOCK, count))


def test_sizes_come_from_the_registers() -> None:
    assert Device(ModelTransport(CONFIG)).sizes == DeviceSizes(2, 8, 256, 4, 2)


def test_wrong_magic_is_no_appliance() -> None:
    with pytest.raises(HandshakeError, match=r"magic is 0x00000000, not 0x50414742"):
        Device(Altered(magic=0))


def test_wrong_layout_names_both_hashes() -> None:
    with pytest.raises(HandshakeError, match=r"layout hash 0x[0-9a-f]{16}, host 0x[0-9a-f]{16}") as caught:
        Device(Altered(layout_hash=1))
    theirs, ours = (word.strip(",") for word in str(caught.value).split() if word.startswith("0x"))
    assert theirs != ours


def test_device_that_never_gets_ready_is_an_error() -> None:
    with pytest.raises(NotReadyError, match="epoch 3"):
        Device(Altered(status=0), epoch=3)


@pytest.mark.parametrize("epoch", [0, 65536])
def test_epoch_out_of_range(epoch: int) -> None:
    with pytest.raises(ValueError, match="epoch must be 1 to 65535"):
        Device(ModelTransport(CONFIG), epoch)


def test_commands_get_epoch_and_consecutive_numbers() -> None:
    device = Device(ModelTransport(CONFIG), epoch=9)
    commands = clock_reads(3)
    device.number(commands[:1])
    device.number(commands[1:])
    assert command_headers(commands)["number"].tolist() == [1, 2, 3]
    assert command_headers(commands)["epoch"].tolist() == [9, 9, 9]


def test_numbers_skip_zero_when_they_run_over() -> None:
    device = Device(ModelTransport(CONFIG))
    device._commands = 2**32 - 2
    commands = clock_reads(2)
    device.number(commands)
    assert command_headers(commands)["number"].tolist() == [2**32 - 1, 1]


def test_reports_answer_what_was_sent_when_it_arrived() -> None:
    device = Device(ModelTransport(CONFIG))
    commands = clock_reads(2)
    device.number(commands)
    device.send(commands, np.array([5, 7], np.uint64))
    reports = select_reports(device.receive(), ReportKind.DONE)
    assert reports["header"]["time_ns"].tolist() == [5, 7]
    assert reports["header"]["command_number"].tolist() == [1, 2]
    assert device.clock() == 7


def test_missing_report_is_named() -> None:
    transport = Altered()
    device = Device(transport)
    commands = clock_reads(3)
    device.number(commands)
    device.send(commands)
    transport.dropped = 1
    with pytest.raises(ReportGapError, match="expected report 1 of epoch 1, got report 2 of epoch 1"):
        device.receive()


def test_new_epoch_starts_report_numbers_anew() -> None:
    transport = ModelTransport(CONFIG)
    first = Device(transport)
    commands = clock_reads(1)
    first.number(commands)
    first.send(commands)
    second = Device(transport, epoch=2)
    commands = clock_reads(1)
    second.number(commands)
    second.send(commands)
    assert report_headers(second.receive())["number"].tolist() == [0]


def test_bad_buffers_are_not_sent() -> None:
    device = Device(ModelTransport(CONFIG))
    with pytest.raises(ValueError, match="rows of 32"):
        device.send(np.zeros((1, 31), np.uint8))
    with pytest.raises(ValueError, match="2 commands have"):
        device.send(clock_reads(2), np.zeros(1, np.uint64))
    assert len(device.receive()) == 0


def test_token_range_is_checked_before_it_is_written() -> None:
    device = Device(ModelTransport(CONFIG))
    with pytest.raises(ValueError, match="slots 4 to 8 are not within"):
        device.set_token_range(1, 4, 5)
    with pytest.raises(ValueError, match="link 2 is not below"):
        device.set_token_range(2, 0, 1)


def test_unknown_scheme_lists_the_known() -> None:
    with pytest.raises(DeviceUrlError, match=r"known: .*model"):
        open_transport("nothing:ecp5")
