"""The engine: carries out one guarded command after the other on the order pool and the ladder.

A command whose findings (`hdl.book.reader`) are fresh is carried out in EXECUTE, and most are *single*: through in that
cycle, which is known by registers alone. What they change is posted, and carried out in the next cycle
(`hdl.book.posting`). The others go on (each state takes a cycle and waits where a report cannot leave yet):

    stale findings    AGAIN* -> EXECUTE
    a taker           (LOOK, fill-or-kill) -> MATCH* / SELF_TAKER ... -> RETIRE, CANCEL_TAKER or REST
                      (`hdl.book.matching`)
    a replace         REPLACE (-> WEIGH* -> REPLACE, where credit hangs on it) -> RETIRE, REST* or MATCH*
                      (`hdl.book.replacing`)
    what cancels many SELECT -> REMOVE* -> SELECT ... -> SELECTED -> RETIRE: a sweep, a band or a window that moves
                      (`hdl.book.removing`)
    an auction        AUCTION (`hdl.book.uncross`) -> RETIRE

    market data       TELL -> EXECUTE, before the next command (`hdl.book.market_data`, `hdl.book.depth`); levels also
                      in MATCH_TELL, before a taker meets the first order of a level, in REMOVE_SETTLE and in AUCTION
    the breaker       is asked in TELL, behind the market data (`hdl.book.reviews`)
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..beats import (
    Action,
    Best,
    CallEnd,
    GuardedCommand,
    Preview,
    Release,
    Review,
    Single,
    Traded,
    Uncrossed,
    Verdict,
)
from ..config import BookConfig
from ..protocol.commands import InstrumentFlags, NewOrder, OrderFlags, OrderType, SetInstrument, Side, TimeInForce
from ..protocol.reports import Auction, Reason, ReportKind
from . import matching, replacing
from .desk import Desk
from .matching import Matching
from .removing import Removing
from .replacing import Replacing
from .report_slot import Follow
from .uncross import Uncross


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
        command = self.commands.payload
        desk = Desk(m, config, command, self.reports, self.released, self.traded)
        pool, ladder, windows, reader, slot = desk.pool, desk.ladder, desk.windows, desk.reader, desk.slot
        instrument, posting, posted = desk.instrument, desk.posting, desk.posted
        news, drafts, draft, header = desk.news, desk.drafts, desk.drafts.report, desk.drafts.header
        depth, reviews = news.depth, news.reviews
        matches = Matching(m, config, desk, self.reach_ticks, self.traded.valid)
        replaces = Replacing(m, config, desk)
        removes = Removing(m, config, desk)
        found = reader.findings
        bests, bests_of_a, *_, bests_of = ladder.bests

        m.d.sync += self.ready.eq(pool.ready & ladder.ready)
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
            reader.posted.eq(posted),
            reader.window.eq(desk.window),
            reader.a_window.eq(windows.rows[2]),
            reader.bests.eq(bests),
            reader.a_bests.eq(bests_of_a),
            windows.looked_at[0].eq(instrument),
            windows.looked_at[2].eq(reader.a_instrument),
            windows.looked_at[3].eq(posting.change.instrument),
            ladder.coming_window.eq(windows.rows[3]),
            slot.cycle.eq(self.cycle),
            reviews.dynamic.eq(self.dynamic),
            reviews.watched.eq(self.watched),
            self.resting.eq(ladder.resting),
            self.busy.eq(~self.ready | ~ladder.settled | news.due),
            self.working.eq(self.busy | posted.change.enable),
        ]
        lookers = (instrument, reader.a_instrument, news.market_data.instrument, reviews.instrument, self.looked_at)
        m.d.comb += [
            *(looked_at.eq(each) for looked_at, each in zip(ladder.looked_at, lookers, strict=True)),
            *(
                shown[name].eq(best[name])
                for shown, best in zip((self.bests_of.bid, self.bests_of.ask), bests_of, strict=True)
                for name in Best.as_shape().members
            ),
        ]
        wiring.connect(m, reviews.review, wiring.flipped(self.review))
        wiring.connect(m, reviews.verdict, wiring.flipped(self.verdict))

        always, if_apt = command.single == Single.ALWAYS, command.single == Single.IF_APT
        single = Signal()
        ends_now = Signal()  # it is carried out in this cycle if it is at all
        able = Signal()  # there is one, and nothing has to be told or sought first
        present = Signal()
        reads = (command.action == Action.NEW) | (command.action == Action.CANCEL) | (command.action == Action.REPLACE)
        m.d.comb += [
            reader.single.eq(self.commands.valid & (single | (command.action == Action.REPLACE))),
            single.eq(always | (if_apt & ~((command.action == Action.NEW) & found.takes))),
            able.eq(self.commands.valid & ladder.settled & ~news.due),
            present.eq(able & (always | (~reader.hold & ~(ladder.settling & found.takes)))),
            ends_now.eq(always | (if_apt & reader.apt)),  # what is apt does not take, and is not on hold
            self.commands.ready.eq(slot.drafts.ready & drafts.free & (desk.ends | (desk.executing & able & ends_now))),
        ]
        with m.If(desk.executing & self.commands.valid & ~news.due):
            news.follow(command)

        def carry_out_answer():
            drafts.kind(command.kind, reason=command.reason)
            m.d.comb += [
                header.side.eq(command.side),
                drafts.follow.eq(Mux(command.last, Follow.LAST, Follow.MORE)),
                drafts.body.eq(command.body),
            ]

        def carry_out_set_instrument():
            definition = data.View(SetInstrument, command.body)
            drafts.kind(ReportKind.DONE)
            with m.If(drafts.able):
                m.d.sync += replaces.multipliers[instrument].eq(definition.multiplier_quote)
            desk.set_window(definition.window_base_ticks, definition.ladder_offset, definition.window_log2, drafts.done)
            with m.If(drafts.done):
                for switch, flag in (
                    (news.market_data.follow, InstrumentFlags.TOP_OF_BOOK),
                    (depth.follow, InstrumentFlags.DEPTH),
                ):
                    m.d.comb += [
                        switch.enable.eq(1),
                        switch.instrument.eq(instrument),
                        switch.told.eq((Value.cast(definition.flags) & flag.value) != 0),
                    ]
                desk.leave("RETIRE", ends=1)

        def carry_out_new():
            entry = data.View(NewOrder, command.body)
            fok = entry.time_in_force == TimeInForce.FOK
            order = Signal.like(desk.taker)
            flags = Value.cast(entry.flags)
            m.d.comb += [
                order.quantity_lots.eq(entry.quantity_lots),
                order.price_ticks.eq(command.price_ticks),
                order.account.eq(entry.account),
                order.instrument.eq(instrument),
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
                drafts.order(order, desk.token, order.quantity_lots, order.quantity_lots)
                m.d.comb += drafts.follow.eq(Mux(single, Follow.LAST, Follow.MORE))
            m.d.comb += rests.eq(accepted & single & drafts.done)
            desk.posts.rest(order, desk.token, found.line, found.level, rests)
            with m.If(rests & order.market):
                m.d.sync += removes.marked.eq(1)
            desk.posts.order(desk.token, order, Mux(single, order.quantity_lots, 0), accepted & drafts.done)
            m.d.sync += [
                desk.taker.eq(order),
                desk.taker_token.eq(desk.token),
                desk.immediate.eq(command.immediate),
                desk.cancel_reason.eq(
                    Mux(fok, Reason.NOT_FILLABLE, Mux(command.immediate, Reason.IMMEDIATE_REST, Reason.BAND_MOVED))
                ),
                desk.maker.eq(found.maker),
                desk.maker_next.eq(found.maker_next),
                desk.own.eq(found.maker.account == order.account),
                desk.level.eq(found.level),
                desk.level_line.eq(found.line),
                desk.level_price_ticks.eq(bests[~order.sell].price_ticks),
            ]
            with m.If(drafts.done & ~single):
                with m.If(~accepted):
                    desk.leave("RETIRE", ends=1)
                with m.Elif(~found.takes):
                    desk.leave("CANCEL_TAKER", ends=1)
                with m.Elif(fok):
                    desk.leave("LOOK")
                with m.Else():
                    matches.begin()

        def carry_out_cancel():
            order = found.order
            leaves = found.verdict.named & drafts.done
            desk.posts.unlink(order, desk.token, found.next, found.previous, found.line, found.level, leaves)
            with m.If(found.verdict.named):
                drafts.canceled(order, desk.token, order.quantity_lots, 0, Reason.REQUESTED)
            with m.Else():
                drafts.rejected(Reason.UNKNOWN_ORDER, 0)
                m.d.comb += header.side.eq(0)

        m.submodules.uncross = uncross = Uncross(config)
        desk.admit(uncross)
        m.d.comb += [
            uncross.call.eq(data.View(CallEnd, command.body)),
            uncross.indicates.eq(command.action == Action.INDICATE),
            uncross.bests.eq(bests),
            uncross.settled.eq(ladder.settled & ~ladder.settling),
            uncross.bid.eq(pool.order),
            uncross.bid_next.eq(pool.next),
            uncross.ask.eq(pool.maker),
            uncross.ask_next.eq(pool.maker_next),
            uncross.waiting.eq(depth.due),
        ]

        with m.FSM() as fsm:
            ahead = Cat(fsm.ongoing(state) for state in matching.AHEAD)
            taking = Cat(fsm.ongoing(state) for state in (*replacing.STATES, *matching.STATES))
            m.d.comb += [ladder.ahead.eq(ahead.any()), self.trading.eq(self.traded.valid | taking.any())]
            with m.State("EXECUTE"):
                for state, leaves in desk.leaves.items():
                    with m.If(leaves):
                        m.next = state
            with m.State("TELL"):
                news.tell(desk.read_level)
                with m.If(~(depth.due | news.market_data.due | reviews.due)):
                    desk.come_back()
            with m.State("RETIRE"):
                with m.If(slot.drafts.ready & drafts.free):
                    desk.come_back()
            m.d.comb += reader.rereads.eq(
                (desk.executing & self.commands.valid & ~always & reader.stale) | fsm.ongoing("AGAIN")
            )
            with m.State("AGAIN"):
                m.d.comb += reader.again.eq(1)
                m.next = "AGAIN_READ"
            with m.State("AGAIN_READ"):
                with m.If(~reader.stale):
                    desk.come_back()
            replaces.add_states()
            matches.add_states()
            removes.add_states()
            with m.State("AUCTION"):
                desk.walk(uncross)
                desk.read_maker(uncross.read_maker)
                m.d.comb += [
                    posting.order.eq(uncross.posting.order),
                    posting.change.eq(uncross.posting.change),
                    posting.change.instrument.eq(instrument),
                    uncross.drafted.eq(drafts.done),
                    drafts.follow.eq(Follow.MORE),
                ]
                discovered = uncross.discovered
                with m.If(uncross.telling):
                    news.tell_level()
                with m.Elif(uncross.trading):
                    buyer, seller = uncross.buyer, uncross.seller
                    drafts.kind(ReportKind.TRADE)
                    drafts.order(buyer.order, buyer.token, uncross.quantity_lots, uncross.buyer_left_lots)
                    drafts.maker(seller.order, seller.token, uncross.seller_left_lots)
                    m.d.comb += [header.side.eq(0), draft.price_ticks.eq(discovered.price_ticks)]
                    with m.If(drafts.done):
                        m.d.sync += desk.count.eq(desk.count + 1)
                with m.Elif(uncross.ended):
                    result = data.View(Auction, draft)
                    side = Mux(discovered.bids_left, Side.BUY.value, Mux(discovered.asks_left, Side.SELL.value, 0))
                    m.d.comb += [
                        drafts.able.eq(~self.traded.valid),
                        drafts.active.eq(uncross.indicates | uncross.within),
                        header.kind.eq(Mux(uncross.indicates, ReportKind.INDICATIVE, ReportKind.UNCROSSED)),
                        header.side.eq(side),
                        drafts.follow.eq(Mux(uncross.indicates, Follow.LAST, Follow.MORE)),
                        result.price_ticks.eq(discovered.price_ticks),
                        result.trades.eq(desk.count),
                        result.volume_lots.eq(discovered.volume_lots),
                        result.surplus_lots.eq(discovered.surplus_lots),
                    ]
                    with m.If(drafts.done | ~drafts.active):
                        desk.finish("RETIRE")
                        with m.If(~uncross.indicates):
                            m.d.sync += [
                                self.uncrossed.within.eq(uncross.within),
                                self.uncrossed.any.eq(discovered.any),
                                self.uncrossed.price_ticks.eq(discovered.price_ticks),
                            ]
                        with m.If(~uncross.indicates & uncross.within & discovered.any):
                            desk.tell_trade(discovered.price_ticks, 1, auction=1)
        # EXECUTE and MATCH_MAKER stand apart from the other states, behind registers: most is decided there.
        matches.meet()
        with m.If(desk.executing):
            m.d.sync += desk.count.eq(0)
            matches.forget()
            m.d.comb += drafts.able.eq(present & ~(reads & reader.stale))
            with m.Switch(command.action):
                for action, carry_out in (
                    (Action.ANSWER, carry_out_answer),
                    (Action.SET_INSTRUMENT, carry_out_set_instrument),
                    (Action.NEW, carry_out_new),
                    (Action.CANCEL, carry_out_cancel),
                    (Action.REPLACE, replaces.look),
                ):
                    with m.Case(action):
                        carry_out()
                with m.Case(Action.SWEEP):
                    with m.If(drafts.able):
                        with m.If(command.markets & ~removes.marked):
                            desk.leave("RETIRE", ends=1)
                        with m.Else():
                            desk.leave("SELECT")
                with m.Case(Action.MOVE_BAND, Action.MOVE_WINDOW):
                    with m.If(drafts.able):
                        desk.leave("SELECT")
                with m.Case(Action.UNCROSS, Action.INDICATE):
                    with m.If(drafts.able):
                        desk.leave("AUCTION")
            with m.If(news.due):
                desk.leave("TELL")
            with m.Elif(present & reads & reader.stale):
                with m.If(posted.order.enable):
                    desk.leave("AGAIN")
                with m.Else():
                    m.d.comb += reader.again.eq(1)
                    desk.leave("AGAIN_READ")
        return m
