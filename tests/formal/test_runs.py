"""Every run of three commands, with every policy; see `runs.py`."""

from collections import Counter
from itertools import product

import pytest
from runs import CONFIG, letters, look, set_up

from bandgap.hdl.protocol.commands import BandPolicy, BreakerFlags, TradingMode
from bandgap.hdl.protocol.reports import TradingState
from bandgap.sim.embedded import open_config

COMMANDS = 3


@pytest.mark.parametrize("flags", [0, BreakerFlags.COLLECT.value], ids=["rejects", "collects"])
@pytest.mark.parametrize("mode", TradingMode, ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("policy", BandPolicy, ids=lambda policy: policy.name.lower())
def test_every_run(policy: BandPolicy, mode: TradingMode, flags: int) -> None:
    device = open_config(CONFIG)
    ends: Counter[TradingState] = Counter()
    for number, run in enumerate(product(letters(policy), repeat=COMMANDS)):
        try:
            ends[look(device, number * 1_000_000_000, set_up(policy, mode, flags), run, mode is TradingMode.BATCH)] += 1
        except AssertionError as error:
            raise AssertionError(f"{error}; run {number}: {run}") from None
    device.close()
    reached = {TradingState.HALTED, TradingState.CALL, TradingState.CLOSED}
    if mode is TradingMode.CONTINUOUS:
        reached |= {TradingState.TRADING, TradingState.LIMIT}
    assert set(ends) == reached
