"""Was it right? What the demo proves of its own session, from the store it left behind."""

from contextlib import closing
from pathlib import Path

import numpy as np

from bandgap.hdl.protocol.commands import COMMAND_BYTES
from bandgap.hdl.protocol.reports import REPORT_BYTES
from bandgap.host.config import VenueConfig
from bandgap.host.daemon import Daemon
from bandgap.host.device.device import DeviceError
from bandgap.host.device.transport import open_transport
from bandgap.host.recovery import DaemonError
from bandgap.host.settlement.store import Store, StoreError
from bandgap.host.verification import verify
from bandgap.host.wire import Bytes2D
from bandgap.sim.embedded import DeviceHungError
from bandgap.sim.summary import Check

from .tape import Tape

_FAILURES = (DaemonError, DeviceError, DeviceHungError, StoreError)
"""What a check that fails may run into: it is told, and the checks after it still run."""


def check_ledger(store: Path) -> Check:
    """Digests, transfers and balances are computed anew from the store's journal; all balances together are zero."""
    claim = "the ledger sums to zero"
    try:
        with closing(Store(store)) as opened:
            verified, balances = verify(opened), opened.balances_quote()
    except _FAILURES as error:
        return claim, False, str(error)
    return claim, True, f"{verified.transfers:,} transfers between {len(balances)} accounts"


def check_bands(venue: VenueConfig) -> Check:
    """Every trade of the journal must have printed inside the band that the device had told before it.

    Of an auction that is the auction band, of every other trade the static band; the demo has no dynamic ones. Nothing
    but reports is looked at, and of commands what the auction band follows from.
    """
    claim = "no trade printed outside its band"
    tape = Tape(len(venue.instruments))
    try:
        with closing(Store(venue.store)) as store:
            for batch in store.batches():
                tape.follow(_rows(batch.operator_commands, COMMAND_BYTES), _rows(batch.reports or b"", REPORT_BYTES))
    except _FAILURES as error:
        return claim, False, str(error)
    for instrument, track in zip(venue.instruments, tape.tracks, strict=True):
        if track.outside:
            return claim, False, f"{instrument.name}: {track.outside[0]}"
    prints = sum(len(track.prints) for track in tape.tracks)
    auctions = sum(one.trades > 0 for track in tape.tracks for one in track.auctions)
    return claim, True, f"{prints:,} trades, {auctions:,} auctions among them"


def _rows(data: bytes, width: int) -> Bytes2D:
    return np.frombuffer(data, np.uint8).reshape(-1, width)


def check_model(venue: VenueConfig, preset: str, resting: int) -> Check:
    """The reference model is given the journaled commands and must give every journaled report, byte for byte.

    The session's last commands cancel every order, so the reports also name the whole book.

    Arguments
    ---------
    venue : The venue whose store is checked.
    preset : Sizes of the device.
    resting : How many orders the device canceled at the end.
    """
    claim = "the device's book equals the model's book"
    try:
        with closing(open_transport(f"model:{preset}")) as model, closing(Store(venue.store)) as store:
            Daemon(venue, model, store)
    except _FAILURES as error:
        return claim, False, str(error)
    return claim, True, f"every report of the session, and {resting:,} orders that rested at its end"


def check_journal(venue: VenueConfig, device: str, lived: Daemon) -> Check:
    """The journal, carried out again on a fresh device, must come to the state that the session came to.

    Arguments
    ---------
    venue : The venue whose store is checked.
    device : Device URL.
    lived : The venue as the session left it.
    """
    claim = "the journal replays to the same state"
    try:
        with closing(open_transport(device)) as fresh, closing(Store(venue.store)) as store:
            again = Daemon(venue, fresh, store)
    except _FAILURES as error:
        return claim, False, str(error)
    same = (
        again.digest == lived.digest
        and np.array_equal(again.ledger.balances_quote, lived.ledger.balances_quote)
        and np.array_equal(again.positions.lots, lived.positions.lots)
        and np.array_equal(again.positions.entry_value_quote, lived.positions.entry_value_quote)
        and np.array_equal(again.lines.line_quote, lived.lines.line_quote)
    )
    return claim, same, f"{again.sequence:,} batches, digest {again.digest.hex()[:16]}"
