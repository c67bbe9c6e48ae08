"""Per-account buying power: what an order reserves, and what returns of it."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..beats import RESERVE_BITS, Release
from ..config import BookConfig


class Account(data.Struct):
    """An account's row: its `balance_quote`, and whether its entries are blocked."""

    balance_quote: signed(64)
    killed: 1


class Valuation(wiring.Component):
    """Price times quantity times multiplier, in two cycles.

    Attributes
    ----------
    quantity_lots, price_ticks : Factors, taken while `load`.
    multiplier_quote : The third factor, one cycle later, taken while `load_product`.
    value_quote : The product from the cycle after that on; right unless `overflow`.
    overflow : The product is two to the `RESERVE_BITS` or more.
    """

    quantity_lots: In(32)
    price_ticks: In(32)
    load: In(1)
    multiplier_quote: In(16)
    load_product: In(1)
    value_quote: Out(RESERVE_BITS)
    overflow: Out(1)

    def elaborate(self, platform):
        m = Module()
        product = Signal(64)
        value = Signal(RESERVE_BITS + 16)
        wide = Signal()
        with m.If(self.load):
            m.d.sync += product.eq(self.quantity_lots * self.price_ticks)
        with m.If(self.load_product):
            m.d.sync += [
                value.eq(product[:RESERVE_BITS] * self.multiplier_quote),
                wide.eq(product[RESERVE_BITS:] != 0),
            ]
        m.d.comb += [
            self.value_quote.eq(value[:RESERVE_BITS]),
            self.overflow.eq(wide | (value[RESERVE_BITS:] != 0)),
        ]
        return m


class Accounts(wiring.Component):
    """Balances and kill switches in block RAM, and the way back of what the book releases.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    look : Account to show in `row` from the next cycle on; a write of this cycle or earlier is seen.
    row : Its row.
    write : `row` becomes that of `account` while `enable`, unless `write_waits`: a release goes first.
    write_waits : See there.
    released : Stream in: reserves to return.
    multiplier_of : The instrument whose multiplier `multiplier_quote` is asked for, in the same cycle.
    pending : A release is on its way, for account `pending_account`. Never while none was taken since it last was low.
    ready : High once the rows are cleared after a reset.
    """

    def __init__(self, config: BookConfig):
        self._accounts = config.accounts
        account = unsigned(exact_log2(config.accounts))
        super().__init__(
            {
                "look": In(account),
                "row": Out(Account),
                "write": In(data.StructLayout({"enable": 1, "account": account, "row": Account})),
                "write_waits": Out(1),
                "released": In(stream.Signature(Release)),
                "multiplier_of": Out(8),
                "multiplier_quote": In(16),
                "pending": Out(1),
                "pending_account": Out(account),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows = rows = Memory(shape=Account, depth=self._accounts, init=[])
        write = rows.write_port()
        look = rows.read_port(transparent_for=[write])
        back = rows.read_port(transparent_for=[write])
        m.submodules.valuation = valuation = Valuation()

        clear = Signal(self.look.shape())
        m.d.comb += [look.addr.eq(self.look), self.row.eq(look.data)]
        with m.If(~self.ready):
            m.d.sync += [clear.eq(clear + 1), self.ready.eq(clear == self._accounts - 1)]
            m.d.comb += [write.addr.eq(clear), write.en.eq(1)]
        with m.Else():
            m.d.comb += [
                write.addr.eq(self.write.account),
                write.data.eq(self.write.row),
                write.en.eq(self.write.enable),
            ]

        release = Signal(Release)
        incoming = self.released.payload
        m.d.comb += [
            valuation.quantity_lots.eq(incoming.quantity_lots),
            valuation.price_ticks.eq(incoming.price_ticks),
            valuation.multiplier_quote.eq(self.multiplier_quote),
            self.multiplier_of.eq(release.instrument),
            self.pending_account.eq(release.account),
            back.addr.eq(release.account),
        ]
        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += [self.released.ready.eq(1), valuation.load.eq(1)]
                m.d.sync += release.eq(incoming)
                with m.If(self.released.valid):
                    m.next = "VALUE"
            with m.State("VALUE"):
                m.d.comb += [self.pending.eq(1), valuation.load_product.eq(1)]
                m.next = "RETURN"
            with m.State("RETURN"):
                m.d.comb += [
                    self.pending.eq(1),
                    self.write_waits.eq(1),
                    write.en.eq(1),
                    write.addr.eq(release.account),
                    write.data.killed.eq(back.data.killed),
                    write.data.balance_quote.eq(back.data.balance_quote + valuation.value_quote),
                ]
                m.next = "TAKE"
        return m
