"""What the guard's fast path knows of the instruments."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import BookConfig
from ..protocol.reports import TradingState
from ..table import Table
from .band import Instrument

BOUNDS = ("lower_ticks", "upper_ticks")


class Instruments(wiring.Component):
    """What is known of each instrument, in tables; and, in registers, what concerns all of them at once.

    Parameters
    ----------
    config : Sizes.
    readers : How many look at once.

    Attributes
    ----------
    store : In this cycle all of `instrument` but its bounds becomes `rules`.
    force : In this cycle its bounds do.
    looked_at, rules : For each reader, an instrument and what is known of it, in the same cycle. Anything while it is
        not `known`; one beyond the last never is.
    collecting, dynamic, limited, timed : A bit an instrument: orders collect; trades may move its bounds; it is in its
        limit state; orders and trades may start timers of it.
    reach_ticks : For each instrument, how far from the first price it meets an order may trade; zero: to its limit.
    """

    def __init__(self, config: BookConfig, readers: int):
        self._config, self._readers = config, readers
        index = unsigned(ceil_log2(config.instruments))
        count = config.instruments
        super().__init__(
            {
                "store": In(data.StructLayout({"enable": 1, "instrument": index, "rules": Instrument})),
                "force": In(
                    data.StructLayout({"enable": 1, "instrument": index, "lower_ticks": 32, "upper_ticks": 32})
                ),
                "looked_at": In(data.ArrayLayout(8, readers)),
                "rules": Out(data.ArrayLayout(Instrument, readers)),
                "collecting": Out(count),
                "dynamic": Out(count),
                "limited": Out(count),
                "timed": Out(count),
                "reach_ticks": Out(data.ArrayLayout(32, count)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self._config.instruments
        fields = Instrument.as_shape().members
        of_trades = data.StructLayout({name: fields[name] for name in BOUNDS})
        of_breaker = data.StructLayout({name: shape for name, shape in fields.items() if name not in of_trades.members})
        m.submodules.rows = rows = Table(of_breaker, count, self._readers)
        m.submodules.bounds = bounds = Table(of_trades, count, self._readers)
        store, force = self.store, self.force
        m.d.comb += [
            rows.write.enable.eq(store.enable),
            rows.write.address.eq(store.instrument),
            *(rows.write.row[name].eq(store.rules[name]) for name in of_breaker.members),
            bounds.write.enable.eq(force.enable),
            bounds.write.address.eq(force.instrument),
            *(bounds.write.row[name].eq(force[name]) for name in BOUNDS),
        ]
        known = Signal(count)
        with m.If(store.enable):
            for bits, bit in (
                (known, store.rules.known),
                (self.collecting, store.rules.collects),
                (self.dynamic, store.rules.dynamic),
                (self.limited, store.rules.state == TradingState.LIMIT),
                (self.timed, store.rules.timed),
            ):
                m.d.sync += bits.bit_select(store.instrument, 1).eq(bit)
            m.d.sync += self.reach_ticks[store.instrument].eq(Mux(store.rules.banded, store.rules.reach_ticks, 0))

        # A table sees the low bits alone: an instrument beyond the last would be another one.
        for reader, (looked_at, rules) in enumerate(zip(self.looked_at, self.rules, strict=True)):
            address = rows.looked_at[reader]
            m.d.comb += [
                address.eq(looked_at),
                bounds.looked_at[reader].eq(looked_at),
                *(rules[name].eq(rows.rows[reader][name]) for name in of_breaker.members),
                *(rules[name].eq(bounds.rows[reader][name]) for name in BOUNDS),
                rules.known.eq(known.bit_select(address, 1) & (looked_at < count)),
            ]
        return m
