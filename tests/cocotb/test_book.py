"""The book alone under cocotb."""

from pathlib import Path

from simulation import simulate

from bandgap.hdl.book.engine import Engine
from bandgap.hdl.build import to_verilog
from bandgap.hdl.config import PRESETS


def test_random_commands_on_the_book(tmp_path: Path, seed: int, waves: bool) -> None:
    design = to_verilog(Engine(PRESETS["formal"]))
    simulate("book_bench", design, tmp_path, waves=waves, seed=seed, preset="formal", commands=4000)
