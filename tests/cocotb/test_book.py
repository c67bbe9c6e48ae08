"""The book alone under cocotb."""

from pathlib import Path

import pytest
from book_bench import CONFIGS
from simulation import simulate

from bandgap.hdl.book.engine import Engine
from bandgap.hdl.build import to_verilog


@pytest.mark.parametrize("sizes", CONFIGS)
def test_random_commands_on_the_book(sizes: str, tmp_path: Path, seed: int, waves: bool) -> None:
    design = to_verilog(Engine(CONFIGS[sizes]))
    simulate("book_bench", design, tmp_path, waves=waves, seed=seed, sizes=sizes, commands=4000)
