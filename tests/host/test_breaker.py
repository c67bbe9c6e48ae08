"""The breaker's decisions, by hand: window 512 to 1535, half width 5 %, steps of a quarter of it."""

from datetime import time
from typing import Any

import pytest

from bandgap.hdl.protocol.commands import ScheduledState
from bandgap.hdl.protocol.reports import Reason, TradingState
from bandgap.host.breaker import Band, Breaker, BreakerMove, HaltCause, Rule, WindowMove
from bandgap.host.config import BreakerConfig, TimetableConfig
from bandgap.host.timetable import Entry, Timetable

TRADING, LIMIT, HALTED, CALL = TradingState.TRADING, TradingState.LIMIT, TradingState.HALTED, TradingState.CALL
PRE_OPEN, CLOSED = TradingState.PRE_OPEN, TradingState.CLOSED
MS_NS = 1_000_000

AROUND_1000 = Band(950, 1050, 1000)
WINDOW = Band(512, 1535, 1000)


def breaker(margin_ppm: int = 0, timetable: TimetableConfig | None = None, **settings: Any) -> Breaker:
    chosen = {"width_ppm": 50_000, "limit_us": 2_000, "halt_us": 5_000, "call_us": 3_000, "auction_width_ppm": 20_000}
    return Breaker(
        window_base_ticks=512,
        window_ticks=1024,
        window_margin_ppm=margin_ppm,
        timetable=Timetable(timetable),
        settings=BreakerConfig(**(chosen | settings)),
    )


def decide(
    one: Breaker, mark: int | None, now_ns: int = 1, *, session: int = 0, late: bool = False, held: bool = False
) -> BreakerMove:
    return one.decide(mark, now_ns, session=session, late=late, held=held)


def opened(mark: int = 1000, **settings: Any) -> Breaker:
    one = breaker(**settings)
    decide(one, mark)
    one.follow_state(TRADING, 0, Reason.OPERATOR)
    return one


def in_state(state: TradingState, until_ns: int = 0, reason: Reason = Reason.LIMIT, **settings: Any) -> Breaker:
    one = opened(**settings)
    one.follow_state(state, until_ns, reason)
    return one


def test_opens_with_the_first_mark() -> None:
    """The auction band is 2 % of the first mark wider; the durations go to the device with it."""
    one = breaker()
    assert decide(one, None) == BreakerMove()
    assert decide(one, 1000) == BreakerMove(
        band=AROUND_1000, rule=Rule(50_000, 0, 20), windows_of_ticks=1000, resume=True
    )
    assert one.cause is HaltCause.OPENING


def test_opens_in_batch_mode_with_a_call() -> None:
    one = breaker(mode="batch")
    assert decide(one, 1000).resume
    assert one.state is CALL


@pytest.mark.parametrize("state", [TRADING, HALTED])
@pytest.mark.parametrize(("mark", "moves"), [(1012, False), (1013, True), (988, False), (987, True)])
def test_band_follows_in_steps(state: TradingState, mark: int, moves: bool) -> None:
    one = in_state(state, until_ns=10 * MS_NS if state is HALTED else 0)
    assert decide(one, mark) == BreakerMove(band=Band(mark - mark // 20, mark + mark // 20, mark) if moves else None)


def test_band_follows_from_where_the_device_put_it() -> None:
    one = opened()
    one.follow_band(Band(931, 1029, 980))
    assert decide(one, 988).band is None
    assert decide(one, 993).band == Band(944, 1042, 993)


@pytest.mark.parametrize(("mark", "bounds"), [(520, (512, 546)), (1530, (1454, 1535))])
def test_band_is_cut_at_the_window(mark: int, bounds: tuple[int, int]) -> None:
    band = decide(breaker(), mark).band
    assert band is not None and (band.lower_ticks, band.upper_ticks) == bounds


@pytest.mark.parametrize(
    ("widths", "half"), [({"width_ppm": 1}, 1), ({"width_ticks": 15}, 15), ({"width_ticks": 51}, 50)]
)
def test_width_is_the_lesser_of_both_and_a_tick_at_least(widths: dict[str, int], half: int) -> None:
    assert decide(breaker(**widths), 1000).band == Band(1000 - half, 1000 + half, 1000)


def test_limit_state_that_ends_freezes_the_band() -> None:
    """A bound that steps away from the orders that stand there would end the state."""
    assert decide(in_state(LIMIT, until_ns=2 * MS_NS), 940) == BreakerMove()
    assert decide(in_state(LIMIT, until_ns=0), 940).band == Band(893, 987, 940)


def test_call_freezes_the_band_but_in_batch_mode() -> None:
    """`SET_BAND` cancels what would trade outside: in a call, the orders that cross."""
    assert decide(in_state(CALL, until_ns=2 * MS_NS), 940) == BreakerMove()
    assert decide(in_state(CALL, until_ns=2 * MS_NS, mode="batch"), 940).band == Band(893, 987, 940)


@pytest.mark.parametrize("state", [LIMIT, HALTED, CALL])
def test_a_state_that_a_timer_has_ended_is_left_alone(state: TradingState) -> None:
    one = in_state(state, until_ns=2 * MS_NS)
    assert decide(one, 940, now_ns=2 * MS_NS) == BreakerMove()
    assert not one.takes_market_orders(2 * MS_NS)


def test_a_reference_of_the_devices_own_is_left_alone() -> None:
    one = opened(source="window_mean", long_bucket_us=1_000, long_buckets=5)
    assert decide(one, 940) == BreakerMove()


@pytest.mark.parametrize("mark", [None, 511, 1536])
@pytest.mark.parametrize("state", [TRADING, LIMIT, HALTED, CALL])
def test_halts_without_a_price_inside_the_window_and_reopens_by_a_call(mark: int | None, state: TradingState) -> None:
    one = in_state(state, until_ns=0 if state is TRADING else 2 * MS_NS)
    assert decide(one, mark) == BreakerMove(halt=True)
    one.follow_state(HALTED, 0, Reason.OPERATOR)
    assert one.cause is HaltCause.ORACLE
    assert decide(one, mark) == BreakerMove()
    move = decide(one, 940)
    assert (move.band, move.call, move.resume, move.halt) == (Band(893, 987, 940), True, False, False)


def test_device_leads_out_of_its_own_halts() -> None:
    one = in_state(HALTED, until_ns=5 * MS_NS)
    assert one.cause is HaltCause.BREAKER
    assert decide(one, 1000) == BreakerMove()


def test_watchdog_is_remembered_and_left_by_a_call() -> None:
    one = in_state(HALTED, reason=Reason.WATCHDOG)
    assert one.cause is HaltCause.WATCHDOG
    move = decide(one, 1000)
    assert (move.band, move.call) == (AROUND_1000, True)


def test_market_wide_halt_is_not_this_breakers_to_end() -> None:
    one = opened()
    one.hold(until_ns=0)
    assert decide(one, 1000, held=True) == BreakerMove()
    assert decide(one, None, held=True) == BreakerMove()
    assert one.cause is HaltCause.MARKET
    assert decide(one, 1000).call


def test_market_wide_halt_without_a_mark_waits_for_one() -> None:
    one = opened()
    one.hold(until_ns=5 * MS_NS)
    assert decide(one, None, held=True) == BreakerMove(halt=True)


def test_unopened_instrument_does_not_open_behind_a_market_wide_halt() -> None:
    """Its call would have no band."""
    one = breaker()
    one.hold(until_ns=5 * MS_NS)
    assert decide(one, 1000, held=True) == BreakerMove(halt=True)
    assert decide(one, 1000).resume


def test_session_sets_the_widths_anew() -> None:
    one = opened()
    move = decide(one, 1010, session=1)
    assert move == BreakerMove(rule=Rule(50_000, 0, 20), windows_of_ticks=1010)
    assert decide(one, 1010, session=1) == BreakerMove()


def test_band_is_wider_near_the_close() -> None:
    one = opened(late_width_ppm=100_000)
    assert decide(one, 1000, late=True) == BreakerMove(band=Band(900, 1100, 1000), rule=Rule(100_000, 0, 20))
    assert decide(one, 1000, late=True) == BreakerMove()
    assert decide(one, 1000, late=False) == BreakerMove(band=AROUND_1000, rule=Rule(50_000, 0, 20))


@pytest.mark.parametrize(("state", "takes"), [(TRADING, True), (LIMIT, True), (CALL, True), (HALTED, False)])
def test_takes_market_orders_where_they_match_or_collect(state: TradingState, takes: bool) -> None:
    assert in_state(state).takes_market_orders(1) is takes


def test_draw_is_due_when_a_call_is_over() -> None:
    one = opened()
    one.draw_call_end(0)
    for state, reason, due in (
        (CALL, Reason.HALT_OVER, False),
        (CALL, Reason.EXTENDED, False),
        (TRADING, Reason.CALL_OVER, True),
    ):
        one.follow_state(state, 5 * MS_NS, reason)
        assert one.draw_due is due


def test_a_draw_moves_the_end_of_the_call_under_way_when_the_device_has_taken_it() -> None:
    """In mode batch a call begins as the one before ends, with the random end of that one."""
    one = in_state(CALL, until_ns=5 * MS_NS, mode="batch")
    one.draw_call_end(2_000)
    assert one.until_ns == 5 * MS_NS
    one.follow_call_end()
    assert one.until_ns == 7 * MS_NS
    one.follow_state(CALL, 14 * MS_NS, Reason.CALL_OVER)
    assert one.draw_due
    one.draw_call_end(500)
    one.follow_call_end()
    assert one.until_ns == 12_500_000


@pytest.mark.parametrize(("state", "until_ns"), [(CALL, 0), (HALTED, 5 * MS_NS)])
def test_a_draw_moves_no_other_end(state: TradingState, until_ns: int) -> None:
    one = in_state(state, until_ns)
    one.draw_call_end(2_000)
    one.follow_call_end()
    assert one.until_ns == until_ns


class TestReach:
    """What credit must allow for until the watchdog halts."""

    @pytest.mark.parametrize(
        ("state", "until_ns", "now_ns", "horizon_ns", "reach"),
        [
            (TRADING, 0, 0, 7 * MS_NS - 1, AROUND_1000),
            (TRADING, 0, 0, 7 * MS_NS, WINDOW),
            (LIMIT, 2 * MS_NS, 1, 7 * MS_NS - 1, AROUND_1000),
            (LIMIT, 2 * MS_NS, 1, 7 * MS_NS, WINDOW),
            (LIMIT, 2 * MS_NS, 2 * MS_NS, 3 * MS_NS, WINDOW),
            (HALTED, 5 * MS_NS, 1, 5 * MS_NS - 1, AROUND_1000),
            (HALTED, 5 * MS_NS, 1, 5 * MS_NS, WINDOW),
            (HALTED, 0, 1, 1 << 62, AROUND_1000),
            (CALL, 5 * MS_NS, 1, 2, WINDOW),
        ],
    )
    def test_is_the_window_where_a_call_may_open(
        self, state: TradingState, until_ns: int, now_ns: int, horizon_ns: int, reach: Band
    ) -> None:
        assert in_state(state, until_ns).reach(now_ns, horizon_ns) == reach

    def test_policy_halt_trips_after_a_millisecond(self) -> None:
        assert opened(policy="halt").reach(0, 6 * MS_NS - 1) == AROUND_1000
        assert opened(policy="halt").reach(0, 6 * MS_NS) == WINDOW

    def test_limit_state_without_end_leads_nowhere(self) -> None:
        assert opened(limit_us=0).reach(0, 1 << 62) == AROUND_1000

    def test_is_nothing_before_the_first_band(self) -> None:
        assert breaker().reach(0, 1) is None

    def test_is_the_window_while_orders_of_a_call_may_rest(self) -> None:
        """Halted in the midst of a call, the book keeps them until a band cancels what lies beyond it."""
        one = in_state(CALL, 3 * MS_NS)
        one.follow_state(HALTED, 0, Reason.WATCHDOG)
        assert one.reach(1, 2) == WINDOW
        one.follow_band(AROUND_1000)
        assert one.reach(1, 2) == AROUND_1000

    def test_is_the_band_again_behind_an_auction(self) -> None:
        one = in_state(CALL, 3 * MS_NS)
        one.follow_band(Band(893, 987, 940))
        one.follow_state(TRADING, 0, Reason.CALL_OVER)
        assert one.reach(1, 2) == Band(893, 987, 940)

    def test_is_the_window_in_the_call_that_is_ordered_now(self) -> None:
        one = in_state(HALTED)
        decide(one, 1000)
        assert one.reach(1, 2) == WINDOW

    def test_is_the_window_where_the_device_finds_references(self) -> None:
        assert opened(source="auction").reach(0, 1) == WINDOW


class TestWindow:
    """The margin is a quarter of the window, 256 ticks: references from 768 to 1279 leave it where it is."""

    @pytest.mark.parametrize("mark", [768, 1279])
    def test_stays_while_the_reference_keeps_its_margin(self, mark: int) -> None:
        assert decide(breaker(margin_ppm=250_000), mark).window is None

    @pytest.mark.parametrize(("mark", "base"), [(767, 255), (1280, 768)])
    def test_moves_so_that_the_reference_is_in_the_middle(self, mark: int, base: int) -> None:
        one = breaker(margin_ppm=250_000)
        move = decide(one, mark)
        band = Band(mark - mark // 20, mark + mark // 20, mark)
        assert (move.window, move.band) == (WindowMove(band, base), band)
        assert decide(one, mark, now_ns=2).window is None

    def test_moves_with_the_band_while_it_trades(self) -> None:
        one = opened(margin_ppm=250_000)
        assert decide(one, 1013).window is None
        assert decide(one, 1290).window == WindowMove(Band(1226, 1354, 1290), 778)

    def test_moves_with_a_reference_that_the_device_has_found(self) -> None:
        one = opened(margin_ppm=250_000, source="window_mean", long_bucket_us=1_000, long_buckets=5)
        one.follow_band(Band(1236, 1364, 1300))
        move = decide(one, 1000)
        assert move == BreakerMove(window=WindowMove(Band(1235, 1365, 1300), 788), band=Band(1235, 1365, 1300))

    def test_band_is_cut_at_both_windows_while_it_moves(self) -> None:
        """From 512..1535 to 978..2001: the band 1415 to 1565 around 1490 ends at 1535 until the window has moved."""
        move = decide(breaker(margin_ppm=250_000), 1490)
        assert move.window == WindowMove(Band(1416, 1535, 1490), 978)
        assert move.band == Band(1416, 1564, 1490)

    @pytest.mark.parametrize(("state", "until_ns"), [(CALL, 2 * MS_NS), (PRE_OPEN, 0), (LIMIT, 2 * MS_NS)])
    def test_stands_still_while_the_band_does(self, state: TradingState, until_ns: int) -> None:
        assert decide(in_state(state, until_ns, margin_ppm=250_000), 1300) == BreakerMove()

    def test_follows_a_mark_that_has_left_it_while_the_instrument_is_halted(self) -> None:
        """5000 is the middle of 4488..5511: on the way there each window keeps one tick of the one before."""
        one = opened(margin_ppm=250_000)
        assert decide(one, 5000) == BreakerMove(halt=True)
        one.follow_state(HALTED, 0, Reason.OPERATOR)
        for base in (1535, 2558, 3581, 4488):
            move = decide(one, 5000)
            edge = Band(base, base, base) if base < 4488 else Band(4488 + 116, 4488 + 116, 4488 + 116)
            assert move.window is not None and move.window.base_ticks == base
            assert move.window.band == edge
            assert not (move.call or move.resume or move.halt)
        assert decide(one, 5000).call

    def test_does_not_follow_without_a_margin(self) -> None:
        assert decide(in_state(HALTED), 5000) == BreakerMove()

    @pytest.mark.parametrize(("mark", "base"), [(30, 1), ((1 << 32) - 30, (1 << 32) - 1024)])
    def test_ends_where_prices_end(self, mark: int, base: int) -> None:
        """The window before the first price or behind the last one does not exist."""
        one = Breaker(
            window_base_ticks=base + (100 if base == 1 else -100),
            window_ticks=1024,
            window_margin_ppm=250_000,
            timetable=Timetable(None),
            settings=BreakerConfig(width_ppm=1_000),
        )
        one.follow_state(HALTED, 0, Reason.OPERATOR)
        moves = [decide(one, mark).window for _ in range(3)]
        assert [move.base_ticks for move in moves if move] == [base]

    def test_reach_is_that_of_the_window_where_it_is(self) -> None:
        one = opened(margin_ppm=250_000, source="auction")
        one.follow_band(Band(1236, 1364, 1300))
        decide(one, 1300)
        assert one.reach(1, 2) == Band(788, 1811, 1300)


DAY = TimetableConfig(
    pre_open=time(0, 0, 10),
    opening_call=time(0, 0, 20),
    continuous=time(0, 0, 30),
    closing_call=time(0, 0, 40),
    closed=time(0, 0, 50),
)
SECOND_NS = 1_000_000_000


class TestTimetable:
    """A day of a minute: pre-open at 10 s, calls at 20 and 40 s, trading at 30 s, the end at 50 s."""

    @pytest.mark.parametrize(
        ("second", "state", "entry"),
        [
            (5, CLOSED, Entry(ScheduledState.CLOSED, 5 * SECOND_NS)),
            (12, PRE_OPEN, Entry(ScheduledState.PRE_OPEN, 12 * SECOND_NS)),
            (24, CALL, Entry(ScheduledState.OPENING_CALL, 24 * SECOND_NS, 6_000_000)),
            (47, CALL, Entry(ScheduledState.CLOSING_CALL, 47 * SECOND_NS, 3_000_000)),
            (55, CLOSED, Entry(ScheduledState.CLOSED, 55 * SECOND_NS)),
        ],
    )
    def test_opens_into_the_present_phase(self, second: int, state: TradingState, entry: Entry) -> None:
        one = breaker(timetable=DAY)
        move = decide(one, 1000, second * SECOND_NS)
        assert (move.band, move.entries[0], move.call, move.resume) == (AROUND_1000, entry, False, False)
        assert one.state is state

    def test_opens_into_continuous_trading_with_the_next_entries(self) -> None:
        move = decide(breaker(timetable=DAY), 1000, 30 * SECOND_NS)
        assert move.resume
        assert [(one.state, one.at_ns // SECOND_NS) for one in move.entries] == [
            (ScheduledState.PRE_OPEN, 86_410),
            (ScheduledState.OPENING_CALL, 86_420),
            (ScheduledState.CLOSING_CALL, 40),
        ]

    def test_nothing_is_told_before_the_opening(self) -> None:
        assert decide(breaker(timetable=DAY), None, 30 * SECOND_NS) == BreakerMove()

    def trading(self, **settings: Any) -> Breaker:
        one = breaker(timetable=DAY, **settings)
        decide(one, 1000, 30 * SECOND_NS)
        one.follow_state(TRADING, 0, Reason.OPERATOR)
        return one

    def test_is_left_alone_in_the_step_in_which_an_entry_is_due(self) -> None:
        one = self.trading()
        assert decide(one, 940, 40 * SECOND_NS) == BreakerMove()
        assert not one.takes_market_orders(40 * SECOND_NS)
        assert one.reach(40 * SECOND_NS, 40 * SECOND_NS) == WINDOW

    def test_credit_allows_for_the_next_call(self) -> None:
        one = self.trading(limit_us=0)
        assert one.reach(30 * SECOND_NS, 40 * SECOND_NS - 1) == AROUND_1000
        assert one.reach(30 * SECOND_NS, 40 * SECOND_NS) == WINDOW

    def closed(self, **settings: Any) -> Breaker:
        one = breaker(timetable=DAY, **settings)
        decide(one, 1000, 55 * SECOND_NS)
        one.follow_state(CLOSED, 0, Reason.SCHEDULE)
        return one

    def test_band_follows_the_mark_while_closed(self) -> None:
        move = decide(self.closed(), 1013, 56 * SECOND_NS)
        assert (move.band, move.call) == (Band(963, 1063, 1013), False)

    def test_closed_stays_closed_without_a_mark(self) -> None:
        assert decide(self.closed(), None, 56 * SECOND_NS).halt is False

    @pytest.mark.parametrize("mark", [None, 1000])
    def test_a_halt_that_lasts_until_the_end_is_closed(self, mark: int | None) -> None:
        one = self.trading()
        one.follow_state(HALTED, 0, Reason.WATCHDOG)
        one.follow_watchdog()
        move = decide(one, mark, 55 * SECOND_NS)
        assert move.entries[0] == Entry(ScheduledState.CLOSED, 55 * SECOND_NS)
        assert one.state is CLOSED

    def test_reopens_by_a_call_in_mid_day(self) -> None:
        one = self.trading()
        one.follow_state(HALTED, 0, Reason.WATCHDOG)
        one.follow_watchdog()
        move = decide(one, 1000, 32 * SECOND_NS)
        assert move.call
        assert len(move.entries) == 3

    def test_closed_over_its_opening_it_opens_by_a_call_as_soon_as_there_is_a_mark(self) -> None:
        """The watchdog has taken the opening out, and closed instruments are not halted by it."""
        one = self.closed()
        one.follow_watchdog()
        morning_ns = 86_435 * SECOND_NS
        assert all(entry.at_ns > morning_ns for entry in decide(one, None, morning_ns).entries)
        move = decide(one, 1000, morning_ns + 1)
        assert move.entries[0] == Entry(ScheduledState.OPENING_CALL, morning_ns + 1, 0)
        assert (move.call, one.state) == (False, CALL)

    def test_halt_to_the_sessions_end_is_not_ended_by_the_timetable(self) -> None:
        one = self.trading()
        one.hold(until_ns=0)
        taken_out = {entry.state for entry in decide(one, 1000, 35 * SECOND_NS, held=True).entries if not entry.at_ns}
        assert taken_out == {ScheduledState.PRE_OPEN, ScheduledState.OPENING_CALL, ScheduledState.CLOSING_CALL}
        assert decide(one, 1000, 45 * SECOND_NS, held=True) == BreakerMove()
        assert decide(one, 1000, 50 * SECOND_NS, held=True).entries == (Entry(ScheduledState.CLOSED, 50 * SECOND_NS),)
        one.follow_state(CLOSED, 0, Reason.SCHEDULE)
        assert len(decide(one, 1000, 55 * SECOND_NS).entries) == 3

    def test_halt_with_an_end_leaves_the_timetable_as_it_is(self) -> None:
        one = self.trading()
        one.hold(until_ns=60 * SECOND_NS)
        assert decide(one, 1000, 35 * SECOND_NS, held=True) == BreakerMove()

    def test_market_wide_halt_leaves_closed_instruments_closed(self) -> None:
        one = self.closed()
        one.hold(until_ns=0)
        assert one.state is CLOSED
