"""The guard: everything that is decided of a command before it acts on the book.

A command moves through registers in step; meanwhile the book reads what it will need (`hdl.book.reader`):

    a  as it came, with its stamp, its instrument and its link's slots: form, privilege, price
    b  the verdicts on those, the effective price, the account's row: how large can the reserve be
    c  kill switch and credit: is the reserve surely affordable?
    commands  to the book; those of operators and of the breaker by way of a register

An order whose reserve is affordable whatever its exact worth, and whatever returns to its account yet, goes on at once,
and the reserve is taken behind it; else it waits in c until no command of the same account, and no move of its balance,
is still on its way, so that the effect of one command is seen by the next, and then for the exact outcome. An order of
an instrument whose band trades move waits too: behind the trades before it, its price is checked again if the band did
move. An operator command or a timer
(`hdl.guard.operator`, `hdl.guard.breaker`) has the guard to itself: nothing enters behind it before the book has
carried it out.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..beats import Best, GuardedCommand, Preview, Release, Review, Traded, Uncrossed, Verdict, single_of
from ..bits import bit_length
from ..config import BookConfig
from ..protocol.commands import NewOrder, Opcode, Side
from .admission import Watchdog
from .band import reason_of
from .breaker import Breaker
from .credit import Account, Accounts
from .entrant import Entrant, LinkCommand, TokenRange, first_fault
from .instruments import Instruments
from .operator import operate
from .orders import balance_bits, check, decide, reserves

FIRST_OPERATOR_OPCODE = Opcode.SET_INSTRUMENT.value

HORIZON_NS = 1_000_000
"""No timer that the book starts is shorter. Commands that are stamped closer together than this may be on their way at
the same time, because no timer that one of them starts acts before another of them. (A simulation's time may jump; a
board's hardly comes so far while commands are on their way.)"""


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
    collecting, dynamic, reach_ticks, watched, verdict, looked_at : For the book.
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
                "reach_ticks": Out(data.ArrayLayout(unsigned(32), config.instruments)),
                "watched": Out(config.instruments),
                "looked_at": Out(range(config.instruments)),
                "bests_of": In(data.StructLayout({"bid": Best, "ask": Best})),
                "traded": In(stream.Signature(Traded)),
                "trading": In(1),
                "review": In(stream.Signature(Review)),
                "verdict": Out(stream.Signature(Verdict)),
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

        a, b, c = (Signal(Entrant, name=name) for name in "abc")
        incoming = data.View(NewOrder, self.incoming.payload.command)
        others = Signal(8)  # any instrument that an operator command looks at
        lookers = (
            incoming.header.instrument,
            breaker.looked_at,
            c.cause.instrument,
            others,
            accounts.multiplier_of,
        )
        m.submodules.instruments = instruments = Instruments(config, readers=len(lookers))
        m.d.comb += [looked_at.eq(each) for looked_at, each in zip(instruments.looked_at, lookers, strict=True)]
        entered, kept, current, other, released = instruments.rules
        timer_due = Signal()
        m.d.comb += [
            timer_due.eq(breaker.first.set & (self.time_ns >= breaker.first.time_ns)),
            breaker.uncrossed.eq(self.uncrossed),
            self.looked_at.eq(breaker.looked_at),
            breaker.bests_of.eq(self.bests_of),
            breaker.resting.eq(self.resting),
            breaker.kept.eq(kept),
            instruments.store.eq(breaker.store),
            instruments.force.eq(breaker.force),
            self.collecting.eq(instruments.collecting),
            self.dynamic.eq(instruments.dynamic),
            self.reach_ticks.eq(instruments.reach_ticks),
            self.watched.eq(instruments.limited),
            accounts.released_multiplier_quote.eq(released.multiplier_quote),
            watchdog.time_ns.eq(self.time_ns),
        ]

        a_valid, b_valid, c_valid = (Signal(name=f"{name}_valid") for name in "abc")
        passes = Signal()  # c is through, if the book takes it
        free = Signal()  # the book takes, or has taken, what it was given
        advance = self.advance
        m.d.comb += [advance.eq(free & (~c_valid | passes)), self.b_price_ticks.eq(b.price_ticks)]

        # Intake.
        opcode = incoming.header.opcode
        alone = Signal()
        intake = Signal()
        timer = Signal()  # what is due enters
        timed = Signal()  # commands on their way may start timers
        bounded = Signal()  # such commands are; others are stamped before the horizon
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
        m.d.comb += [
            accounts.look.eq(account),
            accounts.coming.eq(data.View(NewOrder, b.command).account),
            accounts.comes.eq(advance),
        ]

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
            entering.rules.eq(entered),
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
                c.early.eq(first_fault(b.faults)),
                c.waits.eq(b.waits & (Value.cast(b.faults) == 0)),
                c.late.any.eq(b.late.any | Value.cast(b.refusal).any()),
                c.late.reason.eq(Mux(b.late.any, b.late.reason, reason_of(b.refusal))),
                c.asks.eq(reserves(b.command) & ~b.row.killed & (Cat(b.faults, b.late.any, b.refusal) == 0)),
                c.touched.eq(b.touched | touched(b)),
                c.worth_bits.eq(b.factor_bits + bit_length(b.price_ticks)),
                c.balance_bits.eq(balance_bits(b.row)),
            ]
        with m.Else():
            for entrant in (a, b, c):
                m.d.sync += entrant.touched.eq(entrant.touched | touched(entrant))
        check(m, config, self.epoch, a, b, advance)

        # To the book.
        beat = Signal(GuardedCommand)
        push = Signal()
        # Operator commands and timers have time: what they give the book waits in a register first, and the order flow
        # does not wait for what is decided of them.
        operators_beat, operated = Signal(GuardedCommand), Signal(GuardedCommand)
        operators_push, operated_waits = Signal(), Signal()
        carried_out, still = Signal(), Signal()  # whatever the book was given; and the breaker idles
        drained = Signal()  # it was still in the last cycle, and nothing was given since
        quiet = still & ~(a_valid | b_valid | c_valid)
        m.d.comb += [
            free.eq((~self.commands.valid | self.commands.ready) & ~self.busy),
            carried_out.eq(~(operated_waits | self.commands.valid | self.working | self.trading | accounts.pending)),
            still.eq(carried_out & breaker.idle),
            breaker.drained.eq(carried_out),
            breaker.free.eq(~operated_waits),
            self.idle.eq(quiet & ~watchdog.due & ~timer_due),
            beat.cause.eq(c.cause),
            beat.price_ticks.eq(c.price_ticks),
            beat.at_bound.eq(c.at_bound),
            beat.body.eq(c.command),
            operators_beat.cause.eq(c.cause),
            operators_beat.body.eq(c.command),
        ]
        m.d.sync += drained.eq(still & ~push & ~operators_push & ~breaker.start)
        m.d.sync += timed.eq(instruments.timed.any())
        with m.If(quiet | ~bounded):
            m.d.sync += [bounded.eq(taken & timed), horizon_ns.eq(self.time_ns + HORIZON_NS)]
        with m.If(~self.commands.valid | self.commands.ready):
            m.d.sync += [
                self.commands.valid.eq(push & ~self.busy),
                self.commands.payload.eq(beat),
                self.commands.payload.single.eq(single_of(beat)),
            ]

        told = ~self.commands.valid & ~self.trading & ~self.traded.valid & breaker.settled
        decide(
            m,
            c,
            present=c_valid & ~c.operator,
            passes=passes,
            beat=beat,
            push=push,
            free=free,
            given=self.commands,
            repriced=self.repriced,
            told=told,
            accounts=accounts,
            current=current,
        )
        operate(
            m,
            config,
            c,
            present=c_valid & c.operator,
            passes=passes,
            beat=operators_beat,
            push=operators_push,
            free=~operated_waits,
            drained=drained,
            resting=self.resting,
            accounts=accounts,
            watchdog=watchdog,
            breaker=breaker,
            instrument=current,
            others=others,
            other=other,
            timer_due=timer_due,
        )
        with m.If(breaker.push):
            m.d.comb += [operators_beat.eq(breaker.beat), operators_push.eq(1)]
        with m.If(~operated_waits):
            m.d.sync += [operated.eq(operators_beat), operated_waits.eq(operators_push)]
        with m.Elif(free):
            m.d.sync += operated_waits.eq(0)
        with m.If(operated_waits):
            m.d.comb += [beat.eq(operated), push.eq(1)]
        return m
