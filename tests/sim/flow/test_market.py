"""Markets in several moods."""

import numpy as np
import pytest

from bandgap.hdl.protocol.commands import Opcode, Side, TimeInForce
from bandgap.sim.flow.market import NORMAL, QUIET, WIDE_SWING, Mood, market

START = (4_000, 3_000)


@pytest.mark.parametrize("mood", [QUIET, NORMAL, WIDE_SWING])
def test_the_same_seed_gives_the_same_bytes(mood: Mood) -> None:
    requests = market(mood, 1, 2_000, START, 100, 200)
    assert requests.tobytes() == market(mood, 1, 2_000, START, 100, 200).tobytes()
    assert requests.tobytes() != market(mood, 2, 2_000, START, 100, 200).tobytes()
    assert (np.diff(requests["arrival_ns"].astype(np.int64)) >= 0).all()
    assert set(requests["instrument"].tolist()) == {0, 1}


def test_moods_differ_in_what_they_are_named_for() -> None:
    quiet, normal, wide = (market(mood, 3, 20_000, START, 100, 200) for mood in (QUIET, NORMAL, WIDE_SWING))

    def takers(requests: np.ndarray) -> int:
        return int((requests["time_in_force"] > TimeInForce.GTC.value).sum())

    def span(requests: np.ndarray) -> float:
        prices = requests["price_ticks"][(requests["instrument"] == 0) & (requests["price_ticks"] > 0)]
        return float(np.subtract(*np.percentile(prices, [95, 5])))

    assert 0 < takers(quiet) < takers(normal) < takers(wide)
    assert span(wide) > 1.5 * span(normal)


def test_a_book_is_built_up_first_and_its_orders_are_canceled_later() -> None:
    requests = market(NORMAL, 4, 20_000, (4_000,), 100, 800, built_up=800, in_one_level=400)
    built, later = requests[:800], requests[800:]
    assert (built["kind"] == Opcode.NEW_ORDER.value).all() and (built["arrival_ns"] == 0).all()
    buys = built["side"] == Side.BUY.value
    best = int(built["price_ticks"][buys].max())
    assert best < built["price_ticks"][~buys].min(), "nobody trades yet"
    assert (built["price_ticks"] == best).sum() >= 400
    canceled = later["client_order_id"][later["kind"] == Opcode.CANCEL.value]
    assert np.isin(built["client_order_id"], canceled).mean() > 0.5
