"""What is told of price levels and best prices."""

from bandgap.sim.model.commands import Side
from bandgap.sim.model.reports import LAST, ReportKind

from . import fields
from .points import See


class MarketData:
    """Counts how levels and best prices are told.

    Arguments
    ---------
    see : Counts a point.
    """

    def __init__(self, see: See) -> None:
        self._see = see
        self._bids: set[int] = set()
        self._asks: set[int] = set()
        self._levels: dict[tuple[int, str, int], int] = {}  # quantity by instrument, side and price

    def add(self, reports: list[bytes], *, removes: bool, uncrosses: bool) -> None:
        """Count what the reports of a command or a timer tell.

        Arguments
        ---------
        reports : All of them.
        removes : Orders were taken away one by one.
        uncrosses : An auction may have been among it.
        """
        self._add_levels(reports, removes=removes, uncrosses=uncrosses)
        self._add_tops(reports)

    def _add_levels(self, reports: list[bytes], *, removes: bool, uncrosses: bool) -> None:
        last = next(place for place, report in enumerate(reports) if fields.flags(report) & LAST)
        if behind := sum(report[0] == ReportKind.LEVEL for report in reports[last:]):
            self._see("depth", ("one at the end", "two at the end")[behind - 1])
        for place, report in enumerate(reports):
            if report[0] != ReportKind.LEVEL:
                continue
            if place < last:
                cause = next(report[0] for report in reversed(reports[:place]) if report[0] != ReportKind.LEVEL)
                if uncrosses and cause == ReportKind.TRADE:
                    where = "behind an auction's trade"
                elif removes:
                    where = "behind a removed order"
                else:
                    where = "behind a replace" if cause == ReportKind.REPLACED else "before a taker's next level"
                self._see("depth", where)
            side = "bid" if fields.side(report) == Side.BUY else "ask"
            level, quantity_lots = (
                (fields.instrument(report), side, fields.level_price(report)),
                fields.level_quantity(report),
            )
            known_lots = self._levels.pop(level, 0)
            if quantity_lots:
                self._levels[level] = quantity_lots
            if quantity_lots == known_lots:
                self._see("depth", "stays as it was")
            else:
                what = "goes" if not quantity_lots else "changes" if known_lots else "appears"
                self._see("depth", f"{side} {what}")
            if quantity_lots >= 1 << 32:
                self._see("depth", "quantity above 32 bits")

    def _add_tops(self, reports: list[bytes]) -> None:
        for report in reports:
            if report[0] != ReportKind.TOP_OF_BOOK:
                continue
            instrument = fields.instrument(report)
            for side, quantity_lots, known in (
                ("bid", fields.bid_quantity(report), self._bids),
                ("ask", fields.ask_quantity(report), self._asks),
            ):
                if quantity_lots:
                    known.add(instrument)
                    self._see("top of book", f"{side} appears or moves")
                elif instrument in known:
                    known.discard(instrument)
                    self._see("top of book", f"{side} goes")
                if quantity_lots >= 1 << 32:
                    self._see("top of book", "quantity above 32 bits")
