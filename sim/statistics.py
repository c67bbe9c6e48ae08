"""What a run of messages came to: counts and latencies, kept in bounded memory."""

from collections import Counter
from math import ceil

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.reports import Reason, ReportFlags, ReportKind
from bandgap.host.gateway.order_entry import Refusal
from bandgap.host.wire import Bytes2D, as_reports, report_headers

QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}

_ORDER_KINDS = [
    kind.value
    for kind in (ReportKind.ACCEPTED, ReportKind.REJECTED, ReportKind.TRADE, ReportKind.CANCELED, ReportKind.REPLACED)
]


class Latencies:
    """A histogram with one bin a cycle."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, cycles: NDArray[np.uint32]) -> None:
        """Count some latencies."""
        counts = np.bincount(cycles, minlength=len(self.counts)).astype(np.int64)
        counts[: len(self.counts)] += self.counts
        self.counts = counts

    @property
    def measured(self) -> bool:
        """Whether any latency was above zero: the reference model has no clock cycles."""
        return bool(self.counts[1:].any())

    def quantile(self, fraction: float) -> int:
        """The smallest latency that at least `fraction` of all do not exceed (nearest rank); 0 when there are none."""
        total = int(self.counts.sum())
        rank = max(1, ceil(fraction * total))
        return int(np.searchsorted(np.cumsum(self.counts), rank)) if total else 0


class FlowStatistics:
    """Counts requests, what the host refused of them, and the device's reports.

    Attributes
    ----------
    requests : How many requests, by kind.
    reports : How many reports, by kind.
    rejects : How many requests were rejected, by reason, whether by the device or by the host.
    cancels : How many canceled reports, by reason.
    traded_lots : Quantity traded.
    latencies : From the cycle in which an order command is first seen to its last report.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.reports: Counter[str] = Counter()
        self.rejects: Counter[str] = Counter()
        self.cancels: Counter[str] = Counter()
        self.traded_lots = 0
        self.latencies = Latencies()

    def add_requests(self, kinds: NDArray[np.uint8]) -> None:
        """Count requests by their field `kind`."""
        self.requests.update(_named(kinds, Opcode))

    def add_refusals(self, refusals: NDArray[np.uint8]) -> None:
        """Count what the host answered itself."""
        self.rejects.update(_named(refusals, Refusal))

    def add_reports(self, reports: Bytes2D) -> None:
        """Count reports, (n, 64) uint8."""
        headers = report_headers(reports)
        kinds, reasons = headers["kind"], headers["reason"]
        self.reports.update(_named(kinds, ReportKind))
        self.rejects.update(_named(reasons[kinds == ReportKind.REJECTED.value], Reason))
        self.cancels.update(_named(reasons[kinds == ReportKind.CANCELED.value], Reason))
        trades = as_reports(reports, ReportKind.TRADE)["quantity_lots"][kinds == ReportKind.TRADE.value]
        self.traded_lots += int(trades.sum(dtype=np.int64))
        ends = np.isin(kinds, _ORDER_KINDS) & (headers["flags"] & ReportFlags.LAST.value != 0)
        self.latencies.add((headers["exit_cycle"] - headers["entry_cycle"])[ends])


def _named(
    values: NDArray[np.uint8], members: type[Opcode] | type[ReportKind] | type[Reason] | type[Refusal]
) -> Counter[str]:
    """How often each member occurs, by its name."""
    present, counts = np.unique(values, return_counts=True)
    return Counter({members(value).name: count for value, count in zip(present.tolist(), counts.tolist(), strict=True)})
