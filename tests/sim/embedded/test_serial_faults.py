"""The appliance behind its own UART: faults on the line, level by level, lose and double nothing."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from noisy_port import HostKilledError, Noise, NoisyPort
from script import BUY, GTC, IOC, SELL, Script

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.frames import LARGEST_FRAME_BYTES
from bandgap.hdl.protocol.registers import BY_NAME
from bandgap.host.device.device import Device
from bandgap.host.device.serial import SerialTransport
from bandgap.sim.embedded import build
from bandgap.sim.embedded.serial_device import SerialDevice
from bandgap.sim.embedded.uart_line import BYTE_CYCLES

SESSIONS = 24
"""Of every three hosts two are killed; the third finds what they left, and finishes."""

LIFE_BYTES = range(20, 1_600)
"""What a host writes before it is killed: less than its commands take."""

KILLED_WITHIN_FRAMES = 8
FAULTS = 1_000
FAULT_DISTANCE_CYCLES = 8_000
SIZES = BookConfig(instruments=2, orders=64, ticks=64, accounts=4, links=2, word_bits=8)
REPORT_FRAME_BYTES = LARGEST_FRAME_BYTES + 3
EPOCH = BY_NAME["epoch"].at()


@pytest.fixture(scope="module")
def device(coverage: Path | None, seed: int) -> Iterator[SerialDevice]:
    verilog = build.verilog(SIZES, serial=True)
    counted = None if coverage is None else "bandgap.link"
    opened = SerialDevice(build.library(verilog, counted=counted, shim=build.SERIAL_SHIM))
    yield opened
    if coverage is not None:
        opened.write_coverage(coverage / "serial.dat")
        (coverage / "serial.sv").write_text(verilog)
        (coverage / "serial.txt").write_text(f"{Path(__file__).stem}, seed {seed}")
    opened.close()


def connect(port: NoisyPort, number: int) -> SerialTransport:
    return SerialTransport(lambda: port, number=number, timeout_s=0.01, patience_s=0.5, clock=port.clock)


def run(script: Script, transport: SerialTransport, epoch: int) -> None:
    """What the core still had for a host that was killed comes to the next one, whose `Device` lets it go."""
    Device(transport, epoch)
    script.run(transport)


def market(rng: Random, epoch: int) -> Script:
    """Orders that rest, trade and are canceled, with market data: one to a dozen reports a command."""
    script = Script(SIZES, epoch)
    script.band(100, 131)
    while len(script) < 30:
        token, price = rng.randrange(SIZES.orders), rng.randrange(108, 116)
        side = rng.choice((BUY, SELL))
        if rng.random() < 0.3:
            script.cancel(token, account=token % 4)
        else:
            force = rng.choice((GTC, IOC))
            script.new(token, side, price, rng.randrange(1, 9), account=token % 4, time_in_force=force)
        if rng.random() < 0.02:
            script.mass_cancel(rng.randrange(4))
    return script


def test_faults_on_the_line_lose_and_double_nothing(device: SerialDevice, seed: int) -> None:
    """Nor do hosts that are killed in the middle of a frame, when the next one opens the port under the same noise."""
    print(f"repeat with BANDGAP_SEED={seed} python -m pytest tests/sim/embedded/test_serial_faults.py")
    rng = Random(seed)
    noise = [Noise(Random(rng.random()), FAULT_DISTANCE_CYCLES) for _ in range(2)]
    killed_within_frames = 0
    for number in range(1, SESSIONS + 1):
        script = market(rng, number)
        if number % 3 == 0:
            run(script, connect(NoisyPort(device, noise), number), number)
        else:
            port = NoisyPort(device, noise, rng.choice(LIFE_BYTES))
            with pytest.raises(HostKilledError):
                run(script, connect(port, number), number)
            killed_within_frames += port.died_within_frame
    faults = noise[0].faults + noise[1].faults
    assert faults.total() >= FAULTS, faults
    assert min(faults.values()) > 10, faults
    assert killed_within_frames >= KILLED_WITHIN_FRAMES


def test_a_clean_line_takes_no_longer_than_its_bytes(device: SerialDevice) -> None:
    """Nothing is sent twice: the reports go out nearly without a gap."""
    port = NoisyPort(device)
    transport = connect(port, 1 << 20)
    script = market(Random(1), 1)
    script.run(transport)
    transport.write_register(EPOCH, 1)
    started = device.cycles
    transport.send(script.commands)
    reports = transport.receive()
    assert device.cycles - started < 1.1 * len(reports) * REPORT_FRAME_BYTES * BYTE_CYCLES
