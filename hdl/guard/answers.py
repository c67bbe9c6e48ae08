"""Beats by which the guard itself answers."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data

from ..beats import Action
from ..protocol.commands import NewOrder, Opcode
from ..protocol.reports import ReportKind


def answer(m: Module, beat, kind, *, reason=0, last=1) -> None:
    """Make the beat a report of its own, with an empty body."""
    m.d.comb += [
        beat.action.eq(Action.ANSWER),
        beat.kind.eq(kind),
        beat.reason.eq(reason),
        beat.last.eq(last),
        beat.body.eq(0),
    ]


def reject(m: Module, beat, command, reason) -> None:
    """Make the beat a rejection, which echoes bytes 8 to 23 of the command."""
    entry = data.View(NewOrder, command)
    opcode = entry.header.opcode
    answer(m, beat, ReportKind.REJECTED, reason=reason)
    m.d.comb += [
        beat.side.eq(Mux((opcode == Opcode.NEW_ORDER) | (opcode == Opcode.REPLACE), entry.side, 0)),
        beat.body.eq(command[64:192]),
    ]
