"""What a venue's configuration means for the device and for the parts of the host."""

from collections.abc import Sequence

from bandgap.host.breaker import Breaker
from bandgap.host.config import InstrumentConfig, VenueConfig
from bandgap.host.device import operator
from bandgap.host.device.device import DeviceSizes
from bandgap.host.margin.requirements import InstrumentRates
from bandgap.host.recovery import DaemonError
from bandgap.host.wire import Bytes2D

OPERATOR_LINK, CLIENT_LINK = 0, 1
"""Operator commands and closing orders come by the privileged link, clients' orders by one that is not."""


def check_fit(config: VenueConfig, sizes: DeviceSizes) -> None:
    """See that the venue fits into the device.

    Raises
    ------
    DaemonError : It does not; the message names what is too small.
    """
    needs = {
        "instruments": len(config.instruments),
        "accounts": len(config.accounts),
        "ticks": sum(instrument.window_ticks for instrument in config.instruments),
        "links": CLIENT_LINK + 1,
    }
    for name, needed in needs.items():
        if needed > getattr(sizes, name):
            raise DaemonError(f"the venue needs {needed} {name}, the device has {getattr(sizes, name)}")


def instrument_commands(instruments: Sequence[InstrumentConfig]) -> list[Bytes2D]:
    """The commands that set all instruments, each in its place of the ladder.

    Windows are powers of two: laid out from the largest to the smallest, each begins at a multiple of its size.
    """
    commands, offset = [], 0
    for number, instrument in sorted(enumerate(instruments), key=lambda one: -one[1].window_ticks):
        commands.append(
            operator.set_instrument(
                number,
                window_base_ticks=instrument.window_base_ticks,
                window_ticks=instrument.window_ticks,
                ladder_offset=offset,
                multiplier_quote=instrument.multiplier_quote,
                top_of_book=False,
                depth=False,
            )
        )
        offset += instrument.window_ticks
    return commands


def breaker_of(instrument: InstrumentConfig) -> Breaker:
    """The instrument's breaker."""
    return Breaker(
        window_base_ticks=instrument.window_base_ticks,
        window_ticks=instrument.window_ticks,
        width_ppm=instrument.band_width_ppm,
        step_ppm=instrument.band_step_ppm,
        halt_ns=instrument.halt_ns,
    )


def rates_of(instrument: InstrumentConfig) -> InstrumentRates:
    """What margin needs to know of the instrument; of the two fees the larger."""
    return InstrumentRates(
        instrument.multiplier_quote,
        instrument.initial_margin_ppm,
        instrument.maintenance_margin_ppm,
        max(instrument.maker_fee_ppm, instrument.taker_fee_ppm),
    )
