"""The tape: what the device tells of trades, bands and states, followed from its reports and nothing else.

The host's own notion of a breaker has no part in it, so whoever reads the tape sees what the device did, not what the
host believes.
"""

from dataclasses import dataclass, field
from typing import Any

from bandgap.hdl.protocol.commands import Opcode
from bandgap.hdl.protocol.reports import Reason, ReportKind, TradingState
from bandgap.host.wire import COMMAND_DTYPES, Bytes2D, as_reports, command_headers, report_headers

CONTINUOUS = (TradingState.TRADING, TradingState.LIMIT)


@dataclass(frozen=True)
class Bounds:
    """Where trades could print, from `from_ns` on."""

    from_ns: int
    lower_ticks: int
    upper_ticks: int
    reference_ticks: int


@dataclass
class Phase:
    """An instrument was in a state from `from_ns` to `to_ns` (None: still is).

    Attributes
    ----------
    state : The state.
    from_ns, to_ns : Its time.
    until_ns : When a timer ends it, as told last; zero: none does.
    extensions : How often a call was extended.
    """

    state: TradingState
    from_ns: int
    to_ns: int | None = None
    until_ns: int = 0
    extensions: int = 0


@dataclass(frozen=True)
class Auction:
    """An auction that traded, or found nothing to trade (price zero)."""

    time_ns: int
    price_ticks: int
    trades: int
    volume_lots: int


@dataclass
class Track:
    """One instrument's part of the tape.

    Attributes
    ----------
    bands : Its static bands.
    auction_bands : Its auction bands; one lasts as long as its call, or until the next.
    phases : Its states.
    auctions : Its auctions.
    prints : (time, price) of its trades.
    outside : Trades that printed where they must not, in words.
    indicatives : (time, price) of the indicative prices; zero where nothing would trade.
    """

    bands: list[Bounds] = field(default_factory=list)
    auction_bands: list[Bounds] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    auctions: list[Auction] = field(default_factory=list)
    prints: list[tuple[int, int]] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    indicatives: list[tuple[int, int]] = field(default_factory=list)

    @property
    def phase(self) -> Phase:
        """The state of now."""
        return self.phases[-1]


_FOLLOWED = {
    kind.value: kind
    for kind in (
        ReportKind.TRADE,
        ReportKind.BAND_MOVED,
        ReportKind.TRADING_STATE,
        ReportKind.INDICATIVE,
        ReportKind.UNCROSSED,
    )
}


class Tape:
    """The tape of a device epoch from its beginning.

    The auction band is the static band, widened each way by what `SET_REFERENCE_RULE` said, once more with every
    extension, and cut off at the window that `SET_INSTRUMENT` has set and `MOVE_WINDOW` moves; these three commands are
    followed as well.

    Parameters
    ----------
    instruments : How many there are.

    Attributes
    ----------
    tracks : One for each instrument.
    """

    def __init__(self, instruments: int) -> None:
        self.tracks = [Track(phases=[Phase(TradingState.HALTED, 0)]) for _ in range(instruments)]
        self._windows = [(0, 0)] * instruments
        self._auction_widths_ticks = [0] * instruments

    def follow(self, commands: Bytes2D, reports: Bytes2D) -> None:
        """Take what the operator's commands set, and what the reports tell, both the next of the epoch."""
        sent = {number: row for row, number in enumerate(command_headers(commands)["number"].tolist())}
        headers = report_headers(reports)
        layouts = {kind: as_reports(reports, kind) for kind in _FOLLOWED.values()}
        columns = [headers[name].tolist() for name in ("kind", "instrument", "time_ns", "link", "command_number")]
        for row, (code, instrument, time_ns, link, number) in enumerate(zip(*columns, strict=True)):
            if code == ReportKind.DONE.value and link == 0 and number in sent:
                self._take_command(commands[sent[number]], time_ns)
            kind = _FOLLOWED.get(code)
            if kind is not None:
                self._take_report(kind, layouts[kind][row], instrument, time_ns)

    def _take_command(self, command: Any, time_ns: int) -> None:
        """A command was carried out."""
        row = command.reshape(1, -1)
        header = command_headers(row)[0]
        instrument = int(header["instrument"])
        if header["opcode"] == Opcode.SET_INSTRUMENT.value:
            told = row.view(COMMAND_DTYPES[Opcode.SET_INSTRUMENT])[0, 0]
            base_ticks = int(told["window_base_ticks"])
            self._windows[instrument] = base_ticks, base_ticks + (1 << int(told["window_log2"])) - 1
        elif header["opcode"] == Opcode.MOVE_WINDOW.value:
            told = row.view(COMMAND_DTYPES[Opcode.MOVE_WINDOW])[0, 0]
            base_ticks, (before_ticks, last_ticks) = int(told["window_base_ticks"]), self._windows[instrument]
            self._windows[instrument] = base_ticks, base_ticks + last_ticks - before_ticks
        elif header["opcode"] == Opcode.SET_REFERENCE_RULE.value:
            told = row.view(COMMAND_DTYPES[Opcode.SET_REFERENCE_RULE])[0, 0]
            self._auction_widths_ticks[instrument] = int(told["auction_width_ticks"])
        else:
            return
        self._follow_auction_band(instrument, time_ns)

    def _take_report(self, kind: ReportKind, report: Any, instrument: int, time_ns: int) -> None:
        track = self.tracks[instrument]
        if kind is ReportKind.TRADE:
            self._take_trade(track, int(report["price_ticks"]), auction=not report["header"]["side"], time_ns=time_ns)
        elif kind is ReportKind.BAND_MOVED:
            bounds = (int(report[f"{name}_ticks"]) for name in ("lower", "upper", "reference"))
            track.bands.append(Bounds(time_ns, *bounds))
            self._follow_auction_band(instrument, time_ns)
        elif kind is ReportKind.TRADING_STATE:
            self._take_state(instrument, report, time_ns)
        elif kind is ReportKind.INDICATIVE:
            track.indicatives.append((time_ns, int(report["price_ticks"])))
        else:
            auction = (int(report[name]) for name in ("price_ticks", "trades", "volume_lots"))
            track.auctions.append(Auction(time_ns, *auction))

    @staticmethod
    def _take_trade(track: Track, price_ticks: int, *, auction: bool, time_ns: int) -> None:
        track.prints.append((time_ns, price_ticks))
        bands, name = (track.auction_bands, "auction band") if auction else (track.bands, "band")
        if not bands:
            track.outside.append(f"a trade at {price_ticks} without a {name}, at {time_ns} ns")
        elif not bands[-1].lower_ticks <= price_ticks <= bands[-1].upper_ticks:
            bounds = f"{bands[-1].lower_ticks} to {bands[-1].upper_ticks}"
            track.outside.append(f"a trade at {price_ticks}, {name} {bounds}, at {time_ns} ns")
        right = track.phase.state is TradingState.CALL if auction else track.phase.state in CONTINUOUS
        if not right:
            track.outside.append(f"a trade at {price_ticks} in state {track.phase.state.name}, at {time_ns} ns")

    def _take_state(self, instrument: int, report: Any, time_ns: int) -> None:
        track = self.tracks[instrument]
        state, until_ns = TradingState(int(report["state"])), int(report["until_ns"])
        if report["header"]["reason"] == Reason.EXTENDED.value:
            track.phase.extensions += 1
            track.phase.until_ns = until_ns
        else:
            track.phase.to_ns = time_ns
            track.phases.append(Phase(state, time_ns, until_ns=until_ns))
        self._follow_auction_band(instrument, time_ns)

    def _follow_auction_band(self, instrument: int, time_ns: int) -> None:
        """What it depends on may have changed."""
        track = self.tracks[instrument]
        if track.phase.state is not TradingState.CALL or not track.bands:
            return
        band = track.bands[-1]
        width_ticks = (1 + track.phase.extensions) * self._auction_widths_ticks[instrument]
        lowest_ticks, highest_ticks = self._windows[instrument]
        bounds = Bounds(
            time_ns,
            max(band.lower_ticks - width_ticks, lowest_ticks),
            min(band.upper_ticks + width_ticks, highest_ticks),
            band.reference_ticks,
        )
        track.auction_bands.append(bounds)
