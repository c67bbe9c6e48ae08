"""The reader: fetches what a command needs from pool and ladder while the guard checks it.

It walks in step with the guard's registers:

    entering  the slot is read
    a         slot and links arrive; window and best prices are looked up
    b         the line is worked out and the level read, and the first maker at the opposite best price
    c         level and maker arrive
    findings  with the command at the engine

What the engine changes meanwhile is watched: slots, links, best prices and the level in c are taken over as they
change; where that would be too much for a cycle, the findings are stale, and are read again when the command is at the
engine.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..beats import Preview
from ..config import BookConfig
from .ladder import Window, best_layout, level_layout, line_of
from .orders import order_layout


def findings_layout(config: BookConfig) -> data.StructLayout:
    """What the reader knows of a command.

    `order`, `next` and `previous` are its slot. `takes`: an order at its effective price would trade at once. `line`
    and `level` are where a new order trades first if it takes, else rests; for other commands, where the slot's order
    rests. `maker` and `maker_next` are the first order at the opposite best price and the one behind it.
    """
    token = unsigned(exact_log2(config.orders))
    return data.StructLayout(
        {
            "order": order_layout(config),
            "next": token,
            "previous": token,
            "takes": 1,
            "line": unsigned(exact_log2(config.ticks) + 1),
            "level": level_layout(config),
            "maker": order_layout(config),
            "maker_next": token,
        }
    )


class Reader(wiring.Component):
    """See the module.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    advance, preview, b_price_ticks : From the guard (`hdl.guard.guard.Guard`).
    windows, bests : From the ladder.
    read, read_enable, order, next, previous, read_maker, read_maker_enable, maker, maker_next : The pool's read ports.
    read_line, read_line_enable, level : The ladder's read port.
    wrote, wrote_next, wrote_previous : The slot, and the links, that are written in this cycle.
    changed, changed_line, changed_level : A level changes in this cycle.
    moved, moved_instrument, moved_side, improved, moved_best : From the ladder.
    again : The engine has a command with stale findings, and its ports are free: read them again.
    price_ticks : That command's effective price.
    findings : Of the command at the engine.
    stale : They are not to be used.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        self._findings = findings_layout(config)
        self._row_bits = exact_log2(config.ticks)
        token = unsigned(exact_log2(config.orders))
        line = unsigned(self._row_bits + 1)
        link = data.StructLayout({"enable": 1, "token": token, "to": token})
        level = level_layout(config)
        instrument = range(config.instruments)
        best = best_layout(config)
        order = order_layout(config)
        super().__init__(
            {
                "advance": In(1),
                "preview": In(Preview),
                "b_price_ticks": In(32),
                "windows": In(data.ArrayLayout(Window, config.instruments)),
                "bests": In(data.ArrayLayout(data.ArrayLayout(best, 2), config.instruments)),
                "read": Out(token),
                "read_enable": Out(1),
                "order": In(order),
                "next": In(token),
                "previous": In(token),
                "read_maker": Out(token),
                "read_maker_enable": Out(1),
                "maker": In(order),
                "maker_next": In(token),
                "read_line": Out(line),
                "read_line_enable": Out(1),
                "level": In(level),
                "wrote": In(data.StructLayout({"enable": 1, "token": token, "order": order})),
                "wrote_next": In(link),
                "wrote_previous": In(link),
                "changed": In(1),
                "changed_line": In(line),
                "changed_level": In(level),
                "moved": In(1),
                "moved_instrument": In(instrument),
                "moved_side": In(1),
                "improved": In(1),
                "moved_best": In(best),
                "again": In(1),
                "price_ticks": In(32),
                "findings": Out(self._findings),
                "stale": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        advance = self.advance
        order_shape = self.order.shape()
        slot = data.StructLayout({"order": order_shape, "next": self.next.shape(), "previous": self.next.shape()})
        first_maker = data.StructLayout({"maker": order_shape, "maker_next": self.next.shape()})
        best_pair = data.ArrayLayout(best_layout(self._config), 2)

        def writes(port, token):
            return port.enable & (port.token == token[: len(port.token)])

        def patched(shown, token):
            """What is known of the slot of `token`, with what is written to it in this cycle."""
            return data.View(
                slot,
                Cat(
                    Mux(writes(self.wrote, token), self.wrote.order, shown.order),
                    Mux(writes(self.wrote_next, token), self.wrote_next.to, shown.next),
                    Mux(writes(self.wrote_previous, token), self.wrote_previous.to, shown.previous),
                ),
            )

        def maker_written(token):
            return writes(self.wrote, token) | writes(self.wrote_next, token)

        def reaches(sell, limit_ticks, price_ticks):
            """Whether an order trades at an opposite price."""
            return Mux(sell, price_ticks >= limit_ticks, price_ticks <= limit_ticks)

        def best_moved(preview, sell, price_ticks, takes):
            """The opposite best has moved for an order that takes, or so that one that does not would.

            An order that does not reach the best price does not reach a worse one: it need not know of it.
            """
            return (
                self.moved
                & (preview.instrument == self.moved_instrument)
                & (self.moved_side != sell)
                & (takes | (self.improved & ~preview.cancels & reaches(sell, price_ticks, self.moved_best.price_ticks)))
            )

        a, b, c, d = (Signal(Preview, name=f"preview_{name}") for name in "abcd")
        a_stale, b_stale, c_stale = (Signal(name=f"stale_{name}") for name in "abc")

        # a: the slot arrives in its first cycle here.
        arrived, held = Signal(slot), Signal(slot)
        shown = Signal(slot)
        a_first = Signal()
        m.d.comb += [
            arrived.order.eq(self.order),
            arrived.next.eq(self.next),
            arrived.previous.eq(self.previous),
            shown.eq(patched(data.View(slot, Mux(a_first, arrived, held)), a.token)),
        ]
        m.d.sync += [a_first.eq(advance), held.eq(shown)]

        # b: what to read of the ladder. The same circuit serves a second reading.
        b_slot, b_window, b_bests = Signal(slot), Signal(Window), Signal(best_pair)
        b_known = patched(b_slot, b.token)
        # Best prices that moved earlier were judged by the side of the order that stood in the slot then.
        b_turned = (
            writes(self.wrote, b.token) & (self.wrote.order.sell != b_slot.order.sell) & ~b.new & ~b.cancels
        )  # fmt: skip
        second = Signal()  # the second reading is at this point
        second_window, second_bests = Signal(Window), Signal(best_pair)
        aimed, order = Signal(Preview), Signal(order_shape)
        window, bests = Signal(Window), Signal(best_pair)
        price_ticks = Signal(32)
        m.d.comb += [
            aimed.eq(Mux(second, d, b)),
            order.eq(Mux(second, self.findings.order, b_known.order)),
            window.eq(Mux(second, second_window, b_window)),
            bests.eq(Mux(second, second_bests, b_bests)),
            price_ticks.eq(Mux(second, self.price_ticks, self.b_price_ticks)),
        ]
        sell, takes = Signal(), Signal()
        opposite = bests[~sell]
        line = Signal.like(self.read_line)
        own_ticks = Mux(aimed.new, price_ticks, order.price_ticks)
        m.d.comb += [
            sell.eq(Mux(aimed.new, aimed.sell, order.sell)),
            takes.eq(~aimed.cancels & opposite.any & reaches(sell, price_ticks, opposite.price_ticks)),
            line.eq(
                Mux(
                    aimed.new & takes,
                    line_of(window, ~sell, opposite.price_ticks, self._row_bits),
                    line_of(window, sell, own_ticks, self._row_bits),
                )
            ),
            self.read_line.eq(line),
            self.read_maker.eq(opposite.head),
        ]

        # c: level and maker arrive in their first cycle here; a level that changes is taken over.
        c_sell, c_price_ticks = Signal(), Signal(32)
        c_slot, c_takes, c_line, c_maker_token = Signal(slot), Signal(), Signal.like(line), Signal.like(self.read)
        level, held_level, maker, held_maker = (
            Signal.like(self.level),
            Signal.like(self.level),
            Signal(first_maker),
            Signal(first_maker),
        )
        c_first = Signal()
        newer = Signal()  # `held_level` is newer than what arrives
        m.d.comb += [
            level.eq(Mux(c_first & ~newer, self.level, held_level)),
            maker.eq(Mux(c_first, Cat(self.maker, self.maker_next), held_maker)),
        ]
        # The slot that is written in this cycle, if it rests, rests in the level that changes.
        c_known = patched(c_slot, c.token)
        c_moves = self.changed & ~c.new & writes(self.wrote, c.token)
        c_line_known = Mux(c_moves, self.changed_line, c_line)
        with m.If(self.changed & (c_moves | (self.changed_line == c_line))):
            m.d.comb += level.eq(self.changed_level)
        m.d.sync += [c_first.eq(advance), held_level.eq(level), held_maker.eq(maker), newer.eq(0)]
        with m.If(advance & self.changed & (self.changed_line == line)):
            m.d.sync += [held_level.eq(self.changed_level), newer.eq(1)]

        findings = self.findings
        with m.If(advance):
            m.d.comb += [
                self.read.eq(self.preview.token),
                self.read_enable.eq(1),
                self.read_maker_enable.eq(1),
                self.read_line_enable.eq(1),
            ]
            m.d.sync += [
                a.eq(self.preview),
                a_stale.eq(
                    writes(self.wrote, self.preview.token)
                    | writes(self.wrote_next, self.preview.token)
                    | writes(self.wrote_previous, self.preview.token)
                ),
                b.eq(a),
                b_slot.eq(shown),
                b_window.eq(self.windows[a.instrument]),
                b_bests.eq(self.bests[a.instrument]),
                b_stale.eq(a_stale),
                c.eq(b),
                c_slot.eq(b_known),
                c_sell.eq(sell),
                c_price_ticks.eq(price_ticks),
                c_takes.eq(takes),
                c_line.eq(line),
                c_maker_token.eq(opposite.head),
                c_stale.eq(
                    b_stale
                    | b_turned
                    | best_moved(b, sell, price_ticks, takes)
                    | (maker_written(opposite.head) & takes)
                ),
                d.eq(c),
                findings.order.eq(c_known.order),
                findings.next.eq(c_known.next),
                findings.previous.eq(c_known.previous),
                findings.takes.eq(c_takes),
                findings.line.eq(c_line_known),
                findings.level.eq(level),
                findings.maker.eq(maker.maker),
                findings.maker_next.eq(maker.maker_next),
                self.stale.eq(
                    c_stale
                    | (writes(self.wrote, c.token) & ~c.new & ~c.cancels)
                    | best_moved(c, c_sell, c_price_ticks, c_takes)
                    | (maker_written(c_maker_token) & c_takes)
                ),
            ]
            with m.If(self.moved & (a.instrument == self.moved_instrument)):
                m.d.sync += b_bests[self.moved_side].eq(self.moved_best)
        with m.Else():
            m.d.sync += [
                b_slot.eq(b_known),
                c_slot.eq(c_known),
                c_line.eq(c_line_known),
                b_stale.eq(b_stale | b_turned | best_moved(b, sell, price_ticks, takes)),
                c_stale.eq(
                    c_stale
                    | (writes(self.wrote, c.token) & ~c.new & ~c.cancels)
                    | best_moved(c, c_sell, c_price_ticks, c_takes)
                    | (maker_written(c_maker_token) & c_takes)
                ),
                # Only the end of a search comes here: an order that does not take need not know of it.
                self.stale.eq(self.stale | (self.moved & findings.takes)),
            ]

        # The second reading.
        with m.FSM():
            with m.State("REST"):
                with m.If(self.again):
                    m.d.comb += [self.read.eq(d.token), self.read_enable.eq(1)]
                    m.next = "SLOT"
            with m.State("SLOT"):
                m.d.sync += [
                    findings.order.eq(self.order),
                    findings.next.eq(self.next),
                    findings.previous.eq(self.previous),
                    second_window.eq(self.windows[d.instrument]),
                    second_bests.eq(self.bests[d.instrument]),
                ]
                m.next = "AIM"
            with m.State("AIM"):
                m.d.comb += [second.eq(1), self.read_maker_enable.eq(1), self.read_line_enable.eq(1)]
                m.d.sync += [
                    findings.takes.eq(takes),
                    findings.line.eq(line),
                ]
                m.next = "LEVEL"
            with m.State("LEVEL"):
                m.d.sync += [
                    findings.level.eq(self.level),
                    findings.maker.eq(self.maker),
                    findings.maker_next.eq(self.maker_next),
                    self.stale.eq(0),
                ]
                m.next = "REST"
        return m
