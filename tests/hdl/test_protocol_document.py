"""docs/protocol.md is what the definitions say, and the definitions describe every field."""

import pytest
from amaranth.hdl import unsigned
from amaranth.lib import data

from bandgap.hdl.protocol import document
from bandgap.hdl.protocol.commands import COMMANDS
from bandgap.hdl.protocol.reports import REPORTS


class Undocumented(data.Struct):
    """A layout that keeps a field to itself.

    Attributes
    ----------
    told : This one is described.
    """

    told: unsigned(8)
    kept: unsigned(8)


class Boasting(data.Struct):
    """A layout that describes a field it has not.

    Attributes
    ----------
    told : This one is there,
        and its description goes on.
    missing : This one is not.
    """

    told: unsigned(8)


class Silent(data.Struct):
    """A layout without descriptions."""

    kept: unsigned(8)


def test_document_is_up_to_date() -> None:
    assert document.DOCUMENT.read_text() == document.render(), "run python -m bandgap.hdl.protocol.document"


def test_every_message_and_field_is_in_it() -> None:
    text = document.render()
    for layout in {*COMMANDS.values(), *REPORTS.values()}:
        for name, field in data.Layout.cast(layout):
            assert f"| {field.offset // 8} | " in text
            assert f"| `{name}` | " in text


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Undocumented, "Undocumented.kept is not described"),
        (Boasting, "Boasting describes what it has not: missing"),
        (Silent, "Silent does not describe its attributes"),
    ],
)
def test_undescribed_field_is_an_error(
    layout: type[data.Struct], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opcode = next(iter(COMMANDS))
    monkeypatch.setitem(COMMANDS, opcode, layout)
    with pytest.raises(ValueError, match=message):
        document.render()


def test_description_may_go_on() -> None:
    assert document.descriptions(Boasting)["told"] == "This one is there, and its description goes on."
