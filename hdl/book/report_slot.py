"""The last register before the book's output: it knows which report is the last of its command."""

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
    """A report whose flags are still zero, and what follows it."""

    report: unsigned(512)
    follow: Follow


class ReportSlot(wiring.Component):
    """Holds a report until it is known whether it is the last of its command.

    Attributes
    ----------
    drafts : Stream in. A draft that comes behind an UNKNOWN one is of the same command.
    end : The command has ended: an UNKNOWN report in the slot is its last.
    reports : Stream out: 64-byte reports, `LAST` flag set where due.
    """

    drafts: In(stream.Signature(Draft))
    end: In(1)
    reports: Out(stream.Signature(unsigned(512)))

    def elaborate(self, platform):
        m = Module()
        held = Signal(Draft)
        full = Signal()
        unknown = held.follow == Follow.UNKNOWN

        flags = ReportHeader.as_shape()["flags"]
        m.d.comb += [
            self.reports.valid.eq(full & (~unknown | self.drafts.valid)),
            self.reports.payload.eq(held.report),
            self.reports.payload[flags.offset : flags.offset + flags.width].eq(
                (held.follow == Follow.LAST) * ReportFlags.LAST.value
            ),
            self.drafts.ready.eq(~full | self.reports.ready),
        ]
        with m.If(self.reports.valid & self.reports.ready):
            m.d.sync += full.eq(0)
        with m.If(self.drafts.valid & self.drafts.ready):
            m.d.sync += [full.eq(1), held.eq(self.drafts.payload)]
        with m.Elif(self.end & unknown):
            m.d.sync += held.follow.eq(Follow.LAST)
        return m
