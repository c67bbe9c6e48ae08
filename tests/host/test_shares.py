"""The example with hours, as its file says: a day of it, a fall of the market, and a window that moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bandgap.hdl.protocol.reports import TradingState
from bandgap.host.breaker import HaltCause
from bandgap.host.config import load_config
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import open_transport
from bandgap.host.oracle.oracle import Quote
from bandgap.host.settlement.store import Store
from bandgap.host.step import StepInput

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "shares.toml"
TRADING, HALTED, CALL = TradingState.TRADING, TradingState.HALTED, TradingState.CALL
PRE_OPEN, CLOSED = TradingState.PRE_OPEN, TradingState.CLOSED
SECOND_NS = 1_000_000_000
BIG, SMALL = 0, 1
THURSDAY = 0


def at(hour: int, minute: int, day: int = THURSDAY) -> int:
    return ((day * 24 + hour) * 60 + minute) * 60 * SECOND_NS


class Exchange:
    """The example's daemon on a model, asked now and then; its watchdog does not expire meanwhile."""

    def __init__(self) -> None:
        config = load_config(EXAMPLE).model_copy(update={"watchdog_ns": 1 << 60})
        self.daemon = Daemon(config, open_transport("model:ecp5"), Store(None))

    def at(self, time_ns: int, big: int = 5_000, small: int = 1_200) -> list[tuple[int, TradingState, int]]:
        """Quote and make a step: (instrument, state, minute) of each change."""
        quotes = [Quote(source, *one, time_ns) for source in range(3) for one in ((BIG, big), (SMALL, small))]
        result = self.daemon.step(StepInput(time_ns, quotes=quotes))
        return [(one.instrument, one.state, one.time_ns // (60 * SECOND_NS)) for one in result.trading_changes]


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    one = Exchange()
    yield one
    one.daemon.close()


def test_hours_of_a_day_and_over_the_weekend(exchange: Exchange) -> None:
    assert exchange.at(at(9, 0)) == [(BIG, CLOSED, 540), (SMALL, CLOSED, 540)]
    assert exchange.at(at(14, 29)) == [(BIG, PRE_OPEN, 810), (BIG, CALL, 868)]
    assert exchange.at(at(14, 51)) == [(BIG, TRADING, 870), (SMALL, CALL, 890)]
    assert exchange.at(at(20, 59)) == [(SMALL, TRADING, 900), (SMALL, CLOSED, 1_230), (BIG, CALL, 1_258)]
    assert exchange.at(at(21, 5)) == [(BIG, CLOSED, 1_260)]
    exchange.at(at(15, 30, day=1))
    friday = exchange.at(at(21, 30, day=1))
    assert friday[-1] == (BIG, CLOSED, 24 * 60 + 1_260)
    assert exchange.at(at(15, 0, day=2)) == []
    assert exchange.at(at(15, 0, day=3)) == []
    assert exchange.at(at(13, 31, day=4)) == [(BIG, PRE_OPEN, 4 * 24 * 60 + 810)]


def test_market_wide_halts_of_the_file(exchange: Exchange) -> None:
    """7 % halts for a quarter of an hour, and 20 % until it is time to be closed: SMALL by the device's timetable,
    BIG, whose closing auction does not take place, by the host."""
    exchange.at(at(16, 0))
    assert exchange.at(at(16, 1), 4_651, 1_116) == []
    assert exchange.at(at(16, 2), 4_650, 1_116) == [(BIG, HALTED, 962), (SMALL, HALTED, 962)]
    assert exchange.daemon.breakers[BIG].cause is HaltCause.MARKET
    assert exchange.at(at(16, 18), 4_650, 1_116) == [(BIG, CALL, 977), (SMALL, CALL, 977)]
    assert exchange.at(at(16, 30), 4_650, 1_116) == [(SMALL, TRADING, 982), (BIG, TRADING, 982)]
    assert exchange.at(at(16, 31), 4_000, 960) == [(BIG, HALTED, 991), (SMALL, HALTED, 991)]
    assert exchange.at(at(20, 31), 4_000, 960) == [(SMALL, CLOSED, 1_230)]
    assert exchange.at(at(21, 1), 4_000, 960) == [(BIG, CLOSED, 1_261)]


def test_window_of_the_file_moves(exchange: Exchange) -> None:
    """BIG's window is 3976 to 6023, its margin 512."""
    exchange.at(at(9, 0), 4_488)
    assert exchange.daemon.breakers[BIG].window.start == 3_976
    exchange.at(at(9, 1), 4_487)
    assert exchange.daemon.breakers[BIG].window.start == 3_976, "the device's reference is the first band's"


def test_first_mark_places_the_window(exchange: Exchange) -> None:
    exchange.at(at(9, 0), 4_487)
    assert exchange.daemon.breakers[BIG].window.start == 4_487 - 1_024
