"""Random commands for the circuit breaker, and short stories of bands, limit states, calls and windows that move."""

from bandgap.hdl.protocol.commands import (
    ALL_INSTRUMENTS,
    BandPolicy,
    BreakerFlags,
    ExpiryAction,
    Opcode,
    OrderType,
    ReferenceSource,
    ScheduledState,
    TradingMode,
)

from .episode import EPISODE_NS
from .random_choices import LONGEST_STEP_NS, Window
from .random_orders import OrderCommands
from .unsent import (
    ACCOUNT,
    BAND,
    BREAKER,
    BUY,
    CALL_END,
    CALLS,
    CANCEL,
    DYNAMIC_BAND,
    HEARTBEAT,
    MAX_U32,
    MODES,
    MOVE_WINDOW,
    NOTHING,
    NS_A_MS,
    NS_A_US,
    ORDER,
    ORDER_KINDS,
    POLICIES,
    PPM,
    PRIVILEGED_LINK,
    REFERENCE_RULE,
    SCHEDULE,
    SELL,
    STATE,
    Unsent,
)


class BreakerCommands(OrderCommands):
    """Makes commands for the circuit breaker."""

    def band_of(self, instrument: int) -> Unsent:
        """A static band for an instrument."""
        rng = self.rng
        window = self.windows.get(instrument)
        if window is None:
            return Opcode.SET_BAND.value, instrument, BAND.pack(0, 1, 0, BandPolicy.REJECT.value)
        width = rng.choice((0, 1, window.spread_ticks, 2 * window.spread_ticks + 2, 1 << window.log2))
        center = window.center_ticks
        if rng.random() < 0.6:
            center = window.clip(center + rng.randint(-window.spread_ticks, window.spread_ticks))
        lower, upper = window.clip(center - width), window.clip(center + width)
        luck = rng.random()
        if luck < 0.03:
            upper = min(MAX_U32, window.last_ticks + rng.randint(1, 3))
        elif luck < 0.06:
            lower = max(0, window.base_ticks - rng.randint(1, 3))
        elif luck < 0.08:
            lower, upper = upper, lower
        elif luck < 0.10:
            center = min(MAX_U32, upper + 1)
        if window.base_ticks <= lower <= center <= upper <= window.last_ticks:
            window.bounds_ticks = lower, upper
        return Opcode.SET_BAND.value, instrument, BAND.pack(lower, upper, center, rng.choice(POLICIES))

    def set_band(self, link: int) -> Unsent:
        return self.band_of(self.operated())

    def halt(self, link: int) -> Unsent:
        """A halt; at times bands that move over the halted book follow at once."""
        instrument, duration_us = self.anyone(), self.duration_us(none=0.5)
        self.expect(duration_us)
        if self.bands and self.rng.random() < 0.5:
            self.then(*[self.set_band(PRIVILEGED_LINK) for _ in range(self.rng.randrange(6))])
        if duration_us and self.rng.random() < 0.1:  # it stays until then, or ends at another time
            self.then((Opcode.HALT.value, instrument, STATE.pack(self.rng.choice((duration_us, self.period_us())))))
        return Opcode.HALT.value, instrument, STATE.pack(duration_us)

    def resume(self, link: int) -> Unsent:
        instrument = ALL_INSTRUMENTS if self.rng.random() < 0.7 else self.instrument()
        return Opcode.RESUME.value, instrument, NOTHING

    def heartbeat(self, link: int) -> Unsent:
        rng = self.rng
        short = rng.choice((1, rng.randint(1, 2_000), *(self.period_us() * NS_A_US for _ in range(2))))
        timeout = rng.choice((0, short, short, 20 * NS_A_MS, (1 << 63) - 1, 1 << 63))
        action = rng.choice((ExpiryAction.HALT, ExpiryAction.HALT_AND_CANCEL)).value
        if link == PRIVILEGED_LINK and 0 < timeout < EPISODE_NS:
            self.deadlines_ns.append(self.time_ns + timeout)
            luck = rng.random()
            if luck < 0.5:  # nothing trades, or halts end with it
                duration_us = rng.choice((0, *[timeout // NS_A_US if timeout >= NS_A_MS else 0] * 2))
                self.then((Opcode.HALT.value, ALL_INSTRUMENTS, STATE.pack(duration_us)))
            elif luck < 0.6:
                self.then(self.entry_of(self.operated(), ScheduledState.PRE_OPEN.value, 1))
        return Opcode.HEARTBEAT.value, 0, HEARTBEAT.pack(timeout, action)

    def breaker_of(self, instrument: int, mode: int) -> Unsent:
        """Durations for an instrument, and the mode it shall trade in."""
        rng = self.rng
        flags = BreakerFlags.COLLECT.value if rng.random() < 0.5 else 0
        limit_us, halt_us = self.duration_us(none=0.2), self.duration_us(none=0.2)
        call_us, extension_us = self.duration_us(none=0.01), self.duration_us(none=0.03)
        indicative_us = self.duration_us(none=0.4)
        if window := self.windows.get(instrument):
            window.mode = mode
        body = BREAKER.pack(limit_us, halt_us, call_us, extension_us, indicative_us, mode, flags)
        return Opcode.SET_BREAKER.value, instrument, body

    def set_breaker(self, link: int) -> Unsent:
        """Other durations; another mode, now and then, while it is trading."""
        instrument = self.operated()
        window = self.windows.get(instrument)
        mode = window.mode if window else TradingMode.CONTINUOUS.value
        unsent = self.breaker_of(instrument, mode if self.rng.random() < 0.85 else 3 - mode)
        if window:
            window.mode = mode
        return unsent

    def set_dynamic_band(self, link: int, instrument: int | None = None) -> Unsent:
        rng = self.rng
        instrument = self.operated() if instrument is None else instrument
        window = self.windows.get(instrument)
        spread = window.spread_ticks if window else 1
        fields = []
        for buckets in (2, 4):
            width = rng.choice((0, 1, spread, spread, 2 * spread, rng.randint(1, 3 * spread), 1 << rng.randrange(32)))
            if rng.random() < 0.2:
                fields.append((0, 0, 0))  # off
            else:
                most = rng.choice((1, buckets, buckets, 64, 0, 65)) if rng.random() < 0.1 else rng.randint(1, buckets)
                fields.append((width, self.duration_us(), most))
        (short_width, short_us, short_most), (long_width, long_us, long_most) = fields
        body = DYNAMIC_BAND.pack(short_width, short_us, long_width, long_us, short_most, long_most)
        return Opcode.SET_DYNAMIC_BAND.value, instrument, body

    def set_reference_rule(self, link: int, instrument: int | None = None) -> Unsent:
        rng = self.rng
        instrument = self.operated() if instrument is None else instrument
        window = self.windows.get(instrument)
        if window:
            self.drift(window)
        spread, center = (window.spread_ticks, window.center_ticks) if window else (1, 1)
        share = min(PPM, (spread * PPM + center) // max(1, center))  # of the center, about the spread
        width = rng.choice((0, 1, 1, spread, 2 * spread, 1 << rng.randrange(32)))
        width_ppm = rng.choice((0, 0, share, rng.randint(0, PPM), PPM))
        auction_width = rng.choice((0, 1, 1, 2, spread))
        move_ppm = rng.choice((0, 0, 0, 1, share // max(1, spread), share, PPM))
        hold_us = rng.choice((0, 0, 1, self.period_us(), MAX_U32))
        source = rng.choice((*ReferenceSource, ReferenceSource.WINDOW_MEAN, ReferenceSource.AUCTION)).value
        trades_log2 = rng.choice((0, 0, 1, 2, 4, 6)) if source == ReferenceSource.LAST_TRADES.value else 0
        luck = rng.random()
        if luck < 0.02:
            source, trades_log2 = ReferenceSource.LAST_TRADES.value, 7
        elif luck < 0.04:
            trades_log2 = 1
        elif luck < 0.06:
            width_ppm = PPM + 1
        elif luck < 0.08:
            move_ppm = PPM + 1
        body = REFERENCE_RULE.pack(width, width_ppm, auction_width, move_ppm, hold_us, source, trades_log2)
        return Opcode.SET_REFERENCE_RULE.value, instrument, body

    def call(self, link: int) -> Unsent:
        instrument, duration_us = self.anyone(), self.duration_us(none=0.4)
        self.expect(duration_us)
        return Opcode.CALL.value, instrument, STATE.pack(duration_us)

    def set_call_end(self, link: int) -> Unsent:
        extra_us = self.rng.choice((0, 1, 500, self.period_us()))
        return Opcode.SET_CALL_END.value, self.operated(), CALL_END.pack(extra_us)

    def set_schedule(self, link: int) -> Unsent:
        """One entry of a timetable, or a night: closing call, closed, pre-open and opening call."""
        rng = self.rng
        instrument = self.operated()
        if rng.random() < 0.3:
            at_ns = self.time_ns
            twice = [[state.value] * rng.choice((1, 2)) for state in (ScheduledState.CLOSED, ScheduledState.PRE_OPEN)]
            for state in (*reversed(CALLS), *twice[0], *twice[1]):
                entry = self.entry_of(instrument, state, at_ns)
                at_ns += rng.choice((0, 1, 2, 3)) * NS_A_MS
                self.then(entry)
            return self.entry_of(instrument, CALLS[0], at_ns)
        state = rng.choice(list(ScheduledState)).value
        at_ns = self.time_ns + self.period_us() * NS_A_US
        if rng.random() < 0.4:
            at_ns = rng.choice((0, 0, 1, self.time_ns, self.time_ns + 1, (1 << 64) - 1, *self.deadlines_ns[-3:]))
        if state == ScheduledState.CLOSED.value and rng.random() < 0.9:  # nothing else opens it again
            self.then(self.entry_of(instrument, CALLS[0], self.time_ns + self.pace * 24 * NS_A_MS))
        return self.entry_of(instrument, state, at_ns)

    def entry_of(self, instrument: int, state: int, at_ns: int) -> Unsent:
        """An entry of a timetable."""
        duration_us = self.duration_us(none=0.4) if state in CALLS or self.rng.random() < 0.02 else 0
        self.deadlines_ns.append(at_ns)
        return Opcode.SET_SCHEDULE.value, instrument, SCHEDULE.pack(at_ns, duration_us, state)

    def move_window(self, link: int) -> Unsent:
        """A window that moves a little or far, at times from orders at its edge; a band mostly stays inside."""
        rng = self.rng
        instrument = self.operated()
        window = self.windows.get(instrument)
        if window is None:
            return Opcode.MOVE_WINDOW.value, instrument, MOVE_WINDOW.pack(0)
        size = 1 << window.log2
        first, last = window.base_ticks, window.last_ticks
        highest = MAX_U32 + 1 - size
        way = rng.choice((1, -1))
        base = first + way * rng.choice((0, 1, rng.randint(1, size), size // 2, size - 1, size, *[3 * size] * 3))
        if window.bounds_ticks and rng.random() < 0.7:
            lower, upper = window.bounds_ticks
            base = min(max(base, upper - size + 1), lower)
        base = min(max(base, 0), highest)
        if rng.random() < 0.05:
            base = rng.choice((highest + 1, MAX_U32))
        lower, upper = window.bounds_ticks or (base, base)
        unsent = Opcode.MOVE_WINDOW.value, instrument, MOVE_WINDOW.pack(base)
        edge = rng.random() < 0.75
        if (edge or link == PRIVILEGED_LINK) and base <= min(lower, highest) and upper < base + size:
            window.base_ticks = base
            window.center_ticks = window.clip(window.center_ticks)
        if not edge:
            return unsent
        bid, ask = (first, first + 1) if way > 0 else (last - 1, last)
        orders = [
            self.place(instrument, rng.choice(self.accounts), side, ORDER_KINDS[0], price, 1, MODES[0])
            for side, price in rng.choice((((BUY, bid),), ((SELL, ask),), ((BUY, bid), (SELL, ask))))
        ]
        self.then(*orders[1:], unsent)
        return orders[0]

    def auction(self, link: int) -> Unsent:
        """A call, orders that cross, and its end."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        duration_us = rng.choice((0, 1_000, 1_000, self.period_us()))
        size = 1 << window.log2
        near = rng.choice((1, 2, 3, window.spread_ticks, 2 * window.spread_ticks))
        self.drift(window)
        center = window.center_ticks
        if window.bounds_ticks and rng.random() < 0.4:  # beyond a bound, where the auction may not trade
            lower, upper = window.bounds_ticks
            center = rng.choice((lower - near - rng.randint(0, 3), upper + near + rng.randint(0, 3)))
        sizes = rng.choice(((1,), (2, 4), range(1, 7)))
        orders = rng.choice((0, 0, 2, 3, 5, 8))
        sides = (rng.choice((BUY, SELL)),) if rng.random() < 0.1 else (BUY, SELL)
        alone = 64 / self.config.orders if orders or self.wide else max(0.5, 64 / self.config.orders)
        if rng.random() < min(0.5 if orders else 1, alone):  # among themselves, as in a meeting
            self.then(*[(Opcode.MASS_CANCEL.value, 0, ACCOUNT.pack(account)) for account in self.accounts])
            self.beliefs.clear()
        if not orders:  # as much of either side, and the same left of both: at two ticks, or at all between them
            most, left = rng.randint(1, 6), rng.choice((0, 1, 1, 2))
            away = 1 if left and rng.random() < 0.7 else rng.randint(1, min(near, size - 1))
            center = min(window.clip(center), window.last_ticks - away)
            for side, price, lots in (
                *((BUY, center + away, most), (SELL, center, most)),
                *((BUY, center, left), (SELL, center + away, left)),
            ):
                if lots:
                    account = rng.choice(self.accounts)
                    self.then(self.place(instrument, account, side, ORDER_KINDS[0], price, lots, MODES[0]))
        for _ in range(orders):
            luck, side = rng.random(), rng.choice(sides)
            kind = ORDER_KINDS[0 if luck < 0.75 else 4 if luck < 0.9 else rng.randrange(1, 4)]
            price = window.clip(center + rng.randint(-near, near))
            price = 0 if kind[0] == OrderType.MARKET.value else price
            self.then(self.place(instrument, rng.choice(self.accounts), side, kind, price, rng.choice(sizes), MODES[0]))
        luck = rng.random()
        if luck < 0.1:  # the book stands crossed
            self.then((Opcode.HALT.value, instrument, NOTHING), (Opcode.RESUME.value, instrument, NOTHING))
        elif luck < 0.2:
            extra_us = self.period_us()
            self.then((Opcode.SET_CALL_END.value, instrument, CALL_END.pack(extra_us)))
            shorter = Opcode.SET_CALL_END.value, instrument, CALL_END.pack(rng.choice((0, extra_us, 2 * extra_us)))
            self.then(shorter, wait_ns=1_000 * NS_A_US)
        elif luck < 0.3:
            self.then(self.move_window(PRIVILEGED_LINK))
        if luck > 0.1:
            self.then(self.read_clock(PRIVILEGED_LINK), wait_ns=duration_us * NS_A_US)
        if luck > 0.7:  # as long as an extension or two
            self.then(self.read_clock(PRIVILEGED_LINK), wait_ns=self.pace * LONGEST_STEP_NS)
        self.expect(duration_us)
        return Opcode.CALL.value, instrument, STATE.pack(duration_us)

    def at_bound(self, link: int) -> Unsent:
        """An order at its bound: it rests there, or leaves something; at times it is gone soon."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None or window.bounds_ticks is None:
            return self.band_of(instrument)
        side, account = rng.choice((BUY, SELL)), rng.choice(self.accounts)
        kind = ORDER_KINDS[rng.choice((0, 0, 2, 4))]
        price = 0 if kind[0] == OrderType.MARKET.value else window.bounds_ticks[side == BUY]
        order = self.place(instrument, account, side, kind, price, rng.randint(1, 6), MODES[0])
        luck = rng.random()
        if luck < 0.4:
            _price, _quantity, _account, token, generation, *_ = ORDER.unpack(order[2])
            cancel = Opcode.CANCEL.value, instrument, CANCEL.pack(account, token, generation)
            self.then(cancel, wait_ns=rng.choice((0, 0, 300, 999)) * NS_A_US)
        if luck < 0.6:  # a trip halts after 1 ms
            wait_us = rng.choice((1_000, self.period_us()))
            self.then(self.read_clock(PRIVILEGED_LINK), wait_ns=wait_us * NS_A_US + rng.choice((-1, 0, 0)))
        return order

    def parted(self, link: int) -> Unsent:
        """An order that a band then parts from, in any state, and that at times was changed in that state before."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        side, account = rng.choice((BUY, SELL)), rng.choice(self.accounts)
        price = window.center_ticks
        if window.bounds_ticks and rng.random() < 0.6:
            price = window.bounds_ticks[side == BUY]
        lots = rng.randint(1, 6)
        order = self.place(instrument, account, side, ORDER_KINDS[0], price, lots, MODES[0])
        scheduled = rng.choice((ScheduledState.PRE_OPEN.value, ScheduledState.CLOSED.value))
        state = (
            *((), ()),
            *(((opcode.value, instrument, NOTHING),) for opcode in (Opcode.HALT, Opcode.CALL)),
            *((self.entry_of(instrument, scheduled, 1),),) * 2,
        )
        self.then(*rng.choice(state))
        if rng.random() < 0.6:
            self.then(self.changed(order, price, rng.randint(1, lots)))
        near = price - 1 if side == BUY else price + 1
        far = window.clip(near - 3 if side == BUY else near + 3)
        lower, upper = sorted((window.clip(near), far))
        window.bounds_ticks = lower, upper
        self.then((Opcode.SET_BAND.value, instrument, BAND.pack(lower, upper, lower, rng.choice(POLICIES))))
        if rng.random() < 0.9:
            self.then(self.entry_of(instrument, CALLS[0], self.time_ns + rng.choice((0, 1, 2)) * NS_A_MS))
        return order

    def followed(self, link: int) -> Unsent:
        """A reference that follows a trade, so that the band around it parts from an order."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        price = window.center_ticks
        source = rng.choice((ReferenceSource.LAST_TRADES, ReferenceSource.WINDOW_MEAN)).value
        self.then(
            (Opcode.SET_DYNAMIC_BAND.value, instrument, DYNAMIC_BAND.pack(0, 0, 0, 1_000, 0, rng.randint(1, 3))),
            (Opcode.SET_REFERENCE_RULE.value, instrument, REFERENCE_RULE.pack(1, 0, 1, 0, 0, source, 0)),
        )
        side = rng.choice((BUY, SELL))
        beyond = window.clip(price + (3 if side == BUY else -3))
        for taking, at in ((3 - side, price), (side, price), (side, beyond)):
            account = rng.choice(self.accounts)
            self.then(self.place(instrument, account, taking, ORDER_KINDS[0], at, 1, MODES[0]))
        self.then(self.read_clock(PRIVILEGED_LINK), wait_ns=1_000 * NS_A_US)
        return self.narrow_band(instrument, window, rng.choice((-4, 4)))

    def outlived(self, link: int) -> Unsent:
        """A trade, and an order at the dynamic bound around it: a limit state that ends with the window of that trade.

        Or it ends before, with an order from beyond that bound that moves there.
        """
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        price = window.center_ticks
        side, way = rng.choice(((BUY, 1), (SELL, -1)))
        bound, beyond = window.clip(price + way), window.clip(price + 3 * way)
        moving, *others = [
            self.place(instrument, rng.choice(self.accounts), order_side, ORDER_KINDS[0], at, 1, MODES[0])
            for order_side, at in ((3 - side, beyond), (3 - side, price), (side, price), (side, bound))
        ]
        self.then(
            (Opcode.RESUME.value, instrument, NOTHING),
            moving,
            (Opcode.SET_DYNAMIC_BAND.value, instrument, DYNAMIC_BAND.pack(1, 1_000, 0, 1_000, 1, 1)),
            *others,
        )
        if rng.random() < 0.5:
            self.then(self.changed(moving, bound, rng.randint(1, 3)))
        self.then(self.read_clock(PRIVILEGED_LINK), wait_ns=2_000 * NS_A_US)
        return self.narrow_band(instrument, window, 0)

    def narrow_band(self, instrument: int, window: Window, away_ticks: int) -> Unsent:
        """A band of four ticks each way around where prices gather, its reference so far from there."""
        price = window.center_ticks
        lower, upper, reference = (window.clip(price + ticks) for ticks in (-4, 4, away_ticks))
        window.bounds_ticks = lower, upper
        return Opcode.SET_BAND.value, instrument, BAND.pack(lower, upper, reference, self.rng.choice(POLICIES))
