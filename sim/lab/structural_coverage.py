"""Which branches of the gateware a random run takes, and which bits it toggles; and of the links, what their tests do.

`make coverage` runs, prints and writes it down. What is counted is the Verilog that yosys writes of the design. It
holds one process for each driven signal, whose `if` and `case` branches are those that the gateware's source has for
that signal: a *branch* is one of them taken, and covers the statements in it. A *bit* has toggled when it was seen to
rise and to fall.
"""

import json
import re
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from bandgap.hdl.config import BookConfig
from bandgap.hdl.protocol.registers import REGISTERS
from bandgap.host.device.transport import Transport
from bandgap.sim.embedded import EmbeddedTransport, build
from bandgap.sim.flow.episode import take
from bandgap.sim.flow.random_commands import random_episodes

from .compare import compare
from .disturbed import RestartedWhileBusy
from .results import source_commit

RESULTS = Path("docs/results/coverage.json")
LINKS = {"serial": "serial link", "pcie": "PCIe link"}
"""Files that the links' tests write, without suffix: what was covered (`.dat`) of which Verilog (`.sv`), and by which
test (`.txt`)."""
CONFIG = BookConfig(instruments=3, orders=32, ticks=64, accounts=8, links=3, word_bits=4)
"""Small, so that every address line is used; three levels of occupancy words, as the large presets have."""

_POINT = re.compile(r"^C '(?P<fields>.*)' (?P<count>\d+)$")


class Point(NamedTuple):
    """A place of the Verilog that can be covered.

    Attributes
    ----------
    kind : `line` and `branch` (a branch that is taken), or `toggle`.
    module : Module of the design.
    line, column : Where in the Verilog.
    what : Verilator's word for it: `if`, `else`, `case`, or the bit and the way it goes.
    """

    kind: str
    module: str
    line: int
    column: int
    what: str


@dataclass(frozen=True)
class Share:
    """How much of a module was covered."""

    module: str
    branches: int
    branches_taken: int
    bits: int
    bits_toggled: int


def read_points(path: Path) -> Counter[Point]:
    """How often each point of a coverage file was seen."""
    points: Counter[Point] = Counter()
    for line in path.read_text().splitlines():
        if found := _POINT.match(line):
            fields = dict(field.split("\x02", 1) for field in found["fields"].split("\x01") if field)
            page, _, module = fields["page"].partition("/")
            point = Point(page.removeprefix("v_"), module, int(fields["l"]), int(fields["n"]), fields["o"])
            points[point] += int(found["count"])
    return points


def shares(points: Counter[Point]) -> list[Share]:
    """How much of each module was covered, a bit being covered when all that Verilator counts of it was."""
    branches: defaultdict[str, list[bool]] = defaultdict(list)
    bits: defaultdict[str, dict[tuple[int, int, str], bool]] = defaultdict(dict)
    for point, count in points.items():
        if point.kind == "toggle":
            bit = point.line, point.column, point.what.partition(":")[0]
            bits[point.module][bit] = bits[point.module].get(bit, True) and count > 0
        else:
            branches[point.module].append(count > 0)
    return [
        Share(
            module,
            len(branches[module]),
            sum(branches[module]),
            len(bits[module]),
            sum(bits[module].values()),
        )
        for module in sorted({*branches, *bits})
    ]


def total(parts: list[Share]) -> Share:
    """All modules together."""
    sums = (sum(getattr(part, name) for part in parts) for name in list(Share.__annotations__)[1:])
    return Share("all", *sums)


class _Counted(EmbeddedTransport):
    """A device that writes its coverage down in the end."""

    def __init__(self, library: Path, stall_seed: int, memory_seed: int, data: Path) -> None:
        super().__init__(library, CONFIG.links, stall_seed=stall_seed, memory_seed=memory_seed)
        self._data = data

    def close(self) -> None:
        for register in REGISTERS:
            for word in range(register.words):
                self.read_register(register.at() + 4 * word)
        self.write_coverage(self._data)
        super().close()


def covered(verilog: str, seed: int, commands: int) -> Counter[Point]:
    """What random commands cover of an appliance of these sizes, half of them disturbed by stalls and resets.

    Raises
    ------
    DifferenceError : Device and model differ.
    """
    library = build.library(verilog, counted="bandgap")
    points: Counter[Point] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "coverage.dat"

        def smooth() -> Transport:
            return _Counted(library, 0, 1, data)

        def disturbed() -> Transport:
            return RestartedWhileBusy(_Counted(library, 1, 2, data), Random(seed))

        repeat = f"python -m bandgap.sim.lab.structural_coverage --seed {seed} out/coverage"
        for number, open_device in enumerate((smooth, disturbed)):
            episodes = take(random_episodes(CONFIG, seed + number), commands // 2)
            compare(CONFIG, open_device, episodes, repeat=repeat)
            points.update(read_points(data))
    return points


def main(
    links: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="What `pytest --coverage` wrote.")],
    seed: Annotated[int, typer.Option(min=0)] = 1,
    commands: Annotated[int, typer.Option(min=2, max=10_000_000, help="Random commands.")] = 200_000,
) -> None:
    """Run random commands, compare them with the model, and print and write down what of the gateware they covered.

    So much for guard, book and registers; what was covered of the links is read from files.
    """
    console = Console(highlight=False)
    verilog = build.verilog(CONFIG)
    flow = f"{commands:,} random commands, seed {seed}"
    rows = _told(console, "core", covered(verilog, seed, commands), verilog, flow)
    for name, part in LINKS.items():
        text, flow = ((links / name).with_suffix(suffix).read_text() for suffix in (".sv", ".txt"))
        rows += _told(console, part, read_points(links / f"{name}.dat"), text, flow)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    console.print(f"written to {RESULTS}")


def _told(console: Console, part: str, points: Counter[Point], verilog: str, flow: str) -> list[dict[str, Any]]:
    """Print what a part's modules have covered, and the branches that none took; rows for the results."""
    parts = shares(points)
    table = Table("module", "branches", "taken", "%", "bits", "toggled", "%", title=f"Coverage, {part}: {flow}")
    table.columns[0].overflow = "fold"
    for share in (*parts, total(parts)):
        taken, toggled = share.branches_taken, share.bits_toggled
        table.add_row(
            share.module.removeprefix("bandgap."),
            *(f"{share.branches:,}", f"{taken:,}", f"{taken / max(share.branches, 1):.1%}"),
            *(f"{share.bits:,}", f"{toggled:,}", f"{toggled / max(share.bits, 1):.1%}"),
        )
    console.print(table)
    lines = verilog.splitlines()
    for point, count in points.items():
        if point.kind != "toggle" and not count:
            text = " ".join(line.strip() for line in lines[point.line - 1 : point.line + 1])
            console.print(f"not taken: {point.module} {point.what}: {text}", markup=False, soft_wrap=True)
    about = {"flow": flow, "commit": source_commit()}
    return [{"part": part} | asdict(share) | about for share in (*parts, total(parts))]


if __name__ == "__main__":
    typer.run(main)
