"""The tape by hand: reports are built, so that wrong ones can be."""

from collections.abc import Sequence

import numpy as np
import pytest

from bandgap.hdl.protocol.commands import ReferenceSource
from bandgap.hdl.protocol.reports import REPORT_BYTES, Reason, ReportKind, TradingState
from bandgap.host.device import operator
from bandgap.host.wire import REPORT_DTYPES, Bytes2D, command_headers, empty_commands
from bandgap.sim.demo.tape import Auction, Bounds, Tape

TRADING, LIMIT, HALTED, CALL = TradingState.TRADING, TradingState.LIMIT, TradingState.HALTED, TradingState.CALL


class Reel:
    """A tape of one instrument with window 512 to 1535 and an auction width of 20 ticks, and the time."""

    def __init__(self) -> None:
        self.tape = Tape(1)
        self.track = self.tape.tracks[0]
        self.time_ns = 0
        commands = np.concatenate(
            [
                operator.set_instrument(
                    0,
                    window_base_ticks=512,
                    window_ticks=1024,
                    ladder_offset=0,
                    multiplier_quote=1,
                    top_of_book=False,
                    depth=False,
                ),
                operator.set_reference_rule(
                    0,
                    width_ticks=0,
                    width_ppm=50_000,
                    auction_width_ticks=20,
                    move_ppm=0,
                    hold_us=0,
                    source=ReferenceSource.HOST,
                    trades_log2=0,
                ),
            ]
        )
        self.command(commands)

    def report(
        self, kind: ReportKind, command_number: int = 0, reason: int = 0, side: int = 0, **fields: int
    ) -> Bytes2D:
        row = np.zeros(1, REPORT_DTYPES[kind])
        header = row["header"]
        header["kind"], header["time_ns"], header["command_number"] = kind.value, self.time_ns, command_number
        header["reason"], header["side"] = reason, side
        for name, value in fields.items():
            row[name] = value
        return row.view(np.uint8).reshape(1, REPORT_BYTES)

    def command(self, commands: Bytes2D) -> None:
        """The operator's commands, carried out one by one."""
        numbers = range(1, 1 + len(commands))
        command_headers(commands)["number"] = numbers
        self.tape.follow(commands, np.concatenate([self.report(ReportKind.DONE, command_number=n) for n in numbers]))

    def tell(self, kind: ReportKind, **fields: int) -> None:
        self.time_ns += 10
        self.tape.follow(empty_commands(), self.report(kind, **fields))

    def band(self, lower: int, upper: int) -> None:
        self.tell(ReportKind.BAND_MOVED, lower_ticks=lower, upper_ticks=upper, reference_ticks=(lower + upper) // 2)

    def state(self, state: TradingState, reason: Reason = Reason.OPERATOR, until_ns: int = 0) -> None:
        self.tell(ReportKind.TRADING_STATE, state=state.value, reason=reason.value, until_ns=until_ns)

    def trade(self, price: int, side: int = 1) -> None:
        self.tell(ReportKind.TRADE, price_ticks=price, quantity_lots=1, side=side)


@pytest.fixture
def reel() -> Reel:
    """Open, with the band 950 to 1050."""
    one = Reel()
    one.band(950, 1050)
    one.state(TRADING)
    return one


@pytest.mark.parametrize(("prices", "outside"), [((950, 1000, 1050), 0), ((949,), 1), ((1051, 949), 2)])
def test_trades_are_held_against_the_band_told_before(reel: Reel, prices: Sequence[int], outside: int) -> None:
    for price in prices:
        reel.trade(price)
    assert len(reel.track.outside) == outside
    assert [price for _, price in reel.track.prints] == list(prices)


def test_moved_band_counts_from_its_report_on(reel: Reel) -> None:
    reel.trade(960)
    reel.band(970, 1070)
    reel.trade(960)
    assert reel.track.outside == [f"a trade at 960, band 970 to 1070, at {reel.time_ns} ns"]


@pytest.mark.parametrize(
    ("extensions", "price", "right"), [(0, 930, True), (0, 929, False), (1, 910, True), (1, 909, False)]
)
def test_auctions_are_held_against_a_band_that_widens(reel: Reel, extensions: int, price: int, right: bool) -> None:
    reel.state(HALTED)
    reel.state(CALL)
    for _ in range(extensions):
        reel.state(CALL, Reason.EXTENDED)
    reel.trade(price, side=0)
    assert bool(reel.track.outside) is not right
    assert reel.track.phase.extensions == extensions


def test_auction_band_is_cut_at_the_window(reel: Reel) -> None:
    reel.band(520, 1520)
    reel.state(CALL)
    assert reel.track.auction_bands == [Bounds(reel.time_ns, 512, 1535, 1020)]


def test_auction_band_follows_window_and_band_during_a_call(reel: Reel) -> None:
    reel.band(520, 1520)
    reel.state(CALL)
    reel.command(operator.move_window(0, 515))
    reel.command(operator.resume())
    reel.band(540, 1525)
    bounds = [(band.lower_ticks, band.upper_ticks) for band in reel.track.auction_bands]
    assert bounds == [(512, 1535), (515, 1538), (520, 1538)]
    reel.state(TRADING)
    reel.command(operator.move_window(0, 600))
    assert len(reel.track.auction_bands) == 3


@pytest.mark.parametrize(("state", "side"), [(HALTED, 1), (CALL, 1), (TRADING, 0), (LIMIT, 0), (HALTED, 0)])
def test_trades_in_the_wrong_state_are_found(reel: Reel, state: TradingState, side: int) -> None:
    reel.state(CALL)
    reel.state(state)
    reel.trade(1000, side)
    assert reel.track.outside == [f"a trade at 1000 in state {state.name}, at {reel.time_ns} ns"]


def test_trade_without_a_band_is_found() -> None:
    one = Reel()
    one.state(TRADING)
    one.trade(1000)
    assert one.track.outside == ["a trade at 1000 without a band, at 20 ns"]


def test_phases_and_auctions_are_kept(reel: Reel) -> None:
    reel.state(LIMIT, Reason.LIMIT, until_ns=500)
    reel.state(CALL, Reason.HALT_OVER, until_ns=900)
    reel.tell(ReportKind.INDICATIVE, price_ticks=990)
    reel.trade(980, side=0)
    reel.tell(ReportKind.UNCROSSED, price_ticks=980, trades=1, volume_lots=1)
    reel.state(TRADING, Reason.CALL_OVER)
    assert [(phase.state, phase.from_ns, phase.to_ns, phase.until_ns) for phase in reel.track.phases] == [
        (HALTED, 0, 20, 0),
        (TRADING, 20, 30, 0),
        (LIMIT, 30, 40, 500),
        (CALL, 40, 80, 900),
        (TRADING, 80, None, 0),
    ]
    assert reel.track.auctions == [Auction(70, 980, 1, 1)]
    assert reel.track.indicatives == [(50, 990)]
