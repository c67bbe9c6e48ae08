"""The daemon's scenarios and a replay, on an appliance behind its PCIe link in a simulated rack server."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import cocotb
import devices
import killed_venue
import pytest
from cocotb.handle import SimHandleBase
from cocotb.task import bridge
from pcie_host import SimulatedAccess, SimulatedHost

from bandgap.hdl.config import BookConfig
from bandgap.host.device.device import Device
from bandgap.host.device.pcie import PcieTransport
from bandgap.host.device.transport import Transport
from bandgap.host.settlement.store import Store
from bandgap.sim.flow.file import FlowFile
from bandgap.sim.model_device import ModelTransport
from bandgap.sim.replay.session import ReplaySession

SEED = int(os.environ["BANDGAP_SEED"])
STATE = json.loads(os.environ["BANDGAP_STATE"])
"""What `killed_venue` comes to on the embedded device, to the digest of every report."""

STORY = Path(devices.__file__).with_name("test_story.py")
PATIENCE_S = 1e-4
DEATH = 18
"""The border at which the host dies: in its second step."""

ROWS = 1_500
HEADER = "command,client_order_id,side,price_ticks,quantity,time_in_force,account\n"


class HostDiedError(Exception):
    """The host is gone; what it has set up in the device and in memory stays."""


async def boot(dut: SimHandleBase) -> Callable[[], PcieTransport]:
    """Boot a server. What is returned opens the host's way to the device, in a bridged thread."""
    dut._log.info("seed %d; repeat with BANDGAP_SEED=%d python -m pytest tests/cocotb -k scenarios", SEED, SEED)
    host = SimulatedHost(dut, Random(SEED))
    await host.boot()
    return lambda: PcieTransport(SimulatedAccess(host), patience_s=PATIENCE_S)


@cocotb.test()
async def story(dut: SimHandleBase) -> None:
    """The daemon's story, run by pytest as on any other device."""
    connect = await boot(dut)

    def open_over_pcie(_: ExitStack, config: BookConfig) -> Transport:
        assert config == devices.DEVICE, "this simulation has but one device"
        return connect()

    devices.TRANSPORTS.clear()
    devices.TRANSPORTS["pcie"] = open_over_pcie
    options = ["--capture=no", "--basetemp=story", "-p", "no:cacheprovider", "-p", "no:xdist"]
    assert await bridge(pytest.main)([str(STORY), *options]) == pytest.ExitCode.OK


@cocotb.test()
async def flow_whose_host_dies(dut: SimHandleBase) -> None:
    """The device lives on with whatever it was given; with the next host all comes out as on the embedded device."""
    connect = await boot(dut)

    def die() -> None:
        raise HostDiedError

    def carry_on() -> None:
        path = Path("venue.sqlite")
        with closing(Store(path)) as store, pytest.raises(HostDiedError):
            killed_venue.finish_unless_killed(store, connect(), DEATH, die)
        assert killed_venue.finish(Store(path), connect()) == STATE

    await bridge(carry_on)()


def random_flow(rng: Random) -> str:
    """Orders that rest, trade or are canceled, of 16 accounts; the file names no times, so all arrive at once."""
    rows = []
    for number in range(1, ROWS + 1):
        if rng.random() < 0.4:
            order = max(1, number - rng.randint(1, 60))
            rows.append(f"cancel,{order},,,,,{order % 16}\n")
        else:
            side, life = rng.choice(("buy", "sell")), rng.choice(("gtc", "gtc", "ioc"))
            rows.append(f"new,{number},{side},{rng.randint(990, 1_010)},{rng.randint(1, 9)},{life},{number % 16}\n")
    return HEADER + "".join(rows)


@cocotb.test()
async def replay(dut: SimHandleBase) -> None:
    """In bulk, through the descriptor ring: row for row what the model gives, but for the latency."""
    connect = await boot(dut)

    def rows_of(flow: FlowFile, transport: Transport) -> list[tuple[object, ...]]:
        with closing(Device(transport)) as device:
            session = ReplaySession(device, flow.survey())
            rows = [row[:-1] for chunk in flow.chunks() for row in session.run(chunk)]
            assert all(passed for _, passed, _ in session.settle())
        return rows

    def compare() -> None:
        path = Path("flow.csv")
        path.write_text(random_flow(Random(SEED)))
        assert rows_of(FlowFile(path), connect()) == rows_of(FlowFile(path), ModelTransport(devices.DEVICE))

    await bridge(compare)()
