"""Operator commands and timers: one at a time, while nothing else is on its way.

What concerns accounts and the watchdog is carried out here, what concerns instruments by the breaker. Behind each the
breaker looks for limit states that begin or end.
"""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data

from ..beats import BODY, Action
from ..config import BALANCE_LIMIT_QUOTE, BookConfig
from ..protocol.commands import (
    ExpiryAction,
    GrantCredit,
    Header,
    Heartbeat,
    Opcode,
    SetInstrument,
)
from ..protocol.reports import Done, Reason, ReportKind, TradingState
from .answers import answer, reject
from .work import Job

OF_INSTRUMENTS = (
    Opcode.SET_BAND,
    Opcode.HALT,
    Opcode.RESUME,
    Opcode.SET_BREAKER,
    Opcode.SET_DYNAMIC_BAND,
    Opcode.SET_REFERENCE_RULE,
    Opcode.CALL,
    Opcode.SET_CALL_END,
    Opcode.SET_SCHEDULE,
    Opcode.MOVE_WINDOW,
)
"""What the breaker carries out."""


def operate(
    m: Module,
    config: BookConfig,
    c,
    *,
    present: Value,
    passes: Signal,
    beat: data.View,
    push: Signal,
    free: Value,
    drained: Value,
    resting: Value,
    accounts,
    watchdog,
    breaker,
    instrument: data.View,
    others: Value,
    other: data.View,
    timer_due: Value,
) -> None:
    """Carry out the operator command, or what timer is due, in c.

    Arguments
    ---------
    present : There is one.
    passes : It is through.
    beat, push, free : A beat for the book, that there is one, and whether the register that it waits in is empty.
    drained : Everything that was on its way is carried out, and the breaker idles; so that register is empty.
    resting : For each instrument, whether any of its orders rests.
    instrument : What is known of its instrument.
    others, other : Selects any instrument, and what is known of that.
    timer_due : The breaker's first timer is due.
    """
    opcode = data.View(Header, c.command[: Header.as_shape().size]).opcode
    definition = data.View(SetInstrument, c.command)
    grant = data.View(GrantCredit, c.command)
    heartbeat = data.View(Heartbeat, c.command)
    row = c.row
    done = Signal(Done)

    index = Signal(range(config.instruments))
    at_end = index == config.instruments - 1
    placed = Signal.like(instrument)
    cancels = Signal()  # the watchdog's action: cancel all orders
    expires, acts = Signal(), Signal()  # what is due: the watchdog, another timer
    command = c.command

    # What has to be compared, a cycle before it decides.
    granted, beyond = Signal(signed(66)), Signal()
    active, conflicts = Signal(), Signal()
    halted = (instrument.state == TradingState.HALTED) | (instrument.state == TradingState.CLOSED)
    m.d.sync += [
        granted.eq(row.balance_quote + grant.amount_quote),
        beyond.eq((granted > BALANCE_LIMIT_QUOTE) | (granted < -BALANCE_LIMIT_QUOTE)),
        active.eq(instrument.known & (~halted | resting.bit_select(c.cause.instrument, 1))),
    ]
    m.d.comb += [breaker.cause.eq(c.cause), breaker.command.eq(command), others.eq(index)]

    def carried_out():
        answer(m, beat, ReportKind.DONE)
        m.d.comb += beat.body.eq(Value.cast(done)[BODY:])

    def gives(job: Job) -> None:
        """Give the breaker a job, if it can have one."""
        m.d.comb += [breaker.start.eq(1), breaker.job.eq(job)]

    with m.FSM():
        with m.State("START"):
            m.d.sync += [
                index.eq(0),
                conflicts.eq(0),
                expires.eq(watchdog.due & ~(timer_due & (breaker.first.time_ns < watchdog.deadline_ns))),
                acts.eq(timer_due),
            ]
            with m.If(present & drained):
                m.d.comb += accounts.look.eq(grant.account)
                m.next = "LOOKED"
                with m.If(c.timer):
                    m.next = "DUE"

        # What was due may have been done away with by the commands before.
        with m.State("DUE"):
            m.d.sync += c.cause.time_ns.eq(Mux(expires, watchdog.deadline_ns, breaker.first.time_ns))
            m.d.comb += watchdog.acted.eq(expires)
            m.next = "SETTLE"
            with m.If(expires | acts):
                m.next = "TIMER"
        with m.State("TIMER"):
            gives(Job.TIMER)
            m.next = "WORK"
            with m.If(expires):
                m.d.comb += breaker.job.eq(Job.WATCHDOG)
                m.next = "EXPIRE"
        with m.State("EXPIRE"):
            with m.If(breaker.ready):
                m.d.comb += push.eq(1)
                carried_out()
                m.d.comb += beat.reason.eq(Reason.WATCHDOG)
                with m.If(cancels):
                    m.d.comb += [beat.action.eq(Action.SWEEP), beat.everyone.eq(1)]
                with m.If(free):
                    m.next = "CARRIED"

        with m.State("LOOKED"):
            m.d.sync += row.eq(accounts.row)
            m.next = "COMPARE"
        with m.State("COMPARE"):
            m.next = "COMPARED"
        with m.State("COMPARED"):
            m.next = "DECIDE"
        with m.State("DECIDE"):
            m.d.comb += [
                push.eq(1),
                accounts.overwrite.account.eq(grant.account),
                accounts.overwrite.row.eq(row),
            ]
            m.next = "SETTLE"
            with m.If(c.early.any):
                reject(m, beat, command, c.early.reason)
            with m.Else():
                carried_out()
                with m.Switch(opcode):
                    with m.Case(Opcode.SET_INSTRUMENT):
                        with m.If(active):
                            reject(m, beat, command, Reason.INSTRUMENT_ACTIVE)
                        with m.Else():
                            m.d.comb += push.eq(0)
                            m.next = "PLACE"
                    with m.Case(*OF_INSTRUMENTS):
                        m.d.comb += push.eq(0)
                        gives(Job.COMMAND)
                        m.next = "WORK"
                    with m.Case(Opcode.GRANT_CREDIT):
                        with m.If(beyond):
                            reject(m, beat, command, Reason.CREDIT)
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
                            beat.body.eq(command),
                        ]
                        m.next = "CARRIED"
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

        # One instrument after the other: do its ladder rows overlap the new ones? Both are powers of two of rows,
        # aligned.
        with m.State("PLACE"):
            m.d.sync += placed.eq(other)
            m.next = "OVERLAP"
        with m.State("OVERLAP"):
            offset = definition.ladder_offset
            log2 = definition.window_log2[:5]
            misplaced = (((offset >> log2) << log2)[:32] != offset) | (offset >= config.ticks)
            larger = Mux(log2 > placed.window_log2, log2, placed.window_log2)
            apart = ((offset[:16] ^ placed.ladder_offset) >> larger) != 0
            conflict = misplaced | (placed.known & (index != c.cause.instrument) & ~apart)
            m.d.sync += [index.eq(index + 1), conflicts.eq(conflicts | conflict)]
            m.next = "PLACE"
            with m.If(at_end):
                m.next = "PLACED"
        with m.State("PLACED"):
            with m.If(conflicts):
                m.d.comb += push.eq(1)
                reject(m, beat, command, Reason.LADDER_CONFLICT)
                m.next = "SETTLE"
            with m.Else():
                gives(Job.COMMAND)
                m.next = "WORK"

        # The breaker is at work; then the book carries out what it was given; then limit states are looked at.
        with m.State("WORK"):
            with m.If(breaker.ready):
                m.next = "CARRIED"
        with m.State("CARRIED"):
            with m.If(drained):
                gives(Job.LIMITS)
                m.next = "LIMITS"
        with m.State("LIMITS"):
            with m.If(breaker.ready):
                m.next = "SETTLE"
        with m.State("SETTLE"):
            with m.If(drained):
                m.d.comb += passes.eq(1)
                m.next = "START"
