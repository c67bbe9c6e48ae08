"""Commands before they get their header: what of their bytes is chosen at random, and from what."""

from struct import Struct

from bandgap.hdl.protocol.commands import (
    BandPolicy,
    OrderFlags,
    OrderType,
    ScheduledState,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

HEADER = Struct("<BBHI")

# Bytes 8 to 31: `docs/protocol.md`.
ORDER = Struct("<IIIHHBBBBB3x")  # new order
CANCEL = Struct("<8xIHH8x")
REPLACE = Struct("<IIIHHB3xI")
ACCOUNT = Struct("<8xI12x")
INSTRUMENT = Struct("<IIIBB10x")
BAND = Struct("<IIIB11x")
GRANT = Struct("<qI12x")
HEARTBEAT = Struct("<QB15x")
STATE = Struct("<I20x")  # halt and call
BREAKER = Struct("<IIIIIBB2x")
DYNAMIC_BAND = Struct("<IIIIBB6x")
REFERENCE_RULE = Struct("<IIIIIBB2x")
CALL_END = Struct("<I20x")
SCHEDULE = Struct("<QIB11x")
MOVE_WINDOW = Struct("<I20x")
NOTHING = bytes(24)

Unsent = tuple[int, int, bytes]
"""Opcode, instrument, and bytes 8 to 31 of a command."""

MAX_U32 = (1 << 32) - 1
BUY, SELL = Side.BUY.value, Side.SELL.value
PRIVILEGED_LINK = 0

ORDER_KINDS = (  # order type, time in force, flags
    (OrderType.LIMIT.value, TimeInForce.GTC.value, 0),
    (OrderType.LIMIT.value, TimeInForce.GTC.value, OrderFlags.POST_ONLY.value),
    (OrderType.LIMIT.value, TimeInForce.IOC.value, 0),
    (OrderType.LIMIT.value, TimeInForce.FOK.value, 0),
    (OrderType.MARKET.value, TimeInForce.IOC.value, 0),
)
MODES = [mode.value for mode in SelfTradePrevention]
POLICIES = [policy.value for policy in BandPolicy]

NS_A_US = 1_000
NS_A_MS = 1_000_000
PPM = 1_000_000

CALLS = (ScheduledState.OPENING_CALL.value, ScheduledState.CLOSING_CALL.value)
