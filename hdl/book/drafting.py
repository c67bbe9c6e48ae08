"""What a state of the engine drafts in a cycle: a report, and the reserve that returns with it."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from ..beats import BODY, Release
from ..protocol.commands import NewOrder, Side
from ..protocol.reports import ReportKind, Trade
from .report_slot import Follow

_SIDE = NewOrder.as_shape()["side"]


def sides(sell: Value) -> Value:
    """The byte that names a side."""
    return Mux(sell, Side.SELL.value, Side.BUY.value)


class Drafting:
    """Lays out reports for the report slot; in each cycle at most one state calls on it.

    Every report is laid out like a trade, unless a state writes the body itself, and tells the cause of the command at
    work, unless a state writes another.

    Parameters
    ----------
    m : Of the engine.
    command : The command at work.
    drafts : To the report slot.
    released : Reserves that return, each valid from the cycle after its report was drafted.

    Attributes
    ----------
    report, header, body : The report.
    follow : What follows it; if nothing else is said it is the last.
    active : There is one.
    able : The state may act; if nothing else is said it may.
    done : A report that is drafted in this cycle leaves: it may act, and there is room. Does not wait for `active`.
    release, releasing : The reserve, and whether it returns.
    free : There is room for it.
    """

    def __init__(
        self, m: Module, command: data.View, drafts: wiring.PureInterface, released: wiring.PureInterface
    ) -> None:
        self._m, self._command = m, command
        self.report = Signal(Trade, name="draft")
        self.header = self.report.header
        self.body = Value.cast(self.report)[BODY:]
        self.follow = Signal(Follow, init=Follow.LAST)
        self.active = Signal(name="drafting")
        self.able = Signal(init=1)
        self.done = Signal(name="drafted")
        self.release, self.releasing = Signal(Release), Signal()
        self.free = Signal(name="release_free")
        header, cause = self.header, command.cause
        m.d.comb += [
            self.follow.eq(Follow.LAST),
            header.link.eq(cause.link),
            header.command_number.eq(cause.number),
            header.time_ns.eq(cause.time_ns),
            header.entry_cycle.eq(cause.entry_cycle),
            header.instrument.eq(cause.instrument),
            self.release.instrument.eq(cause.instrument),
            drafts.payload.report.eq(self.report),
            drafts.payload.follow.eq(self.follow),
            self.free.eq(~released.valid | released.ready),
            drafts.valid.eq(self.active & self.free & self.able),
            self.done.eq(drafts.ready & self.free & self.able),
        ]
        with m.If(self.free):
            m.d.sync += [
                released.valid.eq(self.active & self.releasing & self.done),
                released.payload.eq(self.release),
            ]

    def kind(self, kind: ReportKind, *, reason=None) -> None:
        """There is a report, of that kind."""
        self._m.d.comb += [self.active.eq(1), self.header.kind.eq(kind)]
        if reason is not None:
            self._m.d.comb += self.header.reason.eq(reason)

    def order(self, order, token, quantity_lots, remaining_lots) -> None:
        """It is of that order, in the fields of a taker."""
        report = self.report
        self._m.d.comb += [
            self.header.side.eq(sides(order.sell)),
            report.price_ticks.eq(order.price_ticks),
            report.quantity_lots.eq(quantity_lots),
            report.account.eq(order.account),
            report.token.eq(token),
            report.generation.eq(order.generation),
            report.remaining_lots.eq(remaining_lots),
        ]

    def maker(self, order, token, remaining_lots) -> None:
        """That order is in the fields of the maker."""
        report = self.report
        self._m.d.comb += [
            report.maker_account.eq(order.account),
            report.maker_token.eq(token),
            report.maker_generation.eq(order.generation),
            report.maker_remaining_lots.eq(remaining_lots),
        ]

    def return_reserve(self, order, quantity_lots) -> None:
        """The reserve of so much of an order returns, if it has any."""
        self._m.d.comb += [
            self.releasing.eq(~order.reduce_only),
            self.release.account.eq(order.account),
            self.release.price_ticks.eq(order.price_ticks),
            self.release.quantity_lots.eq(quantity_lots),
        ]

    def canceled(self, order, token, quantity_lots, remaining_lots, reason) -> None:
        """So much of an order is canceled."""
        self.kind(ReportKind.CANCELED, reason=reason)
        self.order(order, token, quantity_lots, remaining_lots)
        self.return_reserve(order, quantity_lots)

    def rejected(self, reason, returns) -> None:
        """Echo bytes 8 to 23 of the command; when the guard `returns` its reserve, so does the book."""
        command = self._command
        entry = data.View(NewOrder, command.body)
        self.kind(ReportKind.REJECTED, reason=reason)
        self._m.d.comb += [
            self.header.side.eq(command.body[_SIDE.offset : _SIDE.offset + _SIDE.width]),
            self.body[:128].eq(command.body[64:192]),
            self.releasing.eq(returns),
            self.release.account.eq(entry.account),
            self.release.price_ticks.eq(command.price_ticks),
            self.release.quantity_lots.eq(entry.quantity_lots),
        ]
