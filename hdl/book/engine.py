"""The engine: carries out one guarded command after the other on the order pool and the ladder.

A command whose findings (`hdl.book.reader`) are fresh is carried out in EXECUTE, and most are *single*: through in that
cycle, which is known by registers alone. What they change is posted, and carried out in the next cycle
(`hdl.book.posting`). The others go on (each state takes a cycle and waits where a report cannot leave yet):

    stale findings    AGAIN* -> EXECUTE
    a taker           (LOOK*, fill-or-kill, `hdl.book.fillable`) -> MATCH* / SELF_TAKER ... -> RETIRE, CANCEL_TAKER or
                      REST
    a replace         REPLACE (-> WEIGH* -> REPLACE, where credit hangs on it) -> RETIRE, or MATCH*
    what cancels many SELECT* (`hdl.book.selection`) -> REMOVE* -> SELECT* ... -> SELECTED -> RETIRE: a sweep, a band or
                      a window that moves
    an auction        AUCTION* (`hdl.book.uncross`) -> RETIRE

    market data       TELL -> EXECUTE, before the next command (`hdl.book.market_data`, `hdl.book.depth`); levels also
                      in MATCH_TELL, before a taker meets the first order of a level, in REMOVE_SETTLE and in AUCTION
    the breaker       is asked in TELL, behind the market data (`hdl.book.reviews`)
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..beats import (
    RESERVE_BITS,
    Action,
    Best,
    CallEnd,
    GuardedCommand,
    Preview,
    Release,
    Review,
    Traded,
    Uncrossed,
    Verdict,
)
from ..config import BookConfig
from ..protocol.commands import (
    AccountCommand,
    InstrumentFlags,
    MoveWindow,
    NewOrder,
    OrderFlags,
    OrderType,
    Replace,
    SelfTradePrevention,
    SetBand,
    SetInstrument,
    Side,
    TimeInForce,
)
from ..protocol.reports import Auction, Done, Reason, ReportKind
from ..table import Table
from .drafting import Drafting, sides
from .fillable import Fillable
from .ladder import Ladder, line_of
from .news import News
from .orders import OrderPool
from .posting import Posting, posting_layout
from .reader import Reader
from .report_slot import Follow, ReportSlot
from .selection import Selection
from .uncross import Uncross
from .window import Window

TAKING = (
    *("REPLACE", "WEIGH_LOTS", "WEIGH_QUOTE", "WEIGH"),
    "LOOK",
    *("MATCH_SETTLE", "MATCH", "MATCH_LEVEL", "MATCH_TELL", "MATCH_FETCH", "MATCH_NEXT", "MATCH_MAKER", "SELF_TAKER"),
)
"""States behind which an order may trade."""

_band = SetBand.as_shape()
STATIC_BAND = slice(_band["lower_ticks"].offset, _band["policy"].offset + _band["policy"].width)
"""What a report tells of a band: these bits of a `BandMove`, laid out as in `SetBand`."""


class Engine(wiring.Component):
    """The order book: price-time priority over all instruments.

    Rules: `docs/order-semantics.md`. The guard has checked everything that needs no look into the book.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    commands : Stream in, one command at a time; taken in the cycle in which it is carried out. Behind one that is not
        `ANSWER`, `NEW`, `CANCEL`, `REPLACE` or the `SWEEP` of an account nothing may be on its way.
    advance, preview, b_price_ticks, repriced : See `hdl.book.reader.Reader`: commands on their way here. Nothing
        advances while `busy`.
    collecting : A bit an instrument: its orders collect, nothing matches, post-only does not count. Changes only while
        no command is on its way and nothing is `working`.
    dynamic : A bit an instrument: its trades move its bounds. Behind every command that trades, the breaker is asked.
    reach_ticks : For each instrument, how far from the first price it meets an order may trade; zero: to its limit.
    watched : A bit an instrument: behind every command that changes a level of it, the breaker is asked. At other times
        only behind one whose order is at its bound: if that changes a level, or is canceled with `IMMEDIATE_REST`.
    review, verdict : The question to the breaker and its answer, between two commands; where the state has changed that
        is reported.
    traded : Stream out: the trades, one by one, and each auction that traded. The next trade waits until it is taken.
    trading : A taker may still trade, or a trade waits to be taken; by registers alone. In the cycle in which a command
        that has traded is taken from `commands`, and whenever another could be carried out behind it, `traded` is
        valid with its last trade, or that has been taken. A command in its first cycles here may still become a taker.
    uncrossed : How the last auction went; steady from the cycle on in which its command is taken.
    reports : Stream out: 64-byte reports; number and epoch are zero, they are set where reports leave the core.
    released : Stream out: reserves that return, each valid from the cycle after its report was drafted.
    busy : Memories clear after a reset, or the engine works on behind the last command it has taken.
    working : It is busy, or what the last command has changed is not all in place yet.
    resting : For each instrument, whether any of its orders rests. True between commands.
    looked_at, bests_of : Any instrument, and its best prices. True between commands.
    cycle : The cycle counter, for the reports' exit cycle.
    ready : High once the memories are cleared after a reset; commands wait for it.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        super().__init__(
            {
                "commands": In(stream.Signature(GuardedCommand)),
                "reports": Out(stream.Signature(unsigned(512))),
                "released": Out(stream.Signature(Release)),
                "busy": Out(1),
                "working": Out(1),
                "advance": In(1),
                "preview": In(Preview),
                "b_price_ticks": In(32),
                "repriced": In(1),
                "collecting": In(config.instruments),
                "dynamic": In(config.instruments),
                "reach_ticks": In(data.ArrayLayout(unsigned(32), config.instruments)),
                "watched": In(config.instruments),
                "review": Out(stream.Signature(Review)),
                "verdict": In(stream.Signature(Verdict)),
                "traded": Out(stream.Signature(Traded)),
                "trading": Out(1),
                "uncrossed": Out(Uncrossed),
                "resting": Out(config.instruments),
                "looked_at": In(range(config.instruments)),
                "bests_of": Out(data.StructLayout({"bid": Best, "ask": Best})),
                "cycle": In(32),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        row_bits = exact_log2(config.ticks)
        m.submodules.pool = pool = OrderPool(config)
        m.submodules.ladder = ladder = Ladder(config, readers=5)
        m.submodules.windows = windows = Table(Window, config.instruments, readers=4)
        m.submodules.slot = slot = ReportSlot()
        wiring.connect(m, slot.reports, wiring.flipped(self.reports))
        token_shape = pool.read.shape()
        order_shape = pool.order.shape()
        level_shape = ladder.level.shape()

        # The command at work, and what the reader has found of it.
        command = self.commands.payload
        entry = data.View(NewOrder, command.body)
        amendment = data.View(Replace, command.body)
        entry_token = entry.token[: len(pool.read)]
        privileged = command.cause.link == 0
        m.submodules.reader = reader = Reader(config)
        found = reader.findings
        m.d.comb += [
            reader.advance.eq(self.advance),
            reader.preview.eq(self.preview),
            reader.b_price_ticks.eq(self.b_price_ticks),
            reader.price_ticks.eq(command.price_ticks),
            reader.repriced.eq(self.repriced),
            reader.collecting.eq(self.collecting),
            reader.order.eq(pool.order),
            reader.next.eq(pool.next),
            reader.previous.eq(pool.previous),
            reader.maker.eq(pool.maker),
            reader.maker_next.eq(pool.maker_next),
            reader.level.eq(ladder.level),
            reader.moved.eq(ladder.moved),
            reader.moved_instrument.eq(ladder.moved_instrument),
            reader.moved_side.eq(ladder.moved_side),
            reader.improved.eq(ladder.improved),
            reader.moved_best.eq(ladder.moved_best),
            pool.read.eq(reader.read),
            pool.read_enable.eq(reader.read_enable),
        ]
        # The ports are the reader's, unless a state below takes one. What is known last is chosen last: the reader's
        # line, and the order that follows in the next level.
        own_line, reads_level = Signal.like(ladder.read_line), Signal()
        own_maker, reads_maker, reads_behind = Signal.like(pool.read_maker), Signal(), Signal()
        m.d.comb += [
            ladder.read_line.eq(Mux(reads_level, own_line, reader.read_line)),
            ladder.read_enable.eq(reads_level | reader.read_line_enable),
            pool.read_maker.eq(
                Mux(reads_behind, ladder.behind.level.head, Mux(reads_maker, own_maker, reader.read_maker))
            ),
            pool.read_maker_enable.eq(reads_behind | reads_maker | reader.read_maker_enable),
        ]
        # What this cycle decides, and what the last one did.
        posting, posted = Signal(posting_layout(config)), Signal(posting_layout(config))
        m.d.sync += posted.eq(posting)
        m.d.comb += [
            reader.posted.eq(posted),
            pool.write.eq(posted.order),
            pool.write_next.eq(posted.next),
            pool.write_previous.eq(posted.previous),
            ladder.change.eq(posted.change),
            ladder.coming_instrument.eq(posting.change.instrument),
            ladder.coming_side.eq(posting.change.line[-1]),
        ]

        instrument = command.cause.instrument
        window, window_of_removed = windows.rows[0], windows.rows[1]

        # The order that takes, while it does.
        taker = Signal(order_shape)
        taker_token = Signal(token_shape)
        immediate = Signal()  # what is left when it can trade no more is canceled, for this reason
        cancel_reason = Signal(Reason, init=Reason.IMMEDIATE_REST)

        # How far it may trade: to its limit, or no further than its reach; then it never rests.
        reach_ticks, limit_ticks = Signal(32), Signal(32)
        bounded, stopped = Signal(), Signal()
        m.d.sync += reach_ticks.eq(self.reach_ticks[command.cause.instrument])

        # The maker and the level that it trades with.
        maker = Signal(order_shape)
        maker_next = Signal(token_shape)
        level = Signal(level_shape)
        level_line = Signal(row_bits + 1)
        level_vanished = Signal()
        followed, reaches_next = Signal(), Signal()  # the next level has come; its price is within the taker's limit

        # The order that leaves its level.
        removed = Signal(order_shape)
        removed_token = Signal(token_shape)
        removed_next = Signal(token_shape)
        removed_previous = Signal(token_shape)

        # Where they rest; a cycle behind them, but for a replace, whose new line is there with its taker.
        taker_line, removed_line = Signal.like(level_line), Signal.like(level_line)
        m.d.sync += [
            taker_line.eq(line_of(window, taker.sell, taker.price_ticks, row_bits)),
            removed_line.eq(line_of(window_of_removed, removed.sell, removed.price_ticks, row_bits)),
        ]

        count = Signal(range(config.orders + 1))

        m.d.comb += [
            *(
                chosen.eq(each)
                for chosen, each in zip(
                    windows.looked_at,
                    (instrument, removed.instrument, reader.a_instrument, posting.change.instrument),
                    strict=True,
                )
            ),
            reader.window.eq(window),
            reader.a_window.eq(windows.rows[2]),
            ladder.coming_window.eq(windows.rows[3]),
            ladder.search_window.eq(window),
            posting.change.instrument.eq(instrument),
            ladder.search.payload.instrument.eq(instrument),
            ladder.search.payload.line.eq(level_line),
            self.resting.eq(ladder.resting),
        ]
        m.d.sync += self.ready.eq(pool.ready & ladder.ready)
        bests, bests_of_a, *_, bests_of = ladder.bests
        facing = Signal.like(bests[0])  # the best price that the taker meets
        m.d.sync += facing.eq(bests[~taker.sell])

        # What an instrument is worth a tick and lot.
        multipliers = Signal(data.ArrayLayout(unsigned(16), config.instruments))

        drafts = Drafting(m, command, slot.drafts, self.released)
        news = News(m, config, command, posting, posted, ladder, drafts)
        depth, reviews = news.depth, news.reviews
        lookers = (instrument, reader.a_instrument, news.market_data.instrument, reviews.instrument, self.looked_at)
        m.d.comb += [
            *(looked_at.eq(each) for looked_at, each in zip(ladder.looked_at, lookers, strict=True)),
            reader.bests.eq(bests),
            reader.a_bests.eq(bests_of_a),
            *(
                shown[name].eq(best[name])
                for shown, best in zip((self.bests_of.bid, self.bests_of.ask), bests_of, strict=True)
                for name in Best.as_shape().members
            ),
            reviews.dynamic.eq(self.dynamic),
            reviews.watched.eq(self.watched),
            self.busy.eq(~self.ready | ~ladder.settled | news.due),
            self.working.eq(self.busy | posted.change.enable),
        ]
        wiring.connect(m, reviews.review, wiring.flipped(self.review))
        wiring.connect(m, reviews.verdict, wiring.flipped(self.verdict))
        draft, header, follow = drafts.report, drafts.header, drafts.follow
        able, drafted = drafts.able, drafts.done  # the state may act; what it drafts leaves
        m.d.comb += slot.cycle.eq(self.cycle)

        def read_maker(token):
            m.d.comb += [own_maker.eq(token), reads_maker.eq(1)]

        def read_level(line):
            m.d.comb += [own_line.eq(line), reads_level.eq(1)]

        posts = Posting(m, posting)

        fok = entry.time_in_force == TimeInForce.FOK
        single = Signal()
        fit = Signal()  # single, by findings that are not stale
        with m.Switch(command.action):
            with m.Case(Action.ANSWER):
                m.d.comb += [single.eq(1), fit.eq(1)]
            with m.Case(Action.CANCEL):
                m.d.comb += [single.eq(1), fit.eq(~reader.stale)]
            with m.Case(Action.NEW):
                m.d.comb += [
                    single.eq(~command.immediate & ~found.takes),
                    fit.eq(~command.immediate & ~found.takes & ~reader.stale),
                ]
        m.d.comb += reader.single.eq(self.commands.valid & (single | (command.action == Action.REPLACE)))

        # Only these end a command; the next one is at hand in the next cycle.
        executing = Signal(init=1)  # in EXECUTE, where most end: a register of its own, beside the state
        ends = Signal()  # in a state behind which the next one is at hand, as soon as a report can leave
        # Of a replace, known a cycle after it came: what has been compared, and whether the old order's reserve has
        # been worked out, which is done only where credit hangs on it.
        unknown, barred, mismatched, owes, crosses = Signal(), Signal(), Signal(), Signal(), Signal()
        same_price, at_best, in_place = Signal(), Signal(), Signal()
        weighed = Signal()
        present = Signal()
        reads = (command.action == Action.NEW) | (command.action == Action.CANCEL) | (command.action == Action.REPLACE)
        m.d.comb += [
            present.eq(
                self.commands.valid & ladder.settled & ~(ladder.settling & found.takes) & ~news.due & ~reader.hold
            ),
            self.commands.ready.eq(slot.drafts.ready & drafts.free & (ends | (executing & present & fit))),
        ]
        with m.If(executing & self.commands.valid & ~news.due):
            news.follow(command)

        # Every trade is told; the register is free again when the next one can follow.
        def tell_trade(price_ticks, auction=0):
            m.d.sync += [
                self.traded.valid.eq(1),
                self.traded.payload.instrument.eq(instrument),
                self.traded.payload.auction.eq(auction),
                self.traded.payload.price_ticks.eq(price_ticks),
                self.traded.payload.time_ns.eq(command.cause.time_ns),
            ]

        with m.If(self.traded.ready):
            m.d.sync += self.traded.valid.eq(0)

        # Market orders that collect are marked, and here it says where there are any.
        markets = Signal(config.instruments)
        marked = markets.bit_select(instrument, 1)

        m.submodules.selection = selection = Selection(config)
        m.submodules.uncross = uncross = Uncross(config)
        m.submodules.fillable = fillable = Fillable(config)
        search = ladder.search
        m.d.comb += [
            selection.command.eq(command),
            selection.window.eq(window),
            selection.bests.eq(bests),
            selection.settled.eq(ladder.settled),
            selection.order.eq(removed),
            uncross.call.eq(data.View(CallEnd, command.body)),
            uncross.indicates.eq(command.action == Action.INDICATE),
            uncross.bests.eq(bests),
            uncross.settled.eq(ladder.settled & ~ladder.settling),
            uncross.bid.eq(pool.order),
            uncross.bid_next.eq(pool.next),
            uncross.ask.eq(pool.maker),
            uncross.ask_next.eq(pool.maker_next),
            uncross.waiting.eq(depth.due),
            fillable.taker.eq(taker),
            fillable.line.eq(level_line),
            fillable.price_ticks.eq(maker.price_ticks),
            fillable.limit_ticks.eq(limit_ticks),
            fillable.order.eq(pool.order),
            fillable.next.eq(pool.next),
        ]
        for walker in (selection, uncross, fillable):
            m.d.comb += [
                walker.level.eq(ladder.level),
                walker.search_taken.eq(search.ready),
                walker.found_valid.eq(ladder.found.valid),
                walker.found.eq(ladder.found.payload),
            ]

        def walk(walker):
            """Ports and search of the ladder are for a component that walks along it."""
            m.d.comb += [
                walker.go.eq(1),
                pool.read.eq(walker.read),
                pool.read_enable.eq(1),
                own_line.eq(walker.read_line),
                reads_level.eq(1),
                search.valid.eq(walker.search),
                ladder.found.ready.eq(1),
            ]
            m.d.sync += level_line.eq(walker.search_line)

        # How the states below go to those that the registers tell of.
        def leave(state):
            m.next = state
            m.d.sync += executing.eq(0)

        def come_back():
            m.next = "EXECUTE"
            m.d.sync += [executing.eq(1), ends.eq(0)]

        def finish(state):
            leave(state)
            m.d.sync += ends.eq(1)

        def carry_out_answer():
            drafts.kind(command.kind, reason=command.reason)
            m.d.comb += [
                header.side.eq(command.side),
                follow.eq(Mux(command.last, Follow.LAST, Follow.MORE)),
                drafts.body.eq(command.body),
            ]

        def carry_out_set_instrument():
            definition = data.View(SetInstrument, command.body)
            drafts.kind(ReportKind.DONE)
            with m.If(drafted):
                m.d.comb += [
                    windows.write.enable.eq(1),
                    windows.write.address.eq(instrument),
                    windows.write.row.base_ticks.eq(definition.window_base_ticks),
                    windows.write.row.offset.eq(definition.ladder_offset),
                    windows.write.row.log2.eq(definition.window_log2),
                ]
                for switch, flag in (
                    (news.market_data.follow, InstrumentFlags.TOP_OF_BOOK),
                    (depth.follow, InstrumentFlags.DEPTH),
                ):
                    m.d.comb += [
                        switch.enable.eq(1),
                        switch.instrument.eq(instrument),
                        switch.told.eq((Value.cast(definition.flags) & flag.value) != 0),
                    ]
                m.d.sync += multipliers[instrument].eq(definition.multiplier_quote)
                finish("RETIRE")

        def carry_out_new():
            order = Signal(order_shape)
            flags = Value.cast(entry.flags)
            m.d.comb += [
                order.quantity_lots.eq(entry.quantity_lots),
                order.price_ticks.eq(command.price_ticks),
                order.account.eq(entry.account),
                order.instrument.eq(command.cause.instrument),
                order.sell.eq(entry.side == Side.SELL),
                order.generation.eq(entry.generation),
                order.self_trade_prevention.eq(entry.self_trade_prevention),
                order.post_only.eq((flags & OrderFlags.POST_ONLY.value) != 0),
                order.reduce_only.eq((flags & OrderFlags.REDUCE_ONLY.value) != 0),
                order.market.eq(entry.order_type == OrderType.MARKET),
            ]
            accepted, rests = Signal(), Signal()
            verdict, crosses = found.verdict, order.post_only & found.takes
            m.d.comb += accepted.eq(~(verdict.in_use | verdict.same_generation | crosses))
            with m.If(~accepted):
                used = Mux(verdict.in_use, Reason.SLOT_IN_USE, Reason.GENERATION_USED)
                drafts.rejected(
                    Mux(verdict.in_use | verdict.same_generation, used, Reason.POST_ONLY), ~order.reduce_only
                )
            with m.Else():
                drafts.kind(ReportKind.ACCEPTED)
                drafts.order(order, entry_token, order.quantity_lots, order.quantity_lots)
                m.d.comb += follow.eq(Mux(single, Follow.LAST, Follow.MORE))
            m.d.comb += rests.eq(accepted & single & drafted)
            posts.rest(order, entry_token, found.line, found.level, rests)
            with m.If(rests & order.market):
                m.d.sync += marked.eq(1)
            posts.order(entry_token, order, Mux(single, order.quantity_lots, 0), accepted & drafted)
            m.d.sync += [
                taker.eq(order),
                taker_token.eq(entry_token),
                immediate.eq(command.immediate),
                cancel_reason.eq(
                    Mux(fok, Reason.NOT_FILLABLE, Mux(command.immediate, Reason.IMMEDIATE_REST, Reason.BAND_MOVED))
                ),
                maker.eq(found.maker),
                maker_next.eq(found.maker_next),
                level.eq(found.level),
                level_line.eq(found.line),
            ]
            with m.If(drafted & ~single):
                m.d.sync += executing.eq(0)
                with m.If(~accepted):
                    finish("RETIRE")
                with m.Elif(~found.takes):
                    finish("CANCEL_TAKER")
                with m.Elif(fok):
                    m.next = "LOOK"
                with m.Else():
                    m.next = "MATCH_MAKER"

        def carry_out_cancel():
            order = found.order
            leaves = found.verdict.named & drafted
            posts.unlink(order, entry_token, found.next, found.previous, found.line, found.level, leaves)
            with m.If(found.verdict.named):
                drafts.canceled(order, entry_token, order.quantity_lots, 0, Reason.REQUESTED)
            with m.Else():
                drafts.rejected(Reason.UNKNOWN_ORDER, 0)
                m.d.comb += header.side.eq(0)

        old_quote = Signal(RESERVE_BITS)
        outweighed = Signal()  # the old order's reserve does not cover the new one, nor what is owed

        def look_at_replaced():
            """Compare the old order with the new one, which may take.

            What is posted for its slot has been waited for (`reader.hold`), so registers have all there is to know.
            """
            found = reader.found
            order = found.order
            expected = amendment.expected_quantity_lots
            keeps_place = (order.price_ticks == command.price_ticks) & (entry.quantity_lots <= order.quantity_lots)
            owing = (command.deficit_quote != 0) & ~order.reduce_only
            m.d.sync += [
                unknown.eq(~found.verdict.named | (Value.cast(entry.side) != sides(order.sell))),
                barred.eq(order.reduce_only & ~privileged),
                crosses.eq(order.post_only & found.takes),
                mismatched.eq((expected != 0) & (expected != order.quantity_lots)),
                same_price.eq(order.price_ticks == command.price_ticks),
                at_best.eq(reader.at_best),
                in_place.eq(keeps_place),
                owes.eq(owing),
                taker.eq(order),
                taker.quantity_lots.eq(entry.quantity_lots),
                taker.price_ticks.eq(command.price_ticks),
                taker_token.eq(entry_token),
                taker_line.eq(line_of(window, order.sell, command.price_ticks, row_bits)),
                immediate.eq(0),
                cancel_reason.eq(Reason.BAND_MOVED),
            ]
            with m.If(able):
                leave("REPLACE")
                m.d.sync += ends.eq(keeps_place & ~owing)

        def replace():
            found = reader.found
            order, replaced = found.order, taker
            accepted, weighs = Signal(), Signal()
            reason = Signal(Reason, init=Reason.UNKNOWN_ORDER)
            with m.If(unknown):
                m.d.comb += reason.eq(Reason.UNKNOWN_ORDER)
            with m.Elif(barred):
                m.d.comb += reason.eq(Reason.NOT_PRIVILEGED)
            with m.Elif(mismatched):
                m.d.comb += reason.eq(Reason.QUANTITY_MISMATCH)
            with m.Elif(command.halted & ~in_place):
                m.d.comb += reason.eq(Reason.HALTED)
            with m.Elif(owes & ~weighed):
                m.d.comb += weighs.eq(1)
            with m.Elif(owes & outweighed):
                m.d.comb += reason.eq(Reason.CREDIT)
            with m.Elif(crosses & ~in_place):  # a halted book may stand crossed
                m.d.comb += reason.eq(Reason.POST_ONLY)
            with m.Else():
                m.d.comb += accepted.eq(1)
            with m.If(~accepted & ~weighs):
                drafts.rejected(reason, 1)
            with m.If(accepted):
                drafts.kind(ReportKind.REPLACED)
                drafts.order(replaced, entry_token, entry.quantity_lots, entry.quantity_lots)
                # A reduce-only order holds no reserve: what the guard has set aside for the new one returns.
                returned = Signal(order_shape)
                m.d.comb += returned.eq(Mux(order.reduce_only, replaced, order))
                drafts.return_reserve(returned, returned.quantity_lots)
                m.d.comb += [drafts.releasing.eq(1), follow.eq(Mux(~in_place & found.takes, Follow.MORE, Follow.LAST))]
            with m.If(in_place):
                changed = posts.level(found.line, order.price_ticks, accepted & drafted)
                m.d.comb += [
                    changed.level.eq(found.level),
                    changed.level.quantity_lots.eq(
                        found.level.quantity_lots - order.quantity_lots + entry.quantity_lots
                    ),
                ]
                posts.order(entry_token, replaced, entry.quantity_lots, accepted & drafted)
            with m.Else():
                m.d.sync += taker.market.eq(0)
                read_level(taker_line)
                enabled = accepted & drafted
                posts.unlink(order, entry_token, found.next, found.previous, found.line, found.level, enabled)
            with m.If(weighs):
                m.next = "WEIGH_LOTS"
            with m.Elif(drafted):
                m.d.sync += weighed.eq(0)
                with m.If(ends):
                    come_back()
                with m.Elif(~accepted):
                    finish("RETIRE")
                with m.Elif(found.takes):
                    m.next = "MATCH_SETTLE"
                with m.Elif(same_price | (at_best & (found.level.head == found.level.tail))):
                    m.next = "REST_SETTLE"  # its level, or the ladder, is not ready to be read at once
                with m.Elif(ladder.settled):
                    m.next = "REST_READ"
                with m.Else():
                    m.next = "REST_LEVEL"

        # The level behind an emptied one follows while that is carried out, or later; self-trade prevention may still
        # be at the emptied one then.
        behind = ladder.behind
        reaches_behind = behind.any & Mux(
            taker.sell, behind.price_ticks >= limit_ticks, behind.price_ticks <= limit_ticks
        )
        with m.If(ladder.ahead & ladder.follows):
            m.d.sync += [
                followed.eq(1),
                reaches_next.eq(reaches_behind),
                level.eq(behind.level),
                level_line.eq(behind.line),
            ]

        def bound():
            """The first maker that the taker meets bounds how far it may trade."""
            near_ticks = Mux(taker.sell, taker.price_ticks, maker.price_ticks) + reach_ticks
            stops = (reach_ticks != 0) & (near_ticks < Mux(taker.sell, maker.price_ticks, taker.price_ticks))
            with m.If(~bounded):
                m.d.sync += [bounded.eq(1), stopped.eq(stops), limit_ticks.eq(taker.price_ticks)]
                with m.If(stops):
                    m.d.sync += [
                        limit_ticks.eq(Mux(taker.sell, maker.price_ticks - reach_ticks, near_ticks)),
                        immediate.eq(1),
                    ]

        with m.FSM() as fsm:
            m.d.comb += [
                ladder.ahead.eq(
                    Cat(
                        fsm.ongoing(state)
                        for state in ("MATCH_MAKER", "MATCH_FETCH", "MATCH_NEXT", "MATCH_TELL", "SELF_TAKER")
                    ).any()
                ),
                self.trading.eq(self.traded.valid | Cat(fsm.ongoing(state) for state in TAKING).any()),
            ]
            with m.State("EXECUTE"):
                m.d.sync += [count.eq(0), followed.eq(0), bounded.eq(0), stopped.eq(0)]
                m.d.comb += able.eq(present & ~(reads & reader.stale))
                with m.Switch(command.action):
                    for action, carry_out in (
                        (Action.ANSWER, carry_out_answer),
                        (Action.SET_INSTRUMENT, carry_out_set_instrument),
                        (Action.NEW, carry_out_new),
                        (Action.CANCEL, carry_out_cancel),
                    ):
                        with m.Case(action):
                            carry_out()
                    with m.Case(Action.REPLACE):
                        look_at_replaced()
                    with m.Case(Action.SWEEP):
                        with m.If(able):
                            leave("SELECT")
                            with m.If(command.markets & ~marked):
                                finish("RETIRE")
                    with m.Case(Action.MOVE_BAND, Action.MOVE_WINDOW):
                        with m.If(able):
                            leave("SELECT")
                    with m.Case(Action.UNCROSS, Action.INDICATE):
                        with m.If(able):
                            leave("AUCTION")
                with m.If(news.due):
                    leave("TELL")
                with m.Elif(present & reads & reader.stale):
                    with m.If(posted.order.enable):
                        leave("AGAIN")
                    with m.Else():
                        m.d.comb += reader.again.eq(1)
                        leave("AGAIN_READ")
            with m.State("TELL"):
                news.tell(own_line, reads_level)
                with m.If(~(depth.due | news.market_data.due | reviews.due)):
                    come_back()
            with m.State("REPLACE"):
                replace()
            with m.State("RETIRE"):
                with m.If(slot.drafts.ready & drafts.free):
                    come_back()
            with m.State("AGAIN"):
                m.d.comb += reader.again.eq(1)
                m.next = "AGAIN_READ"
            with m.State("AGAIN_READ"):
                with m.If(~reader.stale):
                    come_back()

            with m.State("LOOK"):
                bound()
                walk(fillable)
                with m.If(fillable.enough):
                    m.next = "MATCH"
                with m.Elif(fillable.falls_short):
                    finish("CANCEL_TAKER")

            with m.State("MATCH_SETTLE"):
                m.next = "MATCH"
            with m.State("MATCH"):
                m.d.sync += level_line.eq(facing.line)
                read_level(facing.line)
                read_maker(facing.head)
                with m.If(ladder.settled):
                    m.next = "MATCH_LEVEL"
            with m.State("REST_SETTLE"):
                m.next = "REST_LEVEL"
            with m.State("REST_LEVEL"):
                read_level(taker_line)
                with m.If(ladder.settled):
                    m.next = "REST_READ"
            with m.State("REST_READ"):
                m.d.sync += level.eq(ladder.level)
                m.next = "REST"
            with m.State("MATCH_LEVEL"):
                m.d.sync += [level.eq(ladder.level), maker.eq(pool.maker), maker_next.eq(pool.maker_next)]
                m.next = "MATCH_MAKER"
                with m.If(depth.due):
                    m.next = "MATCH_TELL"
            with m.State("MATCH_TELL"):
                news.tell_level()
                read_maker(level.head)
                with m.If(~depth.due):
                    m.next = "MATCH_FETCH"
            with m.State("MATCH_FETCH"):
                m.d.sync += [maker.eq(pool.maker), maker_next.eq(pool.maker_next)]
                m.next = "MATCH_MAKER"

            with m.State("MATCH_NEXT"):
                read_maker(level.head)
                m.d.comb += reads_behind.eq(~followed)
                with m.If(followed | ladder.follows):
                    m.d.sync += followed.eq(0)
                    with m.If(Mux(followed, reaches_next, reaches_behind)):
                        m.next = "MATCH_FETCH"
                        with m.If(depth.due):
                            m.next = "MATCH_TELL"
                    with m.Elif(immediate):
                        finish("CANCEL_TAKER")
                    with m.Else():
                        m.next = "REST_LEVEL"

            def go_on(spent, vanished):
                """Where a taker goes that is done with a maker."""
                with m.If(spent):
                    finish("RETIRE")
                with m.Elif(vanished):
                    m.next = "MATCH_NEXT"
                with m.Else():
                    m.next = "MATCH_FETCH"

            def follow_of(spent, vanished):
                return Mux(spent, Follow.LAST, Mux(immediate | ~vanished, Follow.MORE, Follow.UNKNOWN))

            decremented = Signal(32)
            mode = taker.self_trade_prevention
            with m.State("MATCH_MAKER"):
                bound()
                self_trade = (maker.account == taker.account) & (mode != SelfTradePrevention.OFF)
                newest = self_trade & (mode == SelfTradePrevention.CANCEL_NEWEST)
                both = self_trade & (mode == SelfTradePrevention.CANCEL_BOTH)
                decrements = self_trade & (mode == SelfTradePrevention.DECREMENT)
                meets = ~self_trade | decrements  # the smaller quantity is taken from both
                m.d.comb += able.eq(~self.traded.valid)
                # Each of these is a comparison or a difference of registers: none waits for another.
                read_maker(maker_next)
                maker_larger = maker.quantity_lots > taker.quantity_lots
                taker_larger = taker.quantity_lots > maker.quantity_lots
                taken = Signal(32)
                maker_left = Signal(32)
                taker_left = Signal(32)
                gone = ~meets | ~maker_larger
                spent = meets & ~taker_larger
                vanished = Signal()
                m.d.comb += [
                    taken.eq(Mux(gone, maker.quantity_lots, taker.quantity_lots)),
                    maker_left.eq(Mux(gone, 0, maker.quantity_lots - taker.quantity_lots)),
                    taker_left.eq(
                        Mux(meets, Mux(taker_larger, taker.quantity_lots - maker.quantity_lots, 0), taker.quantity_lots)
                    ),
                    vanished.eq(gone & (level.head == level.tail)),
                ]
                with m.If(newest):
                    drafts.canceled(taker, taker_token, taker.quantity_lots, 0, Reason.SELF_TRADE)
                    with m.If(drafted):
                        finish("RETIRE")
                with m.Else():
                    with m.If(self_trade):
                        drafts.canceled(maker, level.head, taken, maker_left, Reason.SELF_TRADE)
                    with m.Else():
                        drafts.kind(ReportKind.TRADE)
                        drafts.order(taker, taker_token, taken, taker_left)
                        drafts.maker(maker, level.head, maker_left)
                        m.d.comb += draft.price_ticks.eq(maker.price_ticks)
                    m.d.comb += follow.eq(Mux(both | decrements, Follow.MORE, follow_of(spent, vanished)))
                    left = Signal(level_shape)
                    changed = posts.level(level_line, maker.price_ticks, drafted)
                    m.d.comb += [
                        left.any.eq(~vanished),
                        left.head.eq(Mux(gone, maker_next, level.head)),
                        left.tail.eq(level.tail),
                        left.quantity_lots.eq(level.quantity_lots - taken),
                        changed.level.eq(left),
                        changed.vanished.eq(vanished),
                    ]
                    posts.order(level.head, maker, maker_left, drafted)
                    with m.If(drafted):
                        m.d.sync += [
                            level.eq(left),
                            level_vanished.eq(vanished),
                            taker.quantity_lots.eq(taker_left),
                            decremented.eq(taken),
                        ]
                        with m.If(~self_trade):
                            tell_trade(maker.price_ticks)
                            m.d.comb += reviews.traded.eq(1)
                        with m.If(both | decrements):
                            m.next = "SELF_TAKER"
                        with m.Else():
                            go_on(spent, vanished)
            with m.State("SELF_TAKER"):
                both = mode == SelfTradePrevention.CANCEL_BOTH
                quantity = Mux(both, taker.quantity_lots, decremented)
                left = Mux(both, 0, taker.quantity_lots)
                spent = both | (taker.quantity_lots == 0)
                drafts.canceled(taker, taker_token, quantity, left, Reason.SELF_TRADE)
                m.d.comb += follow.eq(follow_of(spent, level_vanished))
                read_maker(level.head)
                with m.If(drafted):
                    go_on(spent, level_vanished)

            with m.State("CANCEL_TAKER"):
                drafts.canceled(taker, taker_token, taker.quantity_lots, 0, cancel_reason)
                m.d.comb += reviews.stranded.eq(
                    drafted
                    & (
                        (cancel_reason == Reason.BAND_MOVED)
                        | ((cancel_reason == Reason.IMMEDIATE_REST) & (command.at_bound | stopped))
                    )
                )
                with m.If(drafted):
                    come_back()
            with m.State("REST"):
                posts.rest(taker, taker_token, taker_line, level, 1)
                posts.order(taker_token, taker, taker.quantity_lots, 1)
                m.d.comb += slot.end.eq(1)
                finish("RETIRE")

            product, multiplier_quote = Signal(RESERVE_BITS), Signal(16)
            with m.State("WEIGH_LOTS"):
                m.d.sync += [
                    product.eq(reader.found.order.quantity_lots * reader.found.order.price_ticks),
                    multiplier_quote.eq(multipliers[instrument]),
                ]
                m.next = "WEIGH_QUOTE"
            with m.State("WEIGH_QUOTE"):
                m.d.sync += old_quote.eq(product * multiplier_quote)
                m.next = "WEIGH"
            with m.State("WEIGH"):
                m.d.sync += [
                    outweighed.eq((old_quote < command.reserve_quote) & (old_quote < command.deficit_quote)),
                    weighed.eq(1),
                    ends.eq(in_place),
                ]
                m.next = "REPLACE"

            # Orders are chosen, one by one, and leave.
            with m.State("SELECT"):
                walk(selection)
                with m.If(selection.chosen):
                    m.d.sync += removed_token.eq(selection.token)
                    m.next = "REMOVE"
                with m.Else():
                    m.d.sync += [
                        removed.eq(pool.order),
                        removed_next.eq(pool.next),
                        removed_previous.eq(pool.previous),
                    ]
                with m.If(selection.ended):
                    m.next = "SELECTED"
            with m.State("REMOVE"):
                read_level(removed_line)
                with m.If(ladder.settled):
                    drafts.canceled(removed, removed_token, removed.quantity_lots, 0, command.reason)
                    m.d.comb += [
                        follow.eq(Follow.MORE),
                        header.instrument.eq(removed.instrument),
                        drafts.release.instrument.eq(removed.instrument),
                    ]
                    with m.If(drafted):
                        m.d.sync += count.eq(count + 1)
                        m.next = "REMOVE_LEVEL"
            with m.State("REMOVE_LEVEL"):
                m.d.sync += level.eq(ladder.level)
                m.next = "REMOVE_UNLINK"
            with m.State("REMOVE_UNLINK"):
                m.d.comb += posting.change.instrument.eq(removed.instrument)
                posts.unlink(removed, removed_token, removed_next, removed_previous, removed_line, level, 1)
                m.next = "REMOVE_SETTLE"
            with m.State("REMOVE_SETTLE"):
                news.tell_level()
                with m.If(~depth.due):
                    m.next = "SELECT"
            with m.State("SELECTED"):
                done = data.View(Done, draft)
                with m.If(command.action == Action.MOVE_BAND):
                    drafts.kind(ReportKind.BAND_MOVED)
                    m.d.comb += [
                        drafts.body.eq(command.body[STATIC_BAND]),
                        follow.eq(Mux(command.last, Follow.LAST, Follow.MORE)),
                    ]
                with m.Elif(~command.markets):
                    drafts.kind(ReportKind.DONE)
                    m.d.comb += done.count.eq(count)
                    with m.If(command.action == Action.MOVE_WINDOW):
                        m.d.comb += [
                            windows.write.enable.eq(drafted),
                            windows.write.address.eq(instrument),
                            windows.write.row.eq(window),
                            windows.write.row.base_ticks.eq(data.View(MoveWindow, command.body).window_base_ticks),
                        ]
                    with m.Elif(command.everyone):
                        m.d.comb += header.reason.eq(command.reason)
                    with m.Else():
                        m.d.comb += done.account.eq(data.View(AccountCommand, command.body).account)
                with m.Else():
                    m.d.sync += marked.eq(0)
                with m.If(drafted | command.markets):
                    finish("RETIRE")

            with m.State("AUCTION"):
                walk(uncross)
                m.d.comb += [
                    own_maker.eq(uncross.read_maker),
                    reads_maker.eq(1),
                    posting.order.eq(uncross.posting.order),
                    posting.change.eq(uncross.posting.change),
                    posting.change.instrument.eq(instrument),
                    uncross.drafted.eq(drafted),
                    follow.eq(Follow.MORE),
                ]
                found = uncross.discovered
                with m.If(uncross.telling):
                    news.tell_level()
                with m.Elif(uncross.trading):
                    buyer, seller = uncross.buyer, uncross.seller
                    drafts.kind(ReportKind.TRADE)
                    drafts.order(buyer.order, buyer.token, uncross.quantity_lots, uncross.buyer_left_lots)
                    drafts.maker(seller.order, seller.token, uncross.seller_left_lots)
                    m.d.comb += [header.side.eq(0), draft.price_ticks.eq(found.price_ticks)]
                    with m.If(drafted):
                        m.d.sync += count.eq(count + 1)
                with m.Elif(uncross.ended):
                    result = data.View(Auction, draft)
                    m.d.comb += [
                        able.eq(~self.traded.valid),
                        drafts.active.eq(uncross.indicates | uncross.within),
                        header.kind.eq(Mux(uncross.indicates, ReportKind.INDICATIVE, ReportKind.UNCROSSED)),
                        header.side.eq(Mux(found.bids_left, Side.BUY.value, Mux(found.asks_left, Side.SELL.value, 0))),
                        follow.eq(Mux(uncross.indicates, Follow.LAST, Follow.MORE)),
                        result.price_ticks.eq(found.price_ticks),
                        result.trades.eq(count),
                        result.volume_lots.eq(found.volume_lots),
                        result.surplus_lots.eq(found.surplus_lots),
                    ]
                    with m.If(drafted | ~drafts.active):
                        finish("RETIRE")
                        with m.If(~uncross.indicates):
                            m.d.sync += [
                                self.uncrossed.within.eq(uncross.within),
                                self.uncrossed.any.eq(found.any),
                                self.uncrossed.price_ticks.eq(found.price_ticks),
                            ]
                        with m.If(~uncross.indicates & uncross.within & found.any):
                            tell_trade(found.price_ticks, auction=1)
        return m
