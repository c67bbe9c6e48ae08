"""Rolling windows over trades, in buckets of time."""

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """The trades of a stretch of time."""

    low_ticks: int = 0
    high_ticks: int = 0
    sum_ticks: int = 0
    trades: int = 0

    def add(self, price_ticks: int) -> None:
        """Count a trade."""
        self.low_ticks = min(self.low_ticks, price_ticks) if self.trades else price_ticks
        self.high_ticks = max(self.high_ticks, price_ticks)
        self.sum_ticks += price_ticks
        self.trades += 1


class RollingWindow:
    """The trades of the last few buckets.

    Parameters
    ----------
    width_ticks : How far a trade may be from any other; zero: as far as it likes.
    bucket_ns : How long a bucket is filled.
    buckets : How many there are, the one that is being filled among them.

    Attributes
    ----------
    width_ticks : As above.
    deadline_ns : When the bucket ends that is being filled; None while the window holds no trade.
    """

    def __init__(self, width_ticks: int, bucket_ns: int, buckets: int) -> None:
        self.width_ticks = width_ticks
        self._bucket_ns = bucket_ns
        self._most = buckets
        self._buckets: deque[Bucket] = deque()
        self.deadline_ns: int | None = None

    def trade(self, price_ticks: int, time_ns: int) -> None:
        """Count a trade."""
        if self.deadline_ns is None:
            self._buckets.append(Bucket())
            self.deadline_ns = time_ns + self._bucket_ns
        self._buckets[-1].add(price_ticks)

    def end_bucket(self) -> None:
        """The bucket that is being filled ends."""
        assert self.deadline_ns is not None
        self.deadline_ns += self._bucket_ns
        self._buckets.append(Bucket())
        if len(self._buckets) > self._most:
            self._buckets.popleft()
        if not self._filled():
            self.empty()

    def empty(self) -> None:
        """Forget all trades."""
        self._buckets.clear()
        self.deadline_ns = None

    def bounds(self) -> tuple[int, int] | None:
        """Lowest and highest price that may trade, None where the window does not bound them."""
        filled = self._filled()
        if not filled or not self.width_ticks:
            return None
        highest = max(bucket.high_ticks for bucket in filled)
        lowest = min(bucket.low_ticks for bucket in filled)
        return highest - self.width_ticks, lowest + self.width_ticks

    def mean(self) -> int | None:
        """Mean price, None without a trade."""
        filled = self._filled()
        if not filled:
            return None
        return sum(bucket.sum_ticks for bucket in filled) // sum(bucket.trades for bucket in filled)

    def _filled(self) -> list[Bucket]:
        return [bucket for bucket in self._buckets if bucket.trades]
