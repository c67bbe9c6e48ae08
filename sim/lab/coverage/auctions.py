"""What decides the price of an auction."""

from collections.abc import Iterator

Orders = list[tuple[int, int]]
"""Price in ticks and open quantity in lots of each order of a side."""


def shapes(bids: Orders, asks: Orders, reference_ticks: int) -> Iterator[str]:
    """Name what decides the price of an auction of these orders, as the rules look for it one after the other."""
    if not (bids and asks):
        yield "bids alone" if bids else "asks alone" if asks else "no order"
        return
    lowest, highest = min(asks)[0], max(bids)[0]
    if lowest > highest:
        yield "not crossed"
        return
    surpluses: dict[int, int] = {}
    volumes: dict[int, int] = {}
    for price_ticks in range(lowest, highest + 1):
        demand = sum(lots for at_ticks, lots in bids if at_ticks >= price_ticks)
        supply = sum(lots for at_ticks, lots in asks if at_ticks <= price_ticks)
        surpluses[price_ticks], volumes[price_ticks] = demand - supply, min(demand, supply)
    most = max(volumes.values())
    left = [price_ticks for price_ticks, volume in volumes.items() if volume == most]
    if len(left) == 1:
        yield "one tick left by volume"
        return
    least = min(abs(surpluses[price_ticks]) for price_ticks in left)
    left = [price_ticks for price_ticks in left if abs(surpluses[price_ticks]) == least]
    signs = {(surpluses[price_ticks] > 0) - (surpluses[price_ticks] < 0) for price_ticks in left}
    if len(left) == 1:
        yield "one tick left by surplus"
    elif signs == {1}:
        yield "highest of a surplus of bids"
    elif signs == {-1}:
        yield "lowest of a surplus of asks"
    elif signs == {0}:
        among = "among them" if left[0] <= reference_ticks <= left[-1] else ""
        yield f"balanced: reference {among or ('below' if reference_ticks < left[0] else 'above')}"
    else:
        lower = max(price_ticks for price_ticks in left if surpluses[price_ticks] > 0)
        yield f"middle ticks: the {'lower' if reference_ticks <= lower else 'upper'}"
