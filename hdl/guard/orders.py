"""What is decided of an order, a cancel or a replace; and of every command, its form and who may send it."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from ..beats import RESERVE_BITS, Action
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
from ..protocol.reports import Reason
from .admission import WellFormed
from .answers import reject
from .band import PriceCheck, reason_of
from .credit import Move
from .entrant import Faults, Rejection
from .operator import OF_INSTRUMENTS


def balance_bits(row) -> Value:
    """See `hdl.guard.entrant.Entrant`."""
    low, high = row.balance_quote[:RESERVE_BITS], row.balance_quote[RESERVE_BITS:63]
    return Mux(row.balance_quote < 0, 0, Mux(high.any(), RESERVE_BITS + 1, bit_length(low)))


def reserves(command) -> Value:
    """Whether a command takes from its account's balance."""
    entry = data.View(NewOrder, command)
    opcode = entry.header.opcode
    reduce_only = (Value.cast(entry.flags) & OrderFlags.REDUCE_ONLY.value) != 0
    return ((opcode == Opcode.NEW_ORDER) & ~reduce_only) | (opcode == Opcode.REPLACE)


def check(m: Module, config: BookConfig, epoch: Value, a, b, advance: Value) -> None:
    """From a to b: every verdict that needs neither account nor book."""
    m.submodules.well_formed = well_formed = WellFormed(config)
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
    faults, late = Signal(Faults), Signal(Rejection)
    market = entry.order_type == OrderType.MARKET
    post_only = (Value.cast(entry.flags) & OrderFlags.POST_ONLY.value) != 0
    at_once = ~market & ((entry.time_in_force != TimeInForce.GTC) | post_only)
    m.d.comb += [
        well_formed.command.eq(a.command),
        price_check.instrument.eq(instrument),
        price_check.sell.eq(entry.side == Side.SELL),
        price_check.market.eq(new & market),
        price_check.price_ticks.eq(entry.price_ticks),
    ]
    with m.If(~a.timer):
        m.d.comb += [
            faults.malformed.eq(well_formed.malformed | (a.cause.link >= config.links)),
            faults.wrong_epoch.eq(entry.header.epoch != epoch),
            faults.not_privileged.eq((a.operator | reduce_only) & (a.cause.link != 0)),
            faults.not_yours.eq(
                (new | cancel | replace) & ((entry.token < mine.first) | (entry.token >= mine.first + mine.count))
            ),
            faults.unknown_instrument.eq((new | cancel | replace | one_instrument) & ~instrument.known),
        ]
    with m.If(new & ~instrument.enters):
        m.d.comb += [late.reason.eq(Reason.HALTED), late.any.eq(1)]
    with m.Elif(new & instrument.collects & at_once):
        m.d.comb += [late.reason.eq(Reason.AUCTION_CALL), late.any.eq(1)]

    with m.If(advance):
        m.d.sync += [
            b.faults.eq(faults),
            b.late.eq(late),
            b.refusal.eq(Mux(new | replace, price_check.refusal, 0)),
            b.price_ticks.eq(price_check.effective_ticks),
            b.at_bound.eq((new | replace) & price_check.at_bound),
            b.waits.eq((new | replace) & instrument.dynamic & ~late.any),
        ]


def decide(
    m: Module,
    c,
    *,
    present: Value,
    passes: Signal,
    beat,
    push: Signal,
    free: Value,
    given,
    repriced: Signal,
    told: Value,
    accounts,
    current: data.View,
) -> None:
    """In c: kill switch and credit of the order flow, and its beat for the book.

    Arguments
    ---------
    present : There is a command of the order flow.
    passes : It is through.
    beat, push, free : Beats for the book, as `hdl.guard.guard.Guard` has them.
    given : The stream of those.
    repriced : See `hdl.book.reader.Reader`.
    told : Every trade there can be of the commands before is in the bands.
    current : What is known of its instrument now.
    """
    entry = data.View(NewOrder, c.command)
    opcode = entry.header.opcode
    new = opcode == Opcode.NEW_ORDER
    in_book = data.View(NewOrder, given.payload.body).account
    width = len(accounts.coming)

    killed = reserves(c.command) & c.row.killed
    awaited = accounts.awaited | (given.valid & (in_book[:width] == entry.account[:width]))
    affordable = Signal()  # whatever it is worth exactly, and whatever becomes of the commands before it
    outcome = Signal.like(accounts.outcome)
    m.submodules.second_price_check = price_check = PriceCheck()
    m.d.comb += [
        price_check.instrument.eq(c.rules),
        price_check.sell.eq(entry.side == Side.SELL),
        price_check.market.eq(new & (entry.order_type == OrderType.MARKET)),
        price_check.price_ticks.eq(entry.price_ticks),
        # What is still to be returned can only make it more so.
        affordable.eq((c.balance_bits > c.worth_bits) & ~c.touched & ~accounts.taken_from),
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
            with m.If(present & c.waits):
                m.next = "UNSETTLED"
            with m.Elif(present):
                with m.If(~c.asks):
                    to_book()
                    with m.If(c.early.any):
                        reject(m, beat, c.command, c.early.reason)
                    with m.Elif(killed):
                        reject(m, beat, c.command, Reason.KILLED)
                    with m.Elif(c.late.any):
                        reject(m, beat, c.command, c.late.reason)
                with m.Elif(affordable):
                    m.d.comb += [
                        accounts.moves.payload.move.eq(Move.RESERVE),
                        accounts.moves.valid.eq(free),
                    ]
                    with m.If(accounts.moves.ready):
                        to_book()
                with m.Elif(awaited):
                    pass
                with m.Elif(c.touched):
                    m.next = "LOOK"
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
            m.d.sync += [c.row.eq(accounts.row), c.touched.eq(0)]
            m.next = "MEASURE"
        with m.State("MEASURE"):
            m.d.sync += [c.balance_bits.eq(balance_bits(c.row)), c.asks.eq(~c.row.killed)]
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
        bounds_moved, moved = Signal(), Signal()  # and so has the order's effective price
        with m.State("UNSETTLED"):
            m.d.sync += bounds_moved.eq(
                (c.rules.lower_ticks != current.lower_ticks) | (c.rules.upper_ticks != current.upper_ticks)
            )
            with m.If(told):
                m.next = "SETTLED"
        with m.State("SETTLED"):
            m.d.sync += [c.rules.lower_ticks.eq(current.lower_ticks), c.rules.upper_ticks.eq(current.upper_ticks)]
            m.next = "CHECK_AGAIN"
            with m.If(~bounds_moved):
                m.d.sync += c.waits.eq(0)
                m.next = "FLOW"
        with m.State("CHECK_AGAIN"):
            m.d.sync += [
                moved.eq(c.price_ticks != price_check.effective_ticks),
                c.refusal.eq(price_check.refusal),
                c.price_ticks.eq(price_check.effective_ticks),
                c.at_bound.eq(price_check.at_bound),
            ]
            m.next = "WEIGH_AGAIN"
        with m.State("WEIGH_AGAIN"):
            m.d.comb += repriced.eq(moved)
            m.d.sync += [
                c.late.any.eq(Value.cast(c.refusal).any()),
                c.late.reason.eq(reason_of(c.refusal)),
                c.asks.eq(reserves(c.command) & ~c.row.killed & ~Value.cast(c.refusal).any()),
                c.worth_bits.eq(c.factor_bits + bit_length(c.price_ticks)),
                c.waits.eq(0),
            ]
            m.next = "FLOW"
