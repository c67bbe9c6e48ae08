"""The coverage points: what a verification run should see.

A point is a group and a name. What the rules exclude is listed in `IMPOSSIBLE` with the reason, and it is an error when
it happens all the same.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from itertools import product
from typing import NamedTuple

from bandgap.sim.model.breaker import Timer
from bandgap.sim.model.commands import Opcode
from bandgap.sim.model.reports import Reason, TradingState


class Point(NamedTuple):
    """One thing that should be seen."""

    group: str
    name: str


See = Callable[[str, str], None]
"""Counts the point of a group and a name."""


def words(member: Enum) -> str:
    """A member's name as it stands in a point's."""
    return member.name.lower().replace("_", " ")


MATCHING = ("trading", "limit")
COLLECTING = ("call", "pre open", "halted collecting")
SHUT = ("not set", "halted", "closed")
STATES = (*MATCHING, *COLLECTING, *SHUT)
"""Trading states, and whether orders collect while halted."""
ORDERS = ("GTC", "post-only", "IOC", "FOK", "market")
OUTCOMES = (
    "rejected",
    "rests",
    "trades and rests",
    "filled",
    "canceled",
    "trades and is canceled",
    "not fillable",
    "ended by self-trade prevention",
)
MOVES = ("rests", "trades and rests", "filled", "ended by self-trade prevention")
REPLACES = ("rejected", "keeps its place", "keeps its place, smaller", *(f"moves: {outcome}" for outcome in MOVES))
TAKERS = ("GTC", "IOC", "FOK", "market", "replace")
SELF_TRADES = (
    "off: trades with its own maker",
    "cancel newest: before any trade",
    "cancel newest: after a trade",
    "cancel oldest: then filled",
    "cancel oldest: then not filled",
    "cancel both: before any trade",
    "cancel both: after a trade",
    "decrement: the maker stays",
    "decrement: the taker goes on",
    "decrement: both are gone",
)
OPERATOR_COMMANDS = [opcode for opcode in Opcode if opcode >= Opcode.SET_INSTRUMENT]
REJECTIONS = {
    Reason.MALFORMED: list(Opcode),
    Reason.WRONG_EPOCH: list(Opcode),
    Reason.NOT_PRIVILEGED: [Opcode.NEW_ORDER, Opcode.REPLACE, *OPERATOR_COMMANDS],
    Reason.TOKEN_NOT_YOURS: [Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE],
    Reason.UNKNOWN_INSTRUMENT: [
        *(Opcode.NEW_ORDER, Opcode.CANCEL, Opcode.REPLACE),
        *(Opcode.SET_BAND, Opcode.HALT, Opcode.RESUME, Opcode.SET_BREAKER, Opcode.SET_DYNAMIC_BAND),
        *(Opcode.SET_REFERENCE_RULE, Opcode.CALL, Opcode.SET_CALL_END, Opcode.SET_SCHEDULE, Opcode.MOVE_WINDOW),
    ],
    Reason.KILLED: [Opcode.NEW_ORDER, Opcode.REPLACE],
    Reason.HALTED: [Opcode.NEW_ORDER, Opcode.REPLACE],
    Reason.AUCTION_CALL: [Opcode.NEW_ORDER],
    Reason.NO_BAND: [Opcode.NEW_ORDER],
    Reason.OUTSIDE_WINDOW: [Opcode.NEW_ORDER, Opcode.REPLACE, Opcode.SET_BAND, Opcode.MOVE_WINDOW],
    Reason.OUTSIDE_BAND: [Opcode.NEW_ORDER, Opcode.REPLACE],
    Reason.CREDIT: [Opcode.NEW_ORDER, Opcode.REPLACE, Opcode.GRANT_CREDIT],
    Reason.SLOT_IN_USE: [Opcode.NEW_ORDER],
    Reason.GENERATION_USED: [Opcode.NEW_ORDER],
    Reason.UNKNOWN_ORDER: [Opcode.CANCEL, Opcode.REPLACE],
    Reason.QUANTITY_MISMATCH: [Opcode.REPLACE],
    Reason.POST_ONLY: [Opcode.NEW_ORDER, Opcode.REPLACE],
    Reason.INSTRUMENT_ACTIVE: [Opcode.SET_INSTRUMENT, Opcode.SET_BREAKER],
    Reason.LADDER_CONFLICT: [Opcode.SET_INSTRUMENT],
    Reason.BOOK_CROSSED: [Opcode.RESUME],
}
"""The table of rejections: reason by reason, the commands that can be rejected for it."""

STATE_REASONS = [reason for reason in Reason if reason >= Reason.OPERATOR]
_OPEN = [state for state in TradingState if state is not TradingState.CLOSED]
CHANGES: dict[Reason, set[tuple[TradingState, TradingState]]] = {
    Reason.OPERATOR: {
        *((state, TradingState.HALTED) for state in _OPEN),
        *((state, TradingState.CALL) for state in _OPEN),
        (TradingState.HALTED, TradingState.TRADING),
    },
    Reason.WATCHDOG: {(state, TradingState.HALTED) for state in _OPEN},
    Reason.LIMIT: {
        (TradingState.TRADING, TradingState.LIMIT),
        (TradingState.LIMIT, TradingState.TRADING),
        (TradingState.LIMIT, TradingState.HALTED),
        (TradingState.TRADING, TradingState.HALTED),
    },
    Reason.HALT_OVER: {(TradingState.HALTED, TradingState.CALL)},
    Reason.CALL_OVER: {
        (TradingState.CALL, after) for after in (TradingState.TRADING, TradingState.CALL, TradingState.CLOSED)
    },
    Reason.EXTENDED: {(TradingState.CALL, TradingState.CALL)},
    Reason.SCHEDULE: set(product(TradingState, (TradingState.PRE_OPEN, TradingState.CALL, TradingState.CLOSED))),
}
"""The table of states: reason by reason, from which state to which it leads."""

OTHERS = {
    "account": ("mass cancel: no order", "mass cancel: orders", "kill: no order", "kill: orders", "restore"),
    "credit": ("balance above zero", "balance zero", "balance below zero"),
    "instrument": ("set", "set again"),
    "band": tuple(
        f"{state}: {what}" for state in STATES if state != "not set" for what in ("no order outside", "bids", "asks")
    ),
    "trading state": tuple(
        f"{command} {whom}: {count} changed"
        for command in ("halt", "resume", "call")
        for whom, counts in (("one", ("none", "one")), ("all", ("none", "one", "several")))
        for count in counts
    ),
    "watchdog": (
        "disarmed",
        "armed to halt",
        "armed to halt and cancel",
        "expires: nothing trades",
        "expires: halts",
        "expires: cancels",
    ),
    "clock": ("read",),
    "link": ("another than link 0 trades",),
    "trade": (
        "the maker stays",
        "the taker goes on",
        "both are gone",
        "several makers at a price",
        "several prices",
        "at a better price than the limit",
    ),
    "price": (
        *(f"{what} {side} clamped" for what in ("new", "replace") for side in ("buy", "sell")),
        *(f"market {side} at its bound" for side in ("buy", "sell")),
        *("bid rests below the band", "ask rests above the band"),
        *("bid collects above the band", "ask collects below the band"),
        *("first of the window", "last of the window", "row before the base's"),
    ),
    "reduce-only": ("accepted", "accepted though killed", "replaced"),
    "top of book": (
        *(f"{side} {what}" for side in ("bid", "ask") for what in ("appears or moves", "goes")),
        "quantity above 32 bits",
        "after a timer",
    ),
    "depth": (
        *(f"{side} {what}" for side in ("bid", "ask") for what in ("appears", "changes", "goes")),
        *("stays as it was", "quantity above 32 bits", "after a timer"),
        *("behind a removed order", "behind a replace", "before a taker's next level", "behind an auction's trade"),
        *("one at the end", "two at the end"),
    ),
    "malformed": (
        *("opcode", "enum", "flag", "reserved byte", "number zero", "instrument", "instrument where none belongs"),
        *("account", "token", "new order of zero", "replace to zero", "market order with a price"),
        *("market order not IOC", "post-only not GTC", "post-only market order"),
        *("multiplier zero", "multiplier too large", "window too small", "window too large"),
        *("window beyond 32 bits", "bounds out of order", "timeout too long"),
        *("halt too short", "call too short", "limit state, halt or indicative too short", "no call", "no extension"),
        *("bucket too short", "no bucket", "too many buckets", "share too large", "too many trades"),
        *("number of trades without such a source", "scheduled call too short", "duration of no call"),
    ),
    "limit state": (
        *("trips: best price", "trips: left of an immediate order"),
        *("tripped: halts in it", "tripped: halts behind it", "over: halts until told", "over: halts for a time"),
        "begins by a timer",
        "ends by a timer",
    ),
    "call": (
        *("extended", "extended again", "extended until told", "indicative: nothing trades", "indicative: trades"),
        *("continuous", "batch", "closing"),
    ),
    "auction": (
        *("no order", "bids alone", "asks alone", "not crossed"),
        *("one tick left by volume", "one tick left by surplus", "highest of a surplus of bids"),
        *("lowest of a surplus of asks", "middle ticks: the lower", "middle ticks: the upper"),
        *("balanced: reference below", "balanced: reference among them", "balanced: reference above"),
        *("surplus of bids", "surplus of asks", "no surplus", "without a band"),
        *("one trade", "several trades", "an account with itself", "outside the static band"),
        *("market order trades", "market order is left", "cancels bids", "cancels asks"),
    ),
    "reference": ("host", "last trades", "window mean", "auction: continuous", "auction: batch", "cancels orders"),
    "dynamic band": (
        *(
            f"{window}: {what}"
            for window in ("short", "long")
            for what in ("first trade", "narrows the band", "bucket leaves", "emptied by time", "emptied otherwise")
        ),
        *("both narrow", "rejects what the static band lets through", "clamps to another bound"),
        "parted from the static band",
    ),
    "window": tuple(
        f"{way}: {what}"
        for way in ("up", "down", "disjoint", "stays")
        for what in ("no order outside", "bids alone", "asks alone", "bids and asks")
    ),
    "timetable": ("taken out", "passed", "with its own duration"),
    "timer": (
        *("watchdog", *(words(kind) for kind in Timer)),
        *("same deadline: two of an instrument", "same deadline: two instruments", "same deadline: with the watchdog"),
    ),
}


def _points() -> Iterator[Point]:
    for state in STATES:
        yield from (Point(f"order, {state}", f"{order}: {outcome}") for order, outcome in product(ORDERS, OUTCOMES))
        yield from (Point(f"replace, {state}", outcome) for outcome in REPLACES)
        yield from (Point(f"cancel, {state}", outcome) for outcome in ("rejected", "canceled"))
    yield from (Point("self-trade", f"{taker}, {event}") for taker, event in product(TAKERS, SELF_TRADES))
    for opcode, reason in product(Opcode, REJECTIONS):
        yield Point("rejection", f"{words(opcode)}: {words(reason)}")
    for reason, before, after in product(STATE_REASONS, TradingState, TradingState):
        yield change_of(before, after, reason)
    yield from (Point(group, name) for group, names in OTHERS.items() for name in names)


def change_of(before: TradingState, after: TradingState, reason: Reason) -> Point:
    """The point of a change of state."""
    return Point(f"state, {words(reason)}", f"{words(before)} to {words(after)}")


def _impossible() -> Iterator[tuple[Point, str]]:
    for state, order, outcome in product(SHUT, ORDERS, OUTCOMES[1:]):
        yield Point(f"order, {state}", f"{order}: {outcome}"), "no order enters there"
    for state, order, outcome in product(COLLECTING, ORDERS, OUTCOMES[1:]):
        if outcome != "rests" or order not in ("GTC", "market"):
            yield Point(f"order, {state}", f"{order}: {outcome}"), "orders collect there, or are rejected"
    for outcome in REPLACES[1:]:
        yield Point("replace, not set", outcome), "nothing rests"
    for state, outcome in product(SHUT[1:], MOVES):
        yield Point(f"replace, {state}", f"moves: {outcome}"), "no order moves there"
    for state, outcome in product(COLLECTING, MOVES[1:]):
        yield Point(f"replace, {state}", f"moves: {outcome}"), "nothing trades there"
    yield Point("cancel, not set", "canceled"), "nothing rests"
    for order, outcomes, reason in (
        ("GTC", ("canceled", "trades and is canceled", "not fillable"), "what is left of it rests"),
        ("post-only", OUTCOMES[2:], "it never takes"),
        ("IOC", ("rests", "trades and rests", "not fillable"), "what is left of it is canceled"),
        ("FOK", ("rests", "trades and rests"), "what is left of it is canceled"),
        ("FOK", ("canceled", "trades and is canceled", OUTCOMES[7]), "it trades all or nothing"),
        ("market", ("rests", "trades and rests", "not fillable"), "what is left of it is canceled"),
    ):
        for state, outcome in product(MATCHING, outcomes):
            yield Point(f"order, {state}", f"{order}: {outcome}"), reason
    for event in SELF_TRADES[1:]:
        if event != "cancel oldest: then filled":
            yield Point("self-trade", f"FOK, {event}"), "its count ends there, or it is filled"
    for opcode, (rejection, opcodes) in product(Opcode, REJECTIONS.items()):
        if opcode not in opcodes:
            yield Point("rejection", f"{words(opcode)}: {words(rejection)}"), "not checked for this command"
    for change, before, after in product(STATE_REASONS, TradingState, TradingState):
        if (before, after) not in CHANGES[change]:
            yield change_of(before, after, change), "not in the table of states"
    for what in ("bids alone", "asks alone", "bids and asks"):
        yield Point("window", f"stays: {what}"), "nothing rests outside the window"


POINTS = tuple(_points())
"""All of them."""
IMPOSSIBLE = dict(_impossible())
"""What the rules exclude, with the reason."""
