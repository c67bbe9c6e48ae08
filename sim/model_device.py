"""The reference model as a device: a `Transport` like any other."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.hdl.protocol.commands import COMMAND_BYTES
from bandgap.hdl.protocol.registers import BY_NAME, MAGIC, REGISTERS, STATUS_READY, Access, Register
from bandgap.hdl.protocol.reports import REPORT_BYTES
from bandgap.hdl.protocol.version import layout_hash
from bandgap.host.device.transport import Bytes2D, DeviceUrlError, Transport, arrivals_of

from .model import Appliance

WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8
WORD_MASK = (1 << WORD_BITS) - 1


class ModelTransport(Transport):
    """An appliance that is the reference model.

    Attributes
    ----------
    config : Sizes of the device.
    appliance : The model, to read its book and balances.
    """

    def __init__(self, config: BookConfig) -> None:
        self.config = config
        self.appliance = open_model(config)
        self._reports: list[bytes] = []
        self._values = {(register.name, 0): register.reset or 0 for register in REGISTERS if not register.per_link}
        self._values |= {
            ("status", 0): STATUS_READY,
            ("magic", 0): MAGIC,
            ("layout_hash", 0): layout_hash(),
        }
        self._values |= {(name, 0): getattr(config, name) for name in BY_NAME if hasattr(config, name)}
        for link in range(config.links):
            self._values["token_first", link] = 0
            self._values["token_count", link] = config.orders if link == 0 else 0
        self._places = dict(self._register_words())

    def _register_words(self) -> Iterator[tuple[int, tuple[Register, int, int]]]:
        """Byte offset of every word, and its register, link and place in the register."""
        for register in REGISTERS:
            for link in range(self.config.links if register.per_link else 1):
                for word in range(register.words):
                    yield register.at(link) + word * WORD_BYTES, (register, link, word)

    def _place(self, offset: int) -> tuple[Register, int, int]:
        if offset not in self._places:
            raise ValueError(f"no register at offset {offset:#x}")
        return self._places[offset]

    def read_register(self, offset: int) -> int:
        register, link, word = self._place(offset)
        if (register.name, word) == ("time_ns", 0):
            self._values["time_ns", 0] = self.appliance.time_ns
        return self._values[register.name, link] >> (word * WORD_BITS) & WORD_MASK

    def write_register(self, offset: int, value: int) -> None:
        register, link, _ = self._place(offset)
        if register.access is Access.READ_ONLY:
            raise ValueError(f"register {register.name} is read only")
        if not 0 <= value <= WORD_MASK:
            raise ValueError(f"{value} does not fit register {register.name}")
        if register.name == "epoch":
            self.appliance.reset(value)
        self._values[register.name, link] = value
        if register.per_link:
            self.appliance.set_token_range(link, self._values["token_first", link], self._values["token_count", link])

    def send(self, commands: Bytes2D, arrival_ns: NDArray[np.uint64] | None = None, link: int = 0) -> None:
        arrivals = arrivals_of(commands, arrival_ns, link, links=self.config.links, now_ns=self.appliance.time_ns)
        raw = commands.tobytes()
        execute = self.appliance.execute
        for start, time_ns in zip(range(0, len(raw), COMMAND_BYTES), arrivals, strict=True):
            self._reports += execute(time_ns, link, raw[start : start + COMMAND_BYTES])
        self._reports += self.appliance.advance(self.appliance.time_ns)

    def receive(self) -> Bytes2D:
        reports = np.frombuffer(b"".join(self._reports), dtype=np.uint8).reshape(-1, REPORT_BYTES)
        self._reports = []
        return reports

    def advance(self, time_ns: int) -> None:
        self._reports += self.appliance.advance(time_ns)

    def close(self) -> None:
        """Nothing to let go."""


def open_model(config: BookConfig) -> Appliance:
    """The model in the sizes of a configuration."""
    return Appliance(
        config.instruments,
        config.orders,
        config.ticks,
        config.accounts,
        links=config.links,
        smallest_window_ticks=config.word_bits,
    )


def open_device(preset: str) -> ModelTransport:
    """Open the model in the sizes of a preset: what `model:ecp5` names.

    Raises
    ------
    DeviceUrlError : There is no such preset.
    """
    if preset not in PRESETS:
        raise DeviceUrlError(f"no preset {preset!r}; known: {', '.join(PRESETS)}")
    return ModelTransport(PRESETS[preset])
