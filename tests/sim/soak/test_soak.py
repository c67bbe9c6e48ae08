"""The soak command: it repeats itself, finds what is wrong, and says how to see it again."""

from itertools import islice, product, takewhile
from random import Random

import numpy as np
import pytest

from bandgap.hdl.config import PRESETS
from bandgap.host import cli
from bandgap.host.wire import report_headers, without_cycles
from bandgap.sim.embedded import open_config
from bandgap.sim.flow.random_commands import random_episode
from bandgap.sim.lab.compare import DifferenceError, run_device
from bandgap.sim.lab.disturbed import RestartedWhileBusy
from bandgap.sim.soak import cases, market
from bandgap.sim.soak.cases import CASES, Case, Piece, all_pieces, random_piece, run_piece
from bandgap.sim.soak.market import market_episode

FORMAL = PRESETS["formal"]


def soak(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of the command line."""
    monkeypatch.setattr("sys.argv", ["bandgap", "soak", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_rounds_hold_every_case_in_its_turn() -> None:
    pieces = list(islice(all_pieces(), 5_000))
    assert {piece.case for piece in pieces} == CASES.keys()
    for name in CASES:
        numbers = [piece.number for piece in pieces if piece.case == name]
        assert numbers == list(range(len(numbers)))


def test_a_short_run_holds_every_case() -> None:
    """Half a million commands are some nine rounds."""
    pieces = takewhile(lambda piece: piece != Piece("formal", 8), all_pieces())
    assert {piece.case for piece in pieces} == CASES.keys()


@pytest.mark.parametrize("number", range(4))
def test_each_disturbance_leaves_the_reports_as_they_are(number: int) -> None:
    compared = run_piece(1, Piece("formal", number))
    assert compared == sum(len(random_episode(FORMAL, 1, 24 * number + index).commands) for index in range(24))


def test_restarts_really_cut_work_off() -> None:
    """The answers are those of a device left alone, but they begin later: after what was cut off."""
    episode = random_episode(FORMAL, 1, 0)
    calm, disturbed = open_config(FORMAL), open_config(FORMAL)
    expected = run_device(calm, episode)
    reports = run_device(RestartedWhileBusy(disturbed, Random(5)), episode)
    assert np.array_equal(without_cycles(reports), without_cycles(expected))
    assert report_headers(reports)["entry_cycle"][0] > report_headers(expected)["entry_cycle"][0]
    calm.close()
    disturbed.close()


@pytest.mark.parametrize("number", [4_095, 4_096, 99_999_999])
def test_time_goes_on_within_every_piece_and_keeps_to_its_bits(number: int) -> None:
    episodes = list(random_piece(FORMAL, 1, number))
    begins_ns = [int(episode.arrivals_ns[0]) for episode in episodes]
    assert begins_ns == sorted(begins_ns)
    assert episodes[-1].end_ns < 1 << 63


def test_a_market_is_an_episode_that_the_seed_repeats() -> None:
    episode = market_episode(PRESETS["ecp5"], 3, 1)
    again = market_episode(PRESETS["ecp5"], 3, 1)
    assert np.array_equal(episode.commands, again.commands)
    assert len(episode.commands) > 10_000
    assert (np.diff(episode.arrivals_ns.astype(np.int64)) >= 0).all()


def test_no_two_runs_send_the_same_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of consecutive seeds least of all: long soaks are several runs, one after the other."""
    monkeypatch.setattr(market, "MESSAGES", 100)
    places = list(product(range(3), (0, 5, 10)))  # three sessions of the same mood
    sessions = [market_episode(PRESETS["ecp5"], seed, number).commands.tobytes() for seed, number in places]
    sessions += [market_episode(PRESETS["ecp5"], seed, 5 - seed).commands.tobytes() for seed in range(1, 5)]
    assert len(set(sessions)) == len(sessions)


def test_a_difference_names_the_command_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is larger than the model believes: a token beyond the model's slots is no malformed one."""
    larger = open_config
    monkeypatch.setattr(cases, "open_config", lambda config, **options: larger(PRESETS["formal"], **options))
    small = CASES["one instrument, two slots"].config
    monkeypatch.setitem(CASES, "odd", Case(small, CASES["formal"].episodes))
    with pytest.raises(DifferenceError, match="repeat: bandgap soak --seed 9 --case 'odd' --piece 0"):
        run_piece(9, Piece("odd", 0))


def test_a_run_ends_when_it_has_compared_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak(monkeypatch, "--case", "formal", "--commands", "15000", "--seed", "3") == 0
    assert "none different" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--case", "huge"], "no case 'huge'; known: one instrument, two slots"),
        (["--piece", "3"], "a piece is one of a case: name it by --case"),
        (["--jobs", "1000000000"], "'--jobs'"),
    ],
)
def test_bad_input_is_named(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak(monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err
