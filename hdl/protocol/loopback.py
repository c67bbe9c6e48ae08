"""What a loopback image says: a bitstream for checking cables, an appliance's link with nothing behind it.

Its registers are those of an appliance but for the magic; sizes in them mean nothing.
"""

from amaranth.lib import data

from .commands import COMMAND_BYTES
from .reports import ReportHeader

LOOPBACK_MAGIC = int.from_bytes(b"LOOP", "little")


class Echo(data.Struct):
    """The answer to a command, whatever is in it: a report's 64 bytes.

    Attributes
    ----------
    header : `link`, `number`, `time_ns` and `epoch` as in a report; all else is zero, which is no kind of report.
    command : The command.
    """

    header: ReportHeader
    command: data.ArrayLayout(8, COMMAND_BYTES)
