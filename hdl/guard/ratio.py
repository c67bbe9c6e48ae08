"""A slow multiplier and divider, for what no order waits for."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

VALUE_BITS = 72
FACTOR_BITS = 20
DIVISOR_BITS = 40


class Ratio(wiring.Component):
    """`value` x `factor` / `divisor`, rounded down; one bit a cycle.

    Attributes
    ----------
    start : In this cycle a calculation begins, with these inputs. Never while one is under way.
    value, factor, divisor : What is multiplied, by what, and then divided by what; the divisor is not zero.
    ready : None is under way: `quotient` is the last one's.
    quotient : The lowest bits of the result.
    """

    start: In(1)
    value: In(VALUE_BITS)
    factor: In(FACTOR_BITS)
    divisor: In(DIVISOR_BITS)
    ready: Out(1)
    quotient: Out(64)

    def elaborate(self, platform):
        m = Module()
        value, divisor = Signal(VALUE_BITS), Signal(DIVISOR_BITS)
        factor = Signal(FACTOR_BITS)
        product = Signal(VALUE_BITS + FACTOR_BITS)  # while it is divided, its upper bits leave and the quotient's come
        remainder = Signal(DIVISOR_BITS)
        left = Signal(range(len(product) + 1))

        tried, rest = Signal(DIVISOR_BITS + 1), Signal(DIVISOR_BITS + 1)
        fits = Signal()
        m.d.comb += [
            tried.eq(Cat(product[-1], remainder)),
            fits.eq(tried >= divisor),
            rest.eq(Mux(fits, tried - divisor, tried)),
            self.quotient.eq(product),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.ready.eq(fsm.ongoing("READY"))
            with m.State("READY"):
                m.d.sync += left.eq(FACTOR_BITS - 1)
                with m.If(self.start):
                    m.d.sync += [
                        value.eq(self.value),
                        factor.eq(self.factor),
                        divisor.eq(self.divisor),
                        product.eq(0),
                        remainder.eq(0),
                    ]
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.sync += [
                    product.eq((product << 1) + Mux(factor[-1], value, 0)),
                    factor.eq(factor << 1),
                    left.eq(left - 1),
                ]
                with m.If(left == 0):
                    m.d.sync += left.eq(len(product) - 1)
                    m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.sync += [product.eq(Cat(fits, product)), remainder.eq(rest), left.eq(left - 1)]
                with m.If(left == 0):
                    m.next = "READY"
        return m
