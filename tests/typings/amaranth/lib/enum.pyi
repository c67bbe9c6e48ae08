import enum

class Enum(enum.Enum):  # type: ignore[misc]
    def __init_subclass__(cls, *, shape: object = ...) -> None: ...

class Flag(enum.Flag):  # type: ignore[misc]
    def __init_subclass__(cls, *, shape: object = ...) -> None: ...
