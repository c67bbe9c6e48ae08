"""Reviews: asks the breaker, behind a command, whether a limit state begins or ends."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..beats import Best, Review, Verdict
from ..bits import lowest_set
from ..config import BookConfig
from .bests import pair_layout


class Reviews(wiring.Component):
    """Asks for one instrument after the other, lowest first, between two commands.

    An instrument is asked for if one of its levels has changed, while it is in its limit state or by an order at the
    bound; if quantity was left of an immediate order at the bound; or if it has traded and trades move its bounds.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    watched : A bit an instrument: it is in its limit state.
    changed, changed_instrument : A level of that instrument changes.
    traded, dynamic : That instrument trades; a bit an instrument: trades move its bounds.
    at_bound : The order that changes it may rest at the bound.
    stranded, stranded_instrument : A bound has left quantity of an order of that instrument that cannot rest.
    due : The breaker may have to be asked: no command may be carried out.
    free : Between two commands, and all `bests` are true.
    bests : Those of `instrument`.
    time_ns : Time of the cause; steady while due.
    review, verdict : To the breaker, and its answer.
    telling, instrument : `verdict` says that the state of `instrument` has changed: that has to be told, while
        `telling`.
    told : It is taken.
    """

    def __init__(self, config: BookConfig):
        self._instruments = config.instruments
        instrument = range(config.instruments)
        super().__init__(
            {
                "watched": In(config.instruments),
                "changed": In(1),
                "changed_instrument": In(instrument),
                "traded": In(1),
                "dynamic": In(config.instruments),
                "at_bound": In(1),
                "stranded": In(1),
                "stranded_instrument": In(instrument),
                "due": Out(1),
                "free": In(1),
                "bests": In(pair_layout(config)),
                "time_ns": In(64),
                "review": Out(stream.Signature(Review)),
                "verdict": In(stream.Signature(Verdict)),
                "telling": Out(1),
                "instrument": Out(instrument),
                "told": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = self._instruments
        pending, stranded, done = Signal(count), Signal(count), Signal(count)
        instrument, review = self.instrument, self.review.payload
        stays = ~done
        for index in range(count):
            asks = self.at_bound | self.watched[index] | (self.traded & self.dynamic[index])
            changed = self.changed & (self.changed_instrument == index) & asks
            strands = self.stranded & (self.stranded_instrument == index)
            m.d.sync += [
                pending[index].eq((pending[index] & stays[index]) | changed | strands),
                stranded[index].eq((stranded[index] & stays[index]) | strands),
            ]

        watched, dynamic = (bits.bit_select(self.changed_instrument, 1) for bits in (self.watched, self.dynamic))
        asks = self.at_bound | watched | (self.traded & dynamic)
        m.d.sync += self.due.eq((pending & stays).any() | (self.changed & asks) | self.stranded)
        with m.FSM():
            with m.State("REST"):
                _, first = lowest_set(Cat(pending, *[0] * ((1 << ceil_log2(count)) - count)))
                m.d.sync += instrument.eq(first)
                with m.If(self.free & self.due):
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.d.sync += [
                    review.instrument.eq(instrument),
                    *(
                        shown[name].eq(best[name])
                        for shown, best in zip((review.bid, review.ask), self.bests, strict=True)
                        for name in Best.as_shape().members
                    ),
                    review.stranded.eq(stranded.bit_select(instrument, 1)),
                    review.time_ns.eq(self.time_ns),
                    self.review.valid.eq(1),
                ]
                m.next = "ASK"
            with m.State("ASK"):
                with m.If(self.review.ready):
                    m.d.sync += self.review.valid.eq(0)
                    m.next = "HEAR"
            with m.State("HEAR"):
                m.d.comb += [
                    self.telling.eq(self.verdict.valid & self.verdict.payload.changed),
                    self.verdict.ready.eq(~self.verdict.payload.changed | self.told),
                ]
                with m.If(self.verdict.valid & self.verdict.ready):
                    m.d.comb += done.eq(1 << instrument)
                    m.next = "REST"
        return m
