"""`bandgap device check`: what it says of a sound way, and of one that is not."""

from collections.abc import Iterator

import numpy as np
import pytest
from noisy_port import NoisyPort
from numpy.typing import NDArray
from typer.testing import CliRunner

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.loopback import LOOPBACK_MAGIC
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.host.cli import build_app
from bandgap.host.device.check import check_way
from bandgap.host.device.device import Device, HandshakeError
from bandgap.host.device.serial import SerialTransport
from bandgap.host.device.transport import Bytes2D
from bandgap.sim.embedded.serial_device import open_serial_device
from bandgap.sim.model_device import ModelTransport


@pytest.fixture
def loopback() -> Iterator[SerialTransport]:
    """The loopback image's own gateware. The host's clock is the device's: a busy machine makes it repeat nothing."""
    device = open_serial_device(None)
    port = NoisyPort(device)
    yield SerialTransport(lambda: port, clock=port.clock)
    device.close()


class Spoiled(ModelTransport):
    """A model whose answers are tampered with on their way."""

    def __init__(self, spoil: str) -> None:
        super().__init__(PRESETS["formal"])
        self._spoil = spoil

    def receive(self) -> Bytes2D:
        reports = super().receive().copy()
        if len(reports) > 1:
            if self._spoil == "bit":
                reports[0, 40] ^= 1
            elif self._spoil == "lost":
                reports = np.delete(reports, -1, axis=0)
            else:
                reports = np.append(reports, reports[-1:], axis=0)
        return reports


class OfAnotherLayout(ModelTransport):
    """A model whose layout hash is not the host's."""

    def read_register(self, offset: int) -> int:
        return super().read_register(offset) ^ (offset == BY_NAME["layout_hash"].at())


def check(transport: ModelTransport | SerialTransport, messages: int = 300) -> tuple[str, int, list[int]]:
    told: list[int] = []
    checked = check_way(transport, messages, 1, told.append)
    assert checked.messages == messages
    return checked.image, checked.wrong, told


def test_a_loopback_image_returns_every_command(loopback: SerialTransport) -> None:
    assert check(loopback) == ("loopback image", 0, [256, 44])
    assert (loopback.damaged, loopback.repeated) == (0, 0)


def test_a_loopback_image_numbers_its_echoes_in_each_epoch(loopback: SerialTransport) -> None:
    for epoch in (7, 8):
        loopback.write_register(BY_NAME["epoch"].at(), epoch)
        commands = np.arange(96, dtype=np.uint8).reshape(3, 32)
        loopback.send(commands, link=1)
        echoes = loopback.receive()
        header: NDArray[np.uint32] = echoes[:, 4:8].copy().view(np.uint32)[:, 0]
        assert header.tolist() == [0, 1, 2]
        assert echoes[:, 3].tolist() == [1, 1, 1]
        assert (echoes[:, 32:] == commands).all()
        assert loopback.read_register(BY_NAME["epoch"].at()) == epoch


def test_a_loopback_image_is_no_appliance(loopback: SerialTransport) -> None:
    assert loopback.read_register(BY_NAME["magic"].at()) == LOOPBACK_MAGIC
    with pytest.raises(HandshakeError, match="loopback image: flash it with an appliance, `bandgap flash BOARD`"):
        Device(loopback)


def test_an_appliance_rejects_every_command() -> None:
    assert check(ModelTransport(PRESETS["formal"])) == ("appliance", 0, [256, 44])


def test_a_device_of_another_layout_is_not_said_to_have_a_bad_cable() -> None:
    with pytest.raises(HandshakeError, match=r"messages are laid out otherwise: .*`bandgap flash BOARD`"):
        check(OfAnotherLayout(PRESETS["formal"]))


@pytest.mark.parametrize(("spoil", "wrong"), [("bit", 2), ("lost", 2), ("doubled", 2)])
def test_what_is_wrong_is_counted(spoil: str, wrong: int) -> None:
    assert check(Spoiled(spoil))[1] == wrong


def test_what_is_neither_is_refused() -> None:
    class Other(ModelTransport):
        def read_register(self, offset: int) -> int:
            return 0

    with pytest.raises(HandshakeError, match="neither appliance nor loopback image"):
        check(Other(PRESETS["formal"]))


@pytest.mark.parametrize(
    ("url", "status", "message"),
    [
        ("serial:/dev/nowhere", 1, "there is no port /dev/nowhere: is the cable in?"),
        ("serial:/dev/nowhere?baud=0", 2, "baud is a positive whole number"),
        ("pcie:ffff:1f:1f.7", 1, "there is no PCI device ffff:1f:1f.7"),
        ("serial:/dev/nowhere?baud=2147483648", 2, "baud is a positive whole number, not '"),
        ("serial:/dev/nowhere?baud=1" + "0" * 5_000, 2, "baud is a positive whole number, not '"),
        ("serial:socket://127.0.0.1", 2, "no HOST:PORT in device 'serial:socket://127.0.0.1'; write serial:socket://"),
        ("serial:socket://:5000", 2, "no HOST:PORT"),
        ("serial:socket://127.0.0.1:99999", 2, "no HOST:PORT"),
        ("serial:rfc2217://127.0.0.1", 2, "no HOST:PORT"),
        ("pcie:1f.7", 2, "'1f.7' is no PCI address"),
    ],
)
def test_what_cannot_be_opened_is_told_from_what_is_no_device(url: str, status: int, message: str) -> None:
    result = CliRunner().invoke(build_app(), ["device", "check", url])
    assert result.exit_code == status
    assert result.stderr.startswith(f"error: {message}")
    assert "--waves" not in result.stderr


def test_a_seed_is_not_negative() -> None:
    result = CliRunner().invoke(build_app(), ["device", "check", "model:formal", "--seed", "-1"])
    assert result.exit_code == 2
    assert "'--seed'" in result.stderr
