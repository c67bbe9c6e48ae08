"""Where the prices of an instrument lie in the ladder."""

from amaranth.hdl import unsigned
from amaranth.lib import data


class PriceWindow(data.Struct):
    """Where an instrument's prices lie: `base_ticks` and two to the `log2` ticks, in ladder rows from `offset` on."""

    base_ticks: unsigned(32)
    offset: unsigned(16)
    log2: unsigned(5)
