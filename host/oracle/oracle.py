"""The oracle: the median of what enough fresh sources say, in whole ticks.

A source that lies cannot move the median beyond the honest quotes while the honest are a majority, and a quote far from
the median does not count at all; a source that stalls drops out. Without a quorum there is no price.
"""

from dataclasses import dataclass

_PPM = 1_000_000

LAST_PRICE_TICKS = (1 << 32) - 1
"""The largest price that the device knows."""


@dataclass(frozen=True)
class Quote:
    """What one source says.

    Attributes
    ----------
    source : Index of the source.
    instrument : Index of the instrument.
    price_ticks : Its price, not zero.
    time_ns : When it said so.
    """

    source: int
    instrument: int
    price_ticks: int
    time_ns: int


class QuoteError(ValueError):
    """A quote cannot be taken; the message says why."""


def median_ticks(prices_ticks: list[int]) -> int:
    """The middle price; of an even number, the lower of the two in the middle."""
    return sorted(prices_ticks)[(len(prices_ticks) - 1) // 2]


class Oracle:
    """The newest quote of each source, and the mark price they make.

    Parameters
    ----------
    sources, instruments : How many there are.
    quorum : How many quotes a price needs.
    staleness_ns : A quote older than this counts no more.
    max_deviation_ppm : A quote further than this share of the median from the median counts no more.
    """

    def __init__(
        self, sources: int, instruments: int, *, quorum: int, staleness_ns: int, max_deviation_ppm: int
    ) -> None:
        self._sources = sources
        self._quorum = quorum
        self._staleness_ns = staleness_ns
        self._max_deviation_ppm = max_deviation_ppm
        self._newest: list[dict[int, Quote]] = [{} for _ in range(instruments)]

    def check(self, quote: Quote, now_ns: int) -> None:
        """See whether a quote can be taken at `now_ns`.

        Raises
        ------
        QuoteError : Source or instrument is unknown, the price no device can have, or its time is to come.
        """
        if not 0 <= quote.source < self._sources:
            raise QuoteError(f"no oracle source {quote.source}, there are {self._sources}")
        if not 0 <= quote.instrument < len(self._newest):
            raise QuoteError(f"no instrument {quote.instrument}, there are {len(self._newest)}")
        if not 0 < quote.price_ticks <= LAST_PRICE_TICKS:
            raise QuoteError(f"price {quote.price_ticks} of source {quote.source} is not 1 to {LAST_PRICE_TICKS}")
        if not 0 <= quote.time_ns <= now_ns:
            raise QuoteError(f"quote of source {quote.source} is from {quote.time_ns} ns, not 0 to {now_ns} ns")

    def take(self, quote: Quote) -> None:
        """Take a checked quote; one that is older than the source's last changes nothing."""
        newest = self._newest[quote.instrument]
        if quote.source not in newest or newest[quote.source].time_ns <= quote.time_ns:
            newest[quote.source] = quote

    def mark_ticks(self, instrument: int, now_ns: int) -> int | None:
        """The mark price, or None without a quorum.

        Of the fresh quotes, those too far from their median are left out; the median of the rest is the price. Both the
        fresh and the rest must reach the quorum.
        """
        oldest_ns = now_ns - self._staleness_ns
        fresh = [quote.price_ticks for quote in self._newest[instrument].values() if quote.time_ns >= oldest_ns]
        if len(fresh) < self._quorum:
            return None
        middle = median_ticks(fresh)
        near = [price for price in fresh if abs(price - middle) * _PPM <= self._max_deviation_ppm * middle]
        return median_ticks(near) if len(near) >= self._quorum else None
