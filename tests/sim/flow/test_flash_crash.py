"""The invented session."""

import numpy as np
import pytest

from bandgap.hdl.protocol.commands import Opcode, OrderFlags, OrderType, Side, TimeInForce
from bandgap.sim.flow.crowd import CRASH_S, DIP_S, SELLING_S, Population
from bandgap.sim.flow.flash_crash import LYING_SOURCE, RECOVERY_S, SESSION_S, SOURCES, STALLED_SOURCE, flash_crash

START = (9_600, 6_800, 10_500)


@pytest.fixture(scope="module")
def session():
    return flash_crash(5, 30_000, START, 100)


def test_the_same_seed_gives_the_same_bytes(session) -> None:
    again = flash_crash(5, 30_000, START, 100)
    assert again.requests.tobytes() == session.requests.tobytes()
    assert again.quotes.tobytes() == session.quotes.tobytes()
    other = flash_crash(6, 30_000, START, 100)
    assert other.requests.tobytes() != session.requests.tobytes()
    assert other.quotes.tobytes() != session.quotes.tobytes()


def test_every_kind_of_request_occurs(session) -> None:
    requests = session.requests
    assert len(requests) == 30_000
    new = requests[requests["kind"] == Opcode.NEW_ORDER.value]
    kinds = {
        (OrderType(row["order_type"]), TimeInForce(row["time_in_force"]), OrderFlags(int(row["flags"]))) for row in new
    }
    assert kinds == {
        (OrderType.LIMIT, TimeInForce.GTC, OrderFlags(0)),
        (OrderType.LIMIT, TimeInForce.GTC, OrderFlags.POST_ONLY),
        (OrderType.LIMIT, TimeInForce.IOC, OrderFlags(0)),
        (OrderType.LIMIT, TimeInForce.FOK, OrderFlags(0)),
        (OrderType.MARKET, TimeInForce.IOC, OrderFlags(0)),
    }
    assert (new["price_ticks"][new["order_type"] == OrderType.MARKET.value] == 0).all()
    assert (requests["kind"] == Opcode.REPLACE.value).sum() > 500
    resting = (new["time_in_force"] == TimeInForce.GTC.value).sum()
    assert (requests["kind"] == Opcode.CANCEL.value).sum() > 0.75 * resting, "most orders are canceled"
    assert set(np.unique(requests["instrument"])) == {0, 1, 2}
    assert len(np.unique(requests["account"])) == 100


def test_arrivals_are_in_order_and_clustered(session) -> None:
    arrivals_s = session.requests["arrival_ns"] / 1e9
    assert (np.diff(arrivals_s) >= 0).all()
    assert arrivals_s[-1] < SESSION_S
    counts = np.bincount((arrivals_s[arrivals_s < CRASH_S] // 2).astype(int))
    assert counts.var() > 2 * counts.mean(), "of a Poisson process both would be the same"


def test_cancel_and_replace_name_an_order_sent_before_and_not_canceled(session) -> None:
    live: dict[int, tuple[int, int]] = {}
    for row in session.requests:
        owner = int(row["account"]), int(row["instrument"])
        identity = int(row["client_order_id"])
        if row["kind"] == Opcode.NEW_ORDER.value:
            assert identity not in live
            live[identity] = owner
        elif row["kind"] == Opcode.CANCEL.value:
            assert live.pop(identity) == owner
        else:
            assert live[identity] == owner


def test_the_seller_sells_in_the_crash_alone_and_withdraws_the_rest(session) -> None:
    own = session.requests[session.requests["account"] == Population.of(100).seller]
    seconds = own["arrival_ns"] / 1e9 - CRASH_S
    sold = own["kind"] == Opcode.NEW_ORDER.value
    assert sold.sum() > 100
    assert (seconds[sold] > 0).all() and (seconds[sold] < SELLING_S).all()
    assert set(own["side"][sold]) == {Side.SELL.value}
    assert (seconds[~sold] >= SELLING_S).all()
    assert sorted(own["client_order_id"][sold]) == sorted(own["client_order_id"][~sold])


def test_one_source_lies_and_one_falls_silent(session) -> None:
    seconds = session.quotes["time_ns"] / 1e9
    assert (np.diff(seconds) >= 0).all()
    of_first = session.quotes["instrument"] == 0
    dip = of_first & (seconds > CRASH_S) & (seconds < CRASH_S + DIP_S)
    honest = session.quotes["price_ticks"][dip & (session.quotes["source"] == 0)].mean()
    lie = session.quotes["price_ticks"][dip & (session.quotes["source"] == LYING_SOURCE)].mean()
    assert lie < 0.7 * honest
    silent = (seconds > CRASH_S + 10) & (seconds < CRASH_S + DIP_S + RECOVERY_S)
    assert set(np.unique(session.quotes["source"][silent])) == set(range(SOURCES)) - {STALLED_SOURCE}


def test_the_index_dips_and_mostly_comes_back(session) -> None:
    quotes = session.quotes[(session.quotes["source"] == 0) & (session.quotes["instrument"] == 0)]
    seconds = quotes["time_ns"] / 1e9
    before = quotes["price_ticks"][seconds < CRASH_S].mean()
    bottom = quotes["price_ticks"].min()
    after = quotes["price_ticks"][seconds > CRASH_S + DIP_S + RECOVERY_S].mean()
    assert bottom < 0.97 * before
    assert bottom < after < before
    assert after - bottom > 0.5 * (before - bottom)


def test_everybody_has_one_role() -> None:
    people = Population.of(20)
    roles = [*people.makers, *people.investors, *people.speculators, people.seller]
    assert sorted(roles) == list(range(20))
    with pytest.raises(ValueError, match="at least 8 accounts, not 7"):
        Population.of(7)


def test_a_session_may_be_short() -> None:
    assert len(flash_crash(0, 1, START, 8).requests) == 1
