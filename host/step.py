"""What goes into one step of the daemon, and what comes out: plain values, and their bytes in the journal."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from bandgap.hdl.protocol.reports import TradingState
from bandgap.host.breaker import HaltCause
from bandgap.host.gateway.order_entry import REQUEST_DTYPE, ClientIds, Encoded
from bandgap.host.liquidation.liquidator import Round
from bandgap.host.oracle.oracle import Quote
from bandgap.host.wire import Bytes2D, Records

_QUOTE_DTYPE = np.dtype(
    [("source", "<u4"), ("instrument", "<u4"), ("price_ticks", "<u4"), ("pad", "<u4"), ("time_ns", "<u8")]
)
_DEPOSIT_DTYPE = np.dtype([("account", "<u8"), ("amount_quote", "<i8")])


class StepInputError(ValueError):
    """A step was given what it cannot take; nothing was changed."""


@dataclass(frozen=True)
class Deposit:
    """Money that comes in for an account, more than zero quote units."""

    account: int
    amount_quote: int


@dataclass(frozen=True)
class StepInput:
    """What comes in from outside for one step.

    Attributes
    ----------
    time_ns : When the step begins; not before the end of the last one.
    requests : (n,) of `REQUEST_DTYPE`; their arrivals do not decrease and are not before `time_ns`.
    quotes : Oracle quotes, not from after `time_ns`.
    deposits : Deposits.
    """

    time_ns: int
    requests: Records = field(default_factory=lambda: np.zeros(0, REQUEST_DTYPE))
    quotes: Sequence[Quote] = ()
    deposits: Sequence[Deposit] = ()

    def to_bytes(self) -> dict[str, bytes]:
        """The input as the journal keeps it: `requests`, `quotes` and `deposits`."""
        quotes = [(quote.source, quote.instrument, quote.price_ticks, 0, quote.time_ns) for quote in self.quotes]
        deposits = [(deposit.account, deposit.amount_quote) for deposit in self.deposits]
        return {
            "requests": self.requests.tobytes(),
            "quotes": np.array(quotes, _QUOTE_DTYPE).tobytes(),
            "deposits": np.array(deposits, _DEPOSIT_DTYPE).tobytes(),
        }

    @classmethod
    def from_bytes(cls, time_ns: int, requests: bytes, quotes: bytes, deposits: bytes) -> Self:
        """The input that `to_bytes` came from.

        Raises
        ------
        StepInputError : One of them is cut off.
        """
        return cls(
            time_ns,
            _records("requests", requests, REQUEST_DTYPE),
            [
                Quote(source, instrument, price_ticks, quoted_ns)
                for source, instrument, price_ticks, _, quoted_ns in _records("quotes", quotes, _QUOTE_DTYPE).tolist()
            ],
            [Deposit(*deposit) for deposit in _records("deposits", deposits, _DEPOSIT_DTYPE).tolist()],
        )


def _records(what: str, content: bytes, dtype: np.dtype[Any]) -> Records:
    if len(content) % dtype.itemsize:
        raise StepInputError(f"{what}: {len(content)} bytes are no whole number of records of {dtype.itemsize}")
    return np.frombuffer(content, dtype)


@dataclass(frozen=True)
class TradingChange:
    """An instrument's trading state changed.

    Attributes
    ----------
    time_ns : When.
    instrument : Which.
    state : The new state.
    until_ns : When the device ends it; zero: not by itself.
    cause : Why it does not trade; when it does again: the cause that is over.
    """

    time_ns: int
    instrument: int
    state: TradingState
    until_ns: int
    cause: HaltCause

    @property
    def trading(self) -> bool:
        """Whether it trades continuously now."""
        return self.state in (TradingState.TRADING, TradingState.LIMIT)


@dataclass(frozen=True)
class StepResult:
    """What a step came to.

    Attributes
    ----------
    sequence : Its number in the journal.
    time_ns : When it began.
    encoded : Which requests became commands, and which the host refused and why.
    first_number : Number of the first client command; the others follow.
    commands : (m, 32) uint8, the operator commands that went before the clients'.
    reports : (n, 64) uint8, all the device's reports.
    ids : The client order ids that each report speaks of.
    closing_ids : The same of closing orders, whose ids are the host's own.
    marks_ticks : Mark price of each instrument; None without one.
    trading_changes : Every change of a trading state, in order.
    index_ppm : How far the index has moved since the session began.
    liquidation : What was done about accounts under maintenance.
    digest : The journal's digest after this step.
    """

    sequence: int
    time_ns: int
    encoded: Encoded
    first_number: int
    commands: Bytes2D
    reports: Bytes2D
    ids: ClientIds
    closing_ids: ClientIds
    marks_ticks: tuple[int | None, ...]
    trading_changes: tuple[TradingChange, ...]
    index_ppm: int
    liquidation: Round
    digest: bytes
