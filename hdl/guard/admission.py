"""What lets commands in at all: their form, and a host that is alive."""

from functools import reduce
from operator import or_

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import BookConfig
from ..protocol.commands import (
    ALL_INSTRUMENTS,
    COMMANDS,
    Header,
    Opcode,
    OrderFlags,
    OrderType,
    ReferenceSource,
    ScheduledState,
    TimeInForce,
)

NAMES_AN_INSTRUMENT = {
    Opcode.NEW_ORDER,
    Opcode.CANCEL,
    Opcode.REPLACE,
    Opcode.SET_INSTRUMENT,
    Opcode.SET_BAND,
    Opcode.SET_BREAKER,
    Opcode.SET_DYNAMIC_BAND,
    Opcode.SET_REFERENCE_RULE,
    Opcode.SET_CALL_END,
    Opcode.SET_SCHEDULE,
    Opcode.MOVE_WINDOW,
}
NAMES_ONE_OR_ALL = {Opcode.HALT, Opcode.RESUME, Opcode.CALL}

LEAST_US = 1_000
"""Of whatever lasts at all."""

MOST_BUCKETS = 64
MOST_TRADES_LOG2 = 6
PPM = 1_000_000


def _any(conditions) -> Value:
    return reduce(or_, conditions, Const(0, 1))


def _too_short(duration_us) -> Value:
    return (duration_us != 0) & (duration_us < LEAST_US)


class WellFormed(wiring.Component):
    """Whether a command is what its opcode's layout allows; purely combinational.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    command : The 32 bytes.
    malformed : Whether something in them has no meaning; the list is in `docs/order-semantics.md`.
    """

    def __init__(self, config: BookConfig):
        self._config = config
        super().__init__({"command": In(256), "malformed": Out(1)})

    def _field_faults(self, layout, view):
        """Faults that the layout alone tells: reserved bytes, enums, flags, accounts and tokens."""
        for name, field in layout.as_shape().members.items():
            value = view[name]
            if name.startswith("reserved"):
                yield Value.cast(value) != 0
            elif isinstance(field, type) and issubclass(field, enum.Flag):
                known = reduce(or_, (member.value for member in field))
                yield (Value.cast(value) & ~known & ((1 << len(Value.cast(value))) - 1)) != 0
            elif isinstance(field, type) and issubclass(field, enum.Enum):
                yield ~_any(Value.cast(value) == member.value for member in field)
            elif name == "account":
                yield value >= self._config.accounts
            elif name == "token" and self._config.orders < 1 << 16:
                yield value >= self._config.orders

    def _rule_faults(self, opcode, view):
        """Faults of one opcode that several fields tell together."""
        if opcode is Opcode.NEW_ORDER:
            market = view.order_type == OrderType.MARKET
            post_only = (Value.cast(view.flags) & OrderFlags.POST_ONLY.value) != 0
            yield view.quantity_lots == 0
            yield market & ((view.price_ticks != 0) | (view.time_in_force != TimeInForce.IOC))
            yield post_only & (market | (view.time_in_force != TimeInForce.GTC))
        elif opcode is Opcode.REPLACE:
            yield view.quantity_lots == 0
        elif opcode is Opcode.SET_INSTRUMENT:
            smallest, largest = exact_log2(self._config.word_bits), exact_log2(self._config.ticks)
            yield (view.multiplier_quote == 0) | (view.multiplier_quote >= 1 << 16)
            yield (view.window_log2 < smallest) | (view.window_log2 > largest)
            size = (Const(1, largest + 1) << view.window_log2[:5])[: largest + 1]
            yield view.window_base_ticks + size > 1 << 32
        elif opcode is Opcode.SET_BAND:
            yield (view.lower_ticks > view.reference_ticks) | (view.reference_ticks > view.upper_ticks)
        elif opcode is Opcode.HEARTBEAT:
            yield view.timeout_ns[63]
        elif opcode in (Opcode.HALT, Opcode.CALL):
            yield _too_short(view.duration_us)
        elif opcode is Opcode.SET_BREAKER:
            yield (view.call_us == 0) | (view.extension_us == 0)
            for name in ("limit_us", "halt_us", "call_us", "extension_us", "indicative_us"):
                yield _too_short(view[name])
        elif opcode is Opcode.SET_DYNAMIC_BAND:
            for name in ("short", "long"):
                width, bucket_us, buckets = (view[f"{name}_{what}"] for what in ("width_ticks", "bucket_us", "buckets"))
                off = (width == 0) & (bucket_us == 0) & (buckets == 0)
                yield ~off & ((bucket_us < LEAST_US) | (buckets == 0) | (buckets > MOST_BUCKETS))
        elif opcode is Opcode.SET_REFERENCE_RULE:
            yield (view.width_ppm > PPM) | (view.move_ppm > PPM)
            counts = view.source == ReferenceSource.LAST_TRADES
            yield Mux(counts, view.trades_log2 > MOST_TRADES_LOG2, view.trades_log2 != 0)
        elif opcode is Opcode.SET_SCHEDULE:
            calls = (view.state == ScheduledState.OPENING_CALL) | (view.state == ScheduledState.CLOSING_CALL)
            yield Mux(calls, _too_short(view.duration_us), view.duration_us != 0)

    def elaborate(self, platform):
        m = Module()
        header = data.View(Header, self.command[: Header.as_shape().size])
        m.d.comb += self.malformed.eq(1)
        with m.Switch(Value.cast(header.opcode)):
            for opcode, layout in COMMANDS.items():
                with m.Case(opcode.value):
                    view = data.View(layout, self.command)
                    beyond = header.instrument >= self._config.instruments
                    if opcode in NAMES_ONE_OR_ALL:
                        beyond = beyond & (header.instrument != ALL_INSTRUMENTS)
                    elif opcode not in NAMES_AN_INSTRUMENT:
                        beyond = header.instrument != 0
                    faults = [header.number == 0, beyond]
                    faults += self._field_faults(layout, view)
                    faults += self._rule_faults(opcode, view)
                    m.d.comb += self.malformed.eq(_any(faults))
        return m


class Watchdog(wiring.Component):
    """The timer that a heartbeat winds up.

    Attributes
    ----------
    time_ns : The core's time.
    arm : In this cycle the timer is set to `arm_deadline_ns`, or disarmed when `arm_none`.
    due : The deadline has come; stays until `arm` or `acted`.
    acted : The expiry has been taken up: the timer is disarmed.
    deadline_ns : The deadline that is, or last was, set.
    """

    time_ns: In(64)
    arm: In(1)
    arm_none: In(1)
    arm_deadline_ns: In(64)
    acted: In(1)
    due: Out(1)
    deadline_ns: Out(64)

    def elaborate(self, platform):
        m = Module()
        armed = Signal()
        m.d.comb += self.due.eq(armed & (self.time_ns >= self.deadline_ns))
        with m.If(self.acted):
            m.d.sync += armed.eq(0)
        with m.If(self.arm):
            m.d.sync += [armed.eq(~self.arm_none), self.deadline_ns.eq(self.arm_deadline_ns)]
        return m
