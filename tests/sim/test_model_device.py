"""The model as a device: registers, time, and what it refuses."""

import numpy as np
import pytest

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.registers import BY_NAME, MAGIC, STATUS_READY
from bandgap.hdl.protocol.reports import Reason, ReportKind
from bandgap.hdl.protocol.version import layout_hash
from bandgap.host.device.transport import Bytes2D, open_transport
from bandgap.host.wire import as_reports, empty_commands, new_commands, report_headers, to_bytes
from bandgap.sim.model_device import ModelTransport, open_device

EPOCH = BY_NAME["epoch"].at()
TIME = BY_NAME["time_ns"].at()


@pytest.fixture
def device() -> ModelTransport:
    return open_device("formal")


def clock_reads(count: int, epoch: int = 1) -> Bytes2D:
    commands = new_commands(Opcode.READ_CLOCK, count)
    commands["header"]["epoch"] = epoch
    commands["header"]["number"] = np.arange(1, count + 1)
    return to_bytes(commands)


def test_url_opens_it() -> None:
    transport = open_transport("model:ecp5")
    assert isinstance(transport, ModelTransport)
    assert transport.config == PRESETS["ecp5"]


def test_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="no preset 'tiny'; known: formal, ecp5-small, ecp5, ultrascale"):
        open_device("tiny")


def test_registers_tell_what_it_is(device: ModelTransport) -> None:
    read = {register.name: device.read_register(register.at()) for register in BY_NAME.values()}
    assert read["magic"] == MAGIC
    assert read["status"] == STATUS_READY
    assert (read["instruments"], read["orders"], read["ticks"], read["accounts"], read["links"]) == (2, 8, 8, 4, 2)
    assert read["epoch"] == 1
    low, high = (device.read_register(BY_NAME["layout_hash"].at() + place) for place in (0, 4))
    assert low + (high << 32) == layout_hash()


def test_token_ranges_at_power_up_and_written(device: ModelTransport) -> None:
    first, count = BY_NAME["token_first"], BY_NAME["token_count"]
    assert [(device.read_register(first.at(link)), device.read_register(count.at(link))) for link in (0, 1)] == [
        (0, 8),
        (0, 0),
    ]
    cancel = new_commands(Opcode.CANCEL, 1)
    cancel["header"]["epoch"] = cancel["header"]["number"] = cancel["generation"] = 1
    cancel["token"] = 4
    device.send(to_bytes(cancel), link=1)
    device.write_register(first.at(1), 4)
    device.write_register(count.at(1), 1)
    device.send(to_bytes(cancel), link=1)
    reasons = report_headers(device.receive())["reason"].tolist()
    assert reasons == [Reason.TOKEN_NOT_YOURS.value, Reason.UNKNOWN_INSTRUMENT.value]


def test_reading_the_low_word_of_time_latches_the_high_one(device: ModelTransport) -> None:
    device.advance((1 << 32) + 5)
    assert device.read_register(TIME) == 5
    device.advance(7 << 32)
    assert device.read_register(TIME + 4) == 1
    assert device.read_register(TIME) == 0
    assert device.read_register(TIME + 4) == 7


def test_writing_the_epoch_starts_it(device: ModelTransport) -> None:
    device.send(clock_reads(2))
    device.receive()
    device.write_register(EPOCH, 9)
    assert device.read_register(EPOCH) == 9
    device.send(clock_reads(1, epoch=9))
    (header,) = report_headers(device.receive())
    assert (header["kind"], header["epoch"], header["number"]) == (ReportKind.DONE.value, 9, 0)


def test_arrivals_are_stamps_and_without_them_time_stands_still(device: ModelTransport) -> None:
    device.send(clock_reads(3), np.array([5, 5, 8], np.uint64))
    device.send(clock_reads(1))
    assert report_headers(device.receive())["time_ns"].tolist() == [5, 5, 8, 8]


def test_timers_act_when_time_is_let_run(device: ModelTransport) -> None:
    heartbeat = new_commands(Opcode.HEARTBEAT, 1)
    heartbeat["header"]["epoch"] = heartbeat["header"]["number"] = heartbeat["action"] = 1
    heartbeat["timeout_ns"] = 100
    device.send(to_bytes(heartbeat))
    assert len(device.receive()) == 1
    device.advance(99)
    assert len(device.receive()) == 0
    device.advance(100)
    (done,) = as_reports(device.receive(), ReportKind.DONE)
    assert (done["header"]["reason"], done["header"]["time_ns"]) == (Reason.WATCHDOG.value, 100)


def test_nothing_sent_nothing_received(device: ModelTransport) -> None:
    device.send(empty_commands())
    assert device.receive().shape == (0, 64)


@pytest.mark.parametrize(
    ("commands", "arrivals", "link", "message"),
    [
        (empty_commands(2), None, 2, "link must be below 2, not 2"),
        (np.zeros((2, 31), np.uint8), None, 0, r"commands must be uint8 \(n, 32\), not uint8 \(2, 31\)"),
        (np.zeros((2, 32), np.uint16), None, 0, r"commands must be uint8 \(n, 32\), not uint16"),
        (empty_commands(2), [9], 0, "2 commands need as many arrivals, not 1"),
        (empty_commands(2), [9, 8], 0, "arrivals go backwards"),
        (empty_commands(2), [4, 8], 0, "arrivals go backwards; the appliance's time is 5 ns"),
    ],
)
def test_bad_buffer_is_refused_whole(
    device: ModelTransport, commands: Bytes2D, arrivals: list[int] | None, link: int, message: str
) -> None:
    device.advance(5)
    with pytest.raises(ValueError, match=message):
        device.send(commands, None if arrivals is None else np.array(arrivals, np.uint64), link)
    assert len(device.receive()) == 0


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0x00, 1, "register magic is read only"),
        (0x02, 1, "no register at offset 0x2"),
        (0x400, 1, "no register at offset 0x400"),
        (EPOCH, 0, "an epoch is 1 to 65535, not 0"),
        (EPOCH, 65_536, "an epoch is 1 to 65535, not 65536"),
        (0x40, 1 << 32, "4294967296 does not fit register token_first"),
    ],
)
def test_bad_register_write_is_refused(device: ModelTransport, offset: int, value: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        device.write_register(offset, value)
    assert device.read_register(EPOCH) == 1
