"""Rounds of liquidation, by hand: three accounts, two instruments."""

from typing import Any

import numpy as np

from bandgap.host.liquidation.liquidator import ClosingOrder, Liquidator, Round


class Case:
    """Figures of three healthy accounts, to be changed."""

    def __init__(self) -> None:
        self.equity = np.array([100, 100, 100])
        self.initial = np.array([20, 20, 20])
        self.maintenance = np.array([10, 10, 10])
        self.lots = np.array([[5, 0], [7, -3], [0, 4]])
        self.trading = [True, True]
        self.fund = 1_000
        self.open_orders: set[tuple[int, int]] = set()

    def round(self, liquidator: Liquidator) -> Round:
        return liquidator.next_round(
            self.equity, self.initial, self.maintenance, self.lots, self.trading, self.fund, self.open_orders
        )

    def set(self, account: int, **figures: Any) -> None:
        for name, value in figures.items():
            getattr(self, name)[account] = value


def liquidator(orders: int = 10) -> Liquidator:
    return Liquidator([3, 2], orders)


def test_healthy_accounts_are_left_alone() -> None:
    assert Case().round(liquidator()) == Round()


def test_account_at_its_maintenance_margin_is_left_alone() -> None:
    case = Case()
    case.set(1, equity=10)
    assert case.round(liquidator()) == Round()


def test_account_below_is_killed_before_it_is_closed() -> None:
    case, rounds = Case(), liquidator()
    case.set(1, equity=9)
    assert case.round(rounds) == Round(kill=[1])
    assert case.round(rounds) == Round(close=[ClosingOrder(1, 0, -3), ClosingOrder(1, 1, 2)])
    case.set(1, lots=[1, -1])
    assert case.round(rounds) == Round(close=[ClosingOrder(1, 0, -1), ClosingOrder(1, 1, 1)])


def test_halted_instrument_waits() -> None:
    case, rounds = Case(), liquidator()
    case.set(1, equity=9)
    case.round(rounds)
    case.trading = [False, True]
    assert case.round(rounds) == Round(close=[ClosingOrder(1, 1, 2)])


def test_account_is_restored_only_at_its_initial_margin() -> None:
    case, rounds = Case(), liquidator()
    case.set(1, equity=9)
    case.round(rounds)
    case.set(1, equity=19)
    assert case.round(rounds).restore == []
    case.set(1, equity=20)
    assert case.round(rounds) == Round(restore=[1])
    assert rounds.blocked == ()


def test_fund_pays_for_flat_accounts_in_order_until_it_is_empty() -> None:
    case, rounds = Case(), liquidator()
    for account in (2, 0):
        case.set(account, equity=-300, initial=0, maintenance=0, lots=[0, 0])
    case.fund = 400
    assert case.round(rounds) == Round(kill=[0, 2])
    assert case.round(rounds) == Round(cover=[(0, 300), (2, 100)], restore=[0])
    assert rounds.blocked == (2,)
    case.set(0, equity=0)
    case.set(2, equity=-200)
    case.fund = 0
    assert case.round(rounds) == Round()


def test_fund_does_not_pay_while_a_position_is_open() -> None:
    case, rounds = Case(), liquidator()
    case.set(0, equity=-300)
    case.round(rounds)
    assert case.round(rounds).cover == []


def test_no_more_orders_than_slots() -> None:
    case, rounds = Case(), liquidator(orders=2)
    for account in range(3):
        case.set(account, equity=0)
    case.round(rounds)
    assert case.round(rounds).close == [ClosingOrder(0, 0, -3), ClosingOrder(1, 0, -3)]


def test_rounds_go_on_behind_the_last_position_served() -> None:
    """Nothing trades; four positions share the two orders of a round, and one that comes late waits its turn."""
    case, rounds = Case(), liquidator(orders=2)
    for account in range(2):
        case.set(account, equity=0)
    case.set(0, lots=[5, -1])
    case.round(rounds)

    def served() -> list[tuple[int, int]]:
        return [(order.account, order.instrument) for order in case.round(rounds).close]

    assert [served(), served()] == [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]
    case.set(2, equity=0)
    assert [served(), served()] == [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]
    assert [served(), served()] == [[(0, 0), (0, 1)], [(2, 1), (1, 0)]]


def test_open_orders_keep_their_slots() -> None:
    """One of two collects for an auction: one other may go out, and a second one waits for the next round."""
    case, rounds = Case(), liquidator(orders=2)
    for account in range(3):
        case.set(account, equity=0)
    case.round(rounds)
    case.open_orders = {(1, 1)}
    closed = [case.round(rounds).close for _ in range(3)]
    assert [[(one.account, one.instrument) for one in orders] for orders in closed] == [[(0, 0)], [(1, 0)], [(2, 1)]]


def test_no_closing_order_goes_out_while_one_is_open() -> None:
    """Account 1 holds 7 and -3; that of its first instrument still collects for an auction."""
    case, one = Case(), liquidator()
    case.set(1, equity=9)
    case.round(one)
    case.open_orders = {(1, 0), (0, 1)}
    assert case.round(one).close == [ClosingOrder(1, 1, 2)]
    case.open_orders = set()
    assert case.round(one).close == [ClosingOrder(1, 0, -3), ClosingOrder(1, 1, 2)]
