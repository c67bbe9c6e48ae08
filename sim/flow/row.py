"""One line of a flow: a request, or why there is none."""

from bandgap.hdl.protocol.commands import Opcode, OrderFlags, OrderType, SelfTradePrevention, Side, TimeInForce

Request = tuple[int, ...]
"""The fields of `REQUEST_DTYPE`, in its order."""

Row = tuple[int, Request]
"""The 1-based data row and the request in it."""

WORD_LIMIT = 1 << 32
"""Prices, quantities and accounts are 32 bits wide on the wire."""

ID_LIMIT = 1 << 64


class RowError(ValueError):
    """A line does not parse.

    Attributes
    ----------
    line : Its 1-based number in the file.
    reason : What is wrong with it.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def request(
    *,
    kind: Opcode,
    client_order_id: int,
    account: int = 0,
    instrument: int = 0,
    side: Side | None = None,
    order_type: OrderType | None = None,
    time_in_force: TimeInForce | None = None,
    self_trade_prevention: SelfTradePrevention | None = None,
    flags: OrderFlags | None = None,
    price_ticks: int = 0,
    quantity_lots: int = 0,
    arrival_ns: int = 0,
) -> Request:
    """A row for `REQUEST_DTYPE`, whose documentation says what each field means; what is not named is zero."""
    return (
        kind.value,
        instrument,
        side.value if side else 0,
        order_type.value if order_type else 0,
        time_in_force.value if time_in_force else 0,
        self_trade_prevention.value if self_trade_prevention else 0,
        flags.value if flags else 0,
        0,
        account,
        price_ticks,
        client_order_id,
        arrival_ns,
        quantity_lots,
        0,
    )


def whole_number(text: str, name: str, least: int, limit: int) -> int:
    """The number that `text` is; a `ValueError` names the field when it is none from `least` to below `limit`."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is not a whole number: {text!r}")
    value = int(text)
    if not least <= value < limit:
        raise ValueError(f"{name} is not from {least} to {limit - 1}: {text}")
    return value
