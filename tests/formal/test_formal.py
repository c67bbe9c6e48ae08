"""The quick proofs. `make formal` runs all of them."""

from pathlib import Path

import pytest
from prove import PROOFS, prove


@pytest.mark.formal
@pytest.mark.parametrize("name", [name for name, proof in PROOFS.items() if proof.quick])
def test_proof(name: str, tmp_path: Path) -> None:
    prove(PROOFS[name], tmp_path)
