"""The last registers before the book's output: they know which report is the last of its command."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..protocol.reports import ReportFlags, ReportHeader


class Follow(enum.Enum, shape=2):
    """Whether another report of the command follows; UNKNOWN: a taker that has emptied a level may rest or trade on."""

    LAST = 1
    MORE = 2
    UNKNOWN = 3


class Draft(data.Struct):
    """A report whose flags and exit cycle are still zero, and what follows it."""

    report: unsigned(512)
    follow: Follow


class ReportSlot(wiring.Component):
    """Holds a report until it is known whether it is the last of its command, and one more behind it.

    Attributes
    ----------
    drafts : Stream in, ready by a register alone. A draft that comes behind an UNKNOWN one is of the same command.
    end : The command has ended: an UNKNOWN report in the slot is its last.
    cycle : The cycle counter, for the exit cycle.
    reports : Stream out: 64-byte reports, the `LAST` flag set where due.
    """

    drafts: In(stream.Signature(Draft))
    end: In(1)
    cycle: In(32)
    reports: Out(stream.Signature(unsigned(512)))

    def elaborate(self, platform):
        m = Module()
        held, spare = Signal(Draft), Signal(Draft)
        full, spare_full = Signal(), Signal()
        unknown = held.follow == Follow.UNKNOWN

        header = data.View(ReportHeader, held.report[: ReportHeader.as_shape().size])
        flags = ReportHeader.as_shape()["flags"]
        enters = Signal()
        leaves = Signal()
        m.d.comb += [
            self.reports.valid.eq(full & ~unknown),
            self.reports.payload.eq(held.report),
            self.reports.payload[flags.offset : flags.offset + flags.width].eq(
                (held.follow == Follow.LAST) * ReportFlags.LAST.value
            ),
            self.drafts.ready.eq(~spare_full),
            enters.eq(self.drafts.valid & self.drafts.ready),
            leaves.eq(~full | (self.reports.valid & self.reports.ready)),
        ]

        def ended(draft):
            return self.end & (draft.follow == Follow.UNKNOWN)

        with m.If(~spare_full):
            m.d.sync += spare.eq(self.drafts.payload)
        with m.If(leaves):
            m.d.sync += [full.eq(spare_full | enters), spare_full.eq(0), held.eq(self.drafts.payload)]
            with m.If(spare_full):
                m.d.sync += held.eq(spare)
                with m.If(ended(spare)):
                    m.d.sync += held.follow.eq(Follow.LAST)
        with m.Else():
            with m.If(enters):
                m.d.sync += spare_full.eq(1)
                with m.If(unknown):
                    m.d.sync += held.follow.eq(Follow.MORE)
            with m.If(ended(held)):
                m.d.sync += held.follow.eq(Follow.LAST)
            with m.If(ended(spare) & spare_full):
                m.d.sync += spare.follow.eq(Follow.LAST)
        # The first cycle in which the report can leave.
        with m.If(leaves | unknown):
            m.d.sync += header.exit_cycle.eq(self.cycle + 1)
        return m
