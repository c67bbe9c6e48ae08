"""`python -m bandgap.sim.mutation.command`: put faults into the gateware, and see whether the tests notice."""

import json
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bandgap.hdl.config import BookConfig
from bandgap.sim.embedded.build import library
from bandgap.sim.lab.results import source_commit

from .design import mutate
from .suite import SURVIVED, Fate, prepare

RESULTS = Path("docs/results/mutation.json")
CONFIG = BookConfig(instruments=3, orders=16, ticks=64, accounts=8, links=3, word_bits=4)
"""As small as it can be with all its parts; every mutant is in the same design."""
PATIENCE_SUITES = 10
"""A mutant may take so many times as long as none, before it counts as one that does not come to a result."""


def main(
    mutants: Annotated[int, typer.Option(min=1, max=60_000)] = 320,
    seed: Annotated[int, typer.Option(min=0, help="Of the mutants and of the commands.")] = 1,
    commands: Annotated[int, typer.Option(min=1, max=10_000_000, help="Random commands in the kill suite.")] = 160_000,
    jobs: Annotated[int, typer.Option(min=1, max=256)] = 2,
) -> None:
    """Put faults into guard and book, one at a time, and see whether a comparison with the model notices."""
    console = Console(highlight=False)
    with console.status("making mutants"), tempfile.TemporaryDirectory() as folder:
        verilog, tried = mutate(CONFIG, mutants, seed, Path(folder))
        built = library(verilog)
    with console.status("preparing the kill suite"):
        suite = prepare(CONFIG, built, seed, commands)
        started_s = time.process_time()
        assert suite.fate(0) is Fate.SURVIVES
        suite_s = time.process_time() - started_s
    each = suite.fates([mutant.number for mutant in tried], jobs, PATIENCE_SUITES * suite_s)
    fates = dict(track(each, "mutants", len(tried), console=console))
    counts = Counter(fates.values())
    title = f"{len(tried)} mutants, seed {seed}, kill suite of {suite_s:.1f} core seconds"
    table = Table("fate", "mutants", title=title)
    for fate in Fate:
        table.add_row(fate.value, str(counts[fate]))
    console.print(table)
    survivors = [mutant for mutant in tried if fates[mutant.number] in SURVIVED]
    for mutant in survivors:
        place = f"{mutant.cell}.{mutant.port}[{mutant.port_bit}]"
        if mutant.wire is not None:
            place += f" {mutant.wire}[{mutant.wire_bit}]"
        sources = " ".join(mutant.sources)
        console.print(f"{mutant.number:5} {mutant.mode:7}{place} {sources}", markup=False, soft_wrap=True)
    result = {
        "flow": f"{commands:,} random commands, seed {seed}",
        "suite_seconds": round(suite_s, 1),
        "mutants": len(tried),
        "fates": {fate.value: counts[fate] for fate in Fate},
        "survivors": [asdict(mutant) for mutant in survivors],
        "commit": source_commit(),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"written to {RESULTS}")


if __name__ == "__main__":
    typer.run(main)
