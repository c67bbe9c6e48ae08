"""A running venue: the front door before the daemon, one step after another until it is told to stop."""

import asyncio
import signal

from rich.console import Console

from bandgap.hdl.protocol.reports import TradingState
from bandgap.host.clock import VenueClock
from bandgap.host.config import VenueConfig
from bandgap.host.daemon import Daemon
from bandgap.host.gateway.front_door import FrontDoor
from bandgap.host.step import StepInput, StepResult, TradingChange

_LONGEST_PAUSE_NS = 500_000_000
_PAUSES_A_WATCHDOG = 4


async def serve(config: VenueConfig, daemon: Daemon, clock: VenueClock, console: Console) -> None:
    """Serve until SIGTERM or SIGINT; a step is made when something has come in, and often enough for the watchdog.

    Parameters
    ----------
    daemon : The venue; it stays open.
    clock : Begins no earlier than the daemon's last step has ended.
    console : Where halts and liquidations are told, and what is wrong with the computer's clock.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    door = FrontDoor(config)
    port = await door.open()
    console.print(f"listening on {config.gateway.host}:{port}")
    pause_s = min(_LONGEST_PAUSE_NS, config.watchdog_ns // _PAUSES_A_WATCHDOG) / 1e9
    try:
        while not stop.is_set():
            intake = await door.take(pause_s)
            now_ns = clock.now_ns()
            requests = door.requests(intake, now_ns)
            result = daemon.step(StepInput(now_ns, requests, door.quotes(intake, now_ns)))
            door.answer(requests, result)
            _tell(config, result, console)
            if complaint := clock.complaint():
                console.print(complaint)
    finally:
        await door.close()


_STATES = {
    TradingState.TRADING: "trades",
    TradingState.LIMIT: "is in a limit state",
    TradingState.HALTED: "is halted",
    TradingState.CALL: "is in an auction call",
    TradingState.PRE_OPEN: "is about to open",
    TradingState.CLOSED: "is closed",
}


def _describe(name: str, change: TradingChange) -> str:
    """State, why it came to that, and for how long."""
    text = f"{name} {_STATES[change.state]} ({change.cause.value})"
    return f"{text} for {(change.until_ns - change.time_ns) / 1e9:g} s" if change.until_ns else text


def _tell(config: VenueConfig, result: StepResult, console: Console) -> None:
    for change in result.trading_changes:
        console.print(_describe(config.instruments[change.instrument].name, change))
    for account in result.liquidation.kill:
        console.print(f"{config.accounts[account].name} is under its maintenance margin: liquidation")
    for account in result.liquidation.restore:
        console.print(f"{config.accounts[account].name} is restored")
