"""What the states of the engine work with, whichever file they are in."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.utils import exact_log2

from ..config import BookConfig
from ..protocol.commands import NewOrder
from ..protocol.reports import Reason
from ..table import Table
from .drafting import Drafting
from .ladder import Ladder, line_of
from .news import News
from .orders import OrderPool
from .posting import Posting, posting_layout
from .reader import Reader
from .report_slot import ReportSlot
from .window import PriceWindow

BEHIND_EXECUTE = (
    "RETIRE",
    "AGAIN",
    "AGAIN_READ",
    "TELL",
    "LOOK",
    "MATCH_MAKER",
    "CANCEL_TAKER",
    "REPLACE",
    "SELECT",
    "AUCTION",
)
"""Where the engine goes from EXECUTE."""


class Desk:
    """The engine's memories and registers, and the ways from one of its states to another.

    Parameters
    ----------
    m : Of the engine.
    config : Sizes.
    command : The command at work.
    reports, released, traded : The engine's ports of these names.

    Attributes
    ----------
    pool, ladder, windows, reader, slot : The engine's parts. The read ports of pool and ladder are the reader's, unless
        a state takes one: `read_maker`, `read_level`, `walk`.
    command, instrument, window, token : The command at work, its instrument and that one's window, its order's slot.
    posting, posted : What this cycle decides, and what the last one did (`hdl.book.posting`).
    posts, drafts, news : How a state changes the book, and what it reports.
    taker, taker_token, taker_line : The order that takes or is replaced, while it does. Its line stands there a cycle
        behind it, but for a replace, whose new line comes with it.
    immediate, cancel_reason : What is left of it when it can trade no more is canceled, for this reason.
    maker, maker_next : The maker that it trades with, and the one behind it.
    own : The maker is of its own account.
    level, level_line, level_price_ticks : The level.
    count : What the command has done to others so far: orders canceled, or trades of an auction.
    executing : In EXECUTE, where most commands end: a register beside the state, so that nothing there waits until the
        state is decoded.
    leaves : For each of `BEHIND_EXECUTE`, whether that comes next.
    ends : In a state behind which the next command is at hand, as soon as a report can leave.
    reads_behind : The next maker is the first of the level behind the best (`Ladder.behind`).
    """

    def __init__(
        self,
        m: Module,
        config: BookConfig,
        command: data.View,
        reports: wiring.PureInterface,
        released: wiring.PureInterface,
        traded: wiring.PureInterface,
    ) -> None:
        self._m, self._traded = m, traded
        self.command = command
        row_bits = exact_log2(config.ticks)
        m.submodules.pool = self.pool = pool = OrderPool(config)
        m.submodules.ladder = self.ladder = ladder = Ladder(config, readers=5)
        m.submodules.windows = self.windows = windows = Table(PriceWindow, config.instruments, readers=4)
        m.submodules.reader = self.reader = reader = Reader(config)
        m.submodules.slot = self.slot = ReportSlot()
        wiring.connect(m, self.slot.reports, wiring.flipped(reports))
        self.instrument, self.window = command.cause.instrument, windows.rows[0]
        self.token = data.View(NewOrder, command.body).token[: len(pool.read)]

        # What is known last is chosen last: the reader's line, and the order that follows in the next level.
        self._own_line, self._reads_level = Signal.like(ladder.read_line, name="own_line"), Signal(name="reads_level")
        self._own_maker, self._reads_maker = Signal.like(pool.read_maker, name="own_maker"), Signal(name="reads_maker")
        self.reads_behind = Signal()
        m.d.comb += [
            pool.read.eq(reader.read),
            pool.read_enable.eq(reader.read_enable),
            ladder.read_line.eq(Mux(self._reads_level, self._own_line, reader.read_line)),
            ladder.read_enable.eq(self._reads_level | reader.read_line_enable),
            pool.read_maker.eq(
                Mux(
                    self.reads_behind,
                    ladder.behind.level.head,
                    Mux(self._reads_maker, self._own_maker, reader.read_maker),
                )
            ),
            pool.read_maker_enable.eq(self.reads_behind | self._reads_maker | reader.read_maker_enable),
        ]

        self.posting, self.posted = posting, posted = Signal(posting_layout(config)), Signal(posting_layout(config))
        m.d.sync += [posted.eq(posting), windows.write.enable.eq(0)]
        m.d.comb += [
            pool.write.eq(posted.order),
            pool.write_next.eq(posted.next),
            pool.write_previous.eq(posted.previous),
            posting.change.instrument.eq(self.instrument),
            ladder.change.eq(posted.change),
            ladder.coming_instrument.eq(posting.change.instrument),
            ladder.coming_side.eq(posting.change.line[-1]),
        ]
        self.posts = Posting(m, posting)
        self.drafts = Drafting(m, command, self.slot.drafts, released)
        self.news = News(m, config, command, posting, posted, ladder, self.drafts)

        self.taker = Signal(pool.order.shape())
        self.taker_token = Signal(pool.read.shape())
        self.immediate = Signal()
        self.cancel_reason = Signal(Reason, init=Reason.IMMEDIATE_REST)
        self.maker = Signal(pool.maker.shape())
        self.maker_next = Signal(pool.read.shape())
        self.own = Signal(name="own")
        self.level = Signal(ladder.level.shape())
        self.level_line = Signal(row_bits + 1)
        self.level_price_ticks = Signal(32)
        self.taker_line = Signal.like(self.level_line)
        self.count = Signal(range(config.orders + 1))
        m.d.sync += self.taker_line.eq(line_of(self.window, self.taker.sell, self.taker.price_ticks, row_bits))
        m.d.comb += [
            ladder.search_window.eq(self.window),
            ladder.search.payload.instrument.eq(self.instrument),
            ladder.search.payload.line.eq(self.level_line),
        ]

        self.executing = Signal(init=1)
        self.leaves = {state: Signal(name=f"to_{state.lower()}") for state in BEHIND_EXECUTE}
        self.ends = Signal()
        # Every trade is told; the register is free again when the next one can follow.
        with m.If(traded.ready):
            m.d.sync += traded.valid.eq(0)

    def leave(self, state: str, *, ends: Value | int = 0) -> None:
        """On to one of `BEHIND_EXECUTE` from EXECUTE, behind which the next command is at hand where it `ends`."""
        self._m.d.comb += self.leaves[state].eq(1)
        self._m.d.sync += [self.executing.eq(0), self.ends.eq(ends)]

    def finish(self, state: str) -> None:
        """On to a state behind which the next command is at hand; not from EXECUTE."""
        self._m.next = state
        self._m.d.sync += self.ends.eq(1)

    def come_back(self) -> None:
        """On to EXECUTE."""
        self._m.next = "EXECUTE"
        self._m.d.sync += [self.executing.eq(1), self.ends.eq(0)]

    def read_maker(self, token) -> None:
        """The pool reads that order as the next maker."""
        self._m.d.comb += [self._own_maker.eq(token), self._reads_maker.eq(1)]

    def read_level(self, line, enable=1) -> None:
        """The ladder reads that level, while `enable`."""
        self._m.d.comb += [self._own_line.eq(line), self._reads_level.eq(enable)]

    def set_window(self, base_ticks, offset, log2, enable) -> None:
        """The window of the command's instrument becomes that, while `enable`, and before the next command comes."""
        write = self.windows.write
        self._m.d.sync += [
            write.enable.eq(enable),
            write.address.eq(self.instrument),
            write.row.base_ticks.eq(base_ticks),
            write.row.offset.eq(offset),
            write.row.log2.eq(log2),
        ]

    def admit(self, walker: wiring.Component) -> None:
        """Show a component that walks along the ladder what it needs to see of it."""
        found, search = self.ladder.found, self.ladder.search
        self._m.d.comb += [
            walker.level.eq(self.ladder.level),
            walker.search_taken.eq(search.ready),
            walker.found_valid.eq(found.valid),
            walker.found.eq(found.payload),
        ]

    def walk(self, walker: wiring.Component) -> None:
        """Ports and search of the ladder are for such a component."""
        self.read_level(walker.read_line)
        self._m.d.comb += [
            walker.go.eq(1),
            self.pool.read.eq(walker.read),
            self.pool.read_enable.eq(1),
            self.ladder.search.valid.eq(walker.search),
            self.ladder.found.ready.eq(1),
        ]
        self._m.d.sync += self.level_line.eq(walker.search_line)

    def tell_trade(self, price_ticks, enable, *, auction=0) -> None:
        """Tell the breaker of a trade, or of an auction that traded, while `enable`; only while none waits.

        What is told does not wait for `enable`, which is known last.
        """
        told = self._traded.payload
        with self._m.If(~self._traded.valid):
            self._m.d.sync += [
                self._traded.valid.eq(enable),
                told.instrument.eq(self.instrument),
                told.auction.eq(auction),
                told.price_ticks.eq(price_ticks),
                told.time_ns.eq(self.command.cause.time_ns),
            ]
