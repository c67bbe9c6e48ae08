"""Proof of `hdl.book.report_slot`."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data
from harness import Harness, anything, before, keeps_contract, offered
from proof import Proof

from bandgap.hdl.book.report_slot import Draft, Follow, ReportSlot
from bandgap.hdl.protocol.reports import ReportFlags, ReportHeader


class Reports(Harness):
    """Every draft leaves once, in order, as it came, with LAST exactly where its command ends with it."""

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = ReportSlot()
        drafts, reports = dut.drafts, dut.reports
        for port in (drafts.valid, drafts.payload, dut.end, reports.ready):
            anything(m, port)
        cycle = Signal(32)
        m.d.sync += cycle.eq(cycle + 1)
        m.d.comb += dut.cycle.eq(cycle)
        # A command that is drafting has not ended, and a draft stays until it is taken.
        self.assume(m, ~offered(m, drafts) | drafts.valid)
        self.assume(m, ~(dut.end & drafts.valid))
        self.assume(m, Value.cast(drafts.payload.follow) != 0)

        # The queue of drafts, the front first, as the ports tell. What is known of a draft's end is in its `follow`.
        front, back, inside = Signal(Draft), Signal(Draft), Signal(range(3))
        enters, leaves = drafts.valid & drafts.ready, reports.valid & reports.ready
        front_known, back_known = Signal(Draft), Signal(Draft)
        for draft, known in ((front, front_known), (back, back_known)):
            m.d.comb += known.eq(draft)
            with m.If(draft.follow == Follow.UNKNOWN):
                with m.If(dut.end):
                    m.d.comb += known.follow.eq(Follow.LAST)
                with m.Elif(enters):
                    m.d.comb += known.follow.eq(Follow.MORE)
        rest = inside - leaves
        m.d.sync += [
            inside.eq(rest + enters),
            front.eq(Mux(rest == 0, drafts.payload, Mux(leaves, back_known, front_known))),
            back.eq(Mux(rest == 1, drafts.payload, back_known)),
        ]

        report = Value.cast(reports.payload)
        header = data.View(ReportHeader, report[: ReportHeader.as_shape().size])
        same = Signal(512)  # the bits in which report and draft agree
        added = [ReportHeader.as_shape()[name] for name in ("flags", "exit_cycle")]
        m.d.comb += same.eq(~(report ^ front.report))
        m.d.comb += [same[field.offset : field.offset + field.width].eq(-1) for field in added]
        waits = before(m, offered(m, reports))
        self.claim(m, "contract", keeps_contract(m, reports))
        self.claim(m, "valid_when_known", reports.valid == ((inside != 0) & (front.follow != Follow.UNKNOWN)))
        self.claim(m, "as_drafted", (inside == 0) | same.all())
        self.claim(
            m,
            "last_where_due",
            ~reports.valid | (Value.cast(header.flags) == (front.follow == Follow.LAST) * ReportFlags.LAST.value),
        )
        self.claim(m, "exit_cycle", ~reports.valid | offered(m, reports) | (header.exit_cycle == cycle))
        self.claim(m, "at_most_two", inside <= 2)
        self.claim(m, "takes_beside_one", (inside == 2) | drafts.ready)
        self.reach(m, "last_by_end", leaves & (front.follow == Follow.LAST) & waits)
        self.reach(m, "two_wait", (inside == 2) & offered(m, reports))
        self.reach(m, "followed", (inside == 2) & (front.follow == Follow.MORE) & leaves)


PROOFS = (Proof("report-slot", Reports, steps=8, unbounded=False, reach=6, terms=(7, 8, 9)),)
