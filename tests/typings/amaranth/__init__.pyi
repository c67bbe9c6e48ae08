# Amaranth builds its classes at run time. To a type checker only its enums have a known shape.
from typing import Any

def __getattr__(name: str) -> Any: ...
