"""The devices on which scenarios of the host are played."""

from collections.abc import Callable
from contextlib import ExitStack, closing

from bandgap.hdl.config import BookConfig
from bandgap.host.device.transport import Transport, open_transport
from bandgap.sim.embedded.pty_server import served
from bandgap.sim.embedded.serial_device import open_serial_device
from bandgap.sim.embedded.transport import open_config
from bandgap.sim.model_device import ModelTransport

DEVICE = BookConfig(instruments=2, orders=256, ticks=2048, accounts=16)
"""Soon built and simulated, and large enough for every scenario."""


def open_over_tty(opened: ExitStack, config: BookConfig) -> Transport:
    """An appliance behind its serial gateware and a pseudo-terminal."""
    return open_transport(opened.enter_context(served(opened.enter_context(closing(open_serial_device(config))))))


TRANSPORTS: dict[str, Callable[[ExitStack, BookConfig], Transport]] = {
    "model": lambda _, config: ModelTransport(config),
    "embedded": lambda _, config: open_config(config),
    "serial": open_over_tty,
}
"""By the names that tests have for them. Within a simulation of the PCIe link there is `pcie` instead, which nothing
else can open: see `tests/cocotb/scenario_bench.py`."""
