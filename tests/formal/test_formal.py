"""The quick proofs, and that the others can be begun. `make formal` runs all of them."""

import json
from pathlib import Path

import pytest
from prove import PAGE, PROOFS, RESULTS, filled, main, netlist, prove


@pytest.mark.formal
@pytest.mark.parametrize("name", [name for name, proof in PROOFS.items() if proof.quick])
def test_proof(name: str, tmp_path: Path) -> None:
    prove(PROOFS[name], tmp_path, "today")


@pytest.mark.parametrize("name", ["ladder", "states", "market-calm", "market-both"])
def test_long_proof_finds_what_it_looks_into(name: str) -> None:
    assert "module \\top" in netlist(PROOFS[name], faulty=False)


def test_page_and_results_agree() -> None:
    page, results = PAGE.read_text(), json.loads(RESULTS.read_text())
    assert filled(page, results) == page, "run make formal"
    assert [one["name"] for one in results] == list(PROOFS)
    assert [one["says"] for one in results] == [proof.says for proof in PROOFS.values()]


def test_an_unknown_proof_is_named_beside_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["credit", "gate"]) == 2
    said = capsys.readouterr().out
    assert said.startswith("no proof gate; known: report-slot, ")
    assert "gate-trading" in said
