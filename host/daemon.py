"""The daemon: one step is the story of a fill, from what comes in to money that has settled.

    requests, quotes, deposits -> decide -> journal -> device -> reports -> positions -> ledger -> journal

What a step's reports change (free margin, liquidations, a tripped breaker) is decided on at the head of the next step,
before any client's order of that step. Every decision is a function of the journal: a restarted daemon carries out the
journaled batches again, on a fresh device, and comes to the same state, or says where it does not.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from bandgap.hdl.protocol.commands import (
    COMMAND_BYTES,
    ExpiryAction,
    Opcode,
    OrderFlags,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from bandgap.hdl.protocol.reports import REPORT_BYTES, Reason, ReportKind, TradingState
from bandgap.host.books import Books
from bandgap.host.breaker import Band
from bandgap.host.config import MONEY_LIMIT_QUOTE, VenueConfig
from bandgap.host.device import operator
from bandgap.host.device.device import Device
from bandgap.host.device.transport import Transport
from bandgap.host.founding import (
    CLIENT_LINK,
    OPERATOR_LINK,
    breaker_commands,
    breaker_of,
    check_fit,
    instrument_commands,
    rates_of,
    try_instruments,
)
from bandgap.host.gateway.order_entry import REQUEST_DTYPE, Encoded, OrderEntry, RequestError
from bandgap.host.liquidation.liquidator import ClosingOrder, Liquidator, Round
from bandgap.host.margin.credit import CreditLines
from bandgap.host.margin.requirements import (
    MarginState,
    ValueLimitError,
    assess,
    can_be_valued,
    cost_ppm,
    credit_target,
)
from bandgap.host.market_halt import MarketHalt
from bandgap.host.oracle.oracle import Oracle, QuoteError
from bandgap.host.recovery import (
    DaemonError,
    JournalMismatchError,
    rules_in_writing,
    see_journaled_times,
    see_same_commands,
    see_same_reports,
)
from bandgap.host.settlement.ledger import EXTERNAL
from bandgap.host.settlement.store import Batch, Store, StoreError, batch_digest, first_digest
from bandgap.host.step import StepInput, StepInputError, StepResult, TradingChange
from bandgap.host.verification import verify
from bandgap.host.wire import (
    Bytes2D,
    Records,
    as_reports,
    command_headers,
    report_headers,
    select_reports,
)

_CLOSING_SHARE = 64
"""One slot in this many is kept for closing orders."""

_TIME_LIMIT_NS = 1 << 63
_FIRST_OPERATOR_OPCODE = 16


class Daemon:
    """A venue on one device.

    Parameters
    ----------
    config : The venue.
    transport : A fresh device; the daemon owns it from now on.
    store : Journal and ledger; what is in it is carried out again first.
    follow_recovery : Is told behind each batch of the journal how many have been carried out, and of how many.

    Attributes
    ----------
    config : The venue.
    device : The device.
    oracle, breakers, market, books, positions, lines, liquidator, ledger : The state of each part, to read.
    margin : Equity and requirements of every account, as the last step decided on them.
    digest : The journal's digest after the last step.
    time_ns : The end of the last step: when its last command arrived.
    sequence : Number of the next step.

    Raises
    ------
    ConfigError : The venue does not fit into the device, or the device rejects an instrument; the store is untouched.
    StoreError : The store is of another venue, or not as it should be.
    StoodStillError : The host stood still meanwhile; another try may come to the end.
    DaemonError : Any other: the journal does not come out as it did, or cannot be carried out to its end.
    """

    def __init__(
        self,
        config: VenueConfig,
        transport: Transport,
        store: Store,
        follow_recovery: Callable[[int, int], None] = lambda done, batches: None,
    ) -> None:
        self.config = config
        self._store = store
        self.device = Device(transport)
        sizes = self.device.sizes
        check_fit(config, sizes)
        try_instruments(config, self.device)
        self.device = Device(transport)  # a new epoch: what was tried is forgotten
        closing_slots = max(1, sizes.orders // _CLOSING_SHARE)
        self.device.set_token_range(OPERATOR_LINK, 0, closing_slots)
        self.device.set_token_range(CLIENT_LINK, closing_slots, sizes.orders - closing_slots)
        self._closing = OrderEntry(closing_slots)
        self._clients = OrderEntry(sizes.orders - closing_slots, closing_slots)
        self._closing_orders = 0

        instruments = config.instruments
        self.oracle = Oracle(
            len(config.oracle.sources),
            len(instruments),
            quorum=config.oracle.quorum,
            staleness_ns=config.oracle.staleness_ns,
            max_deviation_ppm=config.oracle.max_deviation_ppm,
        )
        self.breakers = [breaker_of(instrument, config.timetable) for instrument in instruments]
        self.market = MarketHalt(len(instruments), config.market_halt.levels_ppm, config.market_halt.halt_us)
        self._marks_ticks = [0] * len(instruments)
        self._rates = [rates_of(instrument) for instrument in instruments]
        self.books = Books(config)
        self.positions, self.ledger = self.books.positions, self.books.ledger
        self.lines = CreditLines(len(config.accounts), sizes.orders, closing_slots)
        self.liquidator = Liquidator([one.liquidation_slice_lots for one in instruments], closing_slots)
        self.margin = self._assess()
        self.time_ns = 0
        self.sequence = 0

        rules, device_sizes = rules_in_writing(config, store.rules), json.dumps(asdict(sizes))
        store.begin_venue(rules, device_sizes, self.ledger.names)
        self.digest = first_digest(rules, device_sizes)
        verify(store)
        batch_count = store.batch_count
        for batch in store.batches():
            self._carry_out(self._journaled_input(batch), batch)
            follow_recovery(self.sequence, batch_count)

    def step(self, given: StepInput) -> StepResult:
        """Take in what has come, and carry it through to settled money.

        Raises
        ------
        StepInputError : The input cannot be taken; nothing was changed.
        DaemonError, DeviceError, StoreError : The venue cannot go on.
        """
        self._check(given)
        return self._carry_out(given, None)

    def close(self) -> None:
        """Let device and store go."""
        self.device.close()
        self._store.close()

    def _journaled_input(self, batch: Batch) -> StepInput:
        try:
            given = StepInput.from_bytes(batch.time_ns, batch.requests, batch.quotes, batch.deposits)
            self._check(given)
        except StepInputError as error:
            raise StoreError(f"batch {batch.sequence}: {error}") from error
        return given

    def _carry_out(self, given: StepInput, journaled: Batch | None) -> StepResult:
        """One step from input to settlement; `journaled` is what the journal already has of it."""
        marks = self._mark(given)
        commands, liquidation = self._decide(given, marks)
        encoded = self._clients.encode(given.requests)
        self.device.number(commands)
        self.device.number(encoded.commands)
        batch = self._as_batch(given, commands, encoded)
        if journaled is None:
            self._store.begin_batch(batch)
        else:
            see_same_commands(batch, journaled)

        reports = self._exchange(batch)
        if journaled is not None and journaled.reports is not None:
            reports = see_same_reports(self.sequence, reports, _rows(journaled.reports, REPORT_BYTES))
        self._see_nothing_rejected(commands, reports)

        ids = self._clients.follow(reports)
        closing_ids = self._closing.follow(reports)
        self._settle(reports)
        changes = self._follow_trading(commands, reports)
        transfers = self.ledger.take_transfers()
        self._prove_balance()
        self.digest = batch_digest(self.digest, batch, reports, transfers)
        if journaled is None or journaled.reports is None:
            self._store.finish_batch(self.sequence, reports, self.digest, transfers, self.ledger.balances_quote)
        elif journaled.digest != self.digest:
            raise JournalMismatchError(
                f"batch {self.sequence}: digest {self.digest.hex()} now, {(journaled.digest or b'').hex()} journaled"
            )
        result = StepResult(
            self.sequence,
            given.time_ns,
            encoded,
            int(command_headers(encoded.commands)["number"][0]) if len(encoded.commands) else 0,
            commands,
            reports,
            ids,
            closing_ids,
            tuple(marks),
            tuple(changes),
            self.market.index_ppm,
            liquidation,
            self.digest,
        )
        self.time_ns = max(given.time_ns, int(given.requests["arrival_ns"].max(initial=0)))
        self.sequence += 1
        return result

    def _mark(self, given: StepInput) -> list[int | None]:
        """Take the quotes; the mark price of each instrument now, None as well where margin cannot be worked out at it.

        Margin then stays at the last mark. Nothing trades there that would have to be valued: without a mark the
        instrument is halted in the same step.
        """
        for quote in given.quotes:
            self.oracle.take(quote)
        marks = [self.oracle.mark_ticks(n, given.time_ns) for n in range(len(self.config.instruments))]
        most_lots = np.abs(self.positions.lots).max(axis=0).tolist()
        marks = [
            mark if mark and can_be_valued(mark, most, rates.multiplier_quote, len(marks)) else None
            for mark, most, rates in zip(marks, most_lots, self._rates, strict=True)
        ]
        self._marks_ticks = [new or last for new, last in zip(marks, self._marks_ticks, strict=True)]
        return marks

    def _decide(self, given: StepInput, marks: list[int | None]) -> tuple[Bytes2D, Round]:
        """The operator commands of this step: what marks, deposits and the last step's reports make necessary."""
        commands = [operator.heartbeat(self.config.watchdog_ns, ExpiryAction.HALT)]
        if self.sequence == 0:
            commands += self._found_venue()
        for deposit in given.deposits:
            self.ledger.deposit(deposit.account, deposit.amount_quote)
        commands += self._decide_trading(given.time_ns, marks)

        self.margin = self._assess()
        decided = self.liquidator.next_round(
            self.margin.equity_quote,
            self.margin.initial_quote,
            self.margin.maintenance_quote,
            self.positions.lots,
            [breaker.takes_market_orders(given.time_ns) for breaker in self.breakers],
            self.ledger.insurance_fund_quote,
            self._closing.open_orders(),
        )
        for account, amount_quote in decided.cover:
            self.ledger.cover(account, amount_quote)
        commands.append(operator.grant_credit(*self.lines.grants(self._credit_targets(given.time_ns))))
        commands.append(operator.kill_accounts(decided.kill))
        commands.append(operator.restore_accounts(decided.restore))
        commands.append(self._closing.encode(self._closing_requests(decided.close)).commands)
        return np.concatenate(commands), decided

    def _found_venue(self) -> list[Bytes2D]:
        """The first step's work: initial deposits, and the instruments."""
        self.books.begin()
        return instrument_commands(self.config.instruments)

    def _decide_trading(self, now_ns: int, marks: list[int | None]) -> list[Bytes2D]:
        """Halt the market, move bands and windows, halt, tell the timetables, open calls and resume."""
        clock = self.config.session
        session = clock.number(now_ns)
        commands = []
        duration_us = self.market.decide(marks, now_ns, session=session, session_end_ns=clock.end_ns(now_ns))
        if duration_us is not None:
            commands.append(operator.halt(duration_us=duration_us))
            for breaker in self.breakers:
                breaker.hold(self.market.until_ns if duration_us else 0)
        for number, (breaker, mark) in enumerate(zip(self.breakers, marks, strict=True)):
            move = breaker.decide(
                mark, now_ns, session=session, late=clock.is_late(now_ns), held=self.market.holds(now_ns)
            )
            commands += breaker_commands(number, self.config.instruments[number], move, self._draw_call_end(number))
        return commands

    def _draw_call_end(self, instrument: int) -> int | None:
        """By how much the next call is longer, drawn as soon as the one before is over; None where that is known.

        The draw is SHA-256 of the journal so far, which holds every request: nobody can know it beforehand, and a
        journal carried out again draws the same. `SET_CALL_END` records it.
        """
        breaker = self.breakers[instrument]
        most_us = breaker.settings.random_end_us
        if not (breaker.draw_due and most_us):
            return None
        drawn = hashlib.sha256(self.digest + b"call end" + instrument.to_bytes(1, "little")).digest()
        extra_us = int.from_bytes(drawn[:8], "little") % (most_us + 1)
        breaker.draw_call_end(extra_us)
        return extra_us

    def _assess(self) -> MarginState:
        positions = self.positions
        try:
            return assess(
                self.ledger.cash_quote, positions.lots, positions.entry_value_quote, self._marks_ticks, self._rates
            )
        except ValueLimitError as error:
            name = self.config.instruments[error.instrument].name
            raise DaemonError(f"batch {self.sequence}: {name}: {error}") from error

    def _credit_targets(self, now_ns: int) -> NDArray[np.int64]:
        """What each account may have reserved; nothing before the first band.

        The next grant comes with the next step, or the watchdog halts before: what may happen until then counts.
        """
        horizon_ns = now_ns + self.config.watchdog_ns
        costs = [
            cost_ppm(mark, reach.lower_ticks, reach.upper_ticks, rates.initial_margin_ppm, rates.fee_ppm)
            for breaker, mark, rates in zip(self.breakers, self._marks_ticks, self._rates, strict=True)
            if (reach := breaker.reach(now_ns, horizon_ns)) is not None
        ]
        if not costs:
            return np.zeros_like(self.ledger.cash_quote)
        return credit_target(self.margin.equity_quote - self.margin.initial_quote, max(costs))

    def _closing_requests(self, orders: list[ClosingOrder]) -> Records:
        requests: Records = np.zeros(len(orders), REQUEST_DTYPE)
        requests["kind"] = Opcode.NEW_ORDER.value
        requests["order_type"] = OrderType.MARKET.value
        requests["time_in_force"] = TimeInForce.IOC.value
        requests["self_trade_prevention"] = SelfTradePrevention.CANCEL_NEWEST.value
        requests["flags"] = OrderFlags.REDUCE_ONLY.value
        requests["account"] = [order.account for order in orders]
        requests["instrument"] = [order.instrument for order in orders]
        requests["quantity_lots"] = [abs(order.signed_lots) for order in orders]
        requests["side"] = [(Side.BUY if order.signed_lots > 0 else Side.SELL).value for order in orders]
        requests["client_order_id"] = self._closing_orders + 1 + np.arange(len(orders))
        self._closing_orders += len(orders)
        return requests

    def _as_batch(self, given: StepInput, commands: Bytes2D, encoded: Encoded) -> Batch:
        return Batch(
            sequence=self.sequence,
            time_ns=given.time_ns,
            **given.to_bytes(),
            operator_commands=commands.tobytes(),
            client_commands=encoded.commands.tobytes(),
            client_arrivals_ns=given.requests["arrival_ns"][encoded.rows].tobytes(),
        )

    def _exchange(self, batch: Batch) -> Bytes2D:
        """Send what is in the journal; all reports it causes."""
        operator_commands = _rows(batch.operator_commands, COMMAND_BYTES)
        client_commands = _rows(batch.client_commands, COMMAND_BYTES)
        now_ns = np.full(len(operator_commands), batch.time_ns, np.uint64)
        client_arrivals_ns = np.frombuffer(batch.client_arrivals_ns, np.uint64)
        self.device.send(operator_commands, now_ns, OPERATOR_LINK)
        if len(client_commands):
            self.device.send(client_commands, client_arrivals_ns, CLIENT_LINK)
        reports = self.device.receive()
        commands = np.concatenate([operator_commands, client_commands])
        see_journaled_times(batch.sequence, commands, np.concatenate([now_ns, client_arrivals_ns]), reports)
        return reports

    def _see_nothing_rejected(self, commands: Bytes2D, reports: Bytes2D) -> None:
        """The device takes every operator command (closing orders aside), or host and device disagree on the state."""
        headers = report_headers(reports)
        rejected = (headers["kind"] == ReportKind.REJECTED.value) & (headers["link"] == OPERATOR_LINK)
        sent = command_headers(commands)
        for report in headers[rejected]:
            opcode = int(sent["opcode"][sent["number"] == report["command_number"]][0])
            if opcode >= _FIRST_OPERATOR_OPCODE:
                reason = Reason(int(report["reason"])).name
                raise DaemonError(
                    f"batch {self.sequence}: the device rejects {Opcode(opcode).name}: {reason}: "
                    "host and device disagree on the state of the venue"
                )

    def _settle(self, reports: Bytes2D) -> None:
        """Reports become used credit, positions and transfers."""
        kinds = report_headers(reports)["kind"]
        orders = np.isin(kinds, (ReportKind.ACCEPTED.value, ReportKind.REPLACED.value, ReportKind.TRADE.value))
        rows = as_reports(reports, ReportKind.TRADE)[orders]
        columns = [rows["header"][name].tolist() for name in ("kind", "instrument")]
        columns += [
            rows[name].tolist()
            for name in ("price_ticks", "quantity_lots", "account", "token", "maker_account", "maker_token")
        ]
        for kind, instrument, price, lots, taker, token, maker, maker_token in zip(*columns, strict=True):
            if kind != ReportKind.TRADE.value:
                self.lines.entered(token, price)
                continue
            multiplier_quote = self.config.instruments[instrument].multiplier_quote
            self.lines.filled(taker, token, lots, multiplier_quote)
            self.lines.filled(maker, maker_token, lots, multiplier_quote)
        self.books.book(select_reports(reports, ReportKind.TRADE))

    def _follow_trading(self, commands: Bytes2D, reports: Bytes2D) -> list[TradingChange]:
        """Bands, states and ends of calls, in the order in which they were told, and whether the watchdog has acted."""
        headers, sent = report_headers(reports), command_headers(commands)
        kinds = headers["kind"]
        if ((kinds == ReportKind.DONE.value) & (headers["reason"] == Reason.WATCHDOG.value)).any():
            for breaker in self.breakers:
                breaker.follow_watchdog()
        call_ends = sent["number"][sent["opcode"] == Opcode.SET_CALL_END.value]
        taken = (headers["link"] == OPERATOR_LINK) & np.isin(headers["command_number"], call_ends)
        taken &= kinds == ReportKind.DONE.value
        rows = reports[np.isin(kinds, (ReportKind.BAND_MOVED.value, ReportKind.TRADING_STATE.value)) | taken]
        bands, states = as_reports(rows, ReportKind.BAND_MOVED), as_reports(rows, ReportKind.TRADING_STATE)
        changes = []
        for band, told in zip(bands, states, strict=True):
            header = told["header"]
            breaker = self.breakers[header["instrument"]]
            if header["kind"] == ReportKind.BAND_MOVED.value:
                breaker.follow_band(
                    Band(int(band["lower_ticks"]), int(band["upper_ticks"]), int(band["reference_ticks"]))
                )
                continue
            if header["kind"] == ReportKind.DONE.value:
                breaker.follow_call_end()
                continue
            state, until_ns = TradingState(int(told["state"])), int(told["until_ns"])
            breaker.follow_state(state, until_ns, Reason(int(header["reason"])))
            changes.append(
                TradingChange(int(header["time_ns"]), int(header["instrument"]), state, until_ns, breaker.cause)
            )
        return changes

    def _prove_balance(self) -> None:
        """Nothing is lost: the ledger sums to zero, and clearing owes exactly what positions have cost."""
        if total := int(self.ledger.balances_quote.sum()):
            raise DaemonError(f"batch {self.sequence}: the ledger sums to {total}, not zero")
        open_quote = self.ledger.clearing_quote + self.positions.entry_value_quote.sum(axis=0)
        if open_quote.any():
            raise DaemonError(f"batch {self.sequence}: clearing and positions differ by {open_quote.tolist()}")

    def _check(self, given: StepInput) -> None:
        if not self.time_ns <= given.time_ns < _TIME_LIMIT_NS:
            raise StepInputError(f"step at {given.time_ns} ns, but the last one ended at {self.time_ns} ns")
        arrivals = given.requests["arrival_ns"].astype(np.int64)
        if len(arrivals) and (arrivals[0] < given.time_ns or (np.diff(arrivals) < 0).any()):
            raise StepInputError(f"arrivals of requests decrease, or begin before the step at {given.time_ns} ns")
        accounts = len(self.config.accounts)
        unknown = np.flatnonzero(given.requests["account"] >= accounts)
        if len(unknown):
            account = given.requests["account"][unknown[0]]
            raise StepInputError(f"request {unknown[0]}: no account {account}, there are {accounts}")
        for deposit in given.deposits:
            if not (0 <= deposit.account < accounts and deposit.amount_quote > 0):
                raise StepInputError(f"{deposit}: the account is unknown or the amount not positive")
        deposited_quote = -int(self.ledger.balances_quote[EXTERNAL])
        if deposited_quote + sum(deposit.amount_quote for deposit in given.deposits) >= MONEY_LIMIT_QUOTE:
            raise StepInputError(f"with {deposited_quote} deposited before, all deposits reach {MONEY_LIMIT_QUOTE}")
        try:
            for quote in given.quotes:
                self.oracle.check(quote, given.time_ns)
            self._clients.check(given.requests)
        except (QuoteError, RequestError) as error:
            raise StepInputError(str(error)) from error


def _rows(data: bytes, width: int) -> Bytes2D:
    return np.frombuffer(data, np.uint8).reshape(-1, width)
