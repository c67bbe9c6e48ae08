"""The register block: the table of `hdl.protocol.registers` as a circuit."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import BookConfig
from ..guard.entrant import TokenRange
from ..protocol.registers import BY_NAME, MAGIC
from ..protocol.version import layout_hash

RegisterBus = wiring.Signature(
    {
        "address": Out(16),
        "read_data": In(32),
        "read_enable": Out(1),
        "write_data": Out(32),
        "write_enable": Out(1),
    }
)
"""The way to the registers, as their user has it; `RegisterBlock` says what its members mean."""


class RegisterBlock(wiring.Component):
    """Registers of the appliance, 32 bits each.

    Parameters
    ----------
    config : Sizes.
    build_identity : 64 bits that name the gateware's configuration and sources.

    Attributes
    ----------
    address : Byte offset, for reading and writing; the low two bits are ignored.
    read_data : Value there, combinational; zero where no register stands.
    read_enable : The host reads now: reading the low word of the time latches its high word.
    write_data, write_enable : A write takes effect at the clock's edge; read-only registers ignore it.
    time_ns : The core's time.
    core_ready : The core takes commands.
    epoch : The device epoch; of what is written to the register from the cycle behind `restart` on.
    restart : The epoch was written in the cycle before: the core is to be reset in this one. A register, because all of
        the core hangs on it.
    token_ranges : Which slots each link may use.
    """

    def __init__(self, config: BookConfig, build_identity: int):
        self._config = config
        self._build_identity = build_identity
        super().__init__(
            {
                "address": In(16),
                "read_data": Out(32),
                "read_enable": In(1),
                "write_data": In(32),
                "write_enable": In(1),
                "time_ns": In(64),
                "core_ready": In(1),
                "epoch": Out(16, init=1),
                "restart": Out(1),
                "token_ranges": Out(
                    data.ArrayLayout(TokenRange, config.links),
                    init=[{"first": 0, "count": config.orders if link == 0 else 0} for link in range(config.links)],
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        time_high = Signal(32)
        coming_epoch = Signal.like(self.epoch)
        values = {
            "magic": Const(MAGIC, 32),
            "status": self.core_ready & ~self.restart,
            "layout_hash": Const(layout_hash(), 64),
            "build_identity": Const(self._build_identity, 64),
            "instruments": Const(config.instruments, 32),
            "orders": Const(config.orders, 32),
            "ticks": Const(config.ticks, 32),
            "accounts": Const(config.accounts, 32),
            "links": Const(config.links, 32),
            "epoch": coming_epoch,
            "time_ns": Cat(self.time_ns[:32], time_high),
        }
        word = self.address[2:]
        with m.Switch(word):
            for name, value in values.items():
                register = BY_NAME[name]
                for index in range(register.words):
                    with m.Case(register.at() // 4 + index):
                        m.d.comb += self.read_data.eq(value[32 * index : 32 * index + 32])
            for name, field in (("token_first", "first"), ("token_count", "count")):
                for link in range(config.links):
                    with m.Case(BY_NAME[name].at(link) // 4):
                        m.d.comb += self.read_data.eq(self.token_ranges[link][field])
                        with m.If(self.write_enable):
                            m.d.sync += self.token_ranges[link][field].eq(self.write_data)
        with m.If(self.read_enable & (word == BY_NAME["time_ns"].at() // 4)):
            m.d.sync += time_high.eq(self.time_ns[32:])
        m.d.sync += [self.restart.eq(0), self.epoch.eq(coming_epoch)]
        with m.If(self.write_enable & (word == BY_NAME["epoch"].at() // 4)):
            m.d.sync += [coming_epoch.eq(self.write_data), self.restart.eq(1)]
        return m
