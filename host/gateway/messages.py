"""What clients and oracle sources say to the venue, one JSON object a line, and what they are told."""

import json
from collections import Counter
from enum import Enum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from bandgap.hdl.protocol import commands

_Name = Annotated[str, Field(min_length=1, max_length=32)]
_OrderId = Annotated[int, Field(ge=1, lt=1 << 64)]
_Uint32 = Annotated[int, Field(ge=1, lt=1 << 32)]


class _ByName(Enum):
    """Members of a protocol enum under the names that clients write."""

    @property
    def code(self) -> int:
        """The value on the wire."""
        code: int = getattr(commands, type(self).__name__)[self.name].value
        return code


class Side(_ByName):
    BUY = "buy"
    SELL = "sell"


class OrderType(_ByName):
    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(_ByName):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class SelfTradePrevention(_ByName):
    OFF = "off"
    CANCEL_NEWEST = "cancel_newest"
    CANCEL_OLDEST = "cancel_oldest"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NewOrder(_Message):
    """Enter an order; `client_order_id` is the client's own, and free again when the order has ended.

    A market order has no price and is immediate or cancel; every other order has a price.
    """

    type: Literal["new"]
    account: _Name
    client_order_id: _OrderId
    instrument: _Name
    side: Side
    quantity_lots: _Uint32
    price_ticks: _Uint32 | None = None
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.order_type is OrderType.MARKET:
            if self.price_ticks is not None or self.time_in_force is not TimeInForce.IOC:
                raise ValueError("a market order has no price_ticks and time_in_force ioc")
        elif self.price_ticks is None:
            raise ValueError("a limit order needs price_ticks")
        if self.post_only and (self.order_type is OrderType.MARKET or self.time_in_force is not TimeInForce.GTC):
            raise ValueError("a post_only order is a limit order with time_in_force gtc")
        return self


class Cancel(_Message):
    """Take an order out of the book."""

    type: Literal["cancel"]
    account: _Name
    client_order_id: _OrderId


class Replace(_Message):
    """Give an order a new price and open quantity; if `expected_quantity_lots` is named, only while that is open."""

    type: Literal["replace"]
    account: _Name
    client_order_id: _OrderId
    price_ticks: _Uint32
    quantity_lots: _Uint32
    expected_quantity_lots: _Uint32 | None = None


class MassCancel(_Message):
    """Cancel all orders of an account."""

    type: Literal["mass_cancel"]
    account: _Name


class OracleQuote(_Message):
    """An oracle source's price for an instrument, as of now."""

    type: Literal["quote"]
    source: _Name
    instrument: _Name
    price_ticks: _Uint32


Request = NewOrder | Cancel | Replace | MassCancel
Message = Request | OracleQuote

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


class RepeatedKeyError(ValueError):
    """A key stands in a message more than once, so that one value would be passed over in silence."""


def read_message(line: bytes) -> Message:
    """Read and check one line.

    Raises
    ------
    ValueError : It is no message; a `pydantic.ValidationError`, or `RepeatedKeyError`.
    """
    message = _MESSAGE.validate_json(line)
    json.loads(line, object_pairs_hook=_see_no_key_twice)
    return message


def _see_no_key_twice(pairs: list[tuple[str, object]]) -> None:
    for key, times in Counter(key for key, _ in pairs).items():
        if times > 1:
            raise RepeatedKeyError(f"{key}: stands there {times} times")
