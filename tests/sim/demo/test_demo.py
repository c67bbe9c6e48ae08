"""`bandgap demo`: it runs, it reports, and a wrong outcome does not pass its checks."""

import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bandgap.hdl.protocol.reports import REPORT_BYTES, ReportKind, TradingState
from bandgap.host.breaker import HaltCause
from bandgap.host.cli import build_app
from bandgap.host.config import VenueConfig
from bandgap.host.daemon import Daemon
from bandgap.host.device.transport import open_transport
from bandgap.host.settlement.store import Store
from bandgap.host.wire import as_reports
from bandgap.sim.demo.checks import check_bands, check_journal, check_ledger, check_model
from bandgap.sim.demo.session import Recording, run
from bandgap.sim.demo.tape import Phase, Track
from bandgap.sim.demo.venue import ACCOUNTS, START_TICKS, demo_venue
from bandgap.sim.embedded import BuildError, DeviceHungError
from bandgap.sim.flow.flash_crash import flash_crash

SEED, MESSAGES = 3, 20_000  # enough for halts, auctions and a liquidation
LIMIT_NS, HALT_NS, CALL_NS = 2 * 10**9, 5 * 10**9, 3 * 10**9


def bandgap(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["demo", *map(str, arguments)], env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[VenueConfig, Daemon, Recording]:
    """A session on the embedded device that is over."""
    venue = demo_venue(SEED, "embedded:ecp5", tmp_path_factory.mktemp("venue") / "venue.sqlite")
    daemon = Daemon(venue, open_transport(venue.device), Store(venue.store))
    carried: list[int] = []
    session = flash_crash(SEED, MESSAGES, list(START_TICKS.values()), ACCOUNTS)
    recording = run(daemon, session, lambda _recording, _time_ns, requests: carried.append(requests))
    daemon.close()
    assert sum(carried) == MESSAGES
    return venue, daemon, recording


@pytest.fixture
def venue(lived: tuple[VenueConfig, Daemon, Recording], tmp_path: Path) -> VenueConfig:
    """The venue with a copy of its store, to be spoiled."""
    copy = tmp_path / "venue.sqlite"
    copy.write_bytes(lived[0].store.read_bytes())
    return lived[0].model_copy(update={"store": copy})


def spoil(venue: VenueConfig, statement: str, *values: object) -> None:
    with sqlite3.connect(venue.store) as connection:
        changed = connection.execute(statement, values).rowcount
    connection.close()
    assert changed == 1


def test_the_story_happens(lived: tuple[VenueConfig, Daemon, Recording]) -> None:
    venue, _, recording = lived
    assert len(venue.instruments) >= 4 and len(venue.accounts) >= 100
    trips = [stop for stop in recording.stops if stop.halted_ns is not None]
    assert trips and all(stop.cause is HaltCause.BREAKER and stop.to_ns is not None for stop in trips)
    assert {stop.halted_ns - stop.from_ns for stop in trips} == {LIMIT_NS}, "a limit state, then a halt"
    assert all(stop.to_ns - stop.from_ns >= LIMIT_NS + HALT_NS + CALL_NS for stop in trips)
    assert any(stop.auction is not None and stop.auction.trades for stop in trips)
    assert recording.liquidations and recording.closing_orders
    assert recording.book_at_end > 100
    assert recording.statistics.reports["TRADE"] > 500
    for chart in recording.charts:
        assert len(chart.last_ticks) == len(chart.mark_ticks) == len(recording.index_ppm)
        assert sum(last is not None for last in chart.last_ticks) > 80
    for track in recording.tape.tracks:
        assert max(band.upper_ticks - band.lower_ticks for band in track.bands) < 400
        assert [auction.time_ns for auction in track.auctions] == [call.to_ns for call in calls_of(track)]
    halted = recording.statistics.rejects["AUCTION_CALL"], recording.statistics.rejects["HALTED"]
    assert 0 < sum(halted) < MESSAGES // 10, "a call takes most of what comes"


def calls_of(track: Track) -> list[Phase]:
    return [phase for phase in track.phases if phase.state is TradingState.CALL]


def test_the_checks_pass(lived: tuple[VenueConfig, Daemon, Recording], venue: VenueConfig) -> None:
    _, daemon, recording = lived
    for claim, passed, remark in (
        check_ledger(venue.store),
        check_bands(venue),
        check_model(venue, "ecp5", recording.book_at_end),
        check_journal(venue, venue.device, daemon),
    ):
        assert passed, f"{claim}: {remark}"


def test_money_from_nowhere_fails_the_ledger_check(venue: VenueConfig) -> None:
    spoil(venue, "UPDATE ledger_accounts SET balance_quote = balance_quote + 1 WHERE name = 'cash:maker-0'")
    _, passed, remark = check_ledger(venue.store)
    assert not passed and "cash:maker-0" in remark


def test_a_spoilt_report_fails_every_check_and_stops_none(
    lived: tuple[VenueConfig, Daemon, Recording], venue: VenueConfig
) -> None:
    with sqlite3.connect(venue.store) as connection:
        (reports,) = connection.execute("SELECT reports FROM batches WHERE sequence = 900").fetchone()
    connection.close()
    spoilt = bytearray(reports)
    spoilt[32] ^= 1
    spoil(venue, "UPDATE batches SET reports = ? WHERE sequence = 900", bytes(spoilt))
    for _, passed, remark in (
        check_ledger(venue.store),
        check_model(venue, "ecp5", 0),
        check_journal(venue, venue.device, lived[1]),
    ):
        assert not passed and "batch 900" in remark, remark


def test_a_trade_outside_its_band_fails_the_band_check(venue: VenueConfig) -> None:
    with sqlite3.connect(venue.store) as connection:
        batches = connection.execute("SELECT sequence, reports FROM batches ORDER BY sequence").fetchall()
    connection.close()
    for sequence, reports in batches:
        rows = np.frombuffer(reports, np.uint8).reshape(-1, REPORT_BYTES).copy()
        trades = as_reports(rows, ReportKind.TRADE)
        of_trades = np.flatnonzero(trades["header"]["kind"] == ReportKind.TRADE.value)
        if len(of_trades):
            trades["price_ticks"][of_trades[-1]] += 200
            spoil(venue, "UPDATE batches SET reports = ? WHERE sequence = ?", rows.tobytes(), sequence)
            break
    _, passed, remark = check_bands(venue)
    assert not passed and re.search(r"-PERP: a trade at \d+, band \d+ to \d+, at \d+ ns", remark)


def test_another_state_fails_the_journal_check(
    lived: tuple[VenueConfig, Daemon, Recording], venue: VenueConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, daemon, _ = lived
    lots = daemon.positions.lots.copy()
    lots[3, 0] += 1
    monkeypatch.setattr(daemon.positions, "lots", lots)
    _, passed, _ = check_journal(venue, venue.device, daemon)
    assert not passed


def test_the_command_reports_and_repeats_itself(tmp_path: Path) -> None:
    reports = [tmp_path / "one.html", tmp_path / "other.html"]
    for report in reports:
        result = bandgap("--messages", 2_000, "--seed", 4, "--report", report)
        assert result.exit_code == 0, result.output
        assert result.output.count("✔") == 4
    text = reports[0].read_text()
    assert text == reports[1].read_text()
    for name in (*START_TICKS, "limit state", "auction call", "auction band", "indicative price"):
        assert name in text
    outside = re.findall(r"<(?:script|img|link|iframe)[^>]*\b(?:src|href)=[^>]*>|@import|url\(\s*['\"]?http", text)
    assert not outside, "the page needs nothing else"
    assert text.count("Plotly.newPlot(") >= 6


def test_a_failed_check_ends_with_status_1_and_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "bandgap.sim.demo.command.check_ledger", lambda store: ("the ledger sums to zero", False, "it is 1")
    )
    result = bandgap("--messages", 100, "--report", tmp_path / "demo.html")
    assert result.exit_code == 1
    assert "✘ the ledger sums to zero (it is 1)" in result.output
    assert "it is 1" in (tmp_path / "demo.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report", "{folder}/demo.html", "--pace", "nan"], "'--pace'"),
        (["--report", "{folder}/demo.html", "--pace", "inf"], "0, or from 0.001 on, not inf"),
        (["--report", "{folder}/demo.html", "--pace", "1e-9"], "0, or from 0.001 on, not 1e-09"),
        (["--report", "{folder}/demo.html", "--messages", "1000000000000"], "'--messages'"),
        (["--report", "{folder}/demo.vcd", "--waves", "{folder}/demo.vcd"], "--report and --waves are the same file"),
        (["--report", "{folder}/nowhere/demo.html"], "nowhere"),
        (["--report", "{folder}"], "is a folder"),
        (["--report", "{folder}/demo.html", "--waves", "{folder}/demo.wlf"], "waves are written as .vcd or .fst"),
        (
            ["--report", "{folder}/demo.html", "--waves", "{folder}/demo.fst", "--device", "model"],
            "only the embedded device writes waves",
        ),
    ],
)
def test_bad_input_ends_with_status_2(tmp_path: Path, options: list[str], message: str) -> None:
    result = bandgap("--messages", 100, *(option.format(folder=tmp_path) for option in options))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(tmp_path.iterdir()), "no empty report is left behind"


@pytest.mark.parametrize("error", [DeviceHungError("no answer"), BuildError("g++ is not installed: apt install g++")])
def test_a_device_that_fails_ends_with_status_1_and_leaves_no_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def fail(url: str) -> None:
        raise error

    monkeypatch.setattr("bandgap.sim.demo.command.open_transport", fail)
    result = bandgap("--messages", 100, "--report", tmp_path / "demo.html")
    assert result.exit_code == 1
    assert str(error) in result.stderr and "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_deposits_follow_from_the_seed() -> None:
    def deposits(seed: int) -> list[int]:
        return [account.deposit_quote for account in demo_venue(seed, "model:", Path("x")).accounts]

    assert deposits(1) == deposits(1) != deposits(2)
    assert len(np.unique([account.name for account in demo_venue(1, "model:", Path("x")).accounts])) == ACCOUNTS
