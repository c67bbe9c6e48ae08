"""Proof of `hdl.guard.band`."""

from amaranth.hdl import Module, Mux, Signal, Value
from harness import Harness, anything, take
from proof import Proof

from bandgap.hdl.guard.band import PriceCheck, reason_of
from bandgap.hdl.protocol.reports import Reason


class Price(Harness):
    """No price passes outside band and window, none is changed but to its bound, and none is rejected without reason.

    An order passes a band at its effective price: a buy at or below the upper, a sell at or above the lower bound.
    While prices are free, the window alone bounds limit orders.
    """

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = PriceCheck()
        rules = dut.instrument
        for port in (rules, dut.sell, dut.market, dut.price_ticks):
            anything(m, port)
        top = take(m, "top", rules.window_base_ticks + (1 << rules.window_log2)[:33])
        self.assume(m, top <= 1 << 32)

        def outside(price_ticks):
            beyond = Mux(dut.sell, price_ticks < rules.lower_ticks, price_ticks > rules.upper_ticks)
            return rules.banded & ~rules.free_price & beyond

        def in_window(price_ticks):
            return (price_ticks >= rules.window_base_ticks) & (price_ticks < top)

        # The guard takes no band whose bounds are not inside the window, and a new window ends the band.
        inside = in_window(rules.lower_ticks) & in_window(rules.upper_ticks)
        self.assume(m, ~rules.banded | (inside & (rules.lower_ticks <= rules.upper_ticks)))

        bound_ticks = Mux(dut.sell, rules.lower_ticks, rules.upper_ticks)
        effective_ticks, reason = dut.effective_ticks, reason_of(dut.refusal)
        allowed = ~Value.cast(dut.refusal).any()
        clamped = outside(dut.price_ticks) & rules.clamps
        expected = Signal(32)
        m.d.comb += expected.eq(Mux(dut.market | clamped, bound_ticks, dut.price_ticks))
        self.claim(m, "inside_band", ~allowed | ~outside(effective_ticks))
        self.claim(m, "inside_window", ~allowed | in_window(effective_ticks))
        self.claim(m, "market_needs_band", ~allowed | ~dut.market | rules.banded)
        self.claim(m, "effective", effective_ticks == expected)
        self.claim(m, "at_bound", dut.at_bound == (rules.banded & (effective_ticks == bound_ticks)))
        self.claim(
            m,
            "reason",
            allowed
            | ((reason == Reason.NO_BAND) & dut.market & ~rules.banded)
            | ((reason == Reason.OUTSIDE_WINDOW) & ~in_window(expected) & ~(dut.market & ~rules.banded))
            | ((reason == Reason.OUTSIDE_BAND) & outside(dut.price_ticks) & ~dut.market & in_window(expected)),
        )
        self.claim(
            m,
            "allowed",
            allowed == ~((dut.market & ~rules.banded) | ~in_window(expected) | (~dut.market & outside(expected))),
        )
        self.reach(m, "clamped", allowed & clamped & ~dut.market)
        self.reach(m, "market", allowed & dut.market)
        self.reach(m, "free", allowed & rules.banded & rules.free_price & (effective_ticks > rules.upper_ticks))
        self.reach(m, "rejected", ~allowed & (reason == Reason.OUTSIDE_BAND))


PROOFS = (Proof("price-check", Price, steps=1, terms=(10,)),)
