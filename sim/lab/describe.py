"""Messages as readable fields."""

from enum import Enum, Flag
from typing import Any

import numpy as np
from amaranth.lib import data

from bandgap.hdl.protocol.commands import COMMANDS, Header, Opcode
from bandgap.hdl.protocol.reports import REPORTS, ReportHeader, ReportKind
from bandgap.host.wire import COMMAND_DTYPES, COMMAND_HEADER_DTYPE, REPORT_DTYPES, REPORT_HEADER_DTYPE

_OPCODES = {opcode.value for opcode in Opcode}
_KINDS = {kind.value for kind in ReportKind}


def command_fields(command: bytes) -> dict[str, str]:
    """The fields of a command by name; of an unknown opcode, the header and the other bytes in hex."""
    if command[0] not in _OPCODES:
        return _fields(Header, np.frombuffer(command[:8], COMMAND_HEADER_DTYPE)[0]) | {"body": command[8:].hex()}
    opcode = Opcode(command[0])
    return _fields(COMMANDS[opcode], np.frombuffer(command, COMMAND_DTYPES[opcode])[0])


def report_fields(report: bytes) -> dict[str, str]:
    """The fields of a report by name; of an unknown kind, the header and the other bytes in hex."""
    if report[0] not in _KINDS:
        return _fields(ReportHeader, np.frombuffer(report[:32], REPORT_HEADER_DTYPE)[0]) | {"body": report[32:].hex()}
    kind = ReportKind(report[0])
    return _fields(REPORTS[kind], np.frombuffer(report, REPORT_DTYPES[kind])[0])


def _fields(layout: type[data.Struct], record: Any) -> dict[str, str]:
    """Every field but reserved bytes that are zero; those of the header first, without its name."""
    fields: dict[str, str] = {}
    for name, field in data.Layout.cast(layout):
        value = record[name]
        if isinstance(field.shape, type) and issubclass(field.shape, data.Struct):
            fields |= _fields(field.shape, value)
        elif isinstance(field.shape, data.ArrayLayout):
            if value.any():
                fields[str(name)] = bytes(value).hex()
        else:
            fields[str(name)] = _text(field.shape, int(value))
    return fields


def _text(shape: Any, value: int) -> str:
    """A number, or the name that an enum has for it."""
    if not (isinstance(shape, type) and issubclass(shape, Enum)):
        return str(value)
    if issubclass(shape, Flag):
        names = [member.name for member in shape if member.value & value]
        return " ".join(map(str, names)) or "-"
    if value == 0:
        return "-"
    return next((member.name for member in shape if member.value == value), f"{value} (no {shape.__name__})")
