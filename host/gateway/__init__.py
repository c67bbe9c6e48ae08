"""The venue's front door: client requests become commands, reports become answers to clients."""
