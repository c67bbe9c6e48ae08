"""The venue: everything an operator decides, read from one TOML file and checked before anything starts."""

import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PPM = 1_000_000
"""Rates are integers in parts per million."""

MONEY_LIMIT_QUOTE = 1 << 60
"""All that has ever been deposited stays below this, so that no balance leaves 64 bits."""

_Positive = Annotated[int, Field(gt=0)]
_PositiveInt32 = Annotated[int, Field(gt=0, lt=1 << 32)]
_Quote = Annotated[int, Field(ge=0, lt=MONEY_LIMIT_QUOTE)]
_MarginRate = Annotated[int, Field(gt=0, le=PPM)]
_FeeRate = Annotated[int, Field(ge=0, le=100_000)]
_DurationNs = Annotated[int, Field(gt=0, lt=1 << 62)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]


class ConfigError(ValueError):
    """The venue file cannot be used; the message names file, key and what is wrong with it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InstrumentConfig(_Section):
    """One linear perpetual; its index in the device is its place in the file.

    Attributes
    ----------
    name : Name, unique.
    window_base_ticks : Lowest price that can rest.
    window_ticks : How many prices can rest, a power of two.
    multiplier_quote : Quote units that one lot is worth per tick, 1 to 65535.
    initial_margin_ppm : Share of a position's value an account must have to open it.
    maintenance_margin_ppm : Share of a position's value below which it is liquidated; less than the initial.
    band_width_ppm : Half width of the price band, as a share of the mark price.
    band_step_ppm : The band follows when the mark has moved by this share of the half width.
    halt_ns : How long trading halts after a trade at the band's bound.
    maker_fee_ppm : Fee of the maker, as a share of the trade's value.
    taker_fee_ppm : Fee of the taker.
    liquidation_slice_lots : Most lots that one closing order names.
    """

    name: _Name
    window_base_ticks: _PositiveInt32
    window_ticks: _PositiveInt32
    multiplier_quote: Annotated[int, Field(gt=0, lt=1 << 16)]
    initial_margin_ppm: _MarginRate
    maintenance_margin_ppm: _MarginRate
    band_width_ppm: Annotated[int, Field(gt=0, lt=PPM)]
    band_step_ppm: Annotated[int, Field(gt=0, lt=PPM)] = 250_000
    halt_ns: _DurationNs = 300_000_000_000
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


class VenueConfig(_Section):
    """A whole venue.

    Attributes
    ----------
    device : Device URL, such as `embedded:ecp5`.
    store : SQLite file of journal and ledger, relative to the working directory.
    watchdog_ns : The device halts when the host is silent for this long.
    insurance_fund_quote : What the insurance fund starts with.
    gateway : Where orders and quotes come in.
    oracle : How quotes become a mark price.
    instruments : The instruments, in the device's order.
    accounts : The accounts, in the device's order.
    """

    device: str = "embedded:ecp5"
    store: Path = Path("venue.sqlite")
    watchdog_ns: _DurationNs = 2_000_000_000
    insurance_fund_quote: _Quote = 0
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
        problems = [
            f"{path}: {_key(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        ]
        raise ConfigError("\n".join(problems)) from error


def _as_json(document: dict[str, object]) -> str:
    """TOML as JSON, whose strict rules read arrays as tuples and strings as paths."""
    return json.dumps(document, default=str)


def _key(location: Sequence[int | str]) -> str:
    """`instruments[2].name` from pydantic's tuple."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".") or "venue"


def _check_unique(what: str, names: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"{what} {name!r} is named {times} times")
