"""`bandgap soak`: device and model side by side, for as long as you like."""

import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bandgap.sim.command_line import FAILED, errors_as_exit_status
from bandgap.sim.lab.compare import DifferenceError

from .cases import CASES, Piece, all_pieces, run_piece


def soak(
    seed: Annotated[int, typer.Option(min=0, help="The same seed sends the same commands.")] = 1,
    commands: Annotated[int, typer.Option(min=1, help="Compare at least so many commands.")] = 1_000_000,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes to use.")] = 1,
    case: Annotated[str | None, typer.Option(help="Run this case alone.", metavar="NAME")] = None,
    piece: Annotated[int | None, typer.Option(min=0, help="Run this piece of the case alone.")] = None,
) -> None:
    """Compare the embedded device with the reference model, byte for byte, on random commands and markets.

    Devices from two order slots to 65,536, full pools, stalls of any length, resets in the midst of work, memories that
    start with garbage. A difference is cut down to the few commands that show it and printed with the one command that
    repeats it. Exit status 1: device and model differ, or there is no device; 2: the input is bad.

    Examples:

      bandgap soak --commands 10000000 --jobs 2

      bandgap soak --seed 7 --case formal --piece 12
    """
    console = Console(highlight=False)
    pieces = _chosen(case, piece)
    try:
        with errors_as_exit_status():
            done, spent_s, wall_s = _run(console, seed, pieces, commands, jobs)
    except DifferenceError as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(FAILED)
    console.print(_table(seed, done, spent_s))
    total = sum(done.values())
    console.print(f"{total:,} commands in {wall_s:,.0f} s, {total / wall_s:,.0f} a second; none different")


def _chosen(case: str | None, piece: int | None) -> Iterable[Piece]:
    if case is None:
        if piece is not None:
            raise typer.BadParameter("a piece is one of a case: name it by --case", param_hint="--piece")
        return all_pieces()
    if case not in CASES:
        raise typer.BadParameter(f"no case {case!r}; known: {', '.join(CASES)}", param_hint="--case")
    if piece is not None:
        return [Piece(case, piece)]
    return (one for one in all_pieces() if one.case == case)


def _run(
    console: Console, seed: int, pieces: Iterable[Piece], commands: int, jobs: int
) -> tuple[Counter[str], dict[str, float], float]:
    """Commands and seconds of each case, and the seconds of it all."""
    done: Counter[str] = Counter()
    spent_s: defaultdict[str, float] = defaultdict(float)
    started_s = time.perf_counter()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("soak", total=commands)
        for piece, compared, seconds in _results(seed, pieces, jobs):
            done[piece.case] += compared
            spent_s[piece.case] += seconds
            progress.update(task, completed=min(done.total(), commands))
            if done.total() >= commands:
                break
    return done, spent_s, time.perf_counter() - started_s


def _results(seed: int, pieces: Iterable[Piece], jobs: int) -> Iterator[tuple[Piece, int, float]]:
    """Each piece, its commands and its seconds, in the order of the pieces whatever the number of processes."""
    waiting: deque[tuple[Piece, Future[tuple[int, float]]]] = deque()
    pool = ProcessPoolExecutor(jobs)
    try:
        for piece in pieces:
            waiting.append((piece, pool.submit(_timed, seed, piece)))
            if len(waiting) > 2 * jobs:
                first, future = waiting.popleft()
                yield first, *future.result()
        for first, future in waiting:
            yield first, *future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _timed(seed: int, piece: Piece) -> tuple[int, float]:
    started_s = time.perf_counter()
    return run_piece(seed, piece), time.perf_counter() - started_s


def _table(seed: int, done: Counter[str], spent_s: dict[str, float]) -> Table:
    table = Table(title=f"Soak, seed {seed}")
    for name in ("case", "instruments", "slots", "ticks", "commands", "commands/s"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for name, compared in done.items():
        config = CASES[name].config
        sizes = config.instruments, config.orders, config.ticks, compared, round(compared / spent_s[name])
        table.add_row(name, *(f"{size:,}" for size in sizes))
    return table
