"""The venue: everything an operator decides, read from one TOML file and checked before anything starts."""

import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from datetime import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bandgap.host.breaker_presets import PRESETS

PPM = 1_000_000
"""Rates are integers in parts per million."""

MONEY_LIMIT_QUOTE = 1 << 60
"""All that has ever been deposited stays below this, so that no balance leaves 64 bits."""

_Positive = Annotated[int, Field(gt=0)]
_PositiveInt32 = Annotated[int, Field(gt=0, lt=1 << 32)]
_Quote = Annotated[int, Field(ge=0, lt=MONEY_LIMIT_QUOTE)]
_MarginRate = Annotated[int, Field(gt=0, le=PPM)]
_FeeRate = Annotated[int, Field(ge=0, le=100_000)]
_Uint32 = Annotated[int, Field(ge=0, lt=1 << 32)]
_Share = Annotated[int, Field(ge=0, le=PPM)]
_DurationNs = Annotated[int, Field(gt=0, lt=1 << 62)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]


class ConfigError(ValueError):
    """The venue file cannot be used, or not with this device; the message names what is wrong with it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


SHORTEST_US = 1_000
"""No duration of the device is shorter, but for zero where that means none."""

MOST_BUCKETS = 64
MOST_TRADES_LOG2 = 6


class BreakerConfig(_Section):
    """The circuit breaker of one instrument; `docs/circuit-breaker.md` says what each parameter does.

    Widths in parts per million become ticks by the mark price with which the instrument opens, and anew with each
    session. Durations are those of the device, in microseconds: zero, or `SHORTEST_US` and more.

    Attributes
    ----------
    preset : Name of a ready set (`breaker_presets`) that says what the file leaves out.
    width_ppm : Half width of the static band as a share of its reference.
    width_ticks : The same in ticks, where that is less; zero: only as `width_ppm` says.
    late_width_ppm, late_width_ticks : The same near the session's close; zero: no other than before.
    step_ppm : The host moves the band when the mark has moved by this share of the half width.
    policy : What happens to an order beyond its bound.
    source : Where the device takes the reference from; *host*: from the host (the mark price) and auctions alone.
    trades_log2 : Source *last_trades*: of two to this many trades.
    move_ppm, hold_us : How far the reference must move, and how long it must have stood, to be replaced by the device.
    limit_us : How long a limit state lasts before it becomes a halt; zero: for ever.
    halt_us : How long such a halt lasts before a call opens.
    call_us, extension_us : How long a call lasts, and by how much it is extended.
    random_end_us : Each call is longer by a time from zero to this, which the host draws.
    indicative_us : How often the indicative price is told during a call; zero: never.
    auction_width_ppm : By how much the auction band is wider than the static one, and wider still by each extension.
    mode : Continuous, or batch: by auctions alone, `call_us` apart.
    collects : While halted, new orders collect for the auction.
    short_width_ppm, short_bucket_us, short_buckets : The short rolling window: how far trades may be from each other,
        and how long it is. All zero: there is none.
    long_width_ppm, long_bucket_us, long_buckets : The long one; its width may be zero where only its mean is wanted.
    """

    preset: str | None = None
    width_ppm: Annotated[int, Field(gt=0, le=PPM)]
    width_ticks: _Uint32 = 0
    late_width_ppm: _Share = 0
    late_width_ticks: _Uint32 = 0
    step_ppm: Annotated[int, Field(gt=0, lt=PPM)] = 250_000
    policy: Literal["reject", "clamp", "halt"] = "clamp"
    source: Literal["host", "last_trades", "window_mean", "auction"] = "host"
    trades_log2: Annotated[int, Field(ge=0, le=MOST_TRADES_LOG2)] = 0
    move_ppm: _Share = 0
    hold_us: _Uint32 = 0
    limit_us: _Uint32 = 15_000_000
    halt_us: _PositiveInt32 = 300_000_000
    call_us: _PositiveInt32 = 60_000_000
    extension_us: _PositiveInt32 = 60_000_000
    random_end_us: _Uint32 = 0
    indicative_us: _Uint32 = 1_000_000
    auction_width_ppm: Annotated[int, Field(gt=0, le=PPM)] = 50_000
    mode: Literal["continuous", "batch"] = "continuous"
    collects: bool = False
    short_width_ppm: _Share = 0
    short_bucket_us: _Uint32 = 0
    short_buckets: Annotated[int, Field(ge=0, le=MOST_BUCKETS)] = 0
    long_width_ppm: _Share = 0
    long_bucket_us: _Uint32 = 0
    long_buckets: Annotated[int, Field(ge=0, le=MOST_BUCKETS)] = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        """What the file says goes before what the preset says."""
        name = given.get("preset") if isinstance(given, dict) else None
        if not isinstance(name, str):
            return given
        if name not in PRESETS:
            raise ValueError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
        return PRESETS[name] | given

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("limit_us", "halt_us", "call_us", "extension_us", "indicative_us"):
            if 0 < getattr(self, name) < SHORTEST_US:
                raise ValueError(f"{name} must be at least {SHORTEST_US}, not {getattr(self, name)}")
        for name in ("short", "long"):
            width, bucket_us, buckets = (
                getattr(self, f"{name}_{part}") for part in ("width_ppm", "bucket_us", "buckets")
            )
            if (width or bucket_us or buckets) and (bucket_us < SHORTEST_US or not buckets):
                raise ValueError(
                    f"{name}_bucket_us must be at least {SHORTEST_US} and {name}_buckets 1 to {MOST_BUCKETS}, "
                    f"or all three of the {name} window zero"
                )
        if self.late_width_ticks and not self.late_width_ppm:
            raise ValueError("late_width_ticks needs late_width_ppm")
        if self.trades_log2 and self.source != "last_trades":
            raise ValueError(f"trades_log2 is for source 'last_trades', not {self.source!r}")
        if self.source in ("last_trades", "window_mean") and not self.long_buckets:
            raise ValueError(f"source {self.source!r} needs a long window: its buckets' ends are when it is looked at")
        return self


class SessionConfig(_Section):
    """How time is cut into sessions; the first begins at time zero, so that the usual 24 hours begin at midnight UTC.

    Attributes
    ----------
    length_ns : How long a session lasts.
    close_ns : When in a session the market closes; by default with its end.
    late_ns : How long before that the close is near.
    """

    length_ns: _DurationNs = 86_400 * 10**9
    close_ns: Annotated[int, Field(gt=0, lt=1 << 62)] | None = None
    late_ns: Annotated[int, Field(ge=0, lt=1 << 62)] = 1_500 * 10**9

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.close_ns is not None and self.close_ns > self.length_ns:
            raise ValueError(f"close_ns {self.close_ns} is behind the session's end at {self.length_ns}")
        return self

    def number(self, now_ns: int) -> int:
        """The session of a time."""
        return now_ns // self.length_ns

    def end_ns(self, now_ns: int) -> int:
        """When the session of a time ends."""
        return (self.number(now_ns) + 1) * self.length_ns

    def is_late(self, now_ns: int) -> bool:
        """Whether the close is near."""
        close_ns = self.close_ns or self.length_ns
        return close_ns - self.late_ns <= now_ns % self.length_ns < close_ns


_Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAYS: tuple[_Day, ...] = get_args(_Day)

DAY_US = 86_400_000_000
LONGEST_US = (1 << 32) - 1
"""No call that the device is told the length of is longer: 71 minutes."""


class TimetableConfig(_Section):
    """When an instrument trades: times of day in UTC, which follow each other in this order, past midnight as well.

    Attributes
    ----------
    days : Days of the week on which the first of the times is kept, and all that follow it.
    pre_open : From here on orders collect; left out: not before the opening call.
    opening_call : The opening auction's call begins.
    continuous : It ends with the auction, and continuous trading begins.
    closing_call : The closing auction's call begins; left out: there is none.
    closed : It ends with the auction; trading is over until the next of the days.
    """

    days: Annotated[tuple[_Day, ...], Field(min_length=1)] = DAYS
    pre_open: time | None = None
    opening_call: time
    continuous: time
    closing_call: time | None = None
    closed: time

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_unique("day", self.days)
        times = self.times_us()
        for name in times:
            if getattr(self, name).tzinfo is not None:
                raise ValueError(f"{name} must be a time of day in UTC without an offset")
        first_us = next(iter(times.values()))
        for (earlier, earlier_us), (later, later_us) in pairwise(times.items()):
            if (later_us - first_us) % DAY_US <= (earlier_us - first_us) % DAY_US:
                raise ValueError(f"{later} {getattr(self, later)} does not follow {earlier} {getattr(self, earlier)}")
        for begin, end in (("opening_call", "continuous"), ("closing_call", "closed")):
            if begin in times and not SHORTEST_US <= (times[end] - times[begin]) % DAY_US <= LONGEST_US:
                raise ValueError(f"from {begin} to {end} must be {SHORTEST_US} to {LONGEST_US} microseconds")
        return self

    def times_us(self) -> dict[str, int]:
        """The times that there are, by name and in their order, in microseconds since midnight."""
        times: dict[str, time | None] = {
            "pre_open": self.pre_open,
            "opening_call": self.opening_call,
            "continuous": self.continuous,
            "closing_call": self.closing_call,
            "closed": self.closed,
        }
        return {
            name: ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond
            for name, at in times.items()
            if at is not None
        }


class MarketHaltConfig(_Section):
    """The market-wide halt: all instruments together, when the index has fallen.

    Attributes
    ----------
    levels_ppm : Falls of the index since the session began, ascending; each halts once a session, the last one until
        the session is over. None of them: there is no such halt.
    halt_us : How long the others halt.
    """

    levels_ppm: tuple[Annotated[int, Field(gt=0, lt=PPM)], ...] = (70_000, 130_000, 200_000)
    halt_us: Annotated[int, Field(ge=SHORTEST_US, lt=1 << 32)] = 900_000_000

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.levels_ppm) != sorted(set(self.levels_ppm)):
            raise ValueError(f"levels_ppm must ascend, not {list(self.levels_ppm)}")
        return self


class InstrumentConfig(_Section):
    """One linear perpetual; its index in the device is its place in the file.

    Attributes
    ----------
    name : Name, unique.
    window_base_ticks : Lowest price that can rest, to begin with.
    window_ticks : How many prices can rest, a power of two; the device has a smallest window.
    window_margin_ppm : The window moves when the reference price is nearer to its edge than this share of it, so that
        the reference is in the middle again; zero: it never moves.
    multiplier_quote : Quote units that one lot is worth per tick, 1 to 65535.
    initial_margin_ppm : Share of a position's value an account must have to open it.
    maintenance_margin_ppm : Share of a position's value below which it is liquidated; less than the initial.
    breaker : Its circuit breaker.
    timetable : When it trades; without one, as the venue's says.
    maker_fee_ppm : Fee of the maker, as a share of the trade's value; in an auction that of both.
    taker_fee_ppm : Fee of the taker.
    liquidation_slice_lots : Most lots that one closing order names.
    """

    name: _Name
    window_base_ticks: _PositiveInt32
    window_ticks: _PositiveInt32
    window_margin_ppm: Annotated[int, Field(ge=0, lt=PPM // 2)] = 0
    multiplier_quote: Annotated[int, Field(gt=0, lt=1 << 16)]
    initial_margin_ppm: _MarginRate
    maintenance_margin_ppm: _MarginRate
    breaker: BreakerConfig
    timetable: TimetableConfig | None = None
    maker_fee_ppm: _FeeRate = 0
    taker_fee_ppm: _FeeRate = 0
    liquidation_slice_lots: _PositiveInt32 = 1_000

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window_ticks & (self.window_ticks - 1):
            raise ValueError(f"window_ticks must be a power of two, not {self.window_ticks}")
        if self.window_base_ticks + self.window_ticks > 1 << 32:
            raise ValueError("window_base_ticks + window_ticks must not be above 2^32")
        if self.maintenance_margin_ppm >= self.initial_margin_ppm:
            raise ValueError("maintenance_margin_ppm must be less than initial_margin_ppm")
        return self


class AccountConfig(_Section):
    """One trading account; its index is its place in the file.

    Attributes
    ----------
    name : Name, unique.
    deposit_quote : What it brings, in quote units.
    """

    name: _Name
    deposit_quote: _Quote


class OracleConfig(_Section):
    """How quotes become a mark price.

    Attributes
    ----------
    sources : Names of the sources; quotes of others are refused.
    quorum : How many fresh sources a price needs.
    staleness_ns : A quote older than this counts no more.
    max_deviation_ppm : A quote further than this from the median of the fresh ones counts no more.
    """

    sources: Annotated[tuple[_Name, ...], Field(min_length=1)]
    quorum: _Positive
    staleness_ns: _DurationNs
    max_deviation_ppm: Annotated[int, Field(gt=0, lt=PPM)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_unique("source", self.sources)
        if self.quorum > len(self.sources):
            raise ValueError(f"quorum {self.quorum} is more than the {len(self.sources)} sources")
        return self


class GatewayConfig(_Section):
    """Where orders and quotes come in: newline-delimited JSON over TCP.

    Attributes
    ----------
    host : Address to listen on; loopback, because lines are not authenticated.
    port : TCP port; zero lets the system choose.
    """

    host: Annotated[str, Field(pattern=r"^(127\.\d+\.\d+\.\d+|::1|localhost)$")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, lt=1 << 16)] = 7171


SHORTEST_WATCHDOG_NS = 1_000_000_000
"""Within a watchdog's time four batches reach the disk and come back from the device, a slow disk's pauses included; a
shorter one would halt a venue that is well. A board counts a host as silent after 1.07 s (`hdl/boards/clock.py`), so it
would hardly halt any sooner."""


class VenueConfig(_Section):
    """A whole venue.

    Attributes
    ----------
    device : Device URL, such as `embedded:ecp5`.
    store : SQLite file of journal and ledger, relative to the working directory.
    watchdog_ns : The device halts when the host is silent for this long, `SHORTEST_WATCHDOG_NS` at least.
    insurance_fund_quote : What the insurance fund starts with.
    session : How time is cut into sessions.
    timetable : When instruments trade that have no timetable of their own; without one, round the clock.
    market_halt : When all instruments are halted together.
    gateway : Where orders and quotes come in.
    oracle : How quotes become a mark price.
    instruments : The instruments, in the device's order.
    accounts : The accounts, in the device's order.
    """

    device: str = "embedded:ecp5"
    store: Path = Path("venue.sqlite")
    watchdog_ns: Annotated[int, Field(ge=SHORTEST_WATCHDOG_NS, lt=1 << 62)] = 2_000_000_000
    insurance_fund_quote: _Quote = 0
    session: SessionConfig = SessionConfig()
    timetable: TimetableConfig | None = None
    market_halt: MarketHaltConfig = MarketHaltConfig()
    gateway: GatewayConfig = GatewayConfig()
    oracle: OracleConfig
    instruments: Annotated[tuple[InstrumentConfig, ...], Field(min_length=1)]
    accounts: Annotated[tuple[AccountConfig, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_unique("instrument", [instrument.name for instrument in self.instruments])
        _check_unique("account", [account.name for account in self.accounts])
        if self.insurance_fund_quote + sum(account.deposit_quote for account in self.accounts) >= MONEY_LIMIT_QUOTE:
            raise ValueError(f"deposits and insurance_fund_quote together must be below {MONEY_LIMIT_QUOTE}")
        return self

    def rules(self) -> str:
        """The part that decides outcomes, as canonical JSON: a journal is only valid under the rules it began with."""
        return self.model_dump_json(exclude={"device", "store", "gateway"})

    @classmethod
    def from_rules(cls, rules: str) -> Self:
        """A venue of the rules that `rules` once gave; a key that is not among them has its default.

        Raises
        ------
        ConfigError : They are no rules of this version.
        """
        try:
            return cls.model_validate_json(rules)
        except ValidationError as error:
            raise ConfigError(_problems("rules", error)) from error


def load_config(path: Path) -> VenueConfig:
    """Read a venue file.

    Raises
    ------
    ConfigError : It cannot be read, is no TOML in UTF-8, or a key is missing, unknown or wrong.
    """
    try:
        return VenueConfig.model_validate_json(_as_json(tomllib.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    except ValidationError as error:
        raise ConfigError(_problems(path, error)) from error


def _as_json(document: dict[str, object]) -> str:
    """TOML as JSON, whose strict rules read arrays as tuples and strings as paths."""
    return json.dumps(document, default=str)


def _problems(source: Path | str, error: ValidationError) -> str:
    """What is wrong, a line each."""
    return "\n".join(
        f"{source}: {_key(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors()
    )


def _key(location: Sequence[int | str]) -> str:
    """`instruments[2].name` from pydantic's tuple."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".") or "venue"


def _check_unique(what: str, names: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"{what} {name!r} is named {times} times")
