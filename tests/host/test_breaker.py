"""The breaker's decisions, by hand: window 512 to 1535, half width 5 %, steps of a quarter of it."""

from typing import Any

import pytest

from bandgap.hdl.protocol.reports import Reason, TradingState
from bandgap.host.breaker import Band, Breaker, BreakerMove, HaltCause, Rule
from bandgap.host.config import BreakerConfig

TRADING, LIMIT, HALTED, CALL = TradingState.TRADING, TradingState.LIMIT, TradingState.HALTED, TradingState.CALL
MS_NS = 1_000_000

AROUND_1000 = Band(950, 1050, 1000)
WINDOW = Band(512, 1535, 1000)


def breaker(**settings: Any) -> Breaker:
    chosen = {"width_ppm": 50_000, "limit_us": 2_000, "halt_us": 5_000, "call_us": 3_000, "auction_width_ppm": 20_000}
    return Breaker(window_base_ticks=512, window_ticks=1024, settings=BreakerConfig(**(chosen | settings)))


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
    one.draw_due = False
    for state, reason, due in (
        (CALL, Reason.HALT_OVER, False),
        (CALL, Reason.EXTENDED, False),
        (TRADING, Reason.CALL_OVER, True),
    ):
        one.follow_state(state, 5 * MS_NS, reason)
        assert one.draw_due is due


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
