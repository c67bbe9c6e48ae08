"""Selection: which order a sweep, a band or a window that moves cancels next.

    sweep    looks at every slot of the pool in ascending order, one a cycle where none is meant
    band     bids above it, then asks below it, best price first
    window   bids outside it, then asks, best price first: from the best on while that is outside, then what lies beyond
             the far edge, which is found by a search from there on

At a price the first in the queue goes first. The side is looked at anew behind each order that has left, so nothing
has to be remembered of where it stood.
"""

from amaranth.hdl import Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..beats import Action, BandMove, GuardedCommand
from ..config import BookConfig
from ..protocol.commands import AccountCommand, MoveWindow
from .bests import best_layout
from .ladder import found_layout, level_layout, line_of
from .orders import order_layout
from .window import PriceWindow


class Selection(wiring.Component):
    """See the module.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    go : Choose the next order. It stays until one is `chosen` or the selection has `ended`; while it does, pool and
        ladder are read for the selection alone. Not in the first cycle of a command.
    command : The command at work: `SWEEP`, `MOVE_BAND` or `MOVE_WINDOW`.
    window, bests : Of its instrument.
    settled : All bests are true, and nothing changes.
    read, order : The pool's read port; the address is a register. `order` is what it showed a cycle before.
    read_line, level : The ladder's alike.
    search, search_line, search_taken, found_valid, found : The ladder's search; `search_line` is steady from the cycle
        before on.
    chosen : `order` leaves; its slot is `token`.
    ended : No order is left to choose. The next `go` is that of another command.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        self._row_bits = exact_log2(config.ticks)
        token = unsigned(exact_log2(config.orders))
        line = unsigned(self._row_bits + 1)
        super().__init__(
            {
                "go": In(1),
                "command": In(GuardedCommand),
                "window": In(PriceWindow),
                "bests": In(data.ArrayLayout(best_layout(config), 2)),
                "settled": In(1),
                "read": Out(token),
                "order": In(order_layout(config)),
                "read_line": Out(line),
                "level": In(level_layout(config)),
                "search": Out(1),
                "search_line": Out(line),
                "search_taken": In(1),
                "found_valid": In(1),
                "found": In(found_layout(config)),
                "chosen": Out(1),
                "token": Out(token),
                "ended": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        command = self.command
        sweeps, moves_window = (command.action == action for action in (Action.SWEEP, Action.MOVE_WINDOW))
        looked_at, place = Signal.like(self.token), Signal.like(self.token)  # the slots of `order`, and behind it
        reading = Signal(range(self._config.orders + 1))  # the slot that a sweep reads, or any other
        asks = Signal()  # the side that is looked at
        at = Signal(found_layout(self._config))  # the level that is looked at, the best one or one that was `searched`
        searched, beyond = Signal(), Signal()  # it lies outside

        # What stays: from `lower_ticks` to `upper_ticks`.
        band = data.View(BandMove, command.body)
        base_ticks = data.View(MoveWindow, command.body).window_base_ticks
        lower_ticks, upper_ticks = Signal(32), Signal(32)
        window = Signal(PriceWindow)
        last_tick = ((Const(1, 32) << window.log2) - 1)[:32]
        m.d.sync += [
            window.eq(self.window),
            lower_ticks.eq(Mux(moves_window, base_ticks, band.force_lower_ticks)),
            upper_ticks.eq(Mux(moves_window, base_ticks + last_tick, band.force_upper_ticks)),
        ]
        # An edge that lies outside the window as it is has another price's line, and nothing beyond it to be found.
        far_edge_ticks = Mux(asks, upper_ticks, lower_ticks)
        m.d.comb += [
            self.search_line.eq(line_of(window, asks, far_edge_ticks, self._row_bits)),
            self.read.eq(reading),
            self.read_line.eq(at.line),
        ]

        def outside(price_ticks):
            below, above = price_ticks < lower_ticks, price_ticks > upper_ticks
            return Mux(asks, below, above) | (moves_window & (below | above))

        def end_side():
            with m.If(asks):
                m.d.comb += self.ended.eq(1)
            with m.Else():
                m.d.sync += asks.eq(1)
            m.next = "START"

        with m.FSM():
            with m.State("START"):
                best = self.bests[asks]
                m.d.sync += [
                    at.any.eq(best.any),
                    at.price_ticks.eq(best.price_ticks),
                    at.line.eq(best.line),
                    searched.eq(0),
                ]
                with m.If(self.go & sweeps):
                    m.d.sync += [place.eq(reading), reading.eq(reading + 1)]
                    m.next = "FETCH"
                    with m.If(reading == self._config.orders):
                        m.d.comb += self.ended.eq(1)
                        m.next = "START"
                with m.Elif(self.go & self.settled):
                    m.next = "EDGE"
            with m.State("FETCH"):
                m.d.sync += [looked_at.eq(place), place.eq(reading), reading.eq(reading + 1)]
                m.next = "LOOK"
            with m.State("LOOK"):
                order = self.order
                account = data.View(AccountCommand, command.body).account
                marked = order.market & (order.instrument == command.cause.instrument)
                meant = Mux(command.markets, marked, command.everyone | (order.account == account))
                m.d.comb += self.token.eq(looked_at)
                m.d.sync += [looked_at.eq(place), place.eq(reading), reading.eq(reading + 1)]
                with m.If((order.quantity_lots != 0) & meant):
                    m.d.comb += self.chosen.eq(1)
                    m.d.sync += reading.eq(looked_at + 1)
                    m.next = "START"
                with m.Elif(looked_at == self._config.orders - 1):
                    m.d.comb += self.ended.eq(1)
                    m.next = "START"

            with m.State("EDGE"):
                m.d.sync += beyond.eq(outside(at.price_ticks))
                m.next = "DECIDE"
            with m.State("DECIDE"):
                with m.If(at.any & beyond):
                    m.next = "LEVEL"
                with m.Elif(at.any & moves_window & ~searched):
                    m.next = "SEARCH"
                with m.Else():
                    end_side()
            with m.State("SEARCH"):
                m.d.comb += self.search.eq(1)
                with m.If(self.search_taken):
                    m.next = "FOUND"
            with m.State("FOUND"):
                # The search is circular: it may come round to what stays.
                with m.If(self.found_valid):
                    m.d.sync += [at.eq(self.found), searched.eq(1)]
                    m.next = "EDGE"
            with m.State("LEVEL"):
                m.d.sync += reading.eq(self.level.head)
                m.next = "HEAD"
            with m.State("HEAD"):
                m.next = "ORDER"
            with m.State("ORDER"):
                m.next = "ORDER_HELD"
            with m.State("ORDER_HELD"):
                m.d.comb += [self.token.eq(reading), self.chosen.eq(1)]
                m.next = "START"
        with m.If(self.ended):
            m.d.sync += [reading.eq(0), asks.eq(0)]
        return m
