"""The guard: everything that is decided of a command before the book sees it.

A command moves through four registers, all in step:

    a  as it came, with its stamp: form, epoch, privilege, token range, instrument, trading state, price
    b  with the verdict on those: quantity x price
    c  x multiplier; the account's row is read
    d  kill switch and credit, the reserve is taken; to the book

An order waits in d while a command of the same account, or a release to it, is still on its way: the effect of one
command is seen by the next. An operator command (or the watchdog's expiry) has the guard to itself: nothing enters
behind it before the book has carried it out.
"""

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..beats import Action, Cause, GuardedCommand, InFlight, Release
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
)
from ..protocol.reports import Done, Reason, ReportKind, TradingState
from .admission import Watchdog, WellFormed
from .band import Instrument, PriceCheck, banded, in_window
from .credit import Accounts, Valuation

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
    price_ticks : From b on: an order's effective price.
    timer : No command but the watchdog's expiry.
    operator : Has the guard to itself.
    early : Reasons that go before the kill switch.
    late : Reasons that come after it.
    """

    cause: Cause
    command: unsigned(256)
    price_ticks: unsigned(32)
    timer: 1
    operator: 1
    early: Verdict
    late: Verdict


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
    released, in_flight, resting : From the book (`hdl.book.engine.Engine`).
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
                "in_flight": In(InFlight),
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
        m.submodules.well_formed = well_formed = WellFormed(config)
        m.submodules.price_check = price_check = PriceCheck()
        m.submodules.valuation = valuation = Valuation()
        wiring.connect(m, wiring.flipped(self.released), accounts.released)

        instruments = Signal(data.ArrayLayout(Instrument, config.instruments))
        m.d.comb += [
            accounts.multiplier_quote.eq(instruments[accounts.multiplier_of].multiplier_quote),
            watchdog.time_ns.eq(self.time_ns),
        ]

        a, b, c, d = (Signal(Entrant, name=name) for name in "abcd")
        a_valid, b_valid, c_valid, d_valid = (Signal(name=f"{name}_valid") for name in "abcd")
        advance = Signal()
        retire = Signal()
        m.d.comb += advance.eq(~d_valid | retire)

        # Intake.
        held_by_operator = Signal()
        m.d.comb += held_by_operator.eq(
            (a_valid & a.operator) | (b_valid & b.operator) | (c_valid & c.operator) | (d_valid & d.operator)
        )
        intake = Signal()
        m.d.comb += [
            intake.eq(advance & ~held_by_operator & self.ready),
            self.incoming.ready.eq(intake & ~watchdog.due),
            watchdog.acted.eq(intake & watchdog.due),
            self.ready.eq(accounts.ready),
        ]
        waiting = Signal()  # a command has been valid and not taken since `first_seen_cycle`
        first_seen_cycle = Signal(32)
        m.d.sync += waiting.eq(self.incoming.valid & ~self.incoming.ready)
        with m.If(~waiting):
            m.d.sync += first_seen_cycle.eq(self.cycle)
        incoming_header = data.View(Header, self.incoming.payload.command[: Header.as_shape().size])
        with m.If(advance):
            m.d.sync += [
                a_valid.eq(self.incoming.valid & self.incoming.ready),
                a.eq(0),
                a.command.eq(self.incoming.payload.command),
                a.cause.link.eq(self.incoming.payload.link),
                a.cause.number.eq(incoming_header.number),
                a.cause.instrument.eq(incoming_header.instrument),
                a.cause.time_ns.eq(self.time_ns),
                a.cause.entry_cycle.eq(Mux(waiting, first_seen_cycle, self.cycle)),
                a.operator.eq(Value.cast(incoming_header.opcode) >= FIRST_OPERATOR_OPCODE),
                b_valid.eq(a_valid),
                c_valid.eq(b_valid),
                d_valid.eq(c_valid),
                b.eq(a),
                c.eq(b),
                d.eq(c),
            ]
            with m.If(watchdog.acted):
                m.d.sync += [
                    a_valid.eq(1),
                    a.eq(0),
                    a.timer.eq(1),
                    a.operator.eq(1),
                    a.cause.time_ns.eq(watchdog.deadline_ns),
                    a.cause.entry_cycle.eq(self.cycle),
                ]

        # Reserve: b -> c -> d.
        b_entry = data.View(NewOrder, b.command)
        m.d.comb += [
            valuation.quantity_lots.eq(b_entry.quantity_lots),
            valuation.price_ticks.eq(b.price_ticks),
            valuation.load.eq(advance),
            valuation.multiplier_quote.eq(instruments[c.cause.instrument].multiplier_quote),
            valuation.load_product.eq(advance),
            accounts.look.eq(
                Mux(advance, data.View(NewOrder, c.command).account, data.View(NewOrder, d.command).account)
            ),
        ]

        # To the book.
        beat = Signal(GuardedCommand)
        push = Signal()
        out_free = Signal()
        drained = Signal()
        m.d.comb += [
            out_free.eq(~self.commands.valid | self.commands.ready),
            drained.eq(~(self.commands.valid | self.in_flight.busy | self.released.valid | accounts.pending)),
            self.idle.eq(~(a_valid | b_valid | c_valid | d_valid) & drained & ~watchdog.due),
            beat.cause.eq(d.cause),
            beat.price_ticks.eq(d.price_ticks),
            beat.body.eq(d.command),
        ]
        with m.If(out_free):
            m.d.sync += [self.commands.valid.eq(push), self.commands.payload.eq(beat)]

        self._instruments = instruments
        self._check(m, a, b, advance, well_formed, price_check)
        self._decide(m, d, d_valid, retire, beat, push, out_free, valuation, accounts)
        self._operate(m, d, d_valid, retire, beat, push, out_free, drained, accounts, watchdog)
        return m

    def _check(self, m, a, b, advance, well_formed, price_check):
        """From a to b: every verdict that needs neither account nor book."""
        entry = data.View(NewOrder, a.command)
        opcode = entry.header.opcode
        instrument = self._instruments[a.cause.instrument]
        new, cancel, replace = (opcode == name for name in (Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE))
        mine = self.token_ranges[a.cause.link]
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

    def _reject(self, m, d, beat, reason):
        """Make the beat a rejection, which echoes bytes 8 to 23 of the command."""
        entry = data.View(NewOrder, d.command)
        opcode = entry.header.opcode
        self._answer(m, beat, ReportKind.REJECTED, reason=reason)
        m.d.comb += [
            beat.side.eq(Mux((opcode == Opcode.NEW_ORDER) | (opcode == Opcode.REPLACE), entry.side, 0)),
            beat.body.eq(d.command[64:192]),
        ]

    def _decide(self, m, d, d_valid, retire, beat, push, out_free, valuation, accounts):
        """In d: kill switch and credit of the order flow, and its beat for the book."""
        entry = data.View(NewOrder, d.command)
        opcode = entry.header.opcode
        new, replace = opcode == Opcode.NEW_ORDER, opcode == Opcode.REPLACE
        reduce_only = (Value.cast(entry.flags) & OrderFlags.REDUCE_ONLY.value) != 0
        account = entry.account[: len(accounts.look)]
        row = accounts.row
        in_book = data.View(NewOrder, self.commands.payload.body).account

        reserves = Signal()
        passes = Signal()
        balance_quote = Signal(signed(64))
        # What may still return to this account must have returned before it is looked at.
        awaited = (
            (self.commands.valid & (in_book == entry.account))
            | (self.in_flight.busy & (self.in_flight.account == entry.account))
            | (self.released.valid & (self.released.payload.account == entry.account))
            | (accounts.pending & (accounts.pending_account == account))
        )
        m.d.comb += [
            reserves.eq((new & ~reduce_only) | replace),
            balance_quote.eq(row.balance_quote - valuation.value_quote),
            accounts.write.account.eq(account),
            accounts.write.row.killed.eq(row.killed),
            accounts.write.row.balance_quote.eq(balance_quote),
        ]
        with m.If(d_valid & ~d.operator & ~(reserves & awaited) & out_free & ~(reserves & accounts.write_waits)):
            m.d.comb += [push.eq(1), retire.eq(1)]
            with m.If(d.early.any):
                self._reject(m, d, beat, d.early.reason)
            with m.Elif(reserves & row.killed):
                self._reject(m, d, beat, Reason.KILLED)
            with m.Elif(d.late.any):
                self._reject(m, d, beat, d.late.reason)
            with m.Elif(reserves & (valuation.overflow | (new & (balance_quote < 0)))):
                self._reject(m, d, beat, Reason.CREDIT)
            with m.Else():
                m.d.comb += passes.eq(1)
                with m.Switch(opcode):
                    with m.Case(Opcode.NEW_ORDER):
                        m.d.comb += beat.action.eq(Action.NEW)
                    with m.Case(Opcode.CANCEL):
                        m.d.comb += beat.action.eq(Action.CANCEL)
                    with m.Case(Opcode.REPLACE):
                        m.d.comb += [
                            beat.action.eq(Action.REPLACE),
                            beat.halted.eq(~self._instruments[d.cause.instrument].trading),
                            beat.reserve_quote.eq(valuation.value_quote),
                            beat.deficit_quote.eq(Mux(balance_quote < 0, -balance_quote, 0)),
                        ]
                    with m.Default():
                        m.d.comb += [beat.action.eq(Action.SWEEP), beat.reason.eq(Reason.MASS_CANCEL)]
            m.d.comb += accounts.write.enable.eq(passes & reserves)

    def _operate(self, m, d, d_valid, retire, beat, push, out_free, drained, accounts, watchdog):
        """In d: operator commands and the watchdog's expiry, while nothing else is on its way."""
        instruments = self._instruments
        opcode = data.View(Header, d.command[: Header.as_shape().size]).opcode
        instrument = instruments[d.cause.instrument]
        definition = data.View(SetInstrument, d.command)
        band = data.View(SetBand, d.command)
        grant = data.View(GrantCredit, d.command)
        heartbeat = data.View(Heartbeat, d.command)
        row = accounts.row
        done = Signal(Done)

        index = Signal(range(self._config.instruments))
        at_end = index == self._config.instruments - 1
        shown = instruments[index]
        count = Signal(range(self._config.instruments + 1))
        cancels = Signal()  # the watchdog's action: cancel all orders
        halts = d.timer | (opcode == Opcode.HALT)

        def carried_out():
            self._answer(m, beat, ReportKind.DONE)
            m.d.comb += beat.body.eq(Value.cast(done)[BODY:])

        with m.FSM():
            with m.State("START"):
                m.d.sync += [index.eq(0), count.eq(0)]
                with m.If(d_valid & d.operator & drained):
                    m.d.comb += push.eq(1)
                    m.next = "SETTLE"
                    with m.If(d.early.any):
                        self._reject(m, d, beat, d.early.reason)
                    with m.Elif(halts | (opcode == Opcode.RESUME)):
                        m.d.comb += push.eq(0)
                        m.next = "STATES"
                    with m.Else():
                        carried_out()
                        with m.Switch(opcode):
                            with m.Case(Opcode.SET_INSTRUMENT):
                                with m.If(
                                    instrument.known
                                    & (instrument.trading | self.resting.bit_select(d.cause.instrument, 1))
                                ):
                                    self._reject(m, d, beat, Reason.INSTRUMENT_ACTIVE)
                                with m.Else():
                                    m.d.comb += push.eq(0)
                                    m.next = "PLACE"
                            with m.Case(Opcode.SET_BAND):
                                with m.If(
                                    in_window(instrument, band.lower_ticks) & in_window(instrument, band.upper_ticks)
                                ):
                                    m.d.sync += banded(instrument, band.lower_ticks, band.upper_ticks, band.policy)
                                    m.d.comb += [
                                        beat.action.eq(Action.MOVE_BAND),
                                        beat.reason.eq(Reason.BAND_MOVED),
                                        beat.body.eq(d.command),
                                    ]
                                with m.Else():
                                    self._reject(m, d, beat, Reason.OUTSIDE_WINDOW)
                            with m.Case(Opcode.GRANT_CREDIT):
                                granted = Signal(signed(66))
                                m.d.comb += granted.eq(row.balance_quote + grant.amount_quote)
                                with m.If((granted > BALANCE_LIMIT_QUOTE) | (granted < -BALANCE_LIMIT_QUOTE)):
                                    self._reject(m, d, beat, Reason.CREDIT)
                                with m.Else():
                                    m.d.comb += [
                                        done.account.eq(grant.account),
                                        done.balance_quote.eq(granted),
                                        accounts.write.enable.eq(1),
                                        accounts.write.row.balance_quote.eq(granted),
                                    ]
                            with m.Case(Opcode.KILL_ACCOUNT):
                                m.d.comb += [
                                    accounts.write.enable.eq(1),
                                    accounts.write.row.balance_quote.eq(row.balance_quote),
                                    accounts.write.row.killed.eq(1),
                                    beat.action.eq(Action.SWEEP),
                                    beat.reason.eq(Reason.ACCOUNT_KILLED),
                                    beat.body.eq(d.command),
                                ]
                            with m.Case(Opcode.RESTORE_ACCOUNT):
                                m.d.comb += [
                                    done.account.eq(grant.account),
                                    accounts.write.enable.eq(1),
                                    accounts.write.row.balance_quote.eq(row.balance_quote),
                                    accounts.write.row.killed.eq(0),
                                ]
                            with m.Case(Opcode.HEARTBEAT):
                                m.d.sync += cancels.eq(heartbeat.action == ExpiryAction.HALT_AND_CANCEL)
                                m.d.comb += [
                                    watchdog.arm.eq(1),
                                    watchdog.arm_none.eq(heartbeat.timeout_ns == 0),
                                    watchdog.arm_deadline_ns.eq(d.cause.time_ns + heartbeat.timeout_ns),
                                ]

            # One instrument a cycle: those whose state changes are reported.
            with m.State("STATES"):
                meant = d.timer | (d.cause.instrument == ALL_INSTRUMENTS) | (d.cause.instrument == index)
                changes = meant & shown.known & (shown.trading == halts)
                with m.If(changes):
                    self._answer(
                        m,
                        beat,
                        ReportKind.TRADING_STATE,
                        reason=Mux(d.timer, Reason.WATCHDOG, Reason.OPERATOR),
                        last=0,
                    )
                    m.d.comb += [
                        beat.cause.instrument.eq(index),
                        beat.body.eq(Mux(halts, TradingState.HALTED, TradingState.TRADING)),
                        push.eq(1),
                    ]
                with m.If(~changes | out_free):
                    m.d.sync += [index.eq(index + 1), count.eq(count + changes)]
                    with m.If(changes):
                        m.d.sync += shown.trading.eq(~halts)
                    with m.If(at_end):
                        m.next = "STATES_DONE"
            with m.State("STATES_DONE"):
                m.d.comb += push.eq(1)
                carried_out()
                with m.If(d.timer):
                    m.d.comb += beat.reason.eq(Reason.WATCHDOG)
                    with m.If(cancels):
                        m.d.comb += [beat.action.eq(Action.SWEEP), beat.everyone.eq(1)]
                with m.Else():
                    m.d.comb += done.count.eq(count)
                with m.If(out_free):
                    m.next = "SETTLE"

            # One instrument a cycle: do its ladder rows overlap the new ones? Both are powers of two of rows, aligned.
            with m.State("PLACE"):
                offset = definition.ladder_offset
                log2 = definition.window_log2[:5]
                misplaced = (((offset >> log2) << log2)[:32] != offset) | (offset >= self._config.ticks)
                larger = Mux(log2 > shown.window_log2, log2, shown.window_log2)
                apart = ((offset[:16] ^ shown.ladder_offset) >> larger) != 0
                conflict = misplaced | (shown.known & (index != d.cause.instrument) & ~apart)
                m.d.sync += index.eq(index + 1)
                with m.If(conflict):
                    self._reject(m, d, beat, Reason.LADDER_CONFLICT)
                    m.d.comb += push.eq(1)
                    m.next = "SETTLE"
                with m.Elif(at_end):
                    m.d.comb += [push.eq(1), beat.action.eq(Action.SET_INSTRUMENT)]
                    m.d.sync += [
                        instrument.eq(0),
                        instrument.known.eq(1),
                        instrument.window_base_ticks.eq(definition.window_base_ticks),
                        instrument.window_log2.eq(definition.window_log2),
                        instrument.ladder_offset.eq(definition.ladder_offset),
                        instrument.multiplier_quote.eq(definition.multiplier_quote),
                    ]
                    m.next = "SETTLE"

            with m.State("SETTLE"):
                with m.If(drained):
                    m.d.comb += retire.eq(1)
                    m.next = "START"
