"""`bandgap replay`, as a user runs it."""

import csv
import gzip
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bandgap.host.cli import build_app
from bandgap.host.device.device import ReportGapError
from bandgap.sim.embedded import BuildError, DeviceHungError
from bandgap.sim.replay.session import ReplaySession

DATA = Path(__file__).parents[4] / "shared" / "data"
FUTURES = DATA / "es-mbo-2023-12-25"
LOBSTER = DATA / "lobster-aapl-2012-06-21" / "AAPL_2012-06-21_message_10.csv"
HEADER = "command,client_order_id,side,price_ticks,quantity,time_in_force\n"

needs_real_flow = pytest.mark.skipif(not DATA.is_dir(), reason=f"real order flow is not beside the checkout ({DATA})")


def bandgap(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["replay", *map(str, arguments)], env={"COLUMNS": "120"})


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "flow.csv"
    path.write_text(HEADER + "new,1,buy,100,5,gtc\nnew,2,sell,100,2,ioc\ncancel,1,,,,\ncancel,1,,,,\n")
    return path


EXPECTED = """row,report,client_order_id,side,price_ticks,quantity,maker_client_order_id
1,accepted,1,buy,100,5,
2,accepted,2,sell,100,2,
2,trade,2,,100,2,1
3,canceled,1,buy,100,,
4,cancel_rejected,1,,,,
"""


@pytest.mark.parametrize("device", ["model", "embedded"])
def test_reports_summary_and_checks(flow: Path, tmp_path: Path, device: str) -> None:
    result = bandgap(flow, "--device", device, "--preset", "ecp5", "--reports", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.csv").read_text() == EXPECTED
    assert "unknown order 1" in result.output
    assert result.output.count("✔") == 3
    assert ("latency p99" in result.output) == (device == "embedded")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flow.csv", "out.csv"]


def test_details_and_compression_give_the_same_bytes_every_time(flow: Path, tmp_path: Path) -> None:
    for name in ("one.csv.gz", "other.csv.gz"):
        assert bandgap(flow, "--device", "model", "--details", "--reports", tmp_path / name).exit_code == 0
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "other.csv.gz").read_bytes()
    with gzip.open(tmp_path / "one.csv.gz", "rt") as text:
        rows = list(csv.DictReader(text))
    assert [row["reason"] for row in rows] == ["", "", "", "requested", "unknown_order"]
    assert rows[2]["maker_remaining"] == "3"


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ("new,1,buy,100,x,gtc", [], "flow.csv:2: quantity is not a whole number: 'x'"),
        ("new,1,[/x],100,1,gtc", [], "flow.csv:2: side is '[/x]', not one of buy, sell"),
        ("new,1,buy,100,1,gtc", ["--window-base", "4294967295"], "cannot start at 4294967295"),
        ("new,1,buy,100,1,gtc", ["--window-base", "-1"], "'--window-base'"),
        ("new,1,buy,100,1,gtc", ["--window-base", "4294967296"], "'--window-base'"),
        ("new,1,buy,100,1,gtc", ["--waves", "run.vcd"], "only the embedded device writes waves"),
    ],
)
def test_bad_input_ends_with_status_2_and_nothing_half_done(
    tmp_path: Path, row: str, options: list[str], message: str
) -> None:
    (tmp_path / "flow.csv").write_text(HEADER + row + "\n")
    result = bandgap(tmp_path / "flow.csv", "--device", "model", "--reports", tmp_path / "out.csv", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["flow.csv"]


def test_a_mistake_of_ours_is_not_told_as_bad_input(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: ReplaySession, chunk: object) -> None:
        raise ValueError("arrivals go backwards")

    monkeypatch.setattr(ReplaySession, "run", fail)
    result = bandgap(flow, "--device", "model")
    assert result.exit_code == 1
    assert isinstance(result.exception, ValueError)


def test_a_report_file_that_cannot_be_opened_is_bad_input(flow: Path, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "out.csv"
    result = bandgap(flow, "--device", "model", "--reports", path)
    assert result.exit_code == 2
    assert result.stderr == f"error: {path} cannot be written: there is no folder {path.parent}\n"


def test_a_full_disk_is_a_failure_and_names_the_file(flow: Path) -> None:
    result = bandgap(flow, "--device", "model", "--reports", "/dev/full")
    assert result.exit_code == 1
    assert result.stderr == "error: [Errno 28] No space left on device: '/dev/full'\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reports", "{flow}"], "FILE and --reports are the same file"),
        (["--reports", "{link}"], "FILE and --reports are the same file"),
        (["--reports", "{flow}.vcd", "--waves", "{flow}.vcd"], "--reports and --waves are the same file"),
        (["--reports", "{output}"], "--reports and the standard output are the same file"),
    ],
)
def test_no_file_is_written_over_another(
    flow: Path, tmp_path: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, output = tmp_path / "link.csv", tmp_path / "output.txt"
    link.hardlink_to(flow)
    output.touch()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("bandgap.sim.command_line.STANDARD_OUTPUT", output)
    result = bandgap(flow, *(option.format(flow=flow, link=link, output=output) for option in options))
    assert result.exit_code == 2
    assert message in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failed_check_ends_with_status_1(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandgap.sim.replay.session.ReplaySession._credit_agrees", lambda self: False)
    result = bandgap(flow, "--device", "model")
    assert result.exit_code == 1
    assert "✘ credit is what was granted" in result.output


def test_a_name_may_look_like_markup(flow: Path) -> None:
    renamed = flow.rename(flow.with_name("[red]flow.csv"))
    result = bandgap(renamed, "--device", "model")
    assert result.exit_code == 0, result.output
    assert "[red]flow.csv on model:ultrascale" in result.output


@pytest.mark.parametrize("error", [ReportGapError("expected report 3"), DeviceHungError("no answer")])
def test_a_device_that_fails_ends_with_status_1_and_says_what_to_do(
    flow: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: ReplaySession, chunk: object) -> None:
        raise error

    monkeypatch.setattr(ReplaySession, "run", fail)
    result = bandgap(flow, "--device", "model", "--reports", flow.with_name("out.csv"))
    assert result.exit_code == 1
    assert f"error: the device failed: {error}; --waves FILE.vcd" in result.stderr
    assert [path.name for path in flow.parent.iterdir()] == ["flow.csv"]


def test_a_device_that_cannot_be_built_ends_with_status_1(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str) -> None:
        raise BuildError("g++ is not installed: apt install g++")

    monkeypatch.setattr("bandgap.sim.replay.command.open_transport", fail)
    result = bandgap(flow)
    assert result.exit_code == 1
    assert result.stderr == "error: g++ is not installed: apt install g++\n"


def test_waves_of_a_replay(flow: Path, tmp_path: Path) -> None:
    result = bandgap(flow, "--preset", "ecp5", "--waves", tmp_path / "run.vcd")
    assert result.exit_code == 0, result.output
    assert "command_valid" in (tmp_path / "run.vcd").read_text()[:200_000]


def test_the_help_has_examples() -> None:
    text = bandgap("--help").output
    assert "bandgap replay orders.csv.gz --reports reports.csv" in text


@needs_real_flow
@pytest.mark.parametrize("device", ["model", "embedded"])
def test_a_real_futures_market_gives_exactly_the_published_outcome(tmp_path: Path, device: str) -> None:
    output = tmp_path / "reports.csv"
    result = bandgap(FUTURES / "orders.csv.gz", "--device", device, "--preset", "ultrascale", "--reports", output)
    assert result.exit_code == 0, result.output
    with gzip.open(FUTURES / "reports.csv.gz", "rt", newline="") as expected, output.open(newline="") as got:
        for line, (want, have) in enumerate(zip(csv.reader(expected), csv.reader(got), strict=True), 1):
            assert have == want, f"line {line}"


@needs_real_flow
def test_a_small_device_rejects_what_does_not_fit_and_ends_in_balance(tmp_path: Path) -> None:
    outputs = [tmp_path / f"{device}.csv" for device in ("model", "embedded")]
    for output in outputs:
        result = bandgap(
            FUTURES / "orders.csv.gz", "--device", output.stem, "--preset", "ecp5", "--details", "--reports", output
        )
        assert result.exit_code == 0, result.output
        assert result.output.count("✔") == 3
    with outputs[1].open() as text:
        rows = list(csv.DictReader(text))
    rejected = [row["reason"] for row in rows if row["report"].endswith("rejected")]
    assert {"book_full", "outside_window", "unknown_order"} == set(rejected)
    assert {int(row["row"]) for row in rows} == set(range(1, 62_421)), "every row is answered"
    latency = list(rows[0]).index("latency_cycles")
    same = [[line.split(",")[:latency] for line in output.read_text().splitlines()] for output in outputs]
    assert same[0] == same[1]


@needs_real_flow
def test_lobster_messages_are_read_and_unknown_orders_say_so(tmp_path: Path) -> None:
    output = tmp_path / "reports.csv"
    result = bandgap(LOBSTER, "--preset", "ecp5", "--details", "--reports", output)
    assert result.exit_code == 0, result.output
    assert "hidden execution" in result.output
    with LOBSTER.open() as text:
        messages = list(csv.reader(text))
    with output.open() as text:
        reports = list(csv.DictReader(text))
    known: set[str] = set()
    before_the_file: set[int] = set()
    for number, (_, event, order, *_) in enumerate(messages, 1):
        if event == "1":
            known.add(order)
        elif event in "234" and order not in known:
            before_the_file.add(number)
    unknown = {int(row["row"]) for row in reports if row["reason"] == "unknown_order"}
    assert before_the_file and before_the_file <= unknown
    for row in reports:
        if row["report"] == "trade":
            event = messages[int(row["row"]) - 1]
            assert (row["price_ticks"], row["quantity"], row["maker_client_order_id"]) == (
                str(int(event[4]) // 100),
                event[3],
                event[2],
            ), "an execution trades with the order it names"
