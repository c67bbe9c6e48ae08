"""The derived dtypes are the protocol's layouts."""

import numpy as np
import pytest
from amaranth.lib import data

from bandgap.hdl.protocol.commands import COMMAND_BYTES, COMMANDS, Opcode, Side
from bandgap.hdl.protocol.reports import REPORT_BYTES, REPORTS, ReportKind
from bandgap.host import wire


@pytest.mark.parametrize("opcode", list(Opcode))
def test_command_dtype_covers_every_byte_once(opcode: Opcode) -> None:
    dtype = wire.COMMAND_DTYPES[opcode]
    assert dtype.itemsize == COMMAND_BYTES
    assert list(dtype.names or ()) == [name for name, _ in data.Layout.cast(COMMANDS[opcode])]
    assert sum(dtype[name].itemsize for name in dtype.names or ()) == COMMAND_BYTES


@pytest.mark.parametrize("kind", list(ReportKind))
def test_report_dtype_covers_every_byte_once(kind: ReportKind) -> None:
    dtype = wire.REPORT_DTYPES[kind]
    assert dtype.itemsize == REPORT_BYTES
    assert list(dtype.names or ()) == [name for name, _ in data.Layout.cast(REPORTS[kind])]
    assert sum(dtype[name].itemsize for name in dtype.names or ()) == REPORT_BYTES


def test_new_order_bytes_by_hand() -> None:
    order = wire.new_commands(Opcode.NEW_ORDER, 1)
    order["header"]["instrument"] = 3
    order["header"]["epoch"] = 0x0201
    order["header"]["number"] = 0x07060504
    order["price_ticks"] = 0x0B0A0908
    order["quantity_lots"] = 5
    order["account"] = 6
    order["token"] = 0x1514
    order["generation"] = 0x1716
    order["side"] = Side.SELL.value
    expected = "01 03 01 02 04 05 06 07 08 09 0a 0b 05 00 00 00 06 00 00 00 14 15 16 17 02 00 00 00 00 00 00 00"
    assert wire.to_bytes(order)[0].tobytes() == bytes.fromhex(expected)


def test_signed_amounts_are_signed() -> None:
    grant = wire.new_commands(Opcode.GRANT_CREDIT, 1)
    grant["amount_quote"] = -2
    assert wire.to_bytes(grant)[0, 8:16].tobytes() == b"\xfe" + b"\xff" * 7


def test_select_reports_keeps_one_kind_in_order() -> None:
    reports = np.zeros((3, REPORT_BYTES), np.uint8)
    headers = wire.report_headers(reports)
    headers["kind"] = [ReportKind.TRADE.value, ReportKind.DONE.value, ReportKind.TRADE.value]
    headers["number"] = [0, 1, 2]
    assert wire.select_reports(reports, ReportKind.TRADE)["header"]["number"].tolist() == [0, 2]


def test_without_cycles_clears_cycles_alone() -> None:
    reports = np.full((2, REPORT_BYTES), 0xFF, np.uint8)
    cleared = wire.without_cycles(reports)
    headers = wire.report_headers(cleared)
    assert headers["entry_cycle"].tolist() == headers["exit_cycle"].tolist() == [0, 0]
    assert np.count_nonzero(cleared == 0) == 2 * 8
    assert (reports == 0xFF).all()
