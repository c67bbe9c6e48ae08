"""Orders are chosen, one by one, and leave: a sweep, a band or a window that moves."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data
from amaranth.utils import exact_log2

from ..beats import Action
from ..config import BookConfig
from ..protocol.commands import AccountCommand, MoveWindow, SetBand
from ..protocol.reports import Done, ReportKind
from .desk import Desk
from .ladder import line_of
from .report_slot import Follow
from .selection import Selection

_band = SetBand.as_shape()
_STATIC_BAND = slice(_band["lower_ticks"].offset, _band["policy"].offset + _band["policy"].width)
"""What a report tells of a band: these bits of a `BandMove`, laid out as in `SetBand`."""


class Removing:
    """The states of a command that cancels many.

    SELECT looks for an order (`hdl.book.selection`), the states REMOVE cancel it, and so on until SELECTED, where it is
    reported that the command is done.

    Parameters
    ----------
    m : Of the engine.
    config : Sizes.
    desk : What is worked with.

    Attributes
    ----------
    marked : Market orders may collect in the command's instrument; who lets one rest sets it.
    """

    def __init__(self, m: Module, config: BookConfig, desk: Desk) -> None:
        self._m, self._desk = m, desk
        self.marked = Signal(config.instruments, name="markets").bit_select(desk.instrument, 1)
        # The order that leaves, and its line, a cycle behind it.
        self._removed, self._token = (
            Signal.like(desk.taker, name="removed"),
            Signal.like(desk.taker_token, name="removed_token"),
        )
        self._next, self._previous = (
            Signal.like(self._token, name="removed_next"),
            Signal.like(self._token, name="removed_previous"),
        )
        self._line = Signal.like(desk.level_line, name="removed_line")
        m.submodules.selection = self._selection = selection = Selection(config)
        desk.admit(selection)
        windows, removed = desk.windows, self._removed
        m.d.sync += self._line.eq(line_of(windows.rows[1], removed.sell, removed.price_ticks, exact_log2(config.ticks)))
        m.d.comb += [
            windows.looked_at[1].eq(removed.instrument),
            selection.command.eq(desk.command),
            selection.window.eq(desk.window),
            selection.bests.eq(desk.ladder.bests[0]),
            selection.settled.eq(desk.ladder.settled),
            selection.order.eq(removed),
        ]

    def add_states(self) -> None:
        """Add the states to the engine's."""
        m, desk, removed, selection = self._m, self._desk, self._removed, self._selection
        command, pool, ladder, drafts = desk.command, desk.pool, desk.ladder, desk.drafts
        with m.State("SELECT"):
            desk.walk(selection)
            with m.If(selection.chosen):
                m.d.sync += self._token.eq(selection.token)
                m.next = "REMOVE"
            with m.Else():
                m.d.sync += [removed.eq(pool.order), self._next.eq(pool.next), self._previous.eq(pool.previous)]
            with m.If(selection.ended):
                m.next = "SELECTED"
        with m.State("REMOVE"):
            desk.read_level(self._line)
            with m.If(ladder.settled):
                drafts.canceled(removed, self._token, removed.quantity_lots, 0, command.reason)
                m.d.comb += [
                    drafts.follow.eq(Follow.MORE),
                    drafts.header.instrument.eq(removed.instrument),
                    drafts.release.instrument.eq(removed.instrument),
                ]
                with m.If(drafts.done):
                    m.d.sync += desk.count.eq(desk.count + 1)
                    m.next = "REMOVE_LEVEL"
        with m.State("REMOVE_LEVEL"):
            m.d.sync += desk.level.eq(ladder.level)
            m.next = "REMOVE_UNLINK"
        with m.State("REMOVE_UNLINK"):
            m.d.comb += desk.posting.change.instrument.eq(removed.instrument)
            desk.posts.unlink(removed, self._token, self._next, self._previous, self._line, desk.level, 1)
            m.next = "REMOVE_SETTLE"
        with m.State("REMOVE_SETTLE"):
            desk.news.tell_level()
            with m.If(~desk.news.depth.due):
                m.next = "SELECT"
        with m.State("SELECTED"):
            self._report()
            with m.If(drafts.done | command.markets):
                desk.finish("RETIRE")

    def _report(self) -> None:
        m, desk, command, drafts = self._m, self._desk, self._desk.command, self._desk.drafts
        done = data.View(Done, drafts.report)
        with m.If(command.action == Action.MOVE_BAND):
            drafts.kind(ReportKind.BAND_MOVED)
            m.d.comb += [
                drafts.body.eq(command.body[_STATIC_BAND]),
                drafts.follow.eq(Mux(command.last, Follow.LAST, Follow.MORE)),
            ]
        with m.Elif(~command.markets):
            drafts.kind(ReportKind.DONE)
            m.d.comb += done.count.eq(desk.count)
            with m.If(command.action == Action.MOVE_WINDOW):
                base_ticks = data.View(MoveWindow, command.body).window_base_ticks
                desk.set_window(base_ticks, desk.window.offset, desk.window.log2, drafts.done)
            with m.Elif(command.everyone):
                m.d.comb += drafts.header.reason.eq(command.reason)
            with m.Else():
                m.d.comb += done.account.eq(data.View(AccountCommand, command.body).account)
        with m.Else():
            m.d.sync += self.marked.eq(0)
