"""The embedded device: the appliance's Verilog, compiled, behind the same border as any other device."""

from .build import BuildError
from .transport import DeviceHungError, EmbeddedTransport, open_config, open_device

__all__ = ["BuildError", "DeviceHungError", "EmbeddedTransport", "open_config", "open_device"]
