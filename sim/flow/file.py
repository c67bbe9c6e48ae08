"""Order flow in files: validated whole before anything runs, then streamed in chunks."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import Opcode
from bandgap.host.gateway.order_entry import REQUEST_DTYPE

from .csv_format import CsvFormat
from .lobster_format import LobsterFormat
from .row import Row, RowError

CHUNK_ROWS = 2_048
FIRST_PRICES = 101
"""How many prices tell where a flow starts."""


class FlowError(ValueError):
    """A file is not an order flow; the message names the file, the line and the reason."""


class Format(Protocol):
    """A way to write order flow down.

    `instruments` are the names met so far, in order of appearance: the index of an instrument in a request is its
    place here. `notes` counts what was read but is not an order, by what it is.
    """

    instruments: list[str]
    notes: dict[str, int]

    def rows(self, stream: TextIO) -> Iterator[Row]:
        """The requests in the stream, in order; raises `RowError` at the first line that does not parse."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive requests.

    Attributes
    ----------
    rows : (n,) The 1-based data row that each request stands in.
    requests : (n,) of `REQUEST_DTYPE`.
    """

    rows: NDArray[np.int64]
    requests: NDArray[np.void]


@dataclass(frozen=True)
class PriceRange:
    """Where an instrument's limit prices lie: lowest, highest, and the median of the first ones."""

    lowest_ticks: int
    highest_ticks: int
    first_ticks: int


@dataclass(frozen=True)
class Survey:
    """What a whole file holds.

    Attributes
    ----------
    requests : How many requests.
    instruments : Name of each instrument.
    prices : Price range of each instrument.
    accounts : Every account that is named, ascending.
    notes : How many lines were read that are not orders, by what they are.
    """

    requests: int
    instruments: list[str]
    prices: list[PriceRange]
    accounts: list[int]
    notes: dict[str, int]


class FlowFile:
    """An order flow in a CSV, CSV.gz or LOBSTER message file; the content says which.

    Arguments
    ---------
    path : The file.

    Raises
    ------
    FlowError : From every method: the file cannot be read or a line does not parse.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def survey(self) -> Survey:
        """Read and check the whole file."""
        requests = 0
        accounts: set[int] = set()
        first: list[list[int]] = []
        lowest: list[int] = []
        highest: list[int] = []
        with self._reading() as (form, stream):
            for chunk in _chunks(form, stream):
                requests += len(chunk.rows)
                accounts.update(np.unique(chunk.requests["account"]).tolist())
                priced = chunk.requests[chunk.requests["kind"] != Opcode.CANCEL.value]
                for instrument in np.unique(priced["instrument"]).tolist():
                    prices = priced["price_ticks"][priced["instrument"] == instrument]
                    while len(first) <= instrument:
                        first.append([])
                        lowest.append(1 << 32)
                        highest.append(0)
                    lowest[instrument] = min(lowest[instrument], int(prices.min()))
                    highest[instrument] = max(highest[instrument], int(prices.max()))
                    first[instrument] += prices[: FIRST_PRICES - len(first[instrument])].tolist()
            if not requests:
                raise FlowError(f"{self._path}: no orders")
        ranges = [
            PriceRange(low, high, sorted(prices)[len(prices) // 2]) if prices else PriceRange(0, 0, 0)
            for low, high, prices in zip(lowest, highest, first, strict=True)
        ]
        instruments = form.instruments or [""]
        ranges += [PriceRange(0, 0, 0)] * (len(instruments) - len(ranges))
        return Survey(requests, instruments, ranges, sorted(accounts), form.notes)

    def chunks(self) -> Iterator[Chunk]:
        """The requests, in order, at most `CHUNK_ROWS` at a time."""
        with self._reading() as (form, stream):
            yield from _chunks(form, stream)

    @contextmanager
    def _reading(self) -> Iterator[tuple[Format, TextIO]]:
        """The open file and the format its first line shows; what goes wrong becomes a `FlowError`."""
        try:
            with self._path.open("rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
            opener = gzip.open if packed else open
            with opener(self._path, "rt", encoding="utf-8-sig", newline="") as stream:
                form: Format = LobsterFormat() if _is_lobster(stream.readline()) else CsvFormat()
                stream.seek(0)
                yield form, stream
        except RowError as error:
            raise FlowError(f"{self._path}:{error.line}: {error.reason}") from error
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise FlowError(f"{self._path}: {error}") from error


def _is_lobster(first_line: str) -> bool:
    """LOBSTER files have no header: their first field is a time."""
    return first_line[:1].isdigit()


def _chunks(form: Format, stream: TextIO) -> Iterator[Chunk]:
    rows = form.rows(stream)
    while some := list(islice(rows, CHUNK_ROWS)):
        numbers = np.array([number for number, _ in some], np.int64)
        yield Chunk(numbers, np.array([request for _, request in some], REQUEST_DTYPE))
