"""The guard: everything that is decided of a command before it acts on the book.

A command moves through registers in step; meanwhile the book reads what it will need (`hdl.book.reader`):

    a  as it came, with its stamp, its instrument and its link's slots: form, privilege, price
    b  the verdicts on those, the effective price, the account's row: how large can the reserve be
    c  kill switch and credit: is the reserve surely affordable?
    commands  to the book

An order whose reserve is affordable whatever its exact worth goes on at once, and the reserve is taken behind it; else
it waits in c for the exact outcome. It also waits while a command of the same account, or a move of its balance, is
still on its way: the effect of one command is seen by the next. An operator command (or the watchdog's expiry) has the
guard to itself: nothing enters behind it before the book has carried it out.
"""

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..beats import RESERVE_BITS, Action, Cause, GuardedCommand, Preview, Release
from ..bits import bit_length
from ..config import BALANCE_LIMIT_QUOTE, BookConfig
from ..protocol.commands import (
    ALL_INSTRUMENTS,
    ExpiryAction,
    GrantCredit,
    Header,
    Heartbeat,
    NewOrder,
    Opcode,
    OrderFlags,
    OrderType,
    SetBand,
    SetInstrument,
    Side,
    TimeInForce,
)
from ..protocol.reports import Done, Reason, ReportKind, TradingState
from .admission import Watchdog, WellFormed
from .band import Instrument, PriceCheck, banded, in_window
from .credit import Account, Accounts, Move

FIRST_OPERATOR_OPCODE = Opcode.SET_INSTRUMENT.value
BODY = 256


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
    timer : No command but the watchdog's expiry.
    operator : Has the guard to itself.
    rules : Its instrument, as the guard knows it.
    slots : The order slots its link may use.
    early : Reasons that go before the kill switch. From b on.
    late : Reasons that come after it. From b on.
    price_ticks : An order's effective price. From b on.
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
    price_ticks: unsigned(32)
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
    incoming : Stream in: commands with their link. Taken one a cycle at most; never while the watchdog is due.
    commands : Stream out to the book.
    advance, preview, b_price_ticks : For the book's reader (`hdl.book.reader.Reader`): commands move on in this cycle;
        what enters a then; the effective price of the command in b.
    released, busy, working, resting : From the book (`hdl.book.engine.Engine`).
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
        wiring.connect(m, wiring.flipped(self.released), accounts.released)

        instruments = Signal(data.ArrayLayout(Instrument, config.instruments))
        m.d.comb += [
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
        taken = Signal()
        m.d.comb += [
            alone.eq((a_valid & a.operator) | (b_valid & b.operator) | (c_valid & c.operator)),
            intake.eq(advance & ~alone & self.ready),
            self.incoming.ready.eq(intake & ~watchdog.due),
            watchdog.acted.eq(intake & watchdog.due),
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
        with m.If(watchdog.due):
            m.d.comb += [
                entering.eq(0),
                entering.timer.eq(1),
                entering.operator.eq(1),
                entering.cause.time_ns.eq(watchdog.deadline_ns),
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
                a_valid.eq(taken | watchdog.acted),
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
        drained = Signal()
        m.d.comb += [
            free.eq((~self.commands.valid | self.commands.ready) & ~self.busy),
            drained.eq(~(self.commands.valid | self.working | accounts.pending)),
            self.idle.eq(~(a_valid | b_valid | c_valid) & drained & ~watchdog.due),
            beat.cause.eq(c.cause),
            beat.price_ticks.eq(c.price_ticks),
            beat.body.eq(c.command),
        ]
        with m.If(free):
            m.d.sync += [self.commands.valid.eq(push), self.commands.payload.eq(beat)]
        with m.Elif(self.commands.ready):
            m.d.sync += self.commands.valid.eq(0)

        self._decide(m, c, c_valid, passes, beat, push, free, accounts)
        self._operate(m, c, c_valid, passes, beat, push, free, drained, instruments, accounts, watchdog)
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
        one_instrument = (
            (opcode == Opcode.SET_BAND)
            | (((opcode == Opcode.HALT) | (opcode == Opcode.RESUME)) & (a.cause.instrument != ALL_INSTRUMENTS))
        )  # fmt: skip
        early, late = Signal(Verdict), Signal(Verdict)
        m.d.comb += [
            well_formed.command.eq(a.command),
            price_check.instrument.eq(instrument),
            price_check.sell.eq(entry.side == Side.SELL),
            price_check.market.eq(new & (entry.order_type == OrderType.MARKET)),
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

        with m.If(new & ~instrument.trading):
            m.d.comb += late.reason.eq(Reason.HALTED)
        with m.Elif((new | replace) & ~price_check.allowed):
            m.d.comb += late.reason.eq(price_check.reason)
        with m.Else():
            m.d.comb += late.any.eq(0)

        with m.If(advance):
            m.d.sync += [b.early.eq(early), b.late.eq(late), b.price_ticks.eq(price_check.effective_ticks)]

    def _answer(self, m, beat, kind, *, reason=0, last=1):
        """Make the beat a report of its own, with an empty body."""
        m.d.comb += [
            beat.action.eq(Action.ANSWER),
            beat.kind.eq(kind),
            beat.reason.eq(reason),
            beat.last.eq(last),
            beat.body.eq(0),
        ]

    def _reject(self, m, c, beat, reason):
        """Make the beat a rejection, which echoes bytes 8 to 23 of the command."""
        entry = data.View(NewOrder, c.command)
        opcode = entry.header.opcode
        self._answer(m, beat, ReportKind.REJECTED, reason=reason)
        m.d.comb += [
            beat.side.eq(Mux((opcode == Opcode.NEW_ORDER) | (opcode == Opcode.REPLACE), entry.side, 0)),
            beat.body.eq(c.command[64:192]),
        ]

    def _decide(self, m, c, c_valid, passes, beat, push, free, accounts):
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
        m.d.comb += [
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
                    beat.immediate.eq(entry.time_in_force != TimeInForce.GTC),
                ]
            with m.Case(Opcode.CANCEL):
                m.d.comb += beat.action.eq(Action.CANCEL)
            with m.Case(Opcode.REPLACE):
                m.d.comb += [beat.action.eq(Action.REPLACE), beat.halted.eq(~c.rules.trading)]
            with m.Default():
                m.d.comb += [beat.action.eq(Action.SWEEP), beat.reason.eq(Reason.MASS_CANCEL)]

        with m.FSM():
            with m.State("FLOW"):
                with m.If(c_valid & ~c.operator):
                    with m.If(c.early.any):
                        self._reject(m, c, beat, c.early.reason)
                        to_book()
                    with m.Elif(killed):
                        self._reject(m, c, beat, Reason.KILLED)
                        to_book()
                    with m.Elif(c.late.any):
                        self._reject(m, c, beat, c.late.reason)
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
                    self._reject(m, c, beat, Reason.CREDIT)
                with m.Else():
                    m.d.comb += [
                        beat.reserve_quote.eq(outcome.value_quote),
                        beat.deficit_quote.eq(outcome.deficit_quote),
                    ]
                to_book()
                with m.If(free):
                    m.next = "FLOW"

    def _operate(self, m, c, c_valid, passes, beat, push, free, drained, instruments, accounts, watchdog):
        """In c: operator commands and the watchdog's expiry, while nothing else is on its way."""
        opcode = data.View(Header, c.command[: Header.as_shape().size]).opcode
        instrument = instruments[c.cause.instrument]
        definition = data.View(SetInstrument, c.command)
        band = data.View(SetBand, c.command)
        grant = data.View(GrantCredit, c.command)
        heartbeat = data.View(Heartbeat, c.command)
        row = c.row
        done = Signal(Done)

        index = Signal(range(self._config.instruments))
        at_end = index == self._config.instruments - 1
        shown = instruments[index]
        placed = Signal.like(shown)
        count = Signal(range(self._config.instruments + 1))
        cancels = Signal()  # the watchdog's action: cancel all orders
        halts = c.timer | (opcode == Opcode.HALT)

        # What has to be compared, a cycle before it decides.
        granted = Signal(signed(66))
        active, banded_inside, changes, conflicts = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            granted.eq(row.balance_quote + grant.amount_quote),
            active.eq(instrument.known & (instrument.trading | self.resting.bit_select(c.cause.instrument, 1))),
            banded_inside.eq(in_window(instrument, band.lower_ticks) & in_window(instrument, band.upper_ticks)),
        ]

        def carried_out():
            self._answer(m, beat, ReportKind.DONE)
            m.d.comb += beat.body.eq(Value.cast(done)[BODY:])

        with m.FSM():
            with m.State("START"):
                m.d.sync += [index.eq(0), count.eq(0), conflicts.eq(0)]
                with m.If(c_valid & c.operator & drained):
                    m.d.comb += accounts.look.eq(grant.account)
                    m.next = "LOOKED"
            with m.State("LOOKED"):
                m.d.sync += row.eq(accounts.row)
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.comb += [
                    push.eq(1),
                    accounts.overwrite.account.eq(grant.account),
                    accounts.overwrite.row.eq(row),
                ]
                m.next = "SETTLE"
                with m.If(c.early.any):
                    self._reject(m, c, beat, c.early.reason)
                with m.Elif(halts | (opcode == Opcode.RESUME)):
                    m.d.comb += push.eq(0)
                    m.next = "STATES"
                with m.Else():
                    carried_out()
                    with m.Switch(opcode):
                        with m.Case(Opcode.SET_INSTRUMENT):
                            with m.If(active):
                                self._reject(m, c, beat, Reason.INSTRUMENT_ACTIVE)
                            with m.Else():
                                m.d.comb += push.eq(0)
                                m.next = "PLACE"
                        with m.Case(Opcode.SET_BAND):
                            with m.If(banded_inside):
                                m.d.sync += banded(instrument, band.lower_ticks, band.upper_ticks, band.policy)
                                m.d.comb += [
                                    beat.action.eq(Action.MOVE_BAND),
                                    beat.reason.eq(Reason.BAND_MOVED),
                                    beat.body.eq(c.command),
                                ]
                            with m.Else():
                                self._reject(m, c, beat, Reason.OUTSIDE_WINDOW)
                        with m.Case(Opcode.GRANT_CREDIT):
                            with m.If((granted > BALANCE_LIMIT_QUOTE) | (granted < -BALANCE_LIMIT_QUOTE)):
                                self._reject(m, c, beat, Reason.CREDIT)
                            with m.Else():
                                m.d.comb += [
                                    done.account.eq(grant.account),
                                    done.balance_quote.eq(granted),
                                    accounts.overwrite.enable.eq(1),
                                    accounts.overwrite.row.balance_quote.eq(granted),
                                ]
                        with m.Case(Opcode.KILL_ACCOUNT):
                            m.d.comb += [
                                accounts.overwrite.enable.eq(1),
                                accounts.overwrite.row.killed.eq(1),
                                beat.action.eq(Action.SWEEP),
                                beat.reason.eq(Reason.ACCOUNT_KILLED),
                                beat.body.eq(c.command),
                            ]
                        with m.Case(Opcode.RESTORE_ACCOUNT):
                            m.d.comb += [
                                done.account.eq(grant.account),
                                accounts.overwrite.enable.eq(1),
                                accounts.overwrite.row.killed.eq(0),
                            ]
                        with m.Case(Opcode.HEARTBEAT):
                            m.d.sync += cancels.eq(heartbeat.action == ExpiryAction.HALT_AND_CANCEL)
                            m.d.comb += [
                                watchdog.arm.eq(1),
                                watchdog.arm_none.eq(heartbeat.timeout_ns == 0),
                                watchdog.arm_deadline_ns.eq(c.cause.time_ns + heartbeat.timeout_ns),
                            ]

            # One instrument after the other: those whose state changes are reported.
            with m.State("STATES"):
                meant = c.timer | (c.cause.instrument == ALL_INSTRUMENTS) | (c.cause.instrument == index)
                m.d.sync += changes.eq(meant & shown.known & (shown.trading == halts))
                m.next = "STATE"
            with m.State("STATE"):
                with m.If(changes):
                    self._answer(
                        m,
                        beat,
                        ReportKind.TRADING_STATE,
                        reason=Mux(c.timer, Reason.WATCHDOG, Reason.OPERATOR),
                        last=0,
                    )
                    m.d.comb += [
                        beat.cause.instrument.eq(index),
                        beat.body.eq(Mux(halts, TradingState.HALTED, TradingState.TRADING)),
                        push.eq(1),
                    ]
                with m.If(~changes | free):
                    m.d.sync += [index.eq(index + 1), count.eq(count + changes)]
                    with m.If(changes):
                        m.d.sync += shown.trading.eq(~halts)
                    m.next = "STATES"
                    with m.If(at_end):
                        m.next = "STATES_DONE"
            with m.State("STATES_DONE"):
                m.d.comb += push.eq(1)
                carried_out()
                with m.If(c.timer):
                    m.d.comb += beat.reason.eq(Reason.WATCHDOG)
                    with m.If(cancels):
                        m.d.comb += [beat.action.eq(Action.SWEEP), beat.everyone.eq(1)]
                with m.Else():
                    m.d.comb += done.count.eq(count)
                with m.If(free):
                    m.next = "SETTLE"

            # One instrument after the other: do its ladder rows overlap the new ones? Both are powers of two of rows,
            # aligned.
            with m.State("PLACE"):
                m.d.sync += placed.eq(shown)
                m.next = "OVERLAP"
            with m.State("OVERLAP"):
                offset = definition.ladder_offset
                log2 = definition.window_log2[:5]
                misplaced = (((offset >> log2) << log2)[:32] != offset) | (offset >= self._config.ticks)
                larger = Mux(log2 > placed.window_log2, log2, placed.window_log2)
                apart = ((offset[:16] ^ placed.ladder_offset) >> larger) != 0
                conflict = misplaced | (placed.known & (index != c.cause.instrument) & ~apart)
                m.d.sync += [index.eq(index + 1), conflicts.eq(conflicts | conflict)]
                m.next = "PLACE"
                with m.If(at_end):
                    m.next = "PLACED"
            with m.State("PLACED"):
                m.d.comb += push.eq(1)
                m.next = "SETTLE"
                with m.If(conflicts):
                    self._reject(m, c, beat, Reason.LADDER_CONFLICT)
                with m.Else():
                    m.d.comb += beat.action.eq(Action.SET_INSTRUMENT)
                    m.d.sync += [
                        instrument.eq(0),
                        instrument.known.eq(1),
                        instrument.window_base_ticks.eq(definition.window_base_ticks),
                        instrument.window_log2.eq(definition.window_log2),
                        instrument.ladder_offset.eq(definition.ladder_offset),
                        instrument.multiplier_quote.eq(definition.multiplier_quote),
                    ]

            with m.State("SETTLE"):
                with m.If(drained):
                    m.d.comb += passes.eq(1)
                    m.next = "START"
