"""The devices on which scenarios of the host are played."""

from collections.abc import Callable
from contextlib import ExitStack, closing

from bandgap.hdl.config import BookConfig
from bandgap.host.device.transport import Transport, open_transport
from bandgap.host.wire import Bytes2D
from bandgap.sim.embedded.pty_server import served
from bandgap.sim.embedded.serial_device import open_serial_device
from bandgap.sim.embedded.transport import open_config
from bandgap.sim.model_device import ModelTransport

DEVICE = BookConfig(instruments=2, orders=256, ticks=2048, accounts=16)
"""Soon built and simulated, and large enough for every scenario."""


class Liar(ModelTransport):
    """A model whose reports are changed on the way."""

    def __init__(self, config: BookConfig, report: int, byte: int) -> None:
        super().__init__(config)
        self._lie_at = report, byte

    def receive(self) -> Bytes2D:
        reports = super().receive().copy()
        if len(reports) > self._lie_at[0]:
            reports[self._lie_at] ^= 1
        return reports


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
