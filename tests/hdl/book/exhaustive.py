"""An auction's price by a search through every tick."""

Levels = dict[int, int]
"""Quantity by price."""


def exhaustive(bids: Levels, asks: Levels, reference_ticks: int) -> tuple[int, int, int]:
    """Price, volume and what is left over (bids less asks), as `docs/circuit-breaker.md` has it; zeros for none."""
    volume, surplus = {}, {}
    prices = [*bids, *asks]
    for price in range(min(prices, default=1), max(prices, default=0) + 1):
        bought = sum(lots for at, lots in bids.items() if at >= price)
        sold = sum(lots for at, lots in asks.items() if at <= price)
        volume[price], surplus[price] = min(bought, sold), bought - sold
    most = max(volume.values(), default=0)
    if not most:
        return 0, 0, 0
    most_trades = [price for price in volume if volume[price] == most]
    least = min(abs(surplus[price]) for price in most_trades)
    best = [price for price in most_trades if abs(surplus[price]) == least]
    bought = [price for price in best if surplus[price] > 0][-1:]
    sold = [price for price in best if surplus[price] < 0][:1]
    even = [price for price in best if surplus[price] == 0]
    price = min(bought + sold + even, key=lambda at: abs(at - reference_ticks))
    return price, most, surplus[price]
