"""What the engine changes: decided in one cycle, carried out in the next.

In that next cycle the pool and the ladder are written, the best prices follow, and the reader takes over what it has
read already. So no decision of the engine has to reach a memory within its own cycle.
"""

from amaranth.lib import data

from ..config import BookConfig
from .ladder import change_layout
from .orders import link_layout, write_layout


def posting_layout(config: BookConfig) -> data.StructLayout:
    """All that one cycle of the engine can change.

    `order` is written to the pool, `next` and `previous` are links that change there, `change` is that of a level.
    """
    return data.StructLayout(
        {
            "order": write_layout(config),
            "next": link_layout(config),
            "previous": link_layout(config),
            "change": change_layout(config),
        }
    )
