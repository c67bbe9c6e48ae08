"""What is wrong with a malformed command: the rules it breaks, by the names of their coverage points."""

from collections.abc import Iterator

from bandgap.hdl.config import BookConfig
from bandgap.sim.model.commands import (
    ALL_INSTRUMENTS,
    AccountCommand,
    Cancel,
    Command,
    GrantCredit,
    Heartbeat,
    NewOrder,
    Opcode,
    OrderType,
    PlainCommand,
    ReferenceSource,
    Replace,
    ScheduledState,
    SetBand,
    SetBreaker,
    SetDynamicBand,
    SetInstrument,
    SetReferenceRule,
    SetSchedule,
    StateCommand,
    TimeInForce,
)

from .coverage.points import words


def broken_rules(command: Command, config: BookConfig) -> Iterator[str]:
    """Which rules a command breaks that its bytes alone allow."""
    if command.number == 0:
        yield "number zero"
    yield from _wrong_names(command, config)
    match command:
        case NewOrder():
            market = command.order_type is OrderType.MARKET
            if command.quantity_lots == 0:
                yield "new order of zero"
            if market and command.price_ticks:
                yield "market order with a price"
            if market and command.time_in_force is not TimeInForce.IOC:
                yield "market order not IOC"
            if command.post_only and command.time_in_force is not TimeInForce.GTC:
                yield "post-only not GTC"
            if command.post_only and market:
                yield "post-only market order"
        case Replace() if command.quantity_lots == 0:
            yield "replace to zero"
        case SetInstrument():
            window_ticks = 1 << command.window_log2
            if command.multiplier_quote == 0:
                yield "multiplier zero"
            if command.multiplier_quote >= 1 << 16:
                yield "multiplier too large"
            if window_ticks < config.word_bits:
                yield "window too small"
            if window_ticks > config.ticks:
                yield "window too large"
            elif command.window_base_ticks + window_ticks > 1 << 32:
                yield "window beyond 32 bits"
        case SetBand() if not command.lower_ticks <= command.reference_ticks <= command.upper_ticks:
            yield "bounds out of order"
        case Heartbeat() if command.timeout_ns >= 1 << 63:
            yield "timeout too long"
        case _:
            yield from _wrong_durations(command)


def _wrong_durations(command: Command) -> Iterator[str]:
    """Which rules a command of the circuit breaker breaks."""
    match command:
        case StateCommand() if _too_short(command.duration_us):
            yield f"{words(command.opcode)} too short"
        case SetBreaker():
            if any(map(_too_short, (command.limit_us, command.halt_us, command.indicative_us))):
                yield "limit state, halt or indicative too short"
            if command.call_us < 1_000:
                yield "no call"
            if command.extension_us < 1_000:
                yield "no extension"
        case SetDynamicBand():
            for width_ticks, bucket_us, buckets in (
                (command.short_width_ticks, command.short_bucket_us, command.short_buckets),
                (command.long_width_ticks, command.long_bucket_us, command.long_buckets),
            ):
                if width_ticks or bucket_us or buckets:
                    if bucket_us < 1_000:
                        yield "bucket too short"
                    if not buckets:
                        yield "no bucket"
                    if buckets > 64:
                        yield "too many buckets"
        case SetReferenceRule():
            if max(command.width_ppm, command.move_ppm) > 1_000_000:
                yield "share too large"
            if command.source is not ReferenceSource.LAST_TRADES and command.trades_log2:
                yield "number of trades without such a source"
            elif command.trades_log2 > 6:
                yield "too many trades"
        case SetSchedule():
            if command.state not in (ScheduledState.OPENING_CALL, ScheduledState.CLOSING_CALL):
                if command.duration_us:
                    yield "duration of no call"
            elif _too_short(command.duration_us):
                yield "scheduled call too short"


def _wrong_names(command: Command, config: BookConfig) -> Iterator[str]:
    """Which names in a command the device has not."""
    match command:
        case AccountCommand() | GrantCredit() | Heartbeat() | PlainCommand(opcode=Opcode.READ_CLOCK):
            if command.instrument:
                yield "instrument where none belongs"
        case PlainCommand() | StateCommand() if command.instrument == ALL_INSTRUMENTS:
            pass
        case _ if command.instrument >= config.instruments:
            yield "instrument"
    match command:
        case NewOrder() | Cancel() | Replace() | AccountCommand() | GrantCredit():
            if command.account >= config.accounts:
                yield "account"
    match command:
        case NewOrder() | Cancel() | Replace() if command.token >= config.orders:
            yield "token"


def _too_short(duration_us: int) -> bool:
    return 0 < duration_us < 1_000
