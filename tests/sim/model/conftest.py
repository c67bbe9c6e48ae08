"""A small market on the model, spoken to in the wire's own layouts and read back as short lines."""

from collections.abc import Callable
from typing import Any

import pytest

from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    BandPolicy,
    BreakerFlags,
    ExpiryAction,
    InstrumentFlags,
    Opcode,
    OrderFlags,
    OrderType,
    ReferenceSource,
    ScheduledState,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TradingMode,
)
from bandgap.host.wire import new_commands
from bandgap.sim.lab.describe import report_fields
from bandgap.sim.model import Appliance
from bandgap.sim.model.commands import Side as ModelSide

MULTIPLIER_QUOTE = 1_000
START_QUOTE = 1_000_000_000


def auction_line(fields: dict[str, str]) -> str:
    if fields["volume_lots"] == "0":
        return f"{fields['kind']} nothing"
    left = f", {fields['side']} {fields['surplus_lots']} left" if fields["surplus_lots"] != "0" else ""
    return f"{fields['kind']} {fields['volume_lots']}@{fields['price_ticks']}{left}"


SHAPES: dict[str, Callable[[dict[str, str]], str]] = {
    "ACCEPTED": lambda r: f"ACCEPTED #{r['token']} {r['quantity_lots']}@{r['price_ticks']}",
    "REPLACED": lambda r: f"REPLACED #{r['token']} {r['quantity_lots']}@{r['price_ticks']}",
    "REJECTED": lambda r: f"REJECTED {r['reason']}",
    "CANCELED": lambda r: f"CANCELED {r['reason']} #{r['token']} {r['quantity_lots']} left {r['remaining_lots']}",
    "TRADE": lambda r: (
        f"TRADE {r['quantity_lots']}@{r['price_ticks']}"
        f" #{r['token']} left {r['remaining_lots']} #{r['maker_token']} left {r['maker_remaining_lots']}"
    ),
    "DONE": lambda r: f"DONE {r['count']}",
    "BAND_MOVED": lambda r: f"BAND_MOVED {r['lower_ticks']}-{r['upper_ticks']}",
    "TRADING_STATE": lambda r: (
        f"{r['state']} {r['reason']} instrument {r['instrument']}"
        + (f" until {r['until_ns']}" if r["until_ns"] != "0" else "")
    ),
    "INDICATIVE": auction_line,
    "UNCROSSED": auction_line,
    "LEVEL": lambda r: f"LEVEL {r['side']} {r['quantity_lots']}@{r['price_ticks']}",
    "TOP_OF_BOOK": lambda r: (
        f"TOP instrument {r['instrument']} {r['bid_quantity_lots']}@{r['bid_price_ticks']}"
        f" {r['ask_quantity_lots']}@{r['ask_price_ticks']}"
    ),
}


class Market:
    """Instrument 0 trades in the window 100 to 107, multiplier 1,000, no band; accounts 0 to 3 have a billion each.

    Methods send one command each and answer with its reports as lines; `fields` holds the same reports in full.
    """

    def __init__(self, ticks: int = 16, **window: int) -> None:
        self.appliance = Appliance(instruments=3, orders=8, ticks=ticks, accounts=4, smallest_window_ticks=4)
        self.number = 0
        self.time_ns = 0
        self.fields: list[dict[str, str]] = []
        self.set_instrument(0, **window)
        for account in range(4):
            self.grant(account, START_QUOTE)
        self.resume()

    def send(self, opcode: Opcode, link: int = 0, **fields: Any) -> list[str]:
        """Send a command of any fields; the header's are `instrument`, `epoch` and `number`."""
        self.number += 1
        command = new_commands(opcode, 1)
        header = {"epoch": 1, "number": self.number, "instrument": 0}
        for name, value in {**header, **fields}.items():
            owner = command["header"] if name in header else command
            owner[name] = value
        return self.lines(self.appliance.execute(self.time_ns, link, command.tobytes()))

    def lines(self, reports: list[bytes]) -> list[str]:
        """Reports as lines."""
        self.fields = [report_fields(report) for report in reports]
        return [SHAPES[fields["kind"]](fields) for fields in self.fields]

    def new(self, token: int, side: Side, quantity: int, price: int, **fields: Any) -> list[str]:
        """A new limit order: good till cancel, self-trade prevention off, of account 0 unless told otherwise."""
        defaults = {
            "generation": 1,
            "side": side.value,
            "order_type": OrderType.LIMIT.value,
            "time_in_force": TimeInForce.GTC.value,
            "self_trade_prevention": SelfTradePrevention.OFF.value,
            "flags": fields.pop("post_only", False) * OrderFlags.POST_ONLY.value
            + fields.pop("reduce_only", False) * OrderFlags.REDUCE_ONLY.value,
        }
        order = {"token": token, "quantity_lots": quantity, "price_ticks": price}
        return self.send(Opcode.NEW_ORDER, **{**defaults, **order, **fields})

    def buy(self, token: int, quantity: int, price: int, **fields: Any) -> list[str]:
        """A new buy."""
        return self.new(token, Side.BUY, quantity, price, **fields)

    def sell(self, token: int, quantity: int, price: int, **fields: Any) -> list[str]:
        """A new sell."""
        return self.new(token, Side.SELL, quantity, price, **fields)

    def cancel(self, token: int, **fields: Any) -> list[str]:
        """Cancel an order of generation 1 and account 0 unless told otherwise."""
        return self.send(Opcode.CANCEL, **{"token": token, "generation": 1, **fields})

    def replace(self, token: int, side: Side, quantity: int, price: int, **fields: Any) -> list[str]:
        """Replace an order of generation 1 and account 0 unless told otherwise."""
        order = {"token": token, "generation": 1, "side": side.value, "quantity_lots": quantity, "price_ticks": price}
        return self.send(Opcode.REPLACE, **{**order, **fields})

    def trade(self, price: int, at_ns: int) -> list[str]:
        """One lot trades between accounts 2 and 3, by slots 6 and 7; the reports of timers and of the maker."""
        self.time_ns = at_ns
        generation = self.number
        lines = self.sell(6, 1, price, account=2, generation=generation)
        assert f"ACCEPTED #6 1@{price}" in lines, lines
        assert f"TRADE 1@{price} #7 left 0 #6 left 0" in self.buy(7, 1, price, account=3, generation=generation)
        return lines

    def set_instrument(
        self, instrument: int, top_of_book: bool = False, depth: bool = False, **fields: Any
    ) -> list[str]:
        """Set an instrument to the window 100 to 107 in the ladder's first rows unless told otherwise."""
        flags = top_of_book * InstrumentFlags.TOP_OF_BOOK.value + depth * InstrumentFlags.DEPTH.value
        window = {"window_base_ticks": 100, "ladder_offset": 0, "multiplier_quote": MULTIPLIER_QUOTE, "window_log2": 3}
        return self.send(Opcode.SET_INSTRUMENT, **{"instrument": instrument, **window, "flags": flags, **fields})

    def set_band(self, lower: int, upper: int, policy: BandPolicy = BandPolicy.REJECT, **fields: Any) -> list[str]:
        """Set the band of instrument 0 unless told otherwise."""
        band = {"lower_ticks": lower, "upper_ticks": upper, "reference_ticks": lower, "policy": policy.value}
        return self.send(Opcode.SET_BAND, **{**band, **fields})

    def halt(self, instrument: int = ALL_INSTRUMENTS, **fields: Any) -> list[str]:
        """Halt one instrument or all."""
        return self.send(Opcode.HALT, instrument=instrument, **fields)

    def resume(self, instrument: int = ALL_INSTRUMENTS, **fields: Any) -> list[str]:
        """Resume one instrument or all."""
        return self.send(Opcode.RESUME, instrument=instrument, **fields)

    def call(self, instrument: int = 0, duration_us: int = 0, **fields: Any) -> list[str]:
        """Open a call in instrument 0 unless told otherwise."""
        return self.send(Opcode.CALL, **{"instrument": instrument, "duration_us": duration_us, **fields})

    def set_breaker(self, mode: TradingMode = TradingMode.CONTINUOUS, collect: bool = False, **us: Any) -> list[str]:
        """Set durations by their names without `_us`: limit, halt and indicative zero, call and extension 1,000."""
        durations = {"limit": 0, "halt": 0, "call": 1_000, "extension": 1_000, "indicative": 0}
        instrument = us.pop("instrument", 0)
        fields = {f"{name}_us": value for name, value in {**durations, **us}.items()}
        flags = collect * BreakerFlags.COLLECT.value
        return self.send(Opcode.SET_BREAKER, **{"instrument": instrument, "mode": mode.value, "flags": flags, **fields})

    def set_windows(self, short: tuple[int, int, int] | None, long: tuple[int, int, int] | None = None) -> list[str]:
        """Set the rolling windows of instrument 0: width in ticks, bucket in us, number of buckets; None: off."""
        fields = {}
        for name, window in (("short", short), ("long", long)):
            width, bucket_us, buckets = window or (0, 0, 0)
            fields |= {f"{name}_width_ticks": width, f"{name}_bucket_us": bucket_us, f"{name}_buckets": buckets}
        return self.send(Opcode.SET_DYNAMIC_BAND, **fields)

    def set_rule(self, source: ReferenceSource = ReferenceSource.HOST, **fields: Any) -> list[str]:
        """Set the rule of instrument 0's reference price; whatever is not named is zero."""
        return self.send(Opcode.SET_REFERENCE_RULE, **{"source": source.value, **fields})

    def set_call_end(self, extra_us: int) -> list[str]:
        """Lengthen the calls of instrument 0."""
        return self.send(Opcode.SET_CALL_END, extra_us=extra_us)

    def set_schedule(self, state: ScheduledState, at_ns: int, **fields: Any) -> list[str]:
        """Set an entry of the timetable of instrument 0 unless told otherwise."""
        return self.send(Opcode.SET_SCHEDULE, **{"state": state.value, "at_ns": at_ns, **fields})

    def move_window(self, base: int, **fields: Any) -> list[str]:
        """Move the window of instrument 0 unless told otherwise."""
        return self.send(Opcode.MOVE_WINDOW, **{"window_base_ticks": base, **fields})

    def grant(self, account: int, amount: int, **fields: Any) -> list[str]:
        """Grant credit."""
        return self.send(Opcode.GRANT_CREDIT, **{"account": account, "amount_quote": amount, **fields})

    def account_command(self, opcode: Opcode, account: int, **fields: Any) -> list[str]:
        """Mass cancel, kill or restore."""
        return self.send(opcode, **{"account": account, **fields})

    def kill(self, account: int) -> list[str]:
        """Kill an account."""
        return self.account_command(Opcode.KILL_ACCOUNT, account)

    def heartbeat(self, timeout_ns: int, action: ExpiryAction = ExpiryAction.HALT, **fields: Any) -> list[str]:
        """A heartbeat."""
        return self.send(Opcode.HEARTBEAT, **{"timeout_ns": timeout_ns, "action": action.value, **fields})

    def advance(self, time_ns: int) -> list[str]:
        """Let time pass."""
        self.time_ns = time_ns
        return self.lines(self.appliance.advance(time_ns))

    def book(self, side: Side, instrument: int = 0) -> list[str]:
        """One side's orders in matching order."""
        orders = self.appliance.book.resting(instrument, ModelSide(side.value))
        return [f"#{order.token} {order.open_lots}@{order.price_ticks}" for order in orders]

    def balance(self, account: int = 0) -> int:
        """An account's balance."""
        return self.appliance.balance_quote(account)

    def state(self) -> object:
        """All that can be read of the appliance, to see that nothing changed."""
        books = [self.book(side, instrument) for side in Side for instrument in range(3)]
        return books, [self.balance(account) for account in range(4)], self.appliance.next_deadline_ns


@pytest.fixture
def market() -> Market:
    """A market as `Market` says."""
    return Market()


@pytest.fixture
def stock() -> Market:
    """A market whose instrument 0 has the window 8,192 to 12,287: a share of about 100.00 in cents."""
    return Market(ticks=4_096, window_base_ticks=8_192, window_log2=12)
