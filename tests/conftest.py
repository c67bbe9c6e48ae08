"""What all tests share: one seed, taken from the commit, printed, and settable with BANDGAP_SEED; their order."""

import os
import subprocess
from pathlib import Path

import pytest

SEED_WITHOUT_GIT = 20_231_225


def _seed() -> int:
    """The seed that BANDGAP_SEED names, else the first 32 bits of the commit's hash."""
    if named := os.environ.get("BANDGAP_SEED"):
        try:
            return int(named, 0)
        except ValueError as error:
            raise pytest.UsageError(f"BANDGAP_SEED is not a whole number: {named!r}") from error
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return int(subprocess.run(git, capture_output=True, text=True, check=True).stdout[:8], 16)
    except (OSError, subprocess.CalledProcessError):
        return SEED_WITHOUT_GIT


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = _seed()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The million commands begin first: at the end one process would work at them and the others wait."""
    items.sort(key=lambda item: "verification" not in item.path.parts)


def pytest_report_header() -> str:
    return f"seed: {_seed()} (repeat with BANDGAP_SEED={_seed()})"


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of this run."""
    return _seed()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests put on record under the name `summary`, such as coverage."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "summary" and report.when == "call":
                terminalreporter.write_line(str(text))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--waves", action="store_true", help="write dump.vcd into the folder of each cocotb test")
    parser.addoption("--coverage", type=Path, metavar="FOLDER", help="write down here what tests cover of the links")


@pytest.fixture
def waves(request: pytest.FixtureRequest) -> bool:
    """Whether to write waves."""
    return bool(request.config.getoption("--waves"))


@pytest.fixture(scope="session")
def coverage(request: pytest.FixtureRequest) -> Path | None:
    """Where a test of a link writes its Verilog, and what it covered of it."""
    folder: Path | None = request.config.getoption("--coverage")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder
