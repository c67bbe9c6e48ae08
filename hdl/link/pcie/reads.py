"""Reads of host memory: several under way at once, their data in the order in which they were asked for."""

from amaranth.hdl import Array, Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ...bits import COLLISIONS_UNUSED, lowest_set
from ...protocol.pcie import LinkError
from .block import (
    REQUESTER_COMPLETION,
    REQUESTER_REQUEST,
    CompletionError,
    RequesterCompletion,
    RequestType,
    keep_first,
)
from .completer import LINE_BYTES
from .writer import DESCRIPTOR_BITS, enable_all, request

LINE_LOG2 = exact_log2(LINE_BYTES)
LINE_ADDRESS_BITS = 64 - LINE_LOG2
COMPLETION_BITS = RequesterCompletion.as_shape().size
MOST_READ_BYTES = 512
MOST_TAGS = 32
"""Without the extended tag field, a function has so many."""


def most_lines(read_bytes: int) -> int:
    """How many lines a read has at most."""
    return read_bytes // LINE_BYTES


def asked_lines(read_bytes: int) -> data.StructLayout:
    """A read: `lines` lines from `line` on, within `read_bytes` aligned bytes. They keep the mark `descriptor`."""
    return data.StructLayout(
        {"line": unsigned(LINE_ADDRESS_BITS), "lines": range(most_lines(read_bytes) + 1), "descriptor": 1}
    )


class ReadLine(data.Struct):
    """A line that was read, and whether it is a descriptor."""

    data: unsigned(8 * LINE_BYTES)
    descriptor: 1


def known(awaited: Signal, tag: Value) -> Value:
    """Whether a completion's tag is one of ours whose completion is awaited."""
    tag_bits = exact_log2(len(awaited))
    return (tag[tag_bits:] == 0) & awaited.bit_select(tag[:tag_bits], 1)


class HostReader(wiring.Component):
    """Reads lines of host memory.

    Every read has a tag and a place in memory; completions fill it in any order. A read that fails, or whose
    completion stays away, stops everything behind it: what was read before still leaves, in order. A tag whose
    completion is still awaited is not used again, also when the link was stopped meanwhile.

    Parameters
    ----------
    tags : Reads under way at once, a power of two from 2 to 32.
    read_bytes : A read is of at most so many bytes and does not cross a multiple of them: 128, 256 or 512.
    timeout_cycles : The oldest read fails when it takes longer.

    Attributes
    ----------
    run : Without it, everything is forgotten but which completions are awaited.
    asked : Stream in.
    lines : Stream out.
    requests, completions : Streams to and from the integrated block.
    errors : What has gone wrong in this cycle.
    failed : A read has failed since `run` rose.
    idle : No line will leave of what has been asked for.
    busy : A request is offered, or completions are awaited.

    Raises
    ------
    ValueError : A parameter is outside its limits.
    """

    def __init__(self, tags: int, read_bytes: int, timeout_cycles: int):
        if not (2 <= tags <= MOST_TAGS and tags & (tags - 1) == 0):
            raise ValueError(f"tags must be a power of two from 2 to {MOST_TAGS}, not {tags}")
        if read_bytes not in (128, 256, MOST_READ_BYTES):
            raise ValueError(f"read_bytes must be 128, 256 or {MOST_READ_BYTES}, not {read_bytes}")
        if timeout_cycles < 1:
            raise ValueError(f"timeout_cycles must be positive, not {timeout_cycles}")
        self._tags, self._read_bytes, self._timeout_cycles = tags, read_bytes, timeout_cycles
        super().__init__(
            {
                "run": In(1),
                "asked": In(stream.Signature(asked_lines(read_bytes))),
                "lines": Out(stream.Signature(ReadLine)),
                "requests": Out(REQUESTER_REQUEST),
                "completions": In(REQUESTER_COMPLETION),
                "errors": Out(LinkError),
                "failed": Out(1),
                "idle": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        tags = self._tags
        tag_bits = exact_log2(tags)
        row_bits = exact_log2(most_lines(self._read_bytes))
        m.submodules.memory = memory = Memory(
            shape=8 * LINE_BYTES, depth=tags << row_bits, init=[], attrs=COLLISIONS_UNUSED
        )
        write, read = memory.write_port(), memory.read_port()

        awaited, held, done, bad = Signal(tags), Signal(tags), Signal(tags), Signal(tags)
        first_rows = Array(Signal(row_bits, name=f"first_row_{tag}") for tag in range(tags))
        counts = Array(Signal(row_bits + 1, name=f"count_{tag}") for tag in range(tags))
        marks = Array(Signal(name=f"mark_{tag}") for tag in range(tags))
        order = Array(Signal(tag_bits, name=f"order_{place}") for place in range(tags))
        put, get = Signal(tag_bits + 1), Signal(tag_bits + 1)
        head = Signal(tag_bits)
        waiting = Signal()
        m.d.comb += [head.eq(order[get[:tag_bits]]), waiting.eq(put != get)]
        one = Signal(tags)

        # Out: a tag is chosen, then its request offered until it is taken.
        free = Signal(tags)
        any_free, lowest_free = lowest_set(free)
        tag, offered, chooses = Signal(tag_bits), Signal(), Signal()
        asked, beat = Signal.like(self.asked.payload), self.requests.payload
        address = Cat(Const(0, LINE_LOG2), asked.line)
        descriptor = request(m, address, RequestType.MEMORY_READ, asked.lines << (LINE_LOG2 - 2), tag)
        enable_all(m, beat)
        m.d.comb += [
            free.eq(~(awaited | held)),
            self.busy.eq(awaited.any() | offered),
            self.requests.valid.eq(offered),
            chooses.eq(~offered & any_free & self.run & ~self.failed),
            self.asked.ready.eq(chooses),
            beat.data.eq(descriptor),
            beat.keep.eq(keep_first(DESCRIPTOR_BITS // 32)),
            beat.last.eq(1),
        ]
        with m.If(chooses & self.asked.valid):
            m.d.sync += [tag.eq(lowest_free), asked.eq(self.asked.payload), offered.eq(1)]
        with m.If(offered & self.requests.ready):
            m.d.sync += [
                offered.eq(0),
                first_rows[tag].eq(asked.line[:row_bits]),
                counts[tag].eq(asked.lines),
                marks[tag].eq(asked.descriptor),
                order[put[:tag_bits]].eq(tag),
                put.eq(put + 1),
            ]
            m.d.comb += one.eq(1 << tag)

        # In: a completion's payload begins in lane 3, so every further beat completes a line.
        came = self.completions
        answer = data.View(RequesterCompletion, came.payload.data[:COMPLETION_BITS])
        within, carried = Signal(), Signal(8 * LINE_BYTES - COMPLETION_BITS)
        kept_tag, kept_completed = Signal(8), Signal()
        row, kept_error = Signal(row_bits), Signal(CompletionError)
        its_tag, its_error, its_completed = Signal(8), Signal(CompletionError), Signal()
        m.d.comb += [
            came.ready.eq(1),
            its_tag.eq(kept_tag),
            its_error.eq(kept_error),
            its_completed.eq(kept_completed),
            write.addr.eq(Cat(row, kept_tag[:tag_bits])),
            write.data.eq(Cat(carried, came.payload.data[:COMPLETION_BITS])),
            write.en.eq(came.valid & within & known(awaited, kept_tag)),
        ]
        ended, ends_bad, finished = Signal(), Signal(), Signal(tags)
        with m.If(came.valid):
            m.d.sync += [within.eq(~came.payload.last), carried.eq(came.payload.data[COMPLETION_BITS:])]
            with m.If(within):
                m.d.sync += row.eq(row + 1)
            with m.Else():
                m.d.comb += [its_tag.eq(answer.tag), its_error.eq(answer.error), its_completed.eq(answer.completed)]
                m.d.sync += [
                    kept_tag.eq(answer.tag),
                    kept_error.eq(answer.error),
                    kept_completed.eq(answer.completed),
                    row.eq(answer.address[LINE_LOG2 : LINE_LOG2 + row_bits]),
                ]
        discontinued = came.payload.user.discontinue
        m.d.comb += [
            ended.eq(came.valid & came.payload.last & known(awaited, its_tag)),
            ends_bad.eq((its_error != CompletionError.NONE) | discontinued),
        ]
        with m.If(ended):
            with m.If(its_completed):
                m.d.comb += finished.eq(1 << its_tag[:tag_bits])
            with m.If(ends_bad & held.bit_select(its_tag[:tag_bits], 1)):
                with m.Switch(its_error):
                    with m.Case(CompletionError.BAD_STATUS):
                        m.d.comb += self.errors.eq(LinkError.READ_REFUSED)
                    with m.Case(CompletionError.TIMEOUT):
                        m.d.comb += self.errors.eq(LinkError.READ_TIMEOUT)
                    with m.Case(CompletionError.NONE, CompletionError.POISONED):
                        m.d.comb += self.errors.eq(LinkError.READ_POISONED)
                    with m.Default():
                        m.d.comb += self.errors.eq(LinkError.READ_MALFORMED)

        # On: the oldest read's lines, once all of them are there.
        timer = Signal(range(self._timeout_cycles), init=self._timeout_cycles - 1)
        active, left = Signal(), Signal(row_bits + 1)
        out_row, mark = Signal(row_bits), Signal()
        released = Signal(tags)
        steps = Signal()
        head_done, head_bad = done.bit_select(head, 1), bad.bit_select(head, 1)
        m.d.comb += [
            steps.eq(active & (~self.lines.valid | self.lines.ready)),
            read.addr.eq(Cat(out_row, head)),
            read.en.eq(steps),
            self.lines.payload.data.eq(read.data),
            self.lines.payload.descriptor.eq(mark),
            self.idle.eq(~active & ~self.lines.valid & (self.failed | (~waiting & ~offered))),
        ]
        with m.If(steps):
            m.d.sync += [self.lines.valid.eq(1), mark.eq(marks[head]), out_row.eq(out_row + 1), left.eq(left - 1)]
            with m.If(left == 1):
                m.d.comb += released.eq(1 << head)
                m.d.sync += [active.eq(0), get.eq(get + 1)]
        with m.Elif(self.lines.ready):
            m.d.sync += self.lines.valid.eq(0)
        with m.If(waiting & ~active & head_done & ~self.failed):
            m.d.sync += [
                active.eq(~head_bad),
                self.failed.eq(head_bad),
                out_row.eq(first_rows[head]),
                left.eq(counts[head]),
            ]
        with m.If(~waiting | active | head_done | self.failed):
            m.d.sync += timer.eq(timer.init)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.comb += self.errors.eq(LinkError.READ_TIMEOUT)
            m.d.sync += self.failed.eq(1)

        m.d.sync += [
            awaited.eq((awaited & ~finished) | one),
            held.eq((held & ~released) | one),
            done.eq((done | finished) & ~one),
            bad.eq((bad | ((1 << its_tag[:tag_bits]) & (ended & ends_bad).replicate(tags))) & ~one),
        ]
        with m.If(~self.run):
            m.d.sync += [held.eq(0), self.failed.eq(0), self.lines.valid.eq(0), active.eq(0), get.eq(0), put.eq(0)]
        return m
