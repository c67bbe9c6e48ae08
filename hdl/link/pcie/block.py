"""The integrated block's streams and descriptors, as AMD's PG213 has them for 256 bits, dword-aligned, not straddled.

A packet is a descriptor and the payload's dwords right behind it. Of `user`, the parts that this link heeds are named.
"""

from amaranth.hdl import Const, unsigned
from amaranth.lib import data, enum, stream

DATA_BITS = 256
LANES = 8
"""Dwords a beat."""


class RequestType(enum.Enum, shape=4):
    """What a request asks for. Memory alone: whatever else comes is not served."""

    MEMORY_READ = 0
    MEMORY_WRITE = 1


class CompletionStatus(enum.Enum, shape=3):
    """How a request of the host is answered."""

    SUCCESS = 0
    UNSUPPORTED_REQUEST = 1


class CompletionError(enum.Enum, shape=4):
    """What the block says of a completion of our own request."""

    NONE = 0
    POISONED = 1
    BAD_STATUS = 2
    BAD_LENGTH = 3
    MISMATCH = 4
    BAD_ADDRESS = 5
    BAD_TAG = 6
    RESET = 8
    TIMEOUT = 9


class CompleterRequest(data.Struct):
    """Descriptor of a request of the host: 16 bytes.

    Attributes
    ----------
    address : Byte address above its two lowest bits.
    dwords : How many dwords it reads or writes.
    kind : What it asks for.
    bar : Number of the base address register.
    requester, tag, traffic_class, attributes : To be returned in the completion.
    address_type, reserved_0, function, aperture, reserved_1 : Not used.
    """

    address_type: unsigned(2)
    address: unsigned(62)
    dwords: unsigned(11)
    kind: RequestType
    reserved_0: 1
    requester: unsigned(16)
    tag: unsigned(8)
    function: unsigned(8)
    bar: unsigned(3)
    aperture: unsigned(6)
    traffic_class: unsigned(3)
    attributes: unsigned(3)
    reserved_1: 1


class CompleterCompletion(data.Struct):
    """Descriptor of our answer to such a request: 12 bytes.

    Attributes
    ----------
    lower_address : Low bits of the address of the first byte that was asked for.
    byte_count : How many bytes are returned from there on.
    dwords : How many dwords follow.
    status : Success, or not.
    requester, tag, traffic_class, attributes : Those of the request.
    address_type, locked, poisoned, completer, completer_enable, check, reserved_0 to reserved_3 : Zero.
    """

    lower_address: unsigned(7)
    reserved_0: 1
    address_type: unsigned(2)
    reserved_1: unsigned(6)
    byte_count: unsigned(13)
    locked: 1
    reserved_2: unsigned(2)
    dwords: unsigned(11)
    status: CompletionStatus
    poisoned: 1
    reserved_3: 1
    requester: unsigned(16)
    tag: unsigned(8)
    completer: unsigned(16)
    completer_enable: 1
    traffic_class: unsigned(3)
    attributes: unsigned(3)
    check: 1


class RequesterRequest(data.Struct):
    """Descriptor of a request of ours: 16 bytes.

    Attributes
    ----------
    address : Byte address above its two lowest bits.
    dwords : How many dwords it reads or writes.
    kind : What it asks for.
    tag : Names a read among those under way.
    address_type, poisoned, requester, completer, requester_enable, traffic_class, attributes, check : Zero. Without
        relaxed ordering in `attributes`, writes become visible in the order in which they are sent.
    """

    address_type: unsigned(2)
    address: unsigned(62)
    dwords: unsigned(11)
    kind: RequestType
    poisoned: 1
    requester: unsigned(16)
    tag: unsigned(8)
    completer: unsigned(16)
    requester_enable: 1
    traffic_class: unsigned(3)
    attributes: unsigned(3)
    check: 1


class RequesterCompletion(data.Struct):
    """Descriptor of the answer to a read of ours, or of a part of it: 12 bytes.

    Attributes
    ----------
    address : Low bits of the address of its first byte.
    error : What is wrong with it.
    completed : It is the last one for its tag.
    tag : The read's.
    byte_count, locked, dwords, status, poisoned, requester, completer, traffic_class, attributes, reserved_0 to
        reserved_3 : Not used: the block has compared them with the request.
    """

    address: unsigned(12)
    error: CompletionError
    byte_count: unsigned(13)
    locked: 1
    completed: 1
    reserved_0: 1
    dwords: unsigned(11)
    status: unsigned(3)
    poisoned: 1
    reserved_1: 1
    requester: unsigned(16)
    tag: unsigned(8)
    completer: unsigned(16)
    reserved_2: 1
    traffic_class: unsigned(3)
    attributes: unsigned(3)
    reserved_3: 1


class CompleterRequestUser(data.Struct):
    """Beside a beat of the host's request.

    Attributes
    ----------
    first_enable, last_enable : Which bytes of the first and the last dword are meant, in a packet's first beat.
    byte_enable : Which bytes of the beat are payload that is meant.
    first : The packet begins here.
    discontinue : The packet, which ends here, is not to be trusted.
    hints : Processing hints, to be returned with a refusal.
    parity : Not used.
    """

    first_enable: unsigned(4)
    last_enable: unsigned(4)
    byte_enable: unsigned(32)
    first: 1
    discontinue: 1
    hints: unsigned(11)
    parity: unsigned(35)


class CompleterCompletionUser(data.Struct):
    """Beside a beat of our completion: zero."""

    discontinue: 1
    parity: unsigned(32)


class RequesterRequestUser(data.Struct):
    """Beside a beat of our request.

    Attributes
    ----------
    first_enable, last_enable : Which bytes of the first and the last dword are meant, in a packet's first beat.
    others : Zero.
    """

    first_enable: unsigned(4)
    last_enable: unsigned(4)
    others: unsigned(54)


class RequesterCompletionUser(data.Struct):
    """Beside a beat of a completion.

    Attributes
    ----------
    byte_enable, places, parity : Not used.
    discontinue : The packet, which ends here, is not to be trusted.
    """

    byte_enable: unsigned(32)
    places: unsigned(10)
    discontinue: 1
    parity: unsigned(32)


def beat(user: type[data.Struct]) -> data.StructLayout:
    """A beat of one of the streams.

    `keep` tells which dwords are there, from the lowest on; `last`, that the packet ends.
    """
    return data.StructLayout({"data": unsigned(DATA_BITS), "keep": unsigned(LANES), "last": 1, "user": user})


COMPLETER_REQUEST = stream.Signature(beat(CompleterRequestUser))
COMPLETER_COMPLETION = stream.Signature(beat(CompleterCompletionUser))
REQUESTER_REQUEST = stream.Signature(beat(RequesterRequestUser))
REQUESTER_COMPLETION = stream.Signature(beat(RequesterCompletionUser))


def keep_first(dwords: int) -> Const:
    """The `keep` of a beat's first dwords."""
    return Const((1 << dwords) - 1, LANES)
