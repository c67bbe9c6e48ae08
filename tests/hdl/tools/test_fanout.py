"""Nets of block RAMs get several drivers, and mean what they meant."""

import copy

import pytest

from bandgap.hdl.tools.fanout import MOST_BLOCK_RAM_INPUTS, spread

MOST = MOST_BLOCK_RAM_INPUTS


def cell(kind, output=None, /, **nets):
    directions = dict.fromkeys(nets, "input")
    if output is not None:
        directions[output] = "output"
    return {
        "type": kind,
        "parameters": {"of": kind},
        "port_directions": directions,
        "connections": {port: [net] for port, net in nets.items()},
    }


def module_of(drivers, block_rams, others=()):
    """Drivers as given; so many block RAMs, each with two address inputs on net 9; and a LUT for each other."""
    cells = dict(drivers)
    for number in range(block_rams):
        cells[f"ram.{number:02}"] = cell("DP16KD", "DOA0", CLKA=2, ADA0=9, ADB0=9, DOA0=100 + number)
    for number in others:
        cells[f"other.{number}"] = cell("LUT4", "Z", A=9, Z=200 + number)
    nets = sorted({net for it in cells.values() for (net,) in it["connections"].values() if isinstance(net, int)})
    return {"cells": cells, "netnames": {f"n{net}": {"bits": [net]} for net in nets}}


def drivers_of(module):
    """By net, the cell that drives it; no net has two."""
    drivers = {}
    for name, it in module["cells"].items():
        for port, nets in it["connections"].items():
            if it["port_directions"][port] == "output":
                (net,) = nets
                assert net not in drivers
                drivers[net] = name
    return drivers


def meaning(module, net, drivers):
    """What drives a net, back to what is no multiplexer."""
    if net not in drivers:
        return net
    it = module["cells"][drivers[net]]
    inputs = {port: at for port, (at,) in it["connections"].items() if it["port_directions"][port] == "input"}
    through = {"PFUMX": ("ALUT", "BLUT"), "L6MUX21": ("D0", "D1")}.get(it["type"], ())
    return it["type"], {port: meaning(module, at, drivers) if port in through else at for port, at in inputs.items()}


def named(module):
    return [tuple(wire["bits"]) for wire in module["netnames"].values()]


FLIP_FLOP = {"driver": cell("TRELLIS_FF", "Q", CLK=2, DI=3, Q=9)}
WIDE = {
    **{f"lut.{number}": cell("LUT4", "Z", A=3, B=4, Z=20 + number) for number in range(4)},
    "low": cell("PFUMX", "Z", ALUT=20, BLUT=21, C0=5, Z=30),
    "high": cell("PFUMX", "Z", ALUT=22, BLUT=23, C0=5, Z=31),
    "driver": cell("L6MUX21", "Z", D0=30, D1=31, SD=6, Z=9),
}


@pytest.mark.parametrize("drivers", [{"driver": cell("LUT4", "Z", A=3, B="0", Z=9)}, FLIP_FLOP, WIDE])
@pytest.mark.parametrize("block_rams", [MOST // 2 + 1, MOST, 37])
def test_no_driver_has_more_block_rams_than_it_may_and_none_sees_anything_else(drivers, block_rams):
    module = copy.deepcopy(module_of(drivers, block_rams, others=range(3)))
    before = copy.deepcopy(module)
    spread(module)
    was, now = drivers_of(before), drivers_of(module)
    loads = {}
    for name, it in module["cells"].items():
        if it["type"] == "DP16KD":
            for port in ("ADA0", "ADB0"):
                (net,) = it["connections"][port]
                loads.setdefault(net, []).append(name)
                assert meaning(module, net, now) == meaning(before, 9, was)
    assert max(map(len, loads.values())) <= MOST
    assert {net for net in now if net not in was} == {net for (net,) in named(module)} - {
        net for (net,) in named(before)
    }
    assert len(loads) == -(-2 * block_rams // MOST)
    assert 9 in loads


def test_inputs_of_other_cells_stay_with_the_first_driver():
    module = copy.deepcopy(module_of(FLIP_FLOP, 37, others=range(3)))
    spread(module)
    assert {it["connections"]["A"][0] for name, it in module["cells"].items() if name.startswith("other")} == {9}


def test_bits_of_a_wide_port_and_constants_keep_their_places():
    module = copy.deepcopy(module_of(FLIP_FLOP, 0))
    for number in range(MOST):
        address = ["0", 9, "x", 3, 9, 9]
        module["cells"][f"ram.{number}"] = {
            "type": "DP16KD",
            "port_directions": {"ADA": "input"},
            "connections": {"ADA": address},
        }
    spread(module)
    now = drivers_of(module)
    for number in range(MOST):
        address = module["cells"][f"ram.{number}"]["connections"]["ADA"]
        assert [address[0], address[2], address[3]] == ["0", "x", 3]
        assert {module["cells"][now[address[bit]]]["type"] for bit in (1, 4, 5)} == {"TRELLIS_FF"}
    assert len(now) == 3


def test_every_copy_of_a_multiplexer_has_parts_of_its_own():
    module = copy.deepcopy(module_of(WIDE, 37))
    spread(module)
    uses = [
        it["connections"][port][0]
        for it in module["cells"].values()
        for port in {"PFUMX": ("ALUT", "BLUT"), "L6MUX21": ("D0", "D1")}.get(it["type"], ())
    ]
    assert len(uses) == len(set(uses)) == 6 * -(-2 * 37 // MOST)


@pytest.mark.parametrize(
    ("drivers", "block_rams"),
    [(FLIP_FLOP, MOST // 2), ({"driver": cell("DCCA", "CLKO", CLKI=3, CLKO=9)}, 37), ({}, 37)],
    ids=["few", "clock", "pin"],
)
def test_nothing_changes_where_few_hang_on_a_net_or_its_driver_stands_alone(drivers, block_rams):
    module = copy.deepcopy(module_of(drivers, block_rams, others=range(30)))
    before = copy.deepcopy(module)
    spread(module)
    assert module == before
