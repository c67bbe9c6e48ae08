"""Who may know whom: the import directions of docs/architecture.md, held by reading every source file."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WINGS = ("hdl", "host", "sim")
ROOMS = ("oracle", "margin", "liquidation", "settlement")
STOREYS = (
    (
        ("protocol",),
        ("beats", "bits", "config", "deep_memory", "table"),
        ("book", "guard"),
        ("link",),
        ("appliance",),
        ("boards",),
        ("build",),
        ("tools",),
    ),
    (
        ("model",),
        ("command_line", "embedded", "flow", "model_device", "whole_file"),
        ("statistics", "summary", "timing"),
        ("replay",),
        ("lab",),
        ("demo", "mutation", "soak"),
    ),
)
"""Of `hdl` and of `sim`, from the ground up: what stands lower does not know what stands above it."""


def module_name(path: Path) -> str:
    """The import name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("bandgap", *(part for part in parts if part != "__init__")))


def imports(module: str, source: str, is_package: bool) -> Iterator[str]:
    """Everything a source imports, by absolute name; of `from a import b` the name `a.b`."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    """Whether a name is one of some packages or in it."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def storeys(name: str) -> Iterator[tuple[str, int]]:
    """The wing and the storey in which a name is."""
    for wing, floors in zip(("hdl", "sim"), STOREYS, strict=True):
        for height, parts in enumerate(floors):
            if within(name, *(f"bandgap.{wing}.{part}" for part in parts)):
                yield wing, height


def above(importer: str, imported: str) -> bool:
    """Whether a name is in a higher storey of the importer's wing."""
    here, there = dict(storeys(importer)), dict(storeys(imported))
    return any(there[wing] > here[wing] for wing in here.keys() & there.keys())


def allowed(importer: str, imported: str) -> bool:
    """Whether a module may import a name."""
    standard_library = imported.split(".", maxsplit=1)[0] in sys.stdlib_module_names
    if within(imported, "tests"):
        return False
    if within(importer, "bandgap.hdl.protocol"):
        return standard_library or within(imported, "amaranth", "bandgap.hdl.protocol")
    if within(importer, "bandgap.sim.model"):
        return standard_library or within(imported, "bandgap.sim.model")
    if not within(imported, "bandgap"):
        return True
    if within(importer, "bandgap.hdl.book", "bandgap.hdl.guard"):
        other = "guard" if within(importer, "bandgap.hdl.book") else "book"
        if within(imported, f"bandgap.hdl.{other}"):
            return False
    if above(importer, imported):
        return False
    if within(importer, "bandgap.hdl"):
        return within(imported, "bandgap.hdl")
    for room in ROOMS:
        others = [f"bandgap.host.{other}" for other in ROOMS if other != room]
        if within(importer, f"bandgap.host.{room}") and within(imported, *others):
            return False
    if within(importer, "bandgap.host"):
        return within(imported, "bandgap.host", "bandgap.hdl.protocol")
    return True


SOURCES = [path for wing in WINGS for path in sorted((ROOT / wing).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_the_allowed_way(path: Path) -> None:
    module = module_name(path)
    names = imports(module, path.read_text(), path.name == "__init__.py")
    assert [name for name in names if not allowed(module, name)] == []


def test_all_wings_are_read() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(WINGS)


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.name != "__init__.py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_source_of_gateware_and_simulation_has_its_storey(path: Path) -> None:
    name = module_name(path)
    assert within(name, "bandgap.host") or name in ("bandgap.hdl", "bandgap.sim") or len(list(storeys(name))) == 1


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("bandgap.hdl.protocol.commands", "import numpy"),
        ("bandgap.hdl.protocol.commands", "from bandgap.hdl.config import PRESETS"),
        ("bandgap.hdl.protocol.commands", "from ..config import PRESETS"),
        ("bandgap.hdl.book.engine", "from bandgap.hdl.guard import credit"),
        ("bandgap.hdl.book.engine", "from ..link.serial import Serial"),
        ("bandgap.hdl.guard.credit", "from ..book.engine import Engine"),
        ("bandgap.hdl.link.serial", "from ..appliance import Appliance"),
        ("bandgap.hdl.boards.ulx3s", "from ..tools import bitstream"),
        ("bandgap.hdl.appliance", "from bandgap.host import wire"),
        ("bandgap.hdl.build", "import bandgap.sim.model"),
        ("bandgap.host.daemon", "from bandgap.sim.model import Appliance"),
        ("bandgap.host.daemon", "from bandgap.hdl.config import PRESETS"),
        ("bandgap.host.daemon", "def later():\n    import bandgap.sim"),
        ("bandgap.host.margin.limits", "from bandgap.host.oracle.aggregate import mark"),
        ("bandgap.host.settlement.ledger", "from ..margin import positions"),
        ("bandgap.sim.model.book", "from bandgap.hdl.protocol.commands import Side"),
        ("bandgap.sim.model.book", "import numpy"),
        ("bandgap.sim.replay.session", "from bandgap.sim.lab.core import main"),
        ("bandgap.sim.flow.hawkes", "import tests.conftest"),
    ],
)
def test_forbidden_import_is_seen(importer: str, source: str) -> None:
    assert [name for name in imports(importer, source, is_package=False) if not allowed(importer, name)]


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        (
            "bandgap.hdl.protocol.version",
            "import hashlib\nfrom amaranth.lib import data\nfrom .commands import Side",
        ),
        ("bandgap.hdl.appliance", "from .book.engine import Engine\nfrom .guard import guard"),
        ("bandgap.host.daemon", "from .margin import limits\nfrom .oracle import aggregate\nimport numpy"),
        ("bandgap.host.wire", "from bandgap.hdl.protocol.commands import COMMANDS"),
        ("bandgap.sim.model.book", "from .commands import Side\nfrom dataclasses import dataclass"),
        ("bandgap.sim.model_device", "from bandgap.host.device.transport import Transport"),
    ],
)
def test_allowed_import_is_let_be(importer: str, source: str) -> None:
    assert all(allowed(importer, name) for name in imports(importer, source, is_package=False))
