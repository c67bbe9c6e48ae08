"""The reference model: `docs/order-semantics.md` as a program, the meaning of the gateware."""

from .appliance import Appliance

__all__ = ["Appliance"]
