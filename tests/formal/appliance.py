"""Bounded proof of the whole appliance, by what it reports.

It begins in a state that a simulation has reached: memories cleared, the instrument set and trading, credit granted,
the book empty. From there on every cycle brings any command of the order flow, or none, and reports are held back at
will. Or orders rest already: then there is one command, any, and time enough for all that it does. What the claims need
of the book is worked out from the reports: two tokens, `one` and `other`, any two, are followed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

from amaranth.asserts import AnySeq
from amaranth.hdl import Fragment, Module, Mux, Signal, Value
from amaranth.hdl._ast import Statement, _StatementList
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import data, wiring
from amaranth.sim import Simulator, SimulatorContext
from harness import Harness, before, fragments, keeps_contract, some
from proof import Proof

from bandgap.hdl.appliance import Appliance
from bandgap.hdl.book import desk
from bandgap.hdl.book.ladder import Ladder
from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.commands import (
    NewOrder,
    Opcode,
    OrderFlags,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from bandgap.hdl.protocol.reports import Reason, ReportKind, Trade

CONFIG = BookConfig(instruments=1, orders=4, ticks=4, accounts=2, word_bits=2, links=1)
TOKEN_BITS, PRICE_BITS, LOTS_BITS, GENERATION_BITS, NUMBER_BITS = 2, 2, 2, 2, 8
EPOCH = 1
GENERATION = 1
ANSWER_CYCLES = 32
"""Within these every command on a book of three orders is answered."""

SET_UP = (
    struct.pack("<BBHIIIIBB10x", Opcode.SET_INSTRUMENT.value, 0, EPOCH, 1, 0, 0, 1, 2, 0),
    struct.pack("<BBHI24x", Opcode.RESUME.value, 0, EPOCH, 2),
    *(
        struct.pack("<BBHIqI12x", Opcode.GRANT_CREDIT.value, 0, EPOCH, 3 + account, 1 << 40, account)
        for account in range(CONFIG.accounts)  # a replace without credit would be answered too late to be seen
    ),
)


@dataclass(frozen=True)
class Resting:
    """An order that rests at first; its slot is its place among those, its generation is `GENERATION`."""

    side: Side
    price_ticks: int
    lots: int
    account: int = 0


def resting_orders(resting: tuple[Resting, ...], number: int) -> Iterator[bytes]:
    """The commands that bring these orders, numbered from `number` on."""
    for token, order in enumerate(resting):
        yield struct.pack(
            "<BBHIIIIHHBBBBB3x",
            *(Opcode.NEW_ORDER.value, 0, EPOCH, number + token),
            *(order.price_ticks, order.lots, order.account, token, GENERATION),
            *(order.side.value, OrderType.LIMIT.value, TimeInForce.GTC.value),
            *(SelfTradePrevention.OFF.value, OrderFlags.REDUCE_ONLY.value),
        )


def settled(appliance: Appliance, set_up: tuple[bytes, ...] = SET_UP) -> Fragment:
    """The appliance, whose first state is the one behind `set_up`."""
    fragment = Fragment.get(appliance, None)
    simulator = Simulator(fragment)
    simulator.add_clock(1e-8)

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(appliance.reports.ready, 1)
        for command in set_up:
            ctx.set(appliance.commands.payload.command, int.from_bytes(command, "little"))
            ctx.set(appliance.commands.valid, 1)
            await ctx.tick().until(appliance.commands.ready)
        ctx.set(appliance.commands.valid, 0)
        ctx.set(appliance.commands.payload.command, 0)
        await ctx.tick().until(appliance.idle)
        await ctx.tick().repeat(8)
        for inner in fragments(fragment):
            for signal in inner.statements.get("sync", _StatementList())._lhs_signals():
                signal._init = ctx.get(signal)
            if isinstance(inner, MemoryInstance):
                raw = inner._data._init._raw
                raw[:] = [ctx.get(Value.cast(inner._data[index])) for index in range(len(raw))]

    simulator.add_testbench(bench)
    simulator.run()
    for inner in fragments(fragment):
        inner.domains.clear()  # the simulator's; the harness brings its own
    return fragment


class Followed:
    """What the reports say of one token.

    Attributes
    ----------
    live : It has open quantity: it rests or takes.
    rests : It rests.
    lots, price_ticks, sell, generation, account : The order's.
    """

    def __init__(self, token: Value, name: str):
        self.token = token
        self.live, self.rests, self.sell, self.account = (
            Signal(name=f"{name}_{what}") for what in ("live", "rests", "sell", "account")
        )
        self.lots, self.price_ticks = Signal(LOTS_BITS, name=f"{name}_lots"), Signal(PRICE_BITS, name=f"{name}_price")
        self.generation = Signal(GENERATION_BITS, name=f"{name}_generation")

    def begin(self, order: Resting) -> list[Statement]:
        """The token is that order's."""
        return [
            self.live.eq(1),
            self.rests.eq(1),
            self.lots.eq(order.lots),
            self.price_ticks.eq(order.price_ticks),
            self.sell.eq(order.side == Side.SELL),
            self.generation.eq(GENERATION),
            self.account.eq(order.account),
        ]


class SeenLadder(Ladder):
    """The ladder on a desk, in sight: `last` is the one that was made last."""

    last: Ladder

    def __init__(self, config: BookConfig, readers: int):
        super().__init__(config, readers)
        SeenLadder.last = self


class Market(Harness):
    """Any two orders: quantity is conserved, queues are first in first out, nothing stands crossed, each command ends
    once.

    A token is accepted only while no order rests there, rejected as in use or canceled only while one does; a trade
    takes the best maker, of equals the first that came, at its price; every report belongs to the oldest
    command without its LAST.

    Parameters
    ----------
    calm : Only new orders (GTC, IOC) and cancels, without self-trade prevention, and reports are always taken.
    resting : Orders that rest at first. Then there is one command, its reports are always taken, and it is answered
        within `ANSWER_CYCLES`.
    """

    memories_start_with_anything = False

    def __init__(self, calm: bool = False, resting: tuple[Resting, ...] = (), faulty: bool = False):
        self._calm, self._resting = calm, resting
        super().__init__(faulty)

    def describe(self, m: Module) -> None:
        appliance = Appliance(CONFIG)
        with patch.object(desk, "Ladder", SeenLadder):
            m.submodules.dut = settled(appliance, (*SET_UP, *resting_orders(self._resting, len(SET_UP) + 1)))
        self._promises(m, SeenLadder.last)
        commands, reports = appliance.commands, appliance.reports
        sent = Signal(NUMBER_BITS, init=1)
        takes, leaves = commands.valid & commands.ready, reports.valid & reports.ready
        m.d.comb += reports.ready.eq(1 if self._calm or self._resting else AnySeq(1))
        self._commands(m, commands, sent)
        m.d.sync += sent.eq(sent + takes)
        first = Signal(init=1)  # cycle
        m.d.sync += first.eq(0)
        if self._resting:
            self.assume(m, commands.valid == (~first & (sent == 1)))

        report = data.View(Trade, Value.cast(reports.payload))
        header = report.header
        kind, reason = header.kind, header.reason
        last = Value.cast(header.flags)[0]

        # Every report belongs to the oldest command without its LAST.
        oldest = Signal(NUMBER_BITS, init=1)
        m.d.sync += oldest.eq(oldest + (leaves & last))
        self.claim(m, "reports_in_order", ~reports.valid | ((header.command_number == oldest) & (oldest != sent)))
        self.claim(m, "contract", keeps_contract(m, reports))

        # Two tokens, any.
        one = Followed(some(m, TOKEN_BITS, "one"), "one")
        other = Followed(some(m, TOKEN_BITS, "other"), "other")
        self.assume(m, one.token != other.token)
        one_first = Signal()  # of two orders that rest, `one` has come to rest before `other`
        for mine, is_first in ((one, 0), (other, 1)):
            comes_to_rest = self._follow(m, mine, report, leaves, last)
            with m.If(comes_to_rest):
                m.d.sync += one_first.eq(is_first)
            for token, order in enumerate(self._resting):
                with m.If(first & (mine.token == token)):
                    m.d.sync += mine.begin(order)
        with m.If(first):
            m.d.sync += one_first.eq(one.token < other.token)

        trades = leaves & (kind == ReportKind.TRADE)
        maker_is_one = trades & (report.maker_token == one.token)
        same_side = one.rests & other.rests & (one.sell == other.sell)
        better = Mux(one.sell, other.price_ticks < one.price_ticks, other.price_ticks > one.price_ticks)
        level = same_side & (one.price_ticks == other.price_ticks)
        self.claim(m, "best_price_first", ~maker_is_one | ~(same_side & better))
        self.claim(m, "first_in_first_out", ~maker_is_one | ~level | one_first)
        crossed = one.rests & other.rests & ~one.sell & other.sell & (one.price_ticks >= other.price_ticks)
        self.claim(m, "never_crossed", ~crossed)

        if self._resting:
            self._meets(m, commands, trades, leaves, report, last)
            return
        self.reach(m, "trade", trades)
        self.reach(m, "two_in_a_level", level)
        self.reach(m, "trade_with_first_of_two", maker_is_one & level)
        if not self._calm:
            self.reach(m, "replaced", leaves & (kind == ReportKind.REPLACED))
        self.reach(m, "in_use", leaves & (kind == ReportKind.REJECTED) & (reason == Reason.SLOT_IN_USE))
        self.reach(m, "canceled", leaves & (kind == ReportKind.CANCELED) & (reason == Reason.REQUESTED))
        self.reach(m, "both_sides", one.rests & other.rests & (one.sell != other.sell))

    def _meets(
        self,
        m: Module,
        commands: wiring.PureInterface,
        trades: Value,
        leaves: Value,
        report: data.View,
        last: Value,
    ) -> None:
        """That the one command is answered in time, and that it can do all that takes long."""
        order = data.View(NewOrder, commands.payload.command)
        under_way, cycles = Signal(), Signal(range(ANSWER_CYCLES + 1))
        fill_or_kill, replaced = Signal(), Signal()
        traded, price_ticks = Signal(), Signal(PRICE_BITS)
        with m.If(commands.valid & commands.ready):
            new = order.header.opcode == Opcode.NEW_ORDER
            m.d.sync += [under_way.eq(1), fill_or_kill.eq(new & (order.time_in_force == TimeInForce.FOK))]
        with m.If(under_way):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If(leaves & last):
            m.d.sync += under_way.eq(0)
        with m.If(leaves & (report.header.kind == ReportKind.REPLACED)):
            m.d.sync += replaced.eq(1)
        with m.If(trades):
            m.d.sync += [traded.eq(1), price_ticks.eq(report.price_ticks)]
        self.claim(m, "answered_in_time", ~under_way | (cycles < ANSWER_CYCLES))
        self.claim(m, "answered_once", under_way | ~leaves)
        again = trades & traded
        killed = leaves & (report.header.kind == ReportKind.CANCELED)
        places = [(order.side, order.price_ticks) for order in self._resting]
        if len(set(places)) < len(places):
            self.reach(m, "second_fill", again & (report.price_ticks == price_ticks))
        self.reach(m, "second_level", again & (report.price_ticks != price_ticks))
        self.reach(m, "fill_or_kill_trades", again & fill_or_kill)
        self.reach(m, "fill_or_kill_killed", killed & fill_or_kill & ~traded)
        self.reach(m, "self_trade_prevented", killed & (report.header.reason == Reason.SELF_TRADE))
        if len({order.side for order in self._resting}) > 1:
            self.reach(m, "replace_takes", trades & replaced)

    def _promises(self, m: Module, ladder: Ladder) -> None:
        """What the ladder's proof takes for granted of the engine, and that its best prices are never crossed."""
        change = ladder.change
        place = Value.cast(change.line)[-1]
        came = before(m, ladder.coming_side) == place
        steady = ladder.settled & before(m, ladder.settled, init=1)
        self.claim(m, "changes_while_settled", ~change.enable | steady)
        self.claim(m, "changes_where_announced", ~change.enable | came)

        # While a taker trades, and a cycle behind.
        ahead, was_ahead, search = ladder.ahead, before(m, ladder.ahead), ladder.search
        begins, met_sell = ahead & ~was_ahead, Signal()
        m.d.comb += met_sell.eq(Mux(begins, Value.cast(search.payload.line)[-1], before(m, met_sell)))
        met, quiet = ladder.bests[0][met_sell], ladder.settled & ~ladder.settling & ~change.enable
        self.claim(m, "ahead_from_the_best", ~begins | (quiet & met.any & (met.line == search.payload.line)))
        is_met = met.any & (change.line == met.line) & (change.price_ticks == met.price_ticks) & ~change.appeared
        self.claim(m, "ahead_changes_the_best", ~((ahead | was_ahead) & change.enable) | is_met)
        self.claim(m, "searches_while_quiet", ~search.valid | (quiet & ~ahead & ~was_ahead))
        bid, ask = ladder.bests[0][0], ladder.bests[0][1]
        self.claim(m, "bests_not_crossed", ~steady | ~(bid.any & ask.any) | (bid.price_ticks < ask.price_ticks))

    def _commands(self, m: Module, commands: wiring.PureInterface, sent: Signal) -> None:
        """Any command of the order flow; what is narrow is so that a solver can follow."""
        order = Signal(NewOrder)
        choice = Signal(24)
        m.d.comb += [commands.valid.eq(AnySeq(1)), commands.payload.command.eq(Value.cast(order))]
        m.d.comb += choice.eq(AnySeq(24))
        held = before(m, choice)
        with m.If(before(m, commands.valid & ~commands.ready)):
            m.d.comb += choice.eq(held)
            self.assume(m, commands.valid)
        new, cancel, replace = (choice[:2] == index for index in range(3))
        lots, price = choice[2:4], choice[4:6]
        immediate, post_only = choice[6], choice[7]
        self.assume(m, (choice[:2] != 3) & (lots != 0) & ~(immediate & post_only))
        if self._calm:
            self.assume(m, ~replace & ~post_only & ~choice[14] & (choice[15:18] == SelfTradePrevention.OFF.value))
        m.d.comb += [
            order.header.opcode.eq(
                Mux(new, Opcode.NEW_ORDER.value, Mux(cancel, Opcode.CANCEL.value, Opcode.REPLACE.value))
            ),
            order.header.epoch.eq(EPOCH),
            order.header.number.eq(sent),
            order.token.eq(choice[8:10]),
            order.generation.eq(choice[10:12]),
            order.account.eq(choice[12]),
        ]
        with m.If(~cancel):
            m.d.comb += [
                order.price_ticks.eq(price),
                order.quantity_lots.eq(lots),
                order.side.eq(Mux(choice[13], Side.SELL, Side.BUY)),
            ]
        with m.If(new):
            m.d.comb += [
                order.order_type.eq(OrderType.LIMIT),
                order.time_in_force.eq(
                    Mux(immediate, Mux(choice[14], TimeInForce.FOK, TimeInForce.IOC), TimeInForce.GTC)
                ),
                order.self_trade_prevention.eq(choice[15:18]),
                order.flags.eq(OrderFlags.REDUCE_ONLY.value | (post_only * OrderFlags.POST_ONLY.value)),
            ]
            self.assume(m, (choice[15:18] != 0) & (choice[15:18] <= 5))

    def _left(self, mine: Followed, report: data.View) -> Value:
        """The open quantity of a token behind a report: what it says changes, taken from what was."""
        kind = report.header.kind
        taken = Mux((kind == ReportKind.TRADE) | (kind == ReportKind.CANCELED), report.quantity_lots, 0)
        named = (report.token == mine.token) | ((kind == ReportKind.TRADE) & (report.maker_token == mine.token))
        renewed = (report.token == mine.token) & ((kind == ReportKind.ACCEPTED) | (kind == ReportKind.REPLACED))
        return Mux(renewed, report.quantity_lots, Mux(named, mine.lots - taken, mine.lots))[:LOTS_BITS]

    def _follow(self, m: Module, mine: Followed, report: data.View, leaves: Value, last: Value) -> Value:
        """Take over what a report says of a token, and claim that it fits; whether the order comes to rest."""
        header = report.header
        kind, reason = header.kind, header.reason
        here = leaves & (report.token == mine.token)
        name = mine.live.name.removesuffix("_live")
        is_kind = {what: here & (kind == what) for what in ReportKind}
        makes = leaves & (kind == ReportKind.TRADE) & (report.maker_token == mine.token)
        accepted, replaced, rejected = (
            is_kind[what] for what in (ReportKind.ACCEPTED, ReportKind.REPLACED, ReportKind.REJECTED)
        )
        reduced = is_kind[ReportKind.TRADE] | is_kind[ReportKind.CANCELED]
        left = Signal(LOTS_BITS, name=f"{name}_left")
        stays = Signal(name=f"{name}_stays")
        sell = header.side == Side.SELL
        m.d.comb += [
            left.eq(self._left(mine, report)),
            stays.eq((report.price_ticks == mine.price_ticks) & (report.quantity_lots <= mine.lots)),
        ]
        with m.If(accepted | replaced):
            m.d.sync += [
                mine.live.eq(1),
                mine.rests.eq(replaced & stays),
                mine.lots.eq(left),
                mine.price_ticks.eq(report.price_ticks),
                mine.sell.eq(sell),
                mine.generation.eq(report.generation),
                mine.account.eq(report.account),
            ]
        with m.If(reduced | makes):
            m.d.sync += [mine.lots.eq(left), mine.live.eq(left != 0), mine.rests.eq(mine.rests & (left != 0))]
        taking = Mux(accepted | replaced, ~(replaced & stays), mine.live & ~mine.rests)
        comes_to_rest = leaves & last & taking & (left != 0)
        with m.If(comes_to_rest):
            m.d.sync += mine.rests.eq(1)

        taker_takes = is_kind[ReportKind.TRADE]
        sane = (report.quantity_lots != 0) & (report.quantity_lots <= mine.lots)
        self.claim(m, f"{name}_accepted_when_free", ~accepted | ~mine.live)
        self.claim(m, f"{name}_new_generation", ~accepted | (report.generation != mine.generation))
        self.claim(m, f"{name}_whole", ~(accepted | replaced) | (report.remaining_lots == report.quantity_lots))
        self.claim(m, f"{name}_conserved", ~reduced | (mine.live & sane & (report.remaining_lots == left)))
        self.claim(m, f"{name}_made", ~makes | (mine.rests & sane & (report.maker_remaining_lots == left)))
        self.claim(m, f"{name}_at_its_price", ~makes | (report.price_ticks == mine.price_ticks))
        limit = Mux(mine.sell, report.price_ticks >= mine.price_ticks, report.price_ticks <= mine.price_ticks)
        self.claim(m, f"{name}_within_limit", ~taker_takes | (limit & ~mine.rests & (sell == mine.sell)))
        same = (report.generation == mine.generation) & (report.account == mine.account)
        self.claim(m, f"{name}_in_use_when_live", ~rejected | (reason != Reason.SLOT_IN_USE) | mine.rests)
        unknown = rejected & (reason == Reason.UNKNOWN_ORDER) & (Value.cast(header.side) == 0) & same
        self.claim(m, f"{name}_unknown_when_free", ~unknown | ~mine.live)
        self.claim(m, f"{name}_live_between_commands", ~mine.live | mine.rests | ~before(m, leaves & last))
        return comes_to_rest


class OneCommand(Market):
    """Any one command on a book of three orders: what `market` claims, and its last report leaves within 32 cycles."""


PROOFS = (
    Proof("market", Market, steps=12, terms=(1, 2, 3, 4, 7, 8), unbounded=False, faults=0, quick=False),
    Proof(
        "market-calm",
        partial(Market, calm=True),
        steps=14,
        terms=(1, 2, 3, 4, 7),
        unbounded=False,
        faults=0,
        quick=False,
    ),
    *(
        Proof(
            name,
            partial(OneCommand, resting=resting),
            steps=36,
            terms=(1, 2, 3, 4, 7, 9),
            unbounded=False,
            faults=0,
            quick=False,
        )
        for name, resting in (
            ("market-sells", (Resting(Side.SELL, 1, 1), Resting(Side.SELL, 1, 1), Resting(Side.SELL, 2, 1, 1))),
            ("market-buys", (Resting(Side.BUY, 2, 1), Resting(Side.BUY, 2, 1), Resting(Side.BUY, 1, 1, 1))),
            ("market-both", (Resting(Side.SELL, 1, 1), Resting(Side.SELL, 2, 1), Resting(Side.BUY, 0, 3))),
        )
    ),
)
