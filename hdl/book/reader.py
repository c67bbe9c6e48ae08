"""The reader: fetches what a command needs from pool and ladder while the guard checks it.

It walks in step with the guard's registers:

    entering  the slot is read
    a         slot and links arrive; window and best prices are looked up
    b         the line is worked out and the level read, and the first maker at the opposite best price
    c         level and maker arrive
    findings  with the command at the engine

What the engine posts meanwhile (`hdl.book.posting`) is taken over as it is carried out: slots, links, best prices and
the level in c. Findings that reach the engine while the command before them is carried out take over from it at once,
or are on `hold` for a cycle. Where taking over would be too much for a cycle, findings are stale, and are read again
when their command is at the engine.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..beats import Preview
from ..config import BookConfig
from .bests import best_layout, pair_layout
from .ladder import level_layout, line_of
from .orders import QUANTITY_BITS, maker_layout, order_layout
from .posting import posting_layout
from .window import PriceWindow


class SlotVerdict(data.Struct):
    """A slot, compared with what a command names.

    Attributes
    ----------
    in_use : An order rests there.
    same_generation : It has, or the last one had, the generation that the command names.
    named : The order that the command names rests there.
    """

    in_use: 1
    same_generation: 1
    named: 1


def verdict_on(in_use, order, preview) -> Value:
    """Compare an order, or what one has left behind, with what a command names."""
    same_generation = order.generation == preview.generation
    same = (order.account == preview.account) & (order.instrument == preview.instrument)
    return data.View(SlotVerdict, Cat(in_use, same_generation, in_use & same_generation & same))


def findings_layout(config: BookConfig) -> data.StructLayout:
    """What the reader knows of a command.

    `order`, `next` and `previous` are its slot, `verdict` compares it with the command. `takes`: an order at its
    effective price would trade at once. `line` and `level` are where a new order trades first if it takes, else rests;
    for other commands, where the slot's order rests. `maker` and `maker_next` are the first order at the opposite best
    price and the one behind it.
    """
    token = unsigned(exact_log2(config.orders))
    return data.StructLayout(
        {
            "order": order_layout(config),
            "next": token,
            "previous": token,
            "verdict": SlotVerdict,
            "takes": 1,
            "line": unsigned(exact_log2(config.ticks) + 1),
            "level": level_layout(config),
            "maker": maker_layout(config),
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
    repriced : The order in c has got another effective price than it had in b. Nothing advances then.
    collecting : A bit an instrument: no order of it takes. Changes only while no command is on its way.
    a_instrument, a_window, a_bests : The instrument of the command in a, its window and best prices.
    window, bests : Those of the command at the engine.
    read, read_enable, order, next, previous, read_maker, read_maker_enable, maker, maker_next : The pool's read ports.
    read_line, read_line_enable, level : The ladder's read port.
    posted : What the engine decided in the last cycle, and is carried out in this one.
    single : The command at the engine posts in its last cycle, if it does; behind others nothing is posted when the
        next advances there.
    moved, moved_instrument, moved_side, improved, moved_best : From the ladder.
    again : The engine has a command with stale findings, nothing is posted, and its ports are free: read them again.
    rereads : It may do so in this cycle: nothing advances. By registers alone, because the slots' address waits for it.
    price_ticks : The effective price of the command at the engine.
    findings : What is known of that command, what is posted for its links and level included.
    found : The same from the second cycle on in which that command is there, and comes from registers.
    at_best : The order of its slot rests at the best price of its side.
    stale : They are not to be used.
    hold : They are not to be used in this cycle.
    apt : They are neither stale nor on hold, and it is no new order that takes: by a register alone.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        self._findings = findings_layout(config)
        self._row_bits = exact_log2(config.ticks)
        token = unsigned(exact_log2(config.orders))
        line = unsigned(self._row_bits + 1)
        level = level_layout(config)
        instrument = range(config.instruments)
        best = best_layout(config)
        order = order_layout(config)
        super().__init__(
            {
                "advance": In(1),
                "preview": In(Preview),
                "b_price_ticks": In(32),
                "repriced": In(1),
                "collecting": In(config.instruments),
                "a_instrument": Out(instrument),
                "a_window": In(PriceWindow),
                "window": In(PriceWindow),
                "a_bests": In(pair_layout(config)),
                "bests": In(pair_layout(config)),
                "read": Out(token),
                "read_enable": Out(1),
                "order": In(order),
                "next": In(token),
                "previous": In(token),
                "read_maker": Out(token),
                "read_maker_enable": Out(1),
                "maker": In(maker_layout(config)),
                "maker_next": In(token),
                "read_line": Out(line),
                "read_line_enable": Out(1),
                "level": In(level),
                "posted": In(posting_layout(config)),
                "single": In(1),
                "moved": In(1),
                "moved_instrument": In(instrument),
                "moved_side": In(1),
                "improved": In(1),
                "moved_best": In(best),
                "again": In(1),
                "rereads": In(1),
                "price_ticks": In(32),
                "findings": Out(self._findings),
                "found": Out(self._findings),
                "at_best": Out(1),
                "stale": Out(1),
                "hold": Out(1),
                "apt": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        advance = self.advance
        posted = self.posted
        order_shape = self.order.shape()
        slot = data.StructLayout({"order": order_shape, "next": self.next.shape(), "previous": self.next.shape()})
        first_maker = data.StructLayout({"maker": self.maker.shape(), "maker_next": self.next.shape()})

        def writes(port, token):
            return port.enable & (port.token == token[: len(port.token)])

        def taken_over(shown, written, writes_order, writes_next, writes_previous):
            """A slot with what is written to it."""
            order, shown_order = Value.cast(written.order.order), Value.cast(shown.order)
            return data.View(
                slot,
                Cat(
                    Mux(writes_order, order[:QUANTITY_BITS], shown_order[:QUANTITY_BITS]),
                    Mux(writes_order & written.order.whole, order[QUANTITY_BITS:], shown_order[QUANTITY_BITS:]),
                    Mux(writes_next, written.next.to, shown.next),
                    Mux(writes_previous, written.previous.to, shown.previous),
                ),
            )

        def patched(shown, token):
            """What is known of the slot of `token`, with what is written to it in this cycle."""
            hits = (writes(port, token) for port in (posted.order, posted.next, posted.previous))
            return taken_over(shown, posted, *hits)

        def maker_written(token):
            return writes(posted.order, token) | writes(posted.next, token)

        def reaches(sell, limit_ticks, price_ticks):
            """Whether an order trades at an opposite price."""
            return Mux(sell, price_ticks >= limit_ticks, price_ticks <= limit_ticks)

        def best_moved(preview, rests, sell, price_ticks, takes):
            """The opposite best has moved for an order that takes, or so that one that does not would.

            An order that does not reach the best price does not reach a worse one: it need not know of it. Nor need one
            that `rests` whatever its price.
            """
            return (
                self.moved
                & (preview.instrument == self.moved_instrument)
                & (self.moved_side != sell)
                & (takes | (self.improved & ~rests & reaches(sell, price_ticks, self.moved_best.price_ticks)))
            )

        def replaces(preview):
            return ~preview.new & ~preview.cancels

        a, b, c, d = (Signal(Preview, name=f"preview_{name}") for name in "abcd")
        b_stale, c_stale = Signal(), Signal()
        b_rests, c_rests, d_rests = Signal(), Signal(), Signal()  # it takes at no price

        # a: the slot arrives in its first cycle here. What was posted while it was read is newer.
        last = Signal.like(posted)
        m.d.sync += last.eq(posted)
        arrived, held = Signal(slot), Signal(slot)
        shown = Signal(slot)
        a_first = Signal()
        newer = Signal(3)
        m.d.comb += [
            self.a_instrument.eq(a.instrument),
            arrived.order.eq(self.order),
            arrived.next.eq(self.next),
            arrived.previous.eq(self.previous),
            shown.eq(patched(data.View(slot, Mux(a_first, taken_over(arrived, last, *newer), held)), a.token)),
        ]
        m.d.sync += [
            newer.eq(Cat(writes(port, self.preview.token) for port in (posted.order, posted.next, posted.previous))),
            a_first.eq(advance),
            held.eq(shown),
        ]

        # b: what to read of the ladder, by the slot as it stood before this cycle: what is written to it now is late
        # for a memory's address. If an order rests in the slot then, it rests in the level that changes with it: so c
        # has line and level from there. If the slot is free then, neither is looked at. If an order of the other side
        # stands there then, a replace is stale. A new order asks nothing of its slot but whether it is free.
        b_slot, b_window, b_bests = Signal(slot), Signal(PriceWindow), Signal(pair_layout(self._config))
        b_own_line = Signal.like(self.read_line)  # where the slot's order rested before this cycle
        b_known = patched(b_slot, b.token)
        # Best prices that moved earlier were judged by the side of the order that stood in the slot then.
        b_turned = (
            writes(posted.order, b.token)
            & posted.order.whole
            & (posted.order.order.sell != b_slot.order.sell)
            & replaces(b)
        )
        b_own_line_known = Mux(writes(posted.order, b.token), posted.change.line, b_own_line)

        def reached_by(rests, price_ticks, bests):
            """Whether a buy reaches the best ask, and a sell the best bid."""
            return [
                ~rests & bests[not sell].any & reaches(sell, price_ticks, bests[not sell].price_ticks)
                for sell in (0, 1)
            ]

        def aim(preview, price_ticks, order_sell, order_line, window, bests, reached):
            """The side of an order, whether it takes, the line to read, and the first maker that it would meet."""
            sell = Mux(preview.new, preview.sell, order_sell)
            new_line = Mux(
                Mux(preview.sell, reached[1], reached[0]),
                bests[~preview.sell].line,
                line_of(window, preview.sell, price_ticks, self._row_bits),
            )
            line = Mux(preview.new, new_line, order_line)
            return sell, Mux(sell, reached[1], reached[0]), line, bests[~sell].head

        b_price_ticks = self.b_price_ticks
        sell, takes, line, maker_token = Signal(), Signal(), Signal.like(self.read_line), Signal.like(self.read)
        aimed = aim(
            b,
            b_price_ticks,
            b_slot.order.sell,
            b_own_line,
            b_window,
            b_bests,
            reached_by(b_rests, b_price_ticks, b_bests),
        )
        m.d.comb += [value.eq(known) for value, known in zip((sell, takes, line, maker_token), aimed, strict=True)]

        # The second reading does the same in two cycles.
        second = Signal()  # it reads the ladder
        found = self.found
        second_window, second_bests, second_reached = Signal(PriceWindow), Signal(pair_layout(self._config)), Signal(2)
        second_line = Signal.like(line)
        _, second_takes, second_read_line, second_maker_token = aim(
            d, self.price_ticks, found.order.sell, second_line, second_window, second_bests, second_reached
        )
        m.d.comb += [
            self.read_line.eq(Mux(second, second_read_line, line)),
            self.read_maker.eq(Mux(second, second_maker_token, maker_token)),
        ]

        # c: level and maker arrive in their first cycle here.
        c_sell, c_price_ticks = Signal(), Signal(32)
        c_slot, c_takes, c_line, c_maker_token = Signal(slot), Signal(), Signal.like(line), Signal.like(self.read)
        level, held_level, maker, held_maker = (
            Signal.like(self.level),
            Signal.like(self.level),
            Signal(first_maker),
            Signal(first_maker),
        )
        c_first = Signal()
        m.d.comb += maker.eq(Mux(c_first, Cat(self.maker, self.maker_next), held_maker))
        c_known = patched(c_slot, c.token)
        # What the slot holds and what is written are compared both, so that none waits for the choice.
        c_verdict = Signal(SlotVerdict)
        c_written = writes(posted.order, c.token)
        c_in_use = Mux(c_written, posted.order.order.quantity_lots != 0, c_slot.order.quantity_lots != 0)
        m.d.comb += c_verdict.eq(
            Mux(
                c_written & posted.order.whole,
                Value.cast(verdict_on(c_in_use, posted.order.order, c)),
                Value.cast(verdict_on(c_in_use, c_slot.order, c)),
            )
        )
        c_moves = posted.change.enable & ~c.new & writes(posted.order, c.token)
        c_line_known = Mux(c_moves, posted.change.line, c_line)
        with m.If(posted.change.enable & (c_moves | (posted.change.line == c_line))):
            m.d.comb += level.eq(posted.change.level)
        with m.Elif(~c_first):
            m.d.comb += level.eq(held_level)
        with m.Elif(last.change.enable & (last.change.line == c_line)):
            m.d.comb += level.eq(last.change.level)
        with m.Else():
            m.d.comb += level.eq(self.level)
        m.d.sync += [c_first.eq(advance), held_level.eq(level), held_maker.eq(maker)]
        c_outdated = (
            (writes(posted.order, c.token) & replaces(c))
            | best_moved(c, c_rests, c_sell, c_price_ticks, c_takes)
            | (maker_written(c_maker_token) & c_takes)
        )  # fmt: skip

        # With the engine: what the command before it has posted is carried out in the first cycle here.
        d_sell, d_maker_token = Signal(), Signal.like(self.read)
        d_hits, d_level_hit = Signal(3), Signal()
        d_if_written = Signal(SlotVerdict)
        d_known = taken_over(found, posted, *(
            hit & port.enable for hit, port in zip(d_hits, (posted.order, posted.next, posted.previous), strict=True)
        ))  # fmt: skip
        d_written = d_hits[0] & posted.order.enable
        d_moves = d_written & posted.change.enable & ~d.new
        m.d.comb += [
            self.findings.eq(found),
            self.findings.order.eq(d_known.order),
            self.findings.next.eq(d_known.next),
            self.findings.previous.eq(d_known.previous),
        ]
        with m.If(d_written):
            m.d.comb += self.findings.verdict.eq(d_if_written)
        with m.If(d_moves):
            m.d.comb += self.findings.line.eq(posted.change.line)
        with m.If(d_moves | (d_level_hit & posted.change.enable)):
            m.d.comb += self.findings.level.eq(posted.change.level)

        d_outdated = (
            (d_written & replaces(d))
            | best_moved(d, d_rests, d_sell, self.price_ticks, found.takes)
            | (maker_written(d_maker_token) & found.takes)
        )  # fmt: skip

        # What a command posts in its last cycle: a new order rests, a cancel unlinks, a replace stays in place. The
        # next command takes it over in its first cycle, or is on hold where it must not miss what it cannot take over
        # at once.
        d_next_token = Mux(d.new, self.findings.level.tail, self.findings.previous)
        d_previous_token = Mux(d.new, d.token[: len(self.read)], self.findings.next)
        own_best = self.bests[self.findings.order.sell]
        at_best = self.at_best
        m.d.comb += at_best.eq(
            (own_best.price_ticks == self.findings.order.price_ticks)
            | (self.improved & (posted.change.line == self.findings.line))
        )
        vanishes = d.cancels & (self.findings.level.head == self.findings.level.tail) & at_best
        crosses = (c.instrument == d.instrument) & (
            c_takes | (~c_rests & (c_sell != d_sell) & reaches(c_sell, c_price_ticks, self.price_ticks))
        )
        same_slot = c.token == d.token
        holds = self.single & (vanishes | crosses | (replaces(c) & same_slot))
        named_alike = (c.account == d.account) & (c.instrument == d.instrument)

        m.d.sync += [d_hits.eq(0), d_level_hit.eq(0), self.hold.eq(0)]
        with m.If(advance):
            m.d.sync += [
                a.eq(self.preview),
                b.eq(a),
                b_rests.eq(a.cancels | self.collecting.bit_select(a.instrument, 1)),
                b_slot.eq(shown),
                b_own_line.eq(line_of(self.a_window, shown.order.sell, shown.order.price_ticks, self._row_bits)),
                b_window.eq(self.a_window),
                b_bests.eq(self.a_bests),
                b_stale.eq(0),
                c.eq(b),
                c_rests.eq(b_rests),
                c_slot.eq(b_known),
                c_sell.eq(sell),
                c_price_ticks.eq(b_price_ticks),
                c_takes.eq(takes),
                c_line.eq(Mux(b.new, line, b_own_line_known)),
                c_maker_token.eq(maker_token),
                c_stale.eq(
                    b_stale
                    | b_turned
                    | best_moved(b, b_rests, sell, b_price_ticks, takes)
                    | (maker_written(maker_token) & takes)
                ),
                d.eq(c),
                d_rests.eq(c_rests),
                d_sell.eq(c_sell),
                d_maker_token.eq(c_maker_token),
                d_hits.eq(
                    Cat(
                        same_slot,
                        d_next_token == c.token[: len(self.read)],
                        d_previous_token == c.token[: len(self.read)],
                    )
                ),
                d_level_hit.eq(self.findings.line == c_line_known),
                found.order.eq(c_known.order),
                found.next.eq(c_known.next),
                found.previous.eq(c_known.previous),
                found.takes.eq(c_takes),
                found.line.eq(c_line_known),
                found.level.eq(level),
                found.maker.eq(maker.maker),
                found.maker_next.eq(maker.maker_next),
                found.verdict.eq(c_verdict),
                d_if_written.in_use.eq(~d.cancels),
                d_if_written.same_generation.eq(
                    Mux(d.cancels, c_verdict.same_generation, c.generation == d.generation)
                ),
                d_if_written.named.eq(~d.cancels & (c.generation == d.generation) & named_alike),
                self.stale.eq(c_stale | c_outdated),
                self.hold.eq(holds),
                self.apt.eq(~(c_stale | c_outdated | holds | (c.new & c_takes))),
            ]
            with m.If(self.moved & (a.instrument == self.moved_instrument)):
                m.d.sync += b_bests[self.moved_side].eq(self.moved_best)
        with m.Else():
            m.d.sync += [
                b_slot.eq(b_known),
                b_own_line.eq(b_own_line_known),
                c_slot.eq(c_known),
                c_line.eq(c_line_known),
                b_stale.eq(b_stale | b_turned | best_moved(b, b_rests, sell, b_price_ticks, takes)),
                c_stale.eq(c_stale | c_outdated | self.repriced),
                found.eq(self.findings),
                found.verdict.eq(verdict_on(found.order.quantity_lots != 0, found.order, d)),
                self.stale.eq(self.stale | d_outdated),
                self.apt.eq(~(self.stale | d_outdated | (d.new & found.takes))),
            ]
            with m.If(d_written):
                m.d.sync += found.verdict.eq(d_if_written)

        # What is read while nothing advances is not looked at: so the enables need not wait for `advance`.
        m.d.comb += self.read.eq(Mux(self.rereads, d.token, self.preview.token))
        with m.FSM():
            with m.State("REST"):
                m.d.comb += [
                    self.read_enable.eq(1),
                    self.read_maker_enable.eq(1),
                    self.read_line_enable.eq(1),
                ]
                with m.If(self.again):
                    m.next = "SLOT"
            with m.State("SLOT"):
                m.d.sync += [
                    found.order.eq(self.order),
                    found.next.eq(self.next),
                    found.previous.eq(self.previous),
                    second_window.eq(self.window),
                    second_bests.eq(self.bests),
                    second_reached.eq(Cat(reached_by(d_rests, self.price_ticks, self.bests))),
                    second_line.eq(line_of(self.window, self.order.sell, self.order.price_ticks, self._row_bits)),
                ]
                m.next = "AIM"
            with m.State("AIM"):
                m.d.comb += [second.eq(1), self.read_maker_enable.eq(1), self.read_line_enable.eq(1)]
                m.d.sync += [
                    found.takes.eq(second_takes),
                    found.line.eq(second_read_line),
                ]
                m.next = "LEVEL"
            with m.State("LEVEL"):
                m.d.sync += [
                    found.level.eq(self.level),
                    found.maker.eq(self.maker),
                    found.maker_next.eq(self.maker_next),
                    self.stale.eq(0),
                    self.apt.eq(~(d.new & found.takes)),
                ]
                m.next = "REST"
        return m
