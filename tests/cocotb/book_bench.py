"""The book alone on Verilator: random guarded commands with back-pressure, compared with the model's book.

What is compared: every report, and every release to the guard.
"""

import os
from dataclasses import dataclass
from random import Random
from struct import pack

import cocotb
from amaranth.hdl import Const
from amaranth.lib import data
from cocotb.handle import SimHandleBase
from pins import Pins, Sink

from bandgap.hdl.beats import Action, GuardedCommand, Preview, Release
from bandgap.hdl.config import PRESETS, BookConfig
from bandgap.hdl.protocol import commands as wire
from bandgap.hdl.protocol.reports import Reason
from bandgap.sim.model import book as model
from bandgap.sim.model import messages

EXIT_CYCLE = slice(24, 28)  # bytes of a report that the model leaves zero
MOST_CYCLES = 10_000


class Expectation:
    """The model's book, fed with what the gate would have let through, and what it says of it.

    Attributes
    ----------
    reports : 64 bytes each, number and epoch zero.
    releases : (account, instrument, price, quantity) each.
    """

    def __init__(self, config: BookConfig) -> None:
        self.reports: list[bytes] = []
        self.releases: list[tuple[int, int, int, int]] = []
        self.book = model.Book(config.instruments, self._released)
        self._tops = [self.book.top(index) for index in range(config.instruments)]

    def _released(self, order: model.Order, quantity_lots: int) -> None:
        if not order.reduce_only and quantity_lots:
            self.releases.append((order.account, order.instrument, order.price_ticks, quantity_lots))

    def send(self, cause: messages.Cause, reports: list[messages.Report]) -> None:
        """The reports of a command, then the levels and tops of book that it changed."""
        for report in reports:
            last = messages.LAST if report is reports[-1] else 0
            self.reports.append(messages.encode(report, cause, 0, 0, last))
        for told in self.book.changed_levels():
            self.reports.append(messages.encode(told, cause, 0, 0, 0))
        for index, before in enumerate(self._tops):
            top = self.book.top(index)
            if top != before:
                self._tops[index] = top
                self.reports.append(messages.encode(top, cause, 0, 0, 0))


def bits(layout: type, fields: dict[str, object]) -> int:
    """A struct's value as it stands on the pins."""
    return int(Const.cast(data.Layout.cast(layout).const(fields)).value)


@dataclass(frozen=True)
class Walker:
    """A command on its way to the book: what the guard shows of it at intake, in its second register, at the end.

    `alone`: nothing enters behind it before it is carried out.
    """

    preview: int
    price_ticks: int
    beat: int
    alone: bool


class Guard:
    """Stands in for the guard: three registers that move in step, and the command at the book behind them.

    It offers a command, and moves on, at random; never while the book is busy.
    """

    def __init__(self, dut: SimHandleBase, rng: Random, eagerness: float) -> None:
        self._dut, self._rng, self._eagerness = dut, rng, eagerness
        self.pending: list[Walker] = []
        self._registers: list[Walker | None] = [None, None, None]
        self._at_book: Walker | None = None
        dut.advance.value = 0
        dut.commands__valid.value = 0

    def drive(self) -> None:
        """After a rising edge."""
        dut = self._dut
        dut.commands__valid.value = int(self._at_book is not None)
        if self._at_book:
            dut.commands__payload.value = self._at_book.beat
        second = self._registers[1]
        dut.b_price_ticks.value = second.price_ticks if second else 0
        dut.preview.value = self.pending[0].preview if self.pending else 0
        dut.advance.value = 0

    def sample(self) -> None:
        """Before the next rising edge: the book's answers are steady now."""
        dut = self._dut
        taken = self._at_book is not None and int(dut.commands__ready.value)
        advance = (self._at_book is None or taken) and not int(dut.busy.value) and self._rng.random() < self._eagerness
        dut.advance.value = int(advance)
        if taken:
            self._at_book = None
        if advance:
            blocked = any(walker and walker.alone for walker in (*self._registers, self._at_book))
            waits = blocked or not self.pending or self._rng.random() >= self._eagerness
            enters = None if waits else self.pending.pop(0)
            *self._registers, self._at_book = [enters, *self._registers]


class Sender:
    """Draws commands that the gate could hand over, and tells the model of each."""

    def __init__(self, config: BookConfig, rng: Random) -> None:
        self._config, self._rng = config, rng
        self.expected = Expectation(config)
        self._number = 0
        self._generations = [0] * config.orders
        self._window_ticks = config.ticks // 2
        self._bases = [rng.choice((0, 1000, (1 << 32) - self._window_ticks)) for _ in range(config.instruments)]
        self.reserve_quote = 0

    def _cause(self, instrument: int) -> messages.Cause:
        self._number += 1
        self._instrument = instrument
        return messages.Cause(
            time_ns=self._rng.getrandbits(40), link=self._rng.choice((0, 0, 0, 1)), command_number=self._number
        )

    def _walker(self, action: Action, cause: messages.Cause, body: bytes, **fields: object) -> Walker:
        cause_fields = {
            "link": cause.link,
            "number": cause.command_number,
            "time_ns": cause.time_ns,
            "instrument": self._instrument,
        }
        beat = {"cause": cause_fields, "action": action, "body": int.from_bytes(body, "little"), **fields}
        preview = {
            "token": int.from_bytes(body[20:22], "little"),
            "instrument": self._instrument,
            "new": action is Action.NEW,
            "cancels": action is Action.CANCEL,
            "sell": body[24] == wire.Side.SELL.value,
            "generation": int.from_bytes(body[22:24], "little"),
            "account": int.from_bytes(body[16:20], "little"),
        }
        alone = action in (Action.SET_INSTRUMENT, Action.MOVE_BAND) or bool(fields.get("everyone"))
        return Walker(bits(Preview, preview), int(fields.get("price_ticks", 0)), bits(GuardedCommand, beat), alone)

    def set_instrument(self, instrument: int) -> Walker:
        cause = self._cause(instrument)
        depth = wire.InstrumentFlags.DEPTH.value if self._rng.random() < 0.5 else 0
        self.expected.book.tell_depth(instrument, bool(depth))
        body = pack(
            "<8xIIIBB10x",
            self._bases[instrument],
            instrument * self._window_ticks,
            3,
            self._window_ticks.bit_length() - 1,
            wire.InstrumentFlags.TOP_OF_BOOK.value + depth,
        )
        self.expected.send(cause, [messages.Done(instrument)])
        return self._walker(Action.SET_INSTRUMENT, cause, body)

    def _order_body(self, price: int, quantity: int, account: int, token: int, generation: int, tail: bytes) -> bytes:
        return (pack("<8xIIIHH", price, quantity, account, token, generation) + tail).ljust(32, b"\0")

    def new_order(self) -> Walker:
        rng, book = self._rng, self.expected.book
        cause = self._cause(rng.randrange(self._config.instruments))
        side = rng.choice(list(messages.Side))
        force = rng.choice(list(messages.TimeInForce))
        mode = rng.choice(list(messages.SelfTradePrevention))
        post_only = force is messages.TimeInForce.GTC and rng.random() < 0.2
        reduce_only = cause.link == 0 and rng.random() < 0.2
        token = rng.randrange(self._config.orders)
        self._generations[token] = rng.choice((self._generations[token], *[rng.randrange(1, 1 << 16)] * 4))
        order = model.Order(
            self._instrument,
            rng.randrange(2),
            side,
            token,
            self._generations[token],
            self._bases[self._instrument] + rng.randrange(self._window_ticks),
            rng.choice((1, 2, 3, 5, (1 << 32) - 1)),
            mode,
            post_only,
            reduce_only,
        )
        flags = post_only * wire.OrderFlags.POST_ONLY.value + reduce_only * wire.OrderFlags.REDUCE_ONLY.value
        sent_price = rng.choice((order.price_ticks, 0))  # what was sent may differ from the effective price
        tail = pack("<BBBBB", side, messages.OrderType.LIMIT, force, mode, flags)
        body = self._order_body(sent_price, order.open_lots, order.account, token, order.generation, tail)
        immediate = force is not messages.TimeInForce.GTC
        beat = self._walker(Action.NEW, cause, body, price_ticks=order.price_ticks, immediate=immediate)
        reason = book.refuse_new_order(order)
        if reason is None:
            self.expected.send(cause, book.enter(order, force))
        else:
            if not reduce_only:
                self.expected.releases.append((order.account, self._instrument, order.price_ticks, order.open_lots))
            self.expected.send(cause, [messages.Rejected(reason, self._instrument, side, body[8:24])])
        return beat

    def _named(self) -> tuple[int, int, int, model.Order | None]:
        """Instrument, account and token of an order to cancel or replace, mostly one that rests."""
        rng, book = self._rng, self.expected.book
        token = rng.randrange(self._config.orders)
        try:
            order = book.order(token)
        except KeyError:
            return rng.randrange(self._config.instruments), rng.randrange(2), token, None
        if rng.random() < 0.1:
            return rng.randrange(self._config.instruments), rng.randrange(2), token, order
        return order.instrument, order.account, token, order

    def cancel(self) -> Walker:
        instrument, account, token, _ = self._named()
        cause = self._cause(instrument)
        generation = self._generations[token]
        body = pack("<16xIHH8x", account, token, generation)
        command = messages.decode(pack("<BBHI", wire.Opcode.CANCEL.value, instrument, 1, 1) + body[8:])
        book = self.expected.book
        reason = book.refuse_cancel(command)
        if reason is None:
            self.expected.send(cause, [book.cancel(token, messages.Reason.REQUESTED)])
        else:
            self.expected.send(cause, [messages.Rejected(reason, instrument, 0, body[8:24])])
        return self._walker(Action.CANCEL, cause, body)

    def replace(self) -> Walker:
        rng, book = self._rng, self.expected.book
        instrument, account, token, order = self._named()
        cause = self._cause(instrument)
        side = order.side if order and rng.random() < 0.9 else rng.choice(list(messages.Side))
        price = self._bases[instrument] + rng.randrange(self._window_ticks)
        if order and order.instrument == instrument and rng.random() < 0.5:
            price = order.price_ticks
        quantity = rng.choice((1, 2, 3, 5, (1 << 32) - 1))
        expected = rng.choice((0, 0, 0, order.open_lots if order else 1, 7))
        body = self._order_body(price, quantity, account, token, self._generations[token], bytes([side]))
        body = body[:28] + pack("<I", expected)
        command = messages.decode(pack("<BBHI", wire.Opcode.REPLACE.value, instrument, 1, 1) + body[8:])
        trading = rng.random() < 0.8
        # The gate lets reserves below 2**46 through; beyond, credit shall not matter here.
        reserve = price * quantity * 3
        balance = rng.choice((1 << 62, 0, -(1 << 61), reserve // 2)) if reserve < 1 << 46 else reserve
        deficit = max(reserve - balance, 0)
        beat = self._walker(
            Action.REPLACE,
            cause,
            body,
            price_ticks=price,
            halted=int(not trading),
            reserve_quote=reserve & ((1 << 46) - 1),
            deficit_quote=deficit,
        )
        reason = book.refuse_replace(
            command, price, cause.link, trading=trading, balance_quote=balance, multiplier_quote=3
        )
        if reason is None:
            assert order is not None
            returned = (order.price_ticks, order.open_lots)
            if order.reduce_only:
                returned = (price, quantity)
            self.expected.releases.append((account, instrument, *returned))
            self.expected.send(cause, book.replace(command, price))
        else:
            self.expected.releases.append((account, instrument, price, quantity))
            self.expected.send(cause, [messages.Rejected(reason, instrument, side, body[8:24])])
        return beat

    def sweep(self) -> Walker:
        cause = self._cause(0)
        account = self._rng.randrange(2)
        body = pack("<16xI12x", account)
        book = self.expected.book
        if self._rng.random() < 0.5:
            reports = book.cancel_all(messages.Reason.WATCHDOG)
            done = messages.Done(count=count_canceled(reports), reason=messages.Reason.WATCHDOG)
            beat = self._walker(Action.SWEEP, cause, body, everyone=1, reason=Reason.WATCHDOG)
        else:
            reports = book.cancel_account(account, messages.Reason.MASS_CANCEL)
            done = messages.Done(count=count_canceled(reports), account=account)
            beat = self._walker(Action.SWEEP, cause, body, reason=Reason.MASS_CANCEL)
        self.expected.send(cause, [*reports, done])
        return beat

    def move_band(self) -> Walker:
        cause = self._cause(self._rng.randrange(self._config.instruments))
        base = self._bases[self._instrument]
        lower, upper = sorted(base + self._rng.randrange(self._window_ticks) for _ in range(2))
        body = pack("<8xIIIB11x", lower, upper, lower, wire.BandPolicy.CLAMP.value)
        moved = messages.BandMoved(self._instrument, lower, upper, lower, messages.BandPolicy.CLAMP)
        reports = self.expected.book.cancel_outside(self._instrument, lower, upper)
        self.expected.send(cause, [*reports, moved])
        return self._walker(Action.MOVE_BAND, cause, body, reason=Reason.BAND_MOVED)

    def any_command(self) -> Walker:
        draws = (self.new_order, self.cancel, self.replace, self.sweep, self.move_band)
        return self._rng.choices(draws, (60, 15, 20, 1, 3))[0]()


def count_canceled(reports: list[messages.Report]) -> int:
    return sum(report.kind is messages.ReportKind.CANCELED for report in reports)


def without_exit_cycle(report: bytes) -> bytes:
    return report[: EXIT_CYCLE.start] + bytes(4) + report[EXIT_CYCLE.stop :]


async def run(dut: SimHandleBase, eagerness: float) -> None:
    """Send random guarded commands, offering and taking with this probability a cycle."""
    seed = int(os.environ["BANDGAP_SEED"])
    config = PRESETS[os.environ["BANDGAP_PRESET"]]
    rng = Random(f"{seed}/{eagerness}")
    pins = Pins(dut)
    commands = Guard(dut, rng, eagerness)
    reports = Sink(dut.reports__valid, dut.reports__ready, dut.reports__payload, rng, eagerness)
    releases = Sink(dut.released__valid, dut.released__ready, dut.released__payload, rng, eagerness)
    pins.drivers = [commands, reports, releases]
    dut.cycle.value = 0
    await pins.reset()
    sender = Sender(config, rng)
    commands.pending = [sender.set_instrument(index) for index in range(config.instruments)]
    commands.pending += [sender.any_command() for _ in range(int(os.environ["BANDGAP_COMMANDS"]))]
    quiet = 0
    while quiet < MOST_CYCLES and len(reports.taken) < len(sender.expected.reports):
        before = len(reports.taken), len(commands.pending)
        await pins.cycle()
        quiet = quiet + 1 if before == (len(reports.taken), len(commands.pending)) else 0
    for _ in range(100):
        await pins.cycle()  # nothing may come behind the last report
    for place, expected in enumerate(sender.expected.reports):
        got = without_exit_cycle(reports.taken[place].to_bytes(64, "little")) if place < len(reports.taken) else b""
        assert got == expected, f"seed {seed}, report {place}: the book says {got.hex()}, the model {expected.hex()}"
    assert len(reports.taken) == len(sender.expected.reports), "the book says more than the model"
    layout = data.Layout.cast(Release)
    got_releases = [layout.from_bits(value) for value in releases.taken]
    plain = [(r.account, r.instrument, r.price_ticks, r.quantity_lots) for r in got_releases]
    assert plain == sender.expected.releases, f"seed {seed}: releases differ"
    dut._log.info("%d reports, %d releases, none different; seed %d", len(reports.taken), len(plain), seed)


@cocotb.test()
async def at_full_speed(dut: SimHandleBase) -> None:
    """Nobody holds back."""
    await run(dut, 1.0)


@cocotb.test()
async def with_back_pressure(dut: SimHandleBase) -> None:
    """All sides hold back in six cycles of ten."""
    await run(dut, 0.4)
