"""How fast the gateware's clock can be: `python -m bandgap.sim.lab.place` builds a bitstream and writes its clock down.

What is placed is what a venue flashes: the appliance behind its serial port on the ECP5 Evaluation Board. Besides the
oscillator it has a few pins, so all paths but those are from register to register, and none is shortened because
nobody uses its result.
"""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bandgap.hdl.tools.bitstream import BOARDS, FOLDER, aim_mhz, build, clock_of, folder_of
from bandgap.hdl.tools.command import steps
from bandgap.sim.timing import TIMING, Timing, write_timing

from .clocked import clocked
from .performance import CORE, update
from .results import read_figures, source_commit, write_figures

BOARD = BOARDS["ecp5-evaluation"]


def place_and_route(preset: str, folder: Path, step: Callable[[str], None] = lambda _: None) -> Timing:
    """Build a preset's bitstream into a folder; takes half an hour or more. `step` is told what is under way.

    Raises
    ------
    ToolError : A tool is missing or failed.
    TimingNotMetError : The design does not keep the board's clock. Nothing is written.
    """
    commit = source_commit()
    built = build(BOARD, preset, folder, clock_hz=clock_of(BOARD, preset), step=step)
    return Timing(
        preset=preset,
        device=built.part,
        clock_mhz=built.fmax_mhz,
        constraint_mhz=aim_mhz(BOARD, preset, clock_of(BOARD, preset)),
        seed=built.seed,
        cells=built.cells,
        worst_path=built.worst_path,
        tools=built.tools,
        commit=commit,
    )


def main() -> None:
    """Build the board's bitstream, write its clock down, bring figures and page up to date, and print."""
    console = Console()
    folder = folder_of(BOARD.name, BOARD.preset, FOLDER)
    console.print(f"building {BOARD.preset} for the {BOARD.title} (about half an hour)")
    with steps(console) as step:
        timing = place_and_route(BOARD.preset, folder, step)
    write_timing(TIMING, timing)
    write_figures(CORE, clocked(read_figures(CORE), timing))
    update()
    console.print(f"{timing.clock_mhz} MHz, {timing.cells}")
    console.print("\n".join(timing.worst_path), highlight=False)
    console.print(f"written to {TIMING}, {CORE} and {folder}")


if __name__ == "__main__":
    main()
