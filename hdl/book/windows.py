"""Where the prices of each instrument lie in the ladder."""

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import BookConfig


class Window(data.Struct):
    """Where an instrument's prices lie: `base_ticks` and two to the `log2` ticks, in ladder rows from `offset` on."""

    base_ticks: unsigned(32)
    offset: unsigned(16)
    log2: unsigned(5)


class Windows(wiring.Component):
    """The windows of all instruments, in LUT RAM: a choice among registers would be several times as large.

    Parameters
    ----------
    config : Sizes.
    readers : How many look at once.

    Attributes
    ----------
    set : `window` becomes that of `instrument` while `enable`.
    instruments, windows : For each reader, an instrument and its window, in the same cycle. Anything until it is set.
    """

    def __init__(self, config: BookConfig, readers: int):
        self._config, self._readers = config, readers
        instrument = range(config.instruments)
        super().__init__(
            {
                "set": In(data.StructLayout({"enable": 1, "instrument": instrument, "window": Window})),
                "instruments": In(data.ArrayLayout(instrument, readers)),
                "windows": Out(data.ArrayLayout(Window, readers)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows = rows = Memory(shape=Window, depth=self._config.instruments, init=[])
        write = rows.write_port()
        m.d.comb += [
            write.addr.eq(self.set.instrument),
            write.data.eq(self.set.window),
            write.en.eq(self.set.enable),
        ]
        for index in range(self._readers):
            read = rows.read_port(domain="comb")
            m.d.comb += [read.addr.eq(self.instruments[index]), self.windows[index].eq(read.data)]
        return m
