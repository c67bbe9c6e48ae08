"""Small combinational functions on words of bits, and a word on memories."""

from amaranth.hdl import Cat, Mux, Value
from amaranth.utils import ceil_log2

COLLISIONS_UNUSED = {"no_rw_check": 1}
"""Attribute of a memory: a row read while it is written is never used, so block RAM needs no logic to make it right."""


def lowest_set(word: Value) -> tuple[Value, Value]:
    """Whether any bit of `word` is set, and the index of the lowest one (zero when none is).

    A balanced tree of two-way choices: depth log2 of the width. The width is a power of two. `word` is better a signal
    than an expression, which would be repeated for every bit.
    """
    if len(word) == 1:
        return word[0], Cat()
    half = len(word) // 2
    low_any, low_index = lowest_set(word[:half])
    high_any, high_index = lowest_set(word[half:])
    return low_any | high_any, Cat(Mux(low_any, low_index, high_index), ~low_any & high_any)


def bit_length(word: Value) -> Value:
    """How many bits `word` takes: the place of its highest one, counted from 1; zero when it is zero."""
    padded = Cat(word, *[0] * ((1 << ceil_log2(len(word))) - len(word)))
    any_set, from_top = lowest_set(Cat(padded[index] for index in reversed(range(len(padded)))))
    return Mux(any_set, len(padded) - from_top, 0)
