"""Proof of `hdl.book.auction`: whatever the book, the price is the one that the rules name, found tick by tick here."""

from functools import reduce
from operator import and_, or_

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from harness import Harness, some
from proof import Proof

from bandgap.hdl.book.auction import Discovery
from bandgap.hdl.config import PRESETS

CONFIG = PRESETS["formal"]
TICKS = range(1, 4)
QUANTITY_BITS = 2
STEPS = 32


def _all(conditions) -> Value:
    return reduce(and_, conditions, Const(1, 1))


def _any(conditions) -> Value:
    return reduce(or_, conditions, Const(0, 1))


class MostVolume(Harness):
    """An auction trades the most volume that any price allows, at the price that the rules name."""

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = Discovery(CONFIG)
        shape = unsigned(QUANTITY_BITS)
        bids, asks = ([some(m, shape, f"{side}_{tick}") for tick in TICKS] for side in ("bid", "ask"))
        reference = some(m, unsigned(3), "reference")
        started = Signal()
        m.d.sync += started.eq(1)
        m.d.comb += [dut.start.eq(~started), dut.reference_ticks.eq(reference)]

        # The levels in order of price, the best first; each is told once.
        asked = [Signal(range(len(TICKS) + 1), name=f"asked_{side}") for side in ("bid", "ask")]
        level = dut.levels.payload
        m.d.comb += dut.levels.valid.eq(1)
        for side, told, lots, ticks in ((0, asked[0], bids[::-1], TICKS[::-1]), (1, asked[1], asks, TICKS)):
            with m.If(dut.wanted_sell == side):
                for place in reversed(range(len(TICKS))):
                    with m.If((told <= place) & (lots[place] != 0)):
                        m.d.comb += [
                            level.any.eq(1),
                            level.price_ticks.eq(ticks[place]),
                            level.quantity_lots.eq(lots[place]),
                        ]
                        with m.If(dut.levels.ready):
                            m.d.sync += told.eq(place + 1)

        # What would trade at each tick, and what would be left.
        demands = [sum(bids[place:], Const(0)) for place in range(len(TICKS))]
        supplies = [sum(asks[: place + 1], Const(0)) for place in range(len(TICKS))]
        total = unsigned(QUANTITY_BITS + len(TICKS).bit_length())

        def named(values, name):
            signals = [Signal(total, name=f"{name}_{tick}") for tick in TICKS]
            m.d.comb += [signal.eq(value) for signal, value in zip(signals, values, strict=True)]
            return signals

        demands, supplies = named(demands, "demand"), named(supplies, "supply")
        bids_left = [demand > supply for demand, supply in zip(demands, supplies, strict=True)]
        asks_left = [demand < supply for demand, supply in zip(demands, supplies, strict=True)]
        volumes = named(
            [Mux(more, supply, demand) for more, demand, supply in zip(bids_left, demands, supplies, strict=True)],
            "volume",
        )
        left = named(
            [
                Mux(more, demand - supply, supply - demand)
                for more, demand, supply in zip(bids_left, demands, supplies, strict=True)
            ],
            "left",
        )
        most = [_all(volume >= other for other in volumes) for volume in volumes]
        least = [
            _all(~also | (here <= there) for also, there in zip(most, left, strict=True)) & wins
            for wins, here in zip(most, left, strict=True)
        ]

        found = dut.discovered
        place = Signal(range(len(TICKS)))
        m.d.comb += place.eq(found.price_ticks - TICKS[0])

        def at(values):
            return Array(values)[place]

        nearer = [
            Mux(tick > reference, tick - reference, reference - tick)
            < Mux(found.price_ticks > reference, found.price_ticks - reference, reference - found.price_ticks)
            for tick in TICKS
        ]
        above = [tick > found.price_ticks for tick in TICKS]
        below = [tick < found.price_ticks for tick in TICKS]

        def none_of(*conditions):
            return ~_any(_all(each) for each in zip(*conditions, strict=True))

        balanced = [wins & ~more & ~less for wins, more, less in zip(least, bids_left, asks_left, strict=True)]
        trades = dut.done & found.any
        self.claim(m, "any", ~dut.done | (found.any == _any(volume != 0 for volume in volumes)))
        self.claim(m, "on_a_tick", ~trades | ((found.price_ticks >= TICKS[0]) & (found.price_ticks <= TICKS[-1])))
        self.claim(m, "most_volume", ~trades | (at(most) & (found.volume_lots == at(volumes))))
        self.claim(m, "least_surplus", ~trades | (at(least) & (found.surplus_lots == at(left))))
        self.claim(
            m,
            "side",
            ~dut.done | ~found.any | ((found.bids_left == at(bids_left)) & (found.asks_left == at(asks_left))),
        )
        self.claim(m, "bids_highest", ~(trades & found.bids_left) | none_of(least, bids_left, above))
        self.claim(m, "asks_lowest", ~(trades & found.asks_left) | none_of(least, asks_left, below))
        self.claim(m, "balance_first", ~trades | none_of(balanced) | ~(found.bids_left | found.asks_left))
        self.claim(m, "nearest", ~(trades & ~found.bids_left & ~found.asks_left) | none_of(balanced, nearer))
        self.claim(
            m, "middle_bid", ~(trades & found.bids_left) | none_of(least, asks_left) | (reference <= found.price_ticks)
        )
        self.claim(
            m, "middle_ask", ~(trades & found.asks_left) | none_of(least, bids_left) | (reference >= found.price_ticks)
        )
        self.claim(
            m,
            "nothing",
            ~dut.done | found.any | ~(Cat(found.price_ticks, found.volume_lots, found.surplus_lots).any()),
        )
        waited = Signal(range(STEPS + 1))
        with m.If(~dut.done):
            m.d.sync += waited.eq(waited + 1)
        self.claim(m, "ends", waited < STEPS - 2)
        self.reach(m, "bids_left", trades & found.bids_left)
        self.reach(m, "asks_left", trades & found.asks_left)
        self.reach(m, "reference_decides", trades & (found.surplus_lots == 0) & (found.price_ticks == reference))
        self.reach(m, "middle", trades & found.bids_left & ~none_of(least, asks_left))
        self.reach(m, "all_levels", trades & (Value.cast(Cat(*bids)).all()) & Cat(*asks).all())


PROOFS = (Proof("auction", MostVolume, steps=STEPS, terms=(11,), unbounded=False, faults=100),)
