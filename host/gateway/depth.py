"""The aggregated book that a device tells: the open quantity at each price."""

from collections import defaultdict

from bandgap.hdl.protocol.commands import Side
from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.wire import Bytes2D, select_reports


class Depth:
    """The price levels of every instrument whose depth is told, for one device epoch from its beginning."""

    def __init__(self) -> None:
        self._levels: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)

    def follow(self, reports: Bytes2D) -> None:
        """Take over what reports, the next of the epoch, tell of levels; all other kinds are passed over.

        Raises
        ------
        KeyError : A level goes that was never there: reports are missing.
        """
        told = select_reports(reports, ReportKind.LEVEL)
        headers = told["header"]
        columns = (headers["instrument"], headers["side"], told["price_ticks"], told["quantity_lots"])
        for instrument, side, price_ticks, quantity_lots in zip(*(column.tolist() for column in columns), strict=True):
            levels = self._levels[instrument, side]
            if quantity_lots:
                levels[price_ticks] = quantity_lots
            else:
                del levels[price_ticks]

    def levels(self, instrument: int, side: Side) -> dict[int, int]:
        """Quantity by price of one side, best price first."""
        return dict(sorted(self._levels[instrument, side.value].items(), reverse=side is Side.BUY))

    def best(self, instrument: int, side: Side) -> tuple[int, int]:
        """Best price of one side and the quantity there; zeros when the side is empty."""
        return next(iter(self.levels(instrument, side).items()), (0, 0))
