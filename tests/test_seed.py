"""What BANDGAP_SEED may be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("named", "status", "said"), [("abc", 4, "BANDGAP_SEED is not a whole number: 'abc'"), ("0x10", 0, "seed: 16 ")]
)
def test_a_seed_is_a_whole_number(named: str, status: int, said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", __file__],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"BANDGAP_SEED": named},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status
    assert said in result.stdout + result.stderr
    assert "INTERNALERROR" not in result.stdout + result.stderr
