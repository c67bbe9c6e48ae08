"""Whom this process runs as, for messages that say what is to be permitted to whom."""

import os
import pwd


def user_name() -> str:
    """The name, or the number where there is no name."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
