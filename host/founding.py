"""What a venue's configuration means for the device and for the parts of the host."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from bandgap.hdl.protocol.commands import BandPolicy, ReferenceSource, TradingMode
from bandgap.hdl.protocol.reports import Reason, ReportKind
from bandgap.host.breaker import Breaker, BreakerMove
from bandgap.host.config import PPM, ConfigError, InstrumentConfig, TimetableConfig, VenueConfig
from bandgap.host.device import operator
from bandgap.host.device.device import Device, DeviceSizes
from bandgap.host.margin.requirements import InstrumentRates
from bandgap.host.timetable import Timetable
from bandgap.host.wire import Bytes2D, command_headers, report_headers

OPERATOR_LINK, CLIENT_LINK = 0, 1
"""Operator commands and closing orders come by the privileged link, clients' orders by one that is not."""


def check_fit(config: VenueConfig, sizes: DeviceSizes) -> None:
    """See that the venue fits into the device.

    Raises
    ------
    ConfigError : It does not; the message names what is too small.
    """
    needs = {
        "instruments": len(config.instruments),
        "accounts": len(config.accounts),
        "ticks": sum(instrument.window_ticks for instrument in config.instruments),
        "links": CLIENT_LINK + 1,
    }
    for name, needed in needs.items():
        if needed > getattr(sizes, name):
            raise ConfigError(f"the venue needs {needed} {name}, the device has {getattr(sizes, name)}")


def try_instruments(config: VenueConfig, device: Device) -> None:
    """See that the device takes the instruments, before a journal says that it does; its next epoch forgets them.

    What no register tells decides as well, such as the smallest window.

    Raises
    ------
    ConfigError : It rejects one; the message names it and the reason.
    """
    commands = np.concatenate(instrument_commands(config.instruments))
    device.number(commands)
    device.send(commands, link=OPERATOR_LINK)
    sent = command_headers(commands)
    headers = report_headers(device.receive())
    for report in headers[headers["kind"] == ReportKind.REJECTED.value]:
        instrument = config.instruments[int(sent["instrument"][sent["number"] == report["command_number"]][0])]
        raise ConfigError(
            f"the device rejects instrument {instrument.name} ({Reason(int(report['reason'])).name}): "
            f"window_base_ticks {instrument.window_base_ticks}, window_ticks {instrument.window_ticks}, "
            f"multiplier_quote {instrument.multiplier_quote}; try more window_ticks: each device has a smallest window"
        )


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


def breaker_of(instrument: InstrumentConfig, timetable: TimetableConfig | None) -> Breaker:
    """The instrument's breaker; the timetable is the venue's, for an instrument without one of its own."""
    return Breaker(
        window_base_ticks=instrument.window_base_ticks,
        window_ticks=instrument.window_ticks,
        window_margin_ppm=instrument.window_margin_ppm,
        timetable=Timetable(instrument.timetable or timetable),
        settings=instrument.breaker,
    )


def breaker_commands(
    number: int, instrument: InstrumentConfig, move: BreakerMove, extra_us: int | None
) -> list[Bytes2D]:
    """What a breaker's move says to the device.

    The durations come with the dynamic bands, so not before the first static band: until then a halted instrument
    collects no orders, whose limits nothing would bound.

    Parameters
    ----------
    extra_us : How much longer calls are from now on; None: as they were.
    """
    settings = instrument.breaker
    commands = []
    if move.halt:
        commands.append(operator.halt(number))
    policy = BandPolicy[settings.policy.upper()]
    if move.window is not None:
        commands.append(operator.set_band(number, **asdict(move.window.band), policy=policy))
        commands.append(operator.move_window(number, move.window.base_ticks))
    if move.band is not None:
        commands.append(operator.set_band(number, **asdict(move.band), policy=policy))
    if move.rule is not None:
        commands.append(
            operator.set_reference_rule(
                number,
                **asdict(move.rule),
                move_ppm=settings.move_ppm,
                hold_us=settings.hold_us,
                source=ReferenceSource[settings.source.upper()],
                trades_log2=settings.trades_log2,
            )
        )
    if move.windows_of_ticks is not None:
        commands += _window_commands(number, instrument, move.windows_of_ticks)
    if extra_us is not None:
        commands.append(operator.set_call_end(number, extra_us))
    commands += [operator.set_schedule(number, **asdict(entry)) for entry in move.entries]
    if move.call:
        commands.append(operator.call(number))
    if move.resume:
        commands.append(operator.resume(number))
    return commands


def _window_commands(number: int, instrument: InstrumentConfig, price_ticks: int) -> list[Bytes2D]:
    """The dynamic bands, their widths shares of this price, and the durations."""
    settings = instrument.breaker
    return [
        operator.set_dynamic_band(
            number,
            short_width_ticks=price_ticks * settings.short_width_ppm // PPM,
            short_bucket_us=settings.short_bucket_us,
            short_buckets=settings.short_buckets,
            long_width_ticks=price_ticks * settings.long_width_ppm // PPM,
            long_bucket_us=settings.long_bucket_us,
            long_buckets=settings.long_buckets,
        ),
        operator.set_breaker(
            number,
            limit_us=settings.limit_us,
            halt_us=settings.halt_us,
            call_us=settings.call_us,
            extension_us=settings.extension_us,
            indicative_us=settings.indicative_us,
            mode=TradingMode[settings.mode.upper()],
            collects=settings.collects,
        ),
    ]


def rates_of(instrument: InstrumentConfig) -> InstrumentRates:
    """What margin needs to know of the instrument; of the two fees the larger."""
    return InstrumentRates(
        instrument.multiplier_quote,
        instrument.initial_margin_ppm,
        instrument.maintenance_margin_ppm,
        max(instrument.maker_fee_ppm, instrument.taker_fee_ppm),
    )
