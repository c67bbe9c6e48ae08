"""Depth: tells the price levels that a command has changed, one report each."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import BookConfig
from .ladder import change_layout
from .market_data import follow_layout


class Depth(wiring.Component):
    """Keeps the levels that have changed until the engine has told them, in the order in which they first changed.

    There is room for two levels, and none is ever dropped, because the engine tells all that wait

    - before the next command: `due` holds it back,
    - before a taker meets the first order of a level, but for the level that a new order meets at once: nothing waits
      behind the command before,
    - behind each order that a sweep, a band or a window removes,
    - behind each trade of an auction, which changes two levels.

    In between, a command changes at most two levels: one that it leaves, or trades at, and one that it comes to rest
    in. (A replace that leaves one level and trades at another has told the first by then.)
    A change of the level that has changed last, such as the next trade there, is told together with it; no command
    comes back to an earlier one.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    follow : The levels of `instrument` are told from now on, or not, while `enable`; none waits, and none changes in
        the next cycle.
    coming, coming_instrument : There is a change in the next cycle; its instrument, if there is one.
    change : The level that changes; not while one is told.
    due : A level of an instrument that is followed changes, or waits to be told.
    telling, first : `first` of the levels that wait has to be told, while `telling`.
    told : It is taken, while `telling`.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        change = change_layout(config)
        super().__init__(
            {
                "follow": In(follow_layout(config)),
                "coming": In(1),
                "coming_instrument": In(range(config.instruments)),
                "change": In(change),
                "due": Out(1),
                "telling": Out(1),
                "first": Out(change),
                "told": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        change = self.change
        followed = Signal(self._config.instruments)
        with m.If(self.follow.enable):
            m.d.sync += followed.bit_select(self.follow.instrument, 1).eq(self.follow.told)

        changes = Signal()  # a level of an instrument that is followed
        older, newest = Signal.like(change), Signal.like(change)
        one, two = Signal(), Signal()  # the newest waits; the older one as well
        comes = self.coming & followed.bit_select(self.coming_instrument, 1)
        m.d.sync += [
            changes.eq(comes),
            self.due.eq(comes | changes | Mux(self.told, two, one)),  # a register for `one | changes`
        ]
        m.d.comb += [
            self.telling.eq(one),
            self.first.eq(Mux(two, older, newest)),
        ]
        with m.If(self.told):
            m.d.sync += [two.eq(0), one.eq(two)]
        with m.If(changes):
            m.d.sync += [one.eq(1), newest.eq(change)]
            with m.If(one & (change.line != newest.line)):
                m.d.sync += [two.eq(1), older.eq(newest)]
        return m
