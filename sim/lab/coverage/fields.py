"""Single fields of a report's bytes, for those who look at reports one by one."""

from collections.abc import Callable

from bandgap.hdl.protocol.reports import ReportKind
from bandgap.host.wire import REPORT_DTYPES


def _field(kind: ReportKind, name: str) -> Callable[[bytes], int]:
    """Reads one field; `name` may be one of the header."""
    layout = REPORT_DTYPES[kind]
    owner = layout if name in (layout.names or ()) else layout["header"]
    assert owner.fields is not None
    dtype, start = owner.fields[name][:2]
    end, signed = start + dtype.itemsize, dtype.kind == "i"
    return lambda report: int.from_bytes(report[start:end], "little", signed=signed)


price = _field(ReportKind.ACCEPTED, "price_ticks")
quantity = _field(ReportKind.ACCEPTED, "quantity_lots")
account = _field(ReportKind.ACCEPTED, "account")
token = _field(ReportKind.ACCEPTED, "token")
remaining = _field(ReportKind.ACCEPTED, "remaining_lots")
maker_account = _field(ReportKind.TRADE, "maker_account")
maker_token = _field(ReportKind.TRADE, "maker_token")
maker_remaining = _field(ReportKind.TRADE, "maker_remaining_lots")
flags = _field(ReportKind.TRADE, "flags")
side = _field(ReportKind.TRADE, "side")
instrument = _field(ReportKind.TRADE, "instrument")
count = _field(ReportKind.DONE, "count")
balance = _field(ReportKind.DONE, "balance_quote")
state = _field(ReportKind.TRADING_STATE, "state")
until = _field(ReportKind.TRADING_STATE, "until_ns")
time = _field(ReportKind.TRADING_STATE, "time_ns")
lower = _field(ReportKind.BAND_MOVED, "lower_ticks")
upper = _field(ReportKind.BAND_MOVED, "upper_ticks")
reference = _field(ReportKind.BAND_MOVED, "reference_ticks")
policy = _field(ReportKind.BAND_MOVED, "policy")
auction_price = _field(ReportKind.UNCROSSED, "price_ticks")
auction_trades = _field(ReportKind.UNCROSSED, "trades")
auction_volume = _field(ReportKind.UNCROSSED, "volume_lots")
level_price = _field(ReportKind.LEVEL, "price_ticks")
level_quantity = _field(ReportKind.LEVEL, "quantity_lots")
bid_quantity = _field(ReportKind.TOP_OF_BOOK, "bid_quantity_lots")
ask_quantity = _field(ReportKind.TOP_OF_BOOK, "ask_quantity_lots")
