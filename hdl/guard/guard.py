"""The guard: everything that is decided of a command before it acts on the book.

A command moves through registers in step; meanwhile the book reads what it will need (`hdl.book.reader`):

    a  as it came, with its stamp, its instrument and its link's slots: form, privilege, price
    b  the verdicts on those, the effective price, the account's row: how large can the reserve be
    c  kill switch and credit: is the reserve surely affordable?
    commands  to the book

An order whose reserve is affordable whatever its exact worth goes on at once, and the reserve is taken behind it; else
it waits in c for the exact outcome. It also waits while a command of the same account, or a move of its balance, is
still on its way: the effect of one command is seen by the next. So does an order of an instrument whose band trades
move: behind the trades before it, its price is checked again if the band did move. An operator command or a timer
(`hdl.guard.operator`, `hdl.guard.breaker`) has the guard to itself: nothing enters behind it before the book has carried it out.
"""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..beats import RESERVE_BITS, Action, Best, Cause, GuardedCommand, Preview, Release, Review, Traded, Uncrossed
from ..beats import Verdict as LimitVerdict
from ..bits import bit_length
from ..config import BookConfig
from ..protocol.commands import (
    ALL_INSTRUMENTS,
    NewOrder,
    Opcode,
    OrderFlags,
    OrderType,
    Side,
    TimeInForce,
)
from ..protocol.reports import Reason, TradingState
from .admission import Watchdog, WellFormed
from .answers import reject
from .band import Instrument, PriceCheck
from .breaker import Breaker
from .credit import Account, Accounts, Move
from .operator import OF_INSTRUMENTS, operate

FIRST_OPERATOR_OPCODE = Opcode.SET_INSTRUMENT.value

HORIZON_NS = 1_000_000
"""No timer that the book starts is shorter, so commands that are stamped closer together than this may be on their way at
the same time: no timer that one of them starts acts before another."""


class LinkCommand(data.Struct):
    """A command and the link it came by."""

    link: unsigned(8)
    command: unsigned(256)


class TokenRange(data.Struct):
    """The order slots that a link may use: `count` of them from `first` on."""

    first: unsigned(17)
    count: unsigned(17)


class Verdict(data.Struct):
    """A reason to reject, if there is `any`."""

    any: 1
    reason: Reason


class Entrant(data.Struct):
    """A command on its way through the guard.

    Attributes
    ----------
    cause : For the reports.
    command : The 32 bytes.
    timer : No command: a timer is due.
    operator : Has the guard to itself.
    rules : Its instrument, as the guard knows it.
    slots : The order slots its link may use.
    early : Reasons that go before the kill switch. From b on.
    late : Reasons that come after it. From b on.
    barred : The late reason is the trading state. From b on.
    price_ticks, at_bound : An order's effective price; it is the bound of its side. From b on.
    waits : It has to wait for the trades before it. From b on.
    row : Its account's row. From b on.
    touched : The row has been written since it was looked at.
    factor_bits : Quantity and multiplier together are below two to this. In b.
    worth_bits : The reserve is below two to this. In c.
    balance_bits : The balance is at least two to one less than this; zero if it is not positive. In c.
    """

    cause: Cause
    command: unsigned(256)
    timer: 1
    operator: 1
    rules: Instrument
    slots: TokenRange
    early: Verdict
    late: Verdict
    barred: 1
    price_ticks: unsigned(32)
    at_bound: 1
    waits: 1
    row: Account
    touched: 1
    factor_bits: unsigned(6)
    worth_bits: unsigned(7)
    balance_bits: unsigned(7)


class Guard(wiring.Component):
    """The gate in front of the book.

    Rules: `docs/order-semantics.md`.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    incoming : Stream in: commands with their link. Taken one a cycle at most; never while a timer is due.
    commands : Stream out to the book.
    advance, preview, b_price_ticks : For the book's reader (`hdl.book.reader.Reader`): commands move on in this cycle;
        what enters a then; the effective price of the command in b.
    repriced : For the book's reader: the order in c has got another effective price than it had in b.
    collecting, dynamic, watched, verdict : For the book.
    released, busy, working, resting, bests_of, traded, trading, review, uncrossed : From the book
        (`hdl.book.engine.Engine`).
    epoch : The device epoch.
    token_ranges : Which slots each link may use; steady while commands come.
    time_ns : The core's time, never running backwards.
    cycle : The cycle counter, for the entry cycle.
    idle : Nothing is on its way through the guard and no timer is due.
    ready : High once the memories are cleared after a reset.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        super().__init__(
            {
                "incoming": In(stream.Signature(LinkCommand)),
                "commands": Out(stream.Signature(GuardedCommand)),
                "released": In(stream.Signature(Release)),
                "repriced": Out(1),
                "collecting": Out(config.instruments),
                "dynamic": Out(config.instruments),
                "watched": Out(config.instruments),
                "bests_of": In(data.ArrayLayout(data.StructLayout({"bid": Best, "ask": Best}), config.instruments)),
                "traded": In(stream.Signature(Traded)),
                "trading": In(1),
                "review": In(stream.Signature(Review)),
                "verdict": Out(stream.Signature(LimitVerdict)),
                "uncrossed": In(Uncrossed),
                "advance": Out(1),
                "preview": Out(Preview),
                "b_price_ticks": Out(32),
                "busy": In(1),
                "working": In(1),
                "resting": In(config.instruments),
                "epoch": In(16),
                "token_ranges": In(data.ArrayLayout(TokenRange, config.links)),
                "time_ns": In(64),
                "cycle": In(32),
                "idle": Out(1),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.accounts = accounts = Accounts(config)
        m.submodules.watchdog = watchdog = Watchdog()
        m.submodules.breaker = breaker = Breaker(config)
        wiring.connect(m, wiring.flipped(self.released), accounts.released)
        wiring.connect(m, wiring.flipped(self.traded), breaker.traded)
        wiring.connect(m, wiring.flipped(self.review), breaker.review)
        wiring.connect(m, breaker.verdict, wiring.flipped(self.verdict))

        instruments = breaker.instruments
        each_instrument = [instruments[index] for index in range(config.instruments)]
        timer_due = Signal()
        m.d.comb += [
            timer_due.eq(breaker.first.set & (self.time_ns >= breaker.first.time_ns)),
            breaker.uncrossed.eq(self.uncrossed),
            breaker.bests_of.eq(self.bests_of),
            breaker.resting.eq(self.resting),
            *(self.collecting[index].eq(each.collects) for index, each in enumerate(each_instrument)),
            *(self.dynamic[index].eq(each.dynamic) for index, each in enumerate(each_instrument)),
            *(self.watched[index].eq(each.state == TradingState.LIMIT) for index, each in enumerate(each_instrument)),
            accounts.released_multiplier_quote.eq(instruments[accounts.multiplier_of].multiplier_quote),
            watchdog.time_ns.eq(self.time_ns),
        ]

        a, b, c = (Signal(Entrant, name=name) for name in "abc")
        a_valid, b_valid, c_valid = (Signal(name=f"{name}_valid") for name in "abc")
        passes = Signal()  # c is through, if the book takes it
        free = Signal()  # the book takes, or has taken, what it was given
        advance = self.advance
        m.d.comb += [advance.eq(free & (~c_valid | passes)), self.b_price_ticks.eq(b.price_ticks)]

        # Intake.
        incoming = data.View(NewOrder, self.incoming.payload.command)
        opcode = incoming.header.opcode
        alone = Signal()
        intake = Signal()
        timer = Signal()  # what is due enters
        bounded = Signal()  # commands are on their way; they are stamped before the horizon
        horizon_ns = Signal(64)
        far = bounded & (self.time_ns >= horizon_ns)
        taken = Signal()
        m.d.comb += [
            alone.eq((a_valid & a.operator) | (b_valid & b.operator) | (c_valid & c.operator)),
            intake.eq(advance & ~alone & self.ready),
            self.incoming.ready.eq(intake & ~watchdog.due & ~timer_due & ~far),
            timer.eq(intake & (watchdog.due | timer_due)),
            taken.eq(self.incoming.valid & self.incoming.ready),
            self.ready.eq(accounts.ready),
            self.preview.token.eq(incoming.token),
            self.preview.instrument.eq(incoming.header.instrument),
            self.preview.new.eq(opcode == Opcode.NEW_ORDER),
            self.preview.cancels.eq(opcode == Opcode.CANCEL),
            self.preview.sell.eq(incoming.side == Side.SELL),
            self.preview.generation.eq(incoming.generation),
            self.preview.account.eq(incoming.account),
        ]
        waiting = Signal()  # a command has been valid and not taken since `first_seen_cycle`
        first_seen_cycle = Signal(32)
        m.d.sync += waiting.eq(self.incoming.valid & ~self.incoming.ready)
        with m.If(~waiting):
            m.d.sync += first_seen_cycle.eq(self.cycle)

        account = incoming.account[: len(accounts.look)]
        m.d.comb += accounts.look.eq(account)

        def touched(entrant):
            return accounts.written & (accounts.written_account == data.View(NewOrder, entrant.command).account)

        entering = Signal(Entrant)
        m.d.comb += [
            entering.command.eq(self.incoming.payload.command),
            entering.cause.link.eq(self.incoming.payload.link),
            entering.cause.number.eq(incoming.header.number),
            entering.cause.instrument.eq(incoming.header.instrument),
            entering.cause.time_ns.eq(self.time_ns),
            entering.cause.entry_cycle.eq(Mux(waiting, first_seen_cycle, self.cycle)),
            entering.operator.eq(Value.cast(opcode) >= FIRST_OPERATOR_OPCODE),
            entering.rules.eq(instruments[incoming.header.instrument]),
            entering.slots.eq(self.token_ranges[self.incoming.payload.link]),
            entering.touched.eq(touched(entering)),
        ]
        with m.If(watchdog.due | timer_due):
            m.d.comb += [
                entering.eq(0),
                entering.timer.eq(1),
                entering.operator.eq(1),
                entering.cause.entry_cycle.eq(self.cycle),
            ]

        # The row that was looked at at intake arrives while its command is in a; it may have to wait there.
        row = Signal(Account)
        arrived = Signal()
        held_row = Signal(Account)
        m.d.comb += row.eq(Mux(arrived, held_row, accounts.row))
        m.d.sync += [arrived.eq(~advance), held_row.eq(row)]

        with m.If(advance):
            m.d.sync += [
                a_valid.eq(taken | timer),
                b_valid.eq(a_valid),
                c_valid.eq(b_valid),
                a.eq(entering),
                b.eq(a),
                b.row.eq(row),
                b.touched.eq(a.touched | touched(a)),
                b.factor_bits.eq(
                    bit_length(data.View(NewOrder, a.command).quantity_lots) + bit_length(a.rules.multiplier_quote)
                ),
                c.eq(b),
                c.touched.eq(b.touched | touched(b)),
                c.worth_bits.eq(b.factor_bits + bit_length(b.price_ticks)),
                c.balance_bits.eq(self._balance_bits(b.row)),
            ]
        with m.Else():
            for entrant in (a, b, c):
                m.d.sync += entrant.touched.eq(entrant.touched | touched(entrant))
        self._check(m, a, b, advance)

        # To the book.
        beat = Signal(GuardedCommand)
        push = Signal()
        carried_out, drained = Signal(), Signal()  # whatever the book was given; and the breaker idles
        quiet = drained & ~(a_valid | b_valid | c_valid)
        m.d.comb += [
            free.eq((~self.commands.valid | self.commands.ready) & ~self.busy),
            carried_out.eq(~(self.commands.valid | self.working | self.trading | accounts.pending)),
            drained.eq(carried_out & breaker.idle),
            breaker.drained.eq(carried_out),
            breaker.free.eq(free),
            self.idle.eq(quiet & ~watchdog.due & ~timer_due),
            beat.cause.eq(c.cause),
            beat.price_ticks.eq(c.price_ticks),
            beat.at_bound.eq(c.at_bound),
            beat.body.eq(c.command),
        ]
        with m.If(taken & (quiet | ~bounded)):
            m.d.sync += [bounded.eq(1), horizon_ns.eq(self.time_ns + HORIZON_NS)]
        with m.Elif(quiet):
            m.d.sync += bounded.eq(0)
        with m.If(free):
            m.d.sync += [self.commands.valid.eq(push), self.commands.payload.eq(beat)]
        with m.Elif(self.commands.ready):
            m.d.sync += self.commands.valid.eq(0)

        self._decide(m, c, c_valid, passes, beat, push, free, accounts, breaker)
        operate(
            m,
            config,
            c,
            c_valid & c.operator,
            passes,
            beat,
            push,
            free,
            drained,
            self.resting,
            accounts,
            watchdog,
            breaker,
            timer_due,
        )
        with m.If(breaker.push):
            m.d.comb += [beat.eq(breaker.beat), push.eq(1)]
        return m

    def _balance_bits(self, row) -> Value:
        return Mux(row.balance_quote < 0, 0, bit_length(row.balance_quote[:63]))

    def _check(self, m, a, b, advance):
        """From a to b: every verdict that needs neither account nor book."""
        m.submodules.well_formed = well_formed = WellFormed(self._config)
        m.submodules.price_check = price_check = PriceCheck()
        entry = data.View(NewOrder, a.command)
        opcode = entry.header.opcode
        instrument = a.rules
        new, cancel, replace = (opcode == name for name in (Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE))
        mine = a.slots
        reduce_only = new & ((Value.cast(entry.flags) & OrderFlags.REDUCE_ONLY.value) != 0)
        one_instrument = Signal()
        with m.Switch(opcode):
            with m.Case(*OF_INSTRUMENTS):
                m.d.comb += one_instrument.eq(a.cause.instrument != ALL_INSTRUMENTS)
        early, late = Signal(Verdict), Signal(Verdict)
        market = entry.order_type == OrderType.MARKET
        post_only = (Value.cast(entry.flags) & OrderFlags.POST_ONLY.value) != 0
        at_once = ~market & ((entry.time_in_force != TimeInForce.GTC) | post_only)
        barred = Signal()
        m.d.comb += [
            well_formed.command.eq(a.command),
            price_check.instrument.eq(instrument),
            price_check.sell.eq(entry.side == Side.SELL),
            price_check.market.eq(new & market),
            price_check.price_ticks.eq(entry.price_ticks),
            early.any.eq(1),
            late.any.eq(1),
        ]
        with m.If(a.timer):
            m.d.comb += early.any.eq(0)
        with m.Elif(well_formed.malformed):
            m.d.comb += early.reason.eq(Reason.MALFORMED)
        with m.Elif(entry.header.epoch != self.epoch):
            m.d.comb += early.reason.eq(Reason.WRONG_EPOCH)
        with m.Elif((a.operator | reduce_only) & (a.cause.link != 0)):
            m.d.comb += early.reason.eq(Reason.NOT_PRIVILEGED)
        with m.Elif((new | cancel | replace) & ((entry.token < mine.first) | (entry.token >= mine.first + mine.count))):
            m.d.comb += early.reason.eq(Reason.TOKEN_NOT_YOURS)
        with m.Elif((new | cancel | replace | one_instrument) & ~instrument.known):
            m.d.comb += early.reason.eq(Reason.UNKNOWN_INSTRUMENT)
        with m.Else():
            m.d.comb += early.any.eq(0)

        with m.If(new & ~instrument.enters):
            m.d.comb += [late.reason.eq(Reason.HALTED), barred.eq(1)]
        with m.Elif(new & instrument.collects & at_once):
            m.d.comb += [late.reason.eq(Reason.AUCTION_CALL), barred.eq(1)]
        with m.Elif((new | replace) & ~price_check.allowed):
            m.d.comb += late.reason.eq(price_check.reason)
        with m.Else():
            m.d.comb += late.any.eq(0)

        with m.If(advance):
            m.d.sync += [
                b.early.eq(early),
                b.late.eq(late),
                b.barred.eq(barred),
                b.price_ticks.eq(price_check.effective_ticks),
                b.at_bound.eq((new | replace) & price_check.at_bound),
                b.waits.eq((new | replace) & instrument.dynamic & ~early.any & ~barred),
            ]

    def _decide(self, m, c, c_valid, passes, beat, push, free, accounts, breaker):
        """In c: kill switch and credit of the order flow, and its beat for the book."""
        entry = data.View(NewOrder, c.command)
        opcode = entry.header.opcode
        new, replace = opcode == Opcode.NEW_ORDER, opcode == Opcode.REPLACE
        reduce_only = (Value.cast(entry.flags) & OrderFlags.REDUCE_ONLY.value) != 0
        in_book = data.View(NewOrder, self.commands.payload.body).account

        reserves = (new & ~reduce_only) | replace
        killed = reserves & c.row.killed
        asks = Signal()  # credit is all that is left to ask
        awaited = accounts.awaited | (self.commands.valid & (in_book == entry.account))
        affordable = Signal()
        outcome = Signal.like(accounts.outcome)
        m.submodules.second_price_check = price_check = PriceCheck()
        instruments = breaker.instruments
        m.d.comb += [
            price_check.instrument.eq(c.rules),
            price_check.sell.eq(entry.side == Side.SELL),
            price_check.market.eq(new & (entry.order_type == OrderType.MARKET)),
            price_check.price_ticks.eq(entry.price_ticks),
            asks.eq(reserves & ~c.early.any & ~killed & ~c.late.any),
            accounts.asked.eq(entry.account),
            affordable.eq((c.worth_bits <= RESERVE_BITS) & (c.balance_bits > c.worth_bits)),
            accounts.moves.payload.account.eq(entry.account),
            accounts.moves.payload.quantity_lots.eq(entry.quantity_lots),
            accounts.moves.payload.price_ticks.eq(c.price_ticks),
            accounts.moves.payload.multiplier_quote.eq(c.rules.multiplier_quote),
        ]

        def to_book():
            m.d.comb += [push.eq(1), passes.eq(1)]

        with m.Switch(opcode):
            with m.Case(Opcode.NEW_ORDER):
                m.d.comb += [
                    beat.action.eq(Action.NEW),
                    beat.immediate.eq((entry.time_in_force != TimeInForce.GTC) & ~c.rules.collects),
                ]
            with m.Case(Opcode.CANCEL):
                m.d.comb += beat.action.eq(Action.CANCEL)
            with m.Case(Opcode.REPLACE):
                m.d.comb += [beat.action.eq(Action.REPLACE), beat.halted.eq(~c.rules.enters)]
            with m.Default():
                m.d.comb += [beat.action.eq(Action.SWEEP), beat.reason.eq(Reason.MASS_CANCEL)]

        with m.FSM():
            with m.State("FLOW"):
                with m.If(c_valid & c.waits):
                    m.next = "UNSETTLED"
                with m.Elif(c_valid & ~c.operator):
                    with m.If(c.early.any):
                        reject(m, beat, c.command, c.early.reason)
                        to_book()
                    with m.Elif(killed):
                        reject(m, beat, c.command, Reason.KILLED)
                        to_book()
                    with m.Elif(c.late.any):
                        reject(m, beat, c.command, c.late.reason)
                        to_book()
                    with m.Elif(~asks):
                        to_book()
                    with m.Elif(awaited):
                        pass
                    with m.Elif(c.touched):
                        m.next = "LOOK"
                    with m.Elif(affordable):
                        m.d.comb += [
                            accounts.moves.payload.move.eq(Move.RESERVE),
                            accounts.moves.valid.eq(free),
                        ]
                        with m.If(accounts.moves.ready):
                            to_book()
                    with m.Else():
                        m.d.comb += [
                            accounts.moves.payload.move.eq(Mux(new, Move.TRY, Move.OWE)),
                            accounts.moves.valid.eq(1),
                        ]
                        with m.If(accounts.moves.ready):
                            m.next = "TRYING"
            with m.State("LOOK"):
                m.d.comb += accounts.look.eq(entry.account)
                m.next = "LOOKED"
            with m.State("LOOKED"):
                m.d.sync += [
                    c.row.eq(accounts.row),
                    c.balance_bits.eq(self._balance_bits(accounts.row)),
                    c.touched.eq(0),
                ]
                m.next = "FLOW"
            with m.State("TRYING"):
                m.d.sync += outcome.eq(accounts.outcome)
                with m.If(accounts.outcome_valid):
                    m.next = "TRIED"
            with m.State("TRIED"):
                with m.If(outcome.overflow | (new & outcome.short)):
                    reject(m, beat, c.command, Reason.CREDIT)
                with m.Else():
                    m.d.comb += [
                        beat.reserve_quote.eq(outcome.value_quote),
                        beat.deficit_quote.eq(outcome.deficit_quote),
                    ]
                to_book()
                with m.If(free):
                    m.next = "FLOW"

            # Behind the trades before it: an order whose band has moved is checked again.
            current = instruments[c.cause.instrument]
            bounds_moved = Signal()
            with m.State("UNSETTLED"):
                m.d.sync += bounds_moved.eq(
                    (c.rules.lower_ticks != current.lower_ticks) | (c.rules.upper_ticks != current.upper_ticks)
                )
                with m.If(~self.commands.valid & ~self.trading & ~self.traded.valid & breaker.settled):
                    m.next = "SETTLED"
            with m.State("SETTLED"):
                m.d.sync += [c.rules.lower_ticks.eq(current.lower_ticks), c.rules.upper_ticks.eq(current.upper_ticks)]
                m.next = "CHECK_AGAIN"
                with m.If(~bounds_moved):
                    m.d.sync += c.waits.eq(0)
                    m.next = "FLOW"
            with m.State("CHECK_AGAIN"):
                m.d.comb += self.repriced.eq(c.price_ticks != price_check.effective_ticks)
                m.d.sync += [
                    c.late.any.eq(~price_check.allowed),
                    c.late.reason.eq(price_check.reason),
                    c.price_ticks.eq(price_check.effective_ticks),
                    c.at_bound.eq(price_check.at_bound),
                ]
                m.next = "WEIGH_AGAIN"
            with m.State("WEIGH_AGAIN"):
                m.d.sync += [c.worth_bits.eq(c.factor_bits + bit_length(c.price_ticks)), c.waits.eq(0)]
                m.next = "FLOW"
