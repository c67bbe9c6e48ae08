"""What a verification run has seen: named points, each of which must be seen, and how often they were."""

from .counts import Coverage

__all__ = ["Coverage"]
