"""Random commands for orders and accounts, and short stories of orders that meet."""

from bandgap.hdl.config import BALANCE_LIMIT_QUOTE, RESERVE_LIMIT_QUOTE
from bandgap.hdl.protocol.commands import (
    Opcode,
    OrderFlags,
    OrderType,
    TimeInForce,
)

from .random_choices import Choices, Order
from .unsent import (
    ACCOUNT,
    BUY,
    CANCEL,
    GRANT,
    MAX_U32,
    MODES,
    NOTHING,
    ORDER,
    ORDER_KINDS,
    PRIVILEGED_LINK,
    REPLACE,
    SELL,
    Unsent,
)

_ORDER_KIND_WEIGHTS = (60, 10, 10, 10, 10)


class OrderCommands(Choices):
    """Makes commands for orders and accounts."""

    def new_order(self, link: int) -> Unsent:
        rng = self.rng
        instrument, account, token = self.instrument(), self.account(), self.slot(link, resting=False)
        side = BUY if rng.random() < 0.5 else SELL
        order_type, time_in_force, flags = rng.choices(ORDER_KINDS, _ORDER_KIND_WEIGHTS)[0]
        patient = 0.15 if flags else self.aggression
        price = self.price(instrument, side, patient if time_in_force == TimeInForce.GTC.value else 0.7)
        quantity = self.quantity(instrument, price)
        if rng.random() < 0.06 and not flags:
            price, quantity = self.sweep(instrument, side)
        if order_type == OrderType.MARKET.value and rng.random() < 0.98:
            price = 0
        last = self.generations.get(token, 0)
        generation = last if rng.random() < 0.02 else (last + rng.choice((1, 1, 2, 65_535))) & 0xFFFF
        luck = rng.random()
        if luck < (0.03 if link else 0.15):
            flags |= OrderFlags.REDUCE_ONLY.value
        elif luck < 0.155:
            flags |= OrderFlags.POST_ONLY.value
        elif luck < 0.16:
            time_in_force = rng.choice((1, 2, 3))
        if token not in self.beliefs:
            self.generations[token] = generation
        if time_in_force == TimeInForce.GTC.value and token not in self.beliefs:
            self.beliefs[token] = Order(instrument, account, generation, side, price, quantity)
        mode = rng.choice(self.modes)
        body = ORDER.pack(price, quantity, account, token, generation, side, order_type, time_in_force, mode, flags)
        return Opcode.NEW_ORDER.value, instrument, body

    def meeting(self, link: int) -> Unsent:
        """Makers of two accounts and, by the privileged link, a taker of one of them: a new order or one that moves."""
        rng = self.rng
        instrument = self.instrument()
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        mine, other = rng.choice(self.accounts), rng.choice(self.accounts)
        side = rng.choice((BUY, SELL))
        mode = rng.choice(MODES[1:]) if rng.random() < 0.9 else MODES[0]
        patient, away = ORDER_KINDS[0], 2 if side == BUY else -2
        orders = []
        for account in (other, mine, other):
            price = window.clip(window.center_ticks + rng.choice((0, away // 2)))
            orders.append(self.place(instrument, account, 3 - side, patient, price, rng.randint(1, 3), mode))
        price = window.clip(window.center_ticks + away)
        if rng.random() < 0.65:
            kind = rng.choices(ORDER_KINDS, (2, 2, 3, 2, 4))[0]
            price = 0 if kind[0] == OrderType.MARKET.value else price
            orders.append(self.place(instrument, mine, side, kind, price, rng.randint(2, 5), mode))
        else:
            far = window.clip(window.center_ticks - away)
            kind = rng.choices(ORDER_KINDS[:2], (4, 1))[0]
            orders.insert(0, self.place(instrument, mine, side, kind, far, rng.randint(1, 6), mode))
            orders.append(self.changed(orders[0], price, rng.randint(2, 5)))
        alone = min(0.75, max(0.05, 64 / self.config.orders))  # a mass cancel visits every slot
        if rng.random() < alone:
            clearing = [(Opcode.MASS_CANCEL.value, 0, ACCOUNT.pack(account)) for account in self.accounts]
            restoring = [(Opcode.RESTORE_ACCOUNT.value, 0, ACCOUNT.pack(account)) for account in (mine, other)]
            if rng.random() < 0.6:  # out of a call
                restoring.append((Opcode.HALT.value, instrument, NOTHING))
            orders = [*clearing, *restoring, (Opcode.RESUME.value, instrument, NOTHING), *orders]
        self.then(*orders[1:])
        return orders[0]

    def held(self, link: int) -> Unsent:
        """An order that cannot move: halted, or reduce-only and asked to by a link without the privilege."""
        rng = self.rng
        instrument, account, side = self.instrument(), rng.choice(self.accounts), rng.choice((BUY, SELL))
        window = self.windows.get(instrument)
        if window is None:
            return self.read_clock(link)
        price = window.clip(window.center_ticks + (-2 if side == BUY else 2))
        reduce_only = OrderFlags.REDUCE_ONLY.value
        kind = (OrderType.LIMIT.value, TimeInForce.GTC.value, rng.choice((0, reduce_only)))
        order = self.place(instrument, account, side, kind, price, 5, rng.choice(MODES))
        if rng.random() < 0.5:
            self.then((Opcode.HALT.value, instrument, NOTHING))
        for quantity in (5, 4, 6):
            self.then(self.changed(order, price, quantity), link=rng.randrange(self.config.links))
        self.then((Opcode.RESUME.value, instrument, NOTHING))
        return order

    def spree(self, link: int) -> Unsent:
        """An account gets credit for one to six orders and sends eight; then they are canceled, the credit taken back.

        They come at once, so that the guard has to wait for the exact balance.
        """
        rng = self.rng
        instrument, account, side = self.instrument(), rng.randrange(self.config.accounts), rng.choice((BUY, SELL))
        clear = Opcode.MASS_CANCEL.value, 0, ACCOUNT.pack(account)
        window = self.windows.get(instrument)
        if window is None or account in self.accounts:  # those have what they have
            return clear
        price = (window.bounds_ticks or (window.base_ticks, window.last_ticks))[side == SELL]
        unit_quote = max(1, price) * window.multiplier_quote
        most_bits = min(31, RESERVE_LIMIT_QUOTE.bit_length() - 1 - unit_quote.bit_length())
        # All ones: the guard, which first counts bits, takes it for hardly more than it is.
        lots = (1 << rng.randint(1, max(1, most_bits))) - 1
        granted = rng.randint(1, 6) * unit_quote * lots
        orders = [self.place(instrument, account, side, ORDER_KINDS[0], price, lots, MODES[0]) for _ in range(8)]
        grants = [(Opcode.GRANT_CREDIT.value, 0, GRANT.pack(amount, account)) for amount in (granted, -granted)]
        self.then(grants[0], *orders, clear, grants[1])
        return clear

    def place(
        self,
        instrument: int,
        account: int,
        side: int,
        kind: tuple[int, int, int],
        price: int,
        quantity: int,
        mode: int,
    ) -> Unsent:
        """A new order without a flaw in a slot believed free, believed to rest if it can."""
        token = self.slot(PRIVILEGED_LINK, resting=False)
        generation = (self.generations.get(token, 0) + 1) & 0xFFFF
        self.generations[token] = generation
        order_type, time_in_force, flags = kind
        if time_in_force == TimeInForce.GTC.value:
            self.beliefs[token] = Order(instrument, account, generation, side, price, quantity)
        body = (price, quantity, account, token, generation, side, order_type, time_in_force, mode, flags)
        return Opcode.NEW_ORDER.value, instrument, ORDER.pack(*body)

    def changed(self, order: Unsent, price: int, quantity: int) -> Unsent:
        """A replace of a new order, without a flaw."""
        _opcode, instrument, body = order
        _price, _quantity, account, token, generation, side, *_ = ORDER.unpack(body)
        replace = REPLACE.pack(price, quantity, account, token, generation, side, 0)
        return Opcode.REPLACE.value, instrument, replace

    def belief(self, token: int) -> Order:
        """What is believed of the order in a slot, at times one thing of it wrong."""
        rng = self.rng
        order = self.beliefs.get(token)
        if order is None:
            return Order(self.instrument(), self.account(), self.generations.get(token, 0), BUY, 1, 1)
        luck = rng.random()
        if luck > 0.08:
            return order
        return Order(
            self.instrument() if luck < 0.02 else order.instrument,
            self.account() if 0.02 < luck < 0.04 else order.account,
            (order.generation + 1) & 0xFFFF if 0.04 < luck < 0.06 else order.generation,
            3 - order.side if luck > 0.06 else order.side,
            order.price_ticks,
            order.open_lots,
        )

    def cancel(self, link: int) -> Unsent:
        token = self.slot(link, resting=True)
        order = self.belief(token)
        if order is self.beliefs.get(token):
            del self.beliefs[token]
        return Opcode.CANCEL.value, order.instrument, CANCEL.pack(order.account, token, order.generation)

    def replace(self, link: int) -> Unsent:
        rng = self.rng
        token = self.slot(link, resting=True)
        order = self.belief(token)
        price, quantity = order.price_ticks, order.open_lots
        luck = rng.random()
        if luck < 0.1:
            pass  # as it is
        elif luck < 0.3:
            quantity = rng.randint(1, max(1, quantity)) if quantity < 100 else quantity & ~(1 << rng.randrange(32)) or 1
        elif luck < 0.5:
            quantity = min(MAX_U32, quantity + rng.randint(1, 5))
        elif luck < 0.9:
            price = self.price(order.instrument, order.side, max(0.3, self.aggression))
            quantity = self.quantity(order.instrument, price)
        elif luck < 0.91:
            quantity = 0
        else:
            price, quantity = self.sweep(order.instrument, order.side)
        expected = rng.choice((0, 0, 0, order.open_lots, order.open_lots, order.open_lots + 1)) & MAX_U32
        if order is self.beliefs.get(token):
            order.price_ticks, order.open_lots = price, quantity
        body = REPLACE.pack(price, quantity, order.account, token, order.generation, order.side, expected)
        return Opcode.REPLACE.value, order.instrument, body

    def forget(self, account: int) -> None:
        for token in [token for token, order in self.beliefs.items() if order.account == account]:
            del self.beliefs[token]

    def mass_cancel(self, link: int) -> Unsent:
        account = self.account()
        self.forget(account)
        return Opcode.MASS_CANCEL.value, 0, ACCOUNT.pack(account)

    def kill(self, link: int) -> Unsent:
        account = self.account()
        if link == PRIVILEGED_LINK:
            self.forget(account)
        return Opcode.KILL_ACCOUNT.value, 0, ACCOUNT.pack(account)

    def restore(self, link: int) -> Unsent:
        return Opcode.RESTORE_ACCOUNT.value, 0, ACCOUNT.pack(self.account())

    def grant_credit(self, link: int) -> Unsent:
        rng = self.rng
        luck = rng.random()
        if luck < 0.1:
            amount = rng.choice((1, -1)) * rng.choice((BALANCE_LIMIT_QUOTE, 2 * BALANCE_LIMIT_QUOTE - 1))
        elif luck < 0.15:
            return Opcode.GRANT_CREDIT.value, 0, GRANT.pack(0, rng.randrange(self.config.accounts))
        elif luck < 0.3:
            amount = -self.small_amount()
        elif self.cheap:
            amount = BALANCE_LIMIT_QUOTE // 5
        else:
            amount = self.small_amount()
        return Opcode.GRANT_CREDIT.value, 0, GRANT.pack(amount, self.account())

    def read_clock(self, link: int) -> Unsent:
        return Opcode.READ_CLOCK.value, 0, NOTHING
