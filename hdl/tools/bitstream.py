"""From the design to a bitstream: Verilog, synthesis, placing and routing, packing; and a manifest of what came out.

The same sources and tools give the same bitstream, bit for bit: every step is deterministic, starts from a fixed seed,
and sees neither paths nor dates.
"""

import hashlib
import inspect
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..boards import ecp5_evaluation, ulx3s
from ..boards.ecp5 import Ecp5Board, Ecp5Top, pll
from ..boards.serial import SerialBoard
from ..build import build_identity, core, to_verilog
from ..config import PRESETS, BookConfig
from ..link.uart import cycles_per_bit
from ..protocol.version import layout_hash
from . import fanout
from .fpga_tools import PACK, PLACE_AND_ROUTE, REPORT, SYNTHESIS, Placed, ToolError, read_report, run_tool, tool_version

BOARDS = {board.name: board for board in (ecp5_evaluation.BOARD, ulx3s.BOARD)}
"""ECP5 boards by name."""

LOOPBACK = "loopback"
"""In a preset's place: the image for checking cables."""

BAUD = 3_000_000
SEED = 1
FOLDER = Path("bitstreams")
BITSTREAM, MANIFEST = "bandgap.bit", "manifest.json"

_VERILOG, _CONSTRAINTS, _NETLIST, _ROUTED = "bandgap.v", "bandgap.lpf", "bandgap.json", "bandgap.config"
_TOP, _OSCILLATOR = "bandgap", "oscillator"
_SYNTHESIS_STEPS = (
    f"read_verilog -sv {_VERILOG}",
    f"synth_ecp5 -top {_TOP} -run :map_luts",
    "check -latchonly -assert",
    # `synth_ecp5` reckons with 300 ps for a wire; as nextpnr places this design it is three times that. Told so, it
    # makes do with fewer of them, one behind the other.
    "abc9 -W 1000",
    "clean",
    f"synth_ecp5 -top {_TOP} -run map_cells: -json {_NETLIST}",
)
_AIMS_MHZ = {("ecp5-evaluation", "ecp5"): 70.0}
"""What placing and routing strive for at least, by board and preset: the router leaves alone what keeps the clock that
it was told, wires of ten nanoseconds as well. Where it is told more than it can reach, it goes on for an hour without
coming any nearer."""
_AIM_TOLERANCE_MHZ = 0.01
"""nextpnr reckons in whole picoseconds."""
_TIGHT = {"ecp5": ("--placer", "static", "--router", "router2", "--tmg-ripup")}
_ROOMY = ("--placer-heap-timingweight", "40", "--placer-heap-critexp", "4")
"""nextpnr's options for presets that nearly fill their device, and for all others.

Others are small, and `heap` makes faster clocks of them than `static`, with these weights than with its own. Where
`heap` has placed a design that nearly fills its device, `router1` takes an hour, or does not end; on what `static` has
placed `router2` ends within minutes. `--tmg-ripup` has it route anew what the clock waits for. docs/performance.md has
the attempts."""
_CLOCK_NET = "appliance.appliance.clk"
_ROUTER_LINES = (
    re.compile(r"Info: +\d+ \|[^|]*\|[^|]*\| +(?P<left>\d+)"),
    re.compile(r"Info: +iter=\d+ wires=\d+ overused=(?P<left>\d+) .* tmgfail=(?P<slow>\d+)"),
)
"""What nextpnr tells as it routes: of `router1` the connections that are still to be routed; of `router2` the wires
that two of them share, and the connections that take too long."""


class ChoiceError(ValueError):
    """There is no such board, preset or clock; the message says what there is."""


class TimingNotMetError(RuntimeError):
    """The design does not reach the board's clock; the message says which it reaches."""


class ManifestError(ValueError):
    """There is no bitstream, or it is not what its manifest says."""


@dataclass(frozen=True)
class Manifest:
    """What there is to know of a bitstream.

    Attributes
    ----------
    board, preset, part : What was built for what.
    layout_hash, build_identity : What the device's registers of these names say, in hex.
    source_hash : SHA-256 of what the tools were given, Verilog and constraints, and of what they were told to do.
    bitstream_hash, bitstream_bytes : SHA-256 and size of the bitstream.
    clock_mhz : The core's clock.
    fmax_mhz : The clock that it can keep, as it is placed and routed.
    worst_path : See `hdl.tools.fpga_tools.Placed`.
    baud, cycles_per_bit : Of the serial port: what the host is to use, and what a bit takes on the device.
    cells : Of each kind of cell, how many are used and how many there are.
    seed : Where the placer started from.
    tools : Version of each tool.
    """

    board: str
    preset: str
    part: str
    layout_hash: str
    build_identity: str
    source_hash: str
    bitstream_hash: str
    bitstream_bytes: int
    clock_mhz: float
    fmax_mhz: float
    worst_path: list[str]
    baud: int
    cycles_per_bit: int
    cells: dict[str, tuple[int, int]]
    seed: int
    tools: dict[str, str]


def sizes(preset: str) -> BookConfig | None:
    """A preset's sizes; None for the loopback image.

    Raises
    ------
    ChoiceError : There is no such preset.
    """
    if preset == LOOPBACK:
        return None
    if preset not in PRESETS:
        raise ChoiceError(f"no preset {preset!r}; known: {', '.join([*PRESETS, LOOPBACK])}")
    return PRESETS[preset]


def folder_of(board: str, preset: str, root: Path = FOLDER) -> Path:
    """Where a bitstream is kept: the preset that the board is delivered with in the board's folder, others below it."""
    return root / board if preset == BOARDS[board].preset else root / board / preset


def sources(board: Ecp5Board, preset: str, clock_hz: int) -> tuple[str, str]:
    """What the tools are given: Verilog and constraints.

    Raises
    ------
    ChoiceError : No such preset, or the board cannot make that clock.
    """
    check_clock(board, clock_hz)
    serial_board = SerialBoard(core(sizes(preset)), cycles_per_bit(clock_hz, BAUD), clock_hz=clock_hz)
    aim = f'FREQUENCY NET "{_CLOCK_NET}" {aim_mhz(board, preset, clock_hz)} MHZ;\n'
    return to_verilog(Ecp5Top(board, clock_hz, serial_board)), board.constraints() + aim


def aim_mhz(board: Ecp5Board, preset: str, clock_hz: int) -> float:
    """What placing and routing strive for, where the core's clock is to be that."""
    return max(_AIMS_MHZ.get((board.name, preset), 0.0), clock_hz / 1e6)


def source_hash(preset: str, verilog: str, constraints: str) -> str:
    """See `Manifest`."""
    told = (*_SYNTHESIS_STEPS, *_options(preset), inspect.getsource(fanout))
    return hashlib.sha256("\0".join((verilog, constraints, *told)).encode()).hexdigest()


def build(
    board: Ecp5Board,
    preset: str,
    target: Path,
    *,
    clock_hz: int,
    seed: int = SEED,
    step: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Build a bitstream and write it and its manifest into the folder `target`; takes minutes to hours.

    Arguments
    ---------
    clock_hz : The core's clock; `clock_of` is the board's own.
    seed : Where the placer starts from.
    step : Called when a step begins, with what it is; and with how far it is, behind a colon.

    Raises
    ------
    ChoiceError : No such preset, or the board cannot make that clock.
    ToolError : A tool is missing or failed.
    TimingNotMetError : The clock is too fast for the design. Nothing is written.
    """
    step("writing Verilog")
    verilog, constraints = sources(board, preset, clock_hz)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = {tool: tool_version(folder, tool) for tool in (SYNTHESIS, PLACE_AND_ROUTE)}
        (folder / _VERILOG).write_text(verilog)
        (folder / _CONSTRAINTS).write_text(constraints)
        step("synthesising")
        run_tool(folder, SYNTHESIS, "-q", "-p", "; ".join(_SYNTHESIS_STEPS))
        _spread(folder / _NETLIST)
        step("placing")
        placed = _place_and_route(folder, board, preset, seed, step)
        _check_clock(board, preset, placed, clock_hz)
        step("packing")
        run_tool(folder, PACK, "--compress", _ROUTED, BITSTREAM)
        content = (folder / BITSTREAM).read_bytes()
    manifest = Manifest(
        board=board.name,
        preset=preset,
        part=f"{board.part}, speed {board.speed}, {board.package}",
        layout_hash=f"{layout_hash():#018x}",
        build_identity=f"{build_identity(sizes(preset)):#018x}",
        source_hash=source_hash(preset, verilog, constraints),
        bitstream_hash=hashlib.sha256(content).hexdigest(),
        bitstream_bytes=len(content),
        clock_mhz=clock_hz / 1e6,
        fmax_mhz=placed.clock_mhz,
        worst_path=placed.worst_path,
        baud=BAUD,
        cycles_per_bit=cycles_per_bit(clock_hz, BAUD),
        cells=placed.cells,
        seed=seed,
        tools=tools,
    )
    target.mkdir(parents=True, exist_ok=True)
    (target / BITSTREAM).write_bytes(content)
    (target / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    return manifest


def check_clock(board: Ecp5Board, clock_hz: int) -> None:
    """See that a board can make a clock.

    Raises
    ------
    ChoiceError : The PLL cannot make it, or the serial port cannot do with it.
    """
    try:
        pll(board.oscillator_hz, clock_hz)
        cycles_per_bit(clock_hz, BAUD)
    except ValueError as error:
        raise ChoiceError(str(error)) from error


def clock_of(board: Ecp5Board, preset: str) -> int:
    """The core's clock on a board, in Hz.

    Raises
    ------
    ChoiceError : The board has none for that preset.
    """
    if preset not in board.clocks_hz:
        known = ", ".join(board.clocks_hz)
        raise ChoiceError(
            f"the {board.title} has no clock for preset {preset!r}; known: {known}; or name one: --clock-mhz"
        )
    return board.clocks_hz[preset]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bitstream in a folder, known to belong to it.

    Raises
    ------
    ManifestError : There is none, or the bitstream is another one.
    """
    try:
        fields = json.loads((folder / MANIFEST).read_text())
        cells = {name: (used, available) for name, (used, available) in fields["cells"].items()}
        manifest = Manifest(**fields | {"cells": cells})
        content = (folder / BITSTREAM).read_bytes()
    except FileNotFoundError as error:
        raise ManifestError(
            f"there is no bitstream in {folder}: {error.filename} is missing; where this is not the checkout, name the "
            "checkout's folder of bitstreams (--folder)"
        ) from error
    except OSError as error:
        raise ManifestError(f"the bitstream in {folder} cannot be read: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{folder / MANIFEST} is no manifest of this version") from error
    if hashlib.sha256(content).hexdigest() != manifest.bitstream_hash:
        raise ManifestError(f"{folder / BITSTREAM} is not the bitstream of its manifest: build it anew")
    return manifest


def _options(preset: str) -> tuple[str, ...]:
    return _TIGHT.get(preset, _ROOMY)


def _spread(netlist: Path) -> None:
    design = json.loads(netlist.read_text())
    fanout.spread(design["modules"][_TOP])
    netlist.write_text(json.dumps(design))


def _place_and_route(folder: Path, board: Ecp5Board, preset: str, seed: int, step: Callable[[str], None]) -> Placed:
    def watch(line: str) -> None:
        for pattern in _ROUTER_LINES:
            if routing := pattern.match(line):
                counts = zip(("to go", "too slow"), routing.groups(), strict=False)
                step("routing: " + ", ".join(f"{int(count):,} {what}" for what, count in counts))

    run_tool(
        folder,
        PLACE_AND_ROUTE,
        *board.options,
        *("--json", _NETLIST, "--lpf", _CONSTRAINTS, "--textcfg", _ROUTED, "--report", REPORT),
        *("--timing-allow-fail", "--seed", str(seed), *_options(preset)),
        watch=watch,
    )
    return read_report(folder, but=_OSCILLATOR)


def _check_clock(board: Ecp5Board, preset: str, placed: Placed, clock_hz: int) -> None:
    aim = aim_mhz(board, preset, clock_hz)
    if abs(placed.constraint_mhz - aim) > _AIM_TOLERANCE_MHZ:
        raise ToolError(f"{PLACE_AND_ROUTE} strove for {placed.constraint_mhz} MHz; it was told {aim:g} MHz")
    if placed.clock_mhz * 1e6 < clock_hz:
        raise TimingNotMetError(
            f"{preset} reaches {placed.clock_mhz} MHz of {clock_hz / 1e6:.2f} MHz on the {board.title}: "
            f"try a slower clock (--clock-mhz) or another --seed; the longest path:\n" + "\n".join(placed.worst_path)
        )
