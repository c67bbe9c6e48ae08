"""Sizes outside their limits are refused by name."""

import pytest

from bandgap.hdl.config import PRESETS, BookConfig

GOOD = {"instruments": 2, "orders": 8, "ticks": 16, "accounts": 4, "links": 2, "word_bits": 8}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instruments", 0),
        ("instruments", 255),
        ("orders", 1),
        ("orders", 12),
        ("orders", 1 << 17),
        ("ticks", 8),
        ("ticks", 24),
        ("ticks", 1 << 17),
        ("accounts", 3),
        ("accounts", 1 << 25),
        ("links", 0),
        ("links", 9),
        ("word_bits", 1),
        ("word_bits", 128),
    ],
)
def test_a_size_outside_its_limits_is_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        BookConfig(**GOOD | {name: value})


def test_presets_have_the_published_sizes() -> None:
    assert PRESETS["formal"].orders == PRESETS["formal"].ticks == 8
    small = PRESETS["ecp5-small"]
    assert (small.instruments, small.orders, small.ticks, small.accounts) == (4, 4_096, 4_096, 1_024)
    assert (PRESETS["ecp5"].orders, PRESETS["ecp5"].ticks, PRESETS["ecp5"].accounts) == (8_192, 8_192, 1_024)
    ultrascale = PRESETS["ultrascale"]
    assert (ultrascale.instruments, ultrascale.orders, ultrascale.ticks, ultrascale.accounts) == (
        16,
        65_536,
        65_536,
        131_072,
    )
