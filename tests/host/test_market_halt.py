"""The market-wide halt, by hand: two instruments, levels of 7, 13 and 20 %, halts of 900 s, sessions of 1,000 s."""

from bandgap.host.market_halt import MarketHalt

SECOND_NS = 10**9


class Market:
    def __init__(self) -> None:
        self.halt = MarketHalt(2, (70_000, 130_000, 200_000), 900_000_000)

    def at(self, second: int, *marks: int | None) -> int | None:
        session = second // 1000
        return self.halt.decide(
            marks, second * SECOND_NS, session=session, session_end_ns=(session + 1) * 1000 * SECOND_NS
        )


def test_index_is_the_mean_of_relative_marks() -> None:
    market = Market()
    assert market.at(0, 1000, 200) is None
    assert market.halt.index_ppm == 0
    assert market.at(1, 1100, 190) is None
    assert market.halt.index_ppm == (100_000 - 50_000) // 2


def test_levels_halt_once_each_and_the_last_until_the_session_is_over() -> None:
    market = Market()
    market.at(0, 1000, 200)
    assert market.at(1, 931, 186) is None
    assert market.at(2, 930, 186) == 900_000_000
    assert market.halt.holds(901 * SECOND_NS) and not market.halt.holds(902 * SECOND_NS)
    assert market.at(3, 929, 186) is None, "once a session"
    assert market.at(4, 870, 174) == 900_000_000
    assert market.at(5, 1000, 200) is None
    assert market.at(6, 800, 160) == 0
    assert market.halt.holds(999 * SECOND_NS) and not market.halt.holds(1000 * SECOND_NS)


def test_a_fall_through_two_levels_halts_once() -> None:
    market = Market()
    market.at(0, 1000, 1000)
    assert market.at(1, 860, 860) == 900_000_000
    assert market.at(2, 870, 870) is None


def test_session_begins_anew() -> None:
    market = Market()
    market.at(0, 1000, 1000)
    assert market.at(1, 900, 900) == 900_000_000
    assert market.at(1000, 900, 900) is None
    assert market.halt.index_ppm == 0
    assert market.at(1001, 837, 837) == 900_000_000


def test_missing_marks_stand_still_and_late_ones_join() -> None:
    market = Market()
    assert market.at(0, 1000, None) is None
    assert market.at(1, 950, None) is None
    assert market.halt.index_ppm == -50_000
    market.at(2, None, 500)
    assert market.halt.index_ppm == -25_000


def test_no_levels_no_halt() -> None:
    halt = MarketHalt(1, (), 900_000_000)
    halt.decide([1000], 0, session=0, session_end_ns=1)
    assert halt.decide([1], 0, session=0, session_end_ns=1) is None
