"""Gives the nets that many block RAMs hang on several drivers.

Yosys lets one cell drive any number of inputs, and nextpnr routes such a net as one tree. Block RAMs stand in rows from
one edge of the device to the other, and a memory of this design is up to thirty-seven of them side by side: the last
one's address comes ten nanoseconds after the first one's, and no placement can help that. So what drives such a net is
copied here, as other tools do when they are told of a largest fan-out: each copy drives some of the block RAMs, and is
placed where these are. Nets without block RAMs stay as they are: copying what drives those too makes the wires of this
design a third longer, and nextpnr does not come to the end of routing them.
"""

import math
from collections import defaultdict
from typing import Any

MOST_BLOCK_RAM_INPUTS = 10
"""How many inputs of block RAMs one driver may drive."""

_BLOCK_RAM = "DP16KD"
_OUTPUTS = {"LUT4": "Z", "PFUMX": "Z", "L6MUX21": "Z", "TRELLIS_FF": "Q"}
"""Kinds of cells that can be copied, and where they drive."""

_PARTS = {"PFUMX": ("ALUT", "BLUT"), "L6MUX21": ("D0", "D1")}
"""Inputs of a multiplexer whose drivers stand in slices with it: they are copied with it."""


class _Netlist:
    def __init__(self, module: dict[str, Any]) -> None:
        self._cells: dict[str, dict[str, Any]] = module["cells"]
        self._names: dict[str, dict[str, Any]] = module["netnames"]
        self._drivers: dict[int, str] = {}
        self.inputs: defaultdict[int, list[tuple[str, str, int]]] = defaultdict(list)
        """By net, the inputs of block RAMs: cell, port, bit."""
        for name, cell in self._cells.items():
            if cell["type"] in _OUTPUTS:
                (net,) = cell["connections"][_OUTPUTS[cell["type"]]]
                self._drivers[net] = name
            if cell["type"] == _BLOCK_RAM:
                for port, nets in cell["connections"].items():
                    if cell["port_directions"][port] == "input":
                        for bit, net in enumerate(nets):
                            self.inputs[net].append((name, port, bit))
        nets = (net for wire in self._names.values() for net in wire["bits"])
        self._last_net = max(net for net in nets if isinstance(net, int))

    def split(self, net: int) -> None:
        inputs = sorted(self.inputs[net])
        drivers = math.ceil(len(inputs) / MOST_BLOCK_RAM_INPUTS)
        if net not in self._drivers or drivers < 2:
            return
        share = math.ceil(len(inputs) / drivers)
        for first in range(share, len(inputs), share):
            driven = self._copy(net)
            for name, port, bit in inputs[first : first + share]:
                self._cells[name]["connections"][port][bit] = driven

    def _copy(self, net: int) -> int:
        """Copy what drives a net, with what stands in slices with it; the net that the copy drives."""
        name = self._drivers[net]
        cell = self._cells[name]
        connections = {port: list(nets) for port, nets in cell["connections"].items()}
        for port in _PARTS.get(cell["type"], ()):
            connections[port] = [self._copy(part) if part in self._drivers else part for part in connections[port]]
        self._last_net += 1
        connections[_OUTPUTS[cell["type"]]] = [self._last_net]
        copy = f"{name}$copy{self._last_net}"
        self._cells[copy] = cell | {"connections": connections}
        self._names[copy] = {"hide_name": 1, "bits": [self._last_net], "attributes": {}}
        return self._last_net


def spread(module: dict[str, Any]) -> None:
    """Copy drivers until none drives more than `MOST_BLOCK_RAM_INPUTS` inputs of block RAMs.

    Inputs of other cells stay with the first driver. Inputs of block RAMs are dealt out in the order of their cells'
    names, which follow the design's hierarchy. Nets of other drivers, a clock's buffer for one, stay whole.

    Arguments
    ---------
    module : A module of ECP5 cells as Yosys' `write_json` has it; changed in place.
    """
    netlist = _Netlist(module)
    for net in list(netlist.inputs):
        netlist.split(net)
