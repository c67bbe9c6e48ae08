"""What operator commands set of an instrument."""

from amaranth.hdl import Mux, Signal, Value
from amaranth.lib import data

from ..beats import Action
from ..protocol.commands import (
    BandPolicy,
    Header,
    MoveWindow,
    Opcode,
    SetBand,
    SetBreaker,
    SetCallEnd,
    SetDynamicBand,
    SetInstrument,
    SetReferenceRule,
    SetSchedule,
    TradingMode,
)
from ..protocol.reports import Reason, TradingState
from .band import in_window
from .rolling import Ask
from .timers import ENTRIES
from .work import Work

DURATIONS = ("limit_us", "halt_us", "call_us", "extension_us", "indicative_us")
RULE = ("width_ticks", "width_ppm", "auction_width_ticks", "move_ppm", "hold_us", "source")


def add_parameters(work: Work) -> None:
    """Add the state COMMAND and those it leads to; they end in STORE or REJECT, or go on in `hdl.guard.states`."""
    m, row, rules, breaker = work.m, work.row, work.rules, work.breaker
    command, beat = breaker.command, breaker.beat
    opcode = data.View(Header, command[: Header.as_shape().size]).opcode
    definition, band, move = (data.View(layout, command) for layout in (SetInstrument, SetBand, MoveWindow))
    halted = (rules.state == TradingState.HALTED) | (rules.state == TradingState.CLOSED)
    inside = Signal()

    with m.State("COMMAND"):
        m.next = "STORE"
        with m.Switch(opcode):
            with m.Case(Opcode.SET_INSTRUMENT):
                m.d.sync += [row.eq(0), rules.eq(0), work.finishes.eq(0)]
                m.next = "RESET"
            with m.Case(Opcode.HALT):
                m.next = "HALT"
            with m.Case(Opcode.CALL):
                m.next = "CALL"
            with m.Case(Opcode.RESUME):
                m.next = "RESUME"
            with m.Case(Opcode.SET_BREAKER):
                settings = data.View(SetBreaker, command)
                batch = settings.mode == TradingMode.BATCH
                with m.If((batch != rules.batch) & (~halted | work.resting)):
                    work.rejects(Reason.INSTRUMENT_ACTIVE)
                with m.Else():
                    m.d.sync += [row[name].eq(settings[name]) for name in DURATIONS]
                    m.d.sync += [row.stays_open.eq(Value.cast(settings.flags)[0]), rules.batch.eq(batch)]
            with m.Case(Opcode.SET_DYNAMIC_BAND):
                widths = data.View(SetDynamicBand, command)
                short, long = widths.short_width_ticks, widths.long_width_ticks
                m.d.sync += [
                    rules.dynamic.eq((short != 0) | (long != 0)),
                    rules.reach_ticks.eq(Mux((long == 0) | ((short != 0) & (short < long)), short, long)),
                    row.rolls.eq((widths.short_buckets != 0) | (widths.long_buckets != 0)),
                ]
                m.next = "SET_WINDOWS"
            with m.Case(Opcode.SET_REFERENCE_RULE):
                m.d.sync += [row[name].eq(data.View(SetReferenceRule, command)[name]) for name in RULE]
                m.next = "COUNT_ANEW"
            with m.Case(Opcode.SET_CALL_END):
                m.d.sync += [
                    row.extra_us.eq(data.View(SetCallEnd, command).extra_us),
                    work.span_us.eq(row.call_extra_us),
                ]
                with m.If((rules.state == TradingState.CALL) & row.phase.set):
                    m.next = "CALL_END"
            with m.Case(Opcode.SET_SCHEDULE):
                schedule = data.View(SetSchedule, command)
                for number in range(ENTRIES):
                    with m.If(Value.cast(schedule.state) == number + 1):
                        entry = row.timetable[number]
                        m.d.sync += [
                            entry.at.set.eq(schedule.at_ns != 0),
                            entry.at.time_ns.eq(Mux(schedule.at_ns < work.now_ns, work.now_ns, schedule.at_ns)),
                            entry.duration_us.eq(schedule.duration_us),
                        ]
            with m.Case(Opcode.SET_BAND):
                m.d.sync += [
                    inside.eq(in_window(rules, band.lower_ticks) & in_window(rules, band.upper_ticks)),
                    work.finishes.eq(0),
                    work.auction.eq(0),
                    work.last.eq(1),
                    work.lower_ticks.eq(band.lower_ticks),
                    work.upper_ticks.eq(band.upper_ticks),
                ]
                m.next = "BAND"
            with m.Case(Opcode.MOVE_WINDOW):
                m.d.sync += [rules.window_base_ticks.eq(move.window_base_ticks), work.finishes.eq(0)]
                m.next = "WINDOW"

    # An instrument is set.
    work.asks("RESET", Ask.RESET, "DEFINE")
    with m.State("DEFINE"):
        m.d.comb += [beat.action.eq(Action.SET_INSTRUMENT), breaker.push.eq(1)]
        with m.If(breaker.free):
            m.d.sync += [
                rules.known.eq(1),
                rules.state.eq(TradingState.HALTED),
                rules.window_base_ticks.eq(definition.window_base_ticks),
                rules.window_log2.eq(definition.window_log2),
                rules.ladder_offset.eq(definition.ladder_offset),
                rules.multiplier_quote.eq(definition.multiplier_quote),
            ]
            m.next = "STORE"

    work.asks("SET_WINDOWS", Ask.WINDOWS, "STORE")
    m.d.comb += work.rolling.ask.payload.last_log2.eq(data.View(SetReferenceRule, command).trades_log2)
    work.asks("COUNT_ANEW", Ask.LAST, "STORE")

    # The call under way gets another end, but none in the past.
    work.waits("CALL_END", "CALL_END_LESS")
    with m.State("CALL_END_LESS"):
        m.d.sync += [
            row.phase.time_ns.eq(row.phase.time_ns - work.span_ns),
            row.call_extra_us.eq(row.extra_us),
            work.span_us.eq(row.extra_us),
        ]
        m.next = "CALL_END_WAIT"
    work.waits("CALL_END_WAIT", "CALL_END_MORE")
    with m.State("CALL_END_MORE"):
        m.d.sync += row.phase.time_ns.eq(row.phase.time_ns + work.span_ns)
        m.next = "CALL_END_PAST"
    with m.State("CALL_END_PAST"):
        with m.If(row.phase.time_ns < work.now_ns):
            m.d.sync += row.phase.time_ns.eq(work.now_ns)
        m.next = "STORE"

    # A static band.
    with m.State("BAND"):
        with m.If(inside):
            m.d.sync += [
                row.policy.eq(band.policy),
                row.reference_ticks.eq(band.reference_ticks),
                row.below_ticks.eq(band.reference_ticks - band.lower_ticks),
                row.above_ticks.eq(band.upper_ticks - band.reference_ticks),
                row.since_ns.eq(work.now_ns),
                rules.banded.eq(1),
                rules.clamps.eq(band.policy != BandPolicy.REJECT),
            ]
            m.next = "MOVE_BAND"
        with m.Else():
            work.rejects(Reason.OUTSIDE_WINDOW)

    # Another base of the window. The static band must be inside; a window ends at 2**32 at the latest.
    static = work.rolling.row
    with m.State("WINDOW"):
        end = move.window_base_ticks + (1 << rules.window_log2)[:17]
        m.d.sync += inside.eq(
            (end <= 1 << 32)
            & (~rules.banded | (in_window(rules, static.lower_ticks) & in_window(rules, static.upper_ticks)))
        )
        m.next = "WINDOW_DECIDE"
    with m.State("WINDOW_DECIDE"):
        m.next = "MOVE_WINDOW"
        with m.If(~inside):
            work.rejects(Reason.OUTSIDE_WINDOW)

    def moves_window(draft):
        m.d.comb += [draft.action.eq(Action.MOVE_WINDOW), draft.reason.eq(Reason.WINDOW_MOVED)]

    work.sends("MOVE_WINDOW", "STORE", moves_window)
