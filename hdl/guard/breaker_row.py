"""What the breaker knows of an instrument beyond what every order needs."""

from amaranth.hdl import unsigned
from amaranth.lib import data

from ..protocol.commands import BandPolicy, ReferenceSource
from .timers import ENTRIES, Deadline

PPM_BITS = 20


class Entry(data.Struct):
    """An entry of a timetable: when it takes place, and how long its call lasts."""

    at: Deadline
    duration_us: unsigned(32)


class Row(data.Struct):
    """A row of the breaker's memory.

    Attributes
    ----------
    limit_us, halt_us, call_us, extension_us, indicative_us : See `hdl.protocol.commands.SetBreaker`.
    stays_open : Orders collect while halted.
    extra_us, call_extra_us : What lengthens the calls to come, and the one under way.
    phase : When a timer ends the state, or the halt comes that has been tripped.
    indicative : When the indicative price is due.
    tripped : Policy *halt* has tripped.
    closes : The call is the closing one.
    widenings : By how many widths the auction band is wider than the band.
    timetable : Its entries, in the order of `hdl.protocol.commands.ScheduledState`.
    policy, reference_ticks, below_ticks, above_ticks : As `SET_BAND` gave them; the reference may have moved.
    since_ns : How long the reference stands.
    width_ticks, width_ppm, auction_width_ticks, move_ppm, hold_us, source : Of the reference rule.
    """

    limit_us: unsigned(32)
    halt_us: unsigned(32)
    call_us: unsigned(32)
    extension_us: unsigned(32)
    indicative_us: unsigned(32)
    stays_open: 1
    extra_us: unsigned(32)
    call_extra_us: unsigned(32)
    phase: Deadline
    indicative: Deadline
    tripped: 1
    closes: 1
    widenings: unsigned(PPM_BITS)
    timetable: data.ArrayLayout(Entry, ENTRIES)
    policy: BandPolicy
    reference_ticks: unsigned(32)
    below_ticks: unsigned(32)
    above_ticks: unsigned(32)
    since_ns: unsigned(64)
    width_ticks: unsigned(32)
    width_ppm: unsigned(PPM_BITS)
    auction_width_ticks: unsigned(32)
    move_ppm: unsigned(PPM_BITS)
    hold_us: unsigned(32)
    source: ReferenceSource
