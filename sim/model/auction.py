"""The price of an auction: the rules of `docs/circuit-breaker.md`, tick by tick."""

from dataclasses import dataclass

from .commands import Side


@dataclass(frozen=True, slots=True)
class Clearing:
    """What an auction trades: `volume_lots` at `price_ticks`, with a surplus of one side (None where it is zero)."""

    price_ticks: int
    volume_lots: int
    surplus_lots: int
    surplus_side: Side | None


def clear(bids: dict[int, int], asks: dict[int, int], reference_ticks: int) -> Clearing | None:
    """The price at which crossing orders trade, None where no bid meets an ask.

    Arguments
    ---------
    bids, asks : Quantity by price.
    reference_ticks : Reference price, zero without one.
    """
    if not bids or not asks or max(bids) < min(asks):
        return None
    demand_lots = sum(bids.values())  # of bids at the price or higher
    supply_lots = 0  # of asks at the price or lower
    candidates: list[tuple[int, int, int]] = []  # price, volume, surplus: positive where bids are left over
    lowest = min(*bids, *asks)
    for price_ticks in range(lowest, max(*bids, *asks) + 1):
        demand_lots -= bids.get(price_ticks - 1, 0)
        supply_lots += asks.get(price_ticks, 0)
        candidates.append((price_ticks, min(demand_lots, supply_lots), demand_lots - supply_lots))
    most = max(volume for _, volume, _ in candidates)
    candidates = [one for one in candidates if one[1] == most]
    least = min(abs(surplus) for _, _, surplus in candidates)
    candidates = [one for one in candidates if abs(one[2]) == least]
    # Bids are left over at the lower of them, asks at the upper ones, or nothing at any.
    demanded = [one for one in candidates if one[2] > 0][-1:]
    supplied = [one for one in candidates if one[2] < 0][:1]
    balanced = [one for one in candidates if one[2] == 0]
    chosen = min(demanded + supplied + balanced, key=lambda one: abs(one[0] - reference_ticks))
    price_ticks, volume_lots, surplus = chosen
    side = Side.BUY if surplus > 0 else Side.SELL if surplus < 0 else None
    return Clearing(price_ticks, volume_lots, abs(surplus), side)
