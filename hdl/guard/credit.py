"""Per-account buying power: what an order reserves, and what returns of it.

Whatever moves a balance goes through one pipeline that never stalls, one entry a cycle:

    0  the entry: price and quantity in 16-bit halves, multiplied
    1  the products added
    2  times the multiplier, in 16-bit limbs
    3  the limbs added; the account's row is read
    4  the row arrives
    5  the balance moves

A release from the book goes before a reserve from the guard. Entries of one account may follow each other closely: the
row of stage 4 is taken from stage 5, or from what stage 5 wrote last, when that is newer than the memory.
"""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..beats import RESERVE_BITS, Release
from ..bits import COLLISIONS_UNUSED
from ..config import BookConfig

STAGES = 6


class Account(data.Struct):
    """An account's row: its `balance_quote`, and whether its entries are blocked."""

    balance_quote: signed(64)
    killed: 1


class Move(enum.Enum, shape=3):
    """RETURN gives to the balance. RESERVE takes; TRY takes if there is enough; OWE takes and tells the deficit."""

    RETURN = 1
    RESERVE = 2
    TRY = 3
    OWE = 4


class Entry(data.Struct):
    """A part of an order, and which way its worth moves."""

    move: Move
    account: unsigned(32)
    quantity_lots: unsigned(32)
    price_ticks: unsigned(32)
    multiplier_quote: unsigned(16)


class Outcome(data.Struct):
    """What became of a TRY or an OWE.

    Attributes
    ----------
    overflow : The worth is two to the `RESERVE_BITS` or more; nothing was taken.
    short : TRY: the balance is not enough; nothing was taken.
    value_quote : The worth, right unless `overflow`.
    deficit_quote : OWE: how far below zero the balance is now.
    """

    overflow: 1
    short: 1
    value_quote: unsigned(RESERVE_BITS)
    deficit_quote: unsigned(64)


class Accounts(wiring.Component):
    """Balances and kill switches in block RAM.

    Parameters
    ----------
    config : Sizes.

    Attributes
    ----------
    look : Account to show in `row` in the next cycle. A write of the same cycle is not seen.
    row : Its row.
    moves : Stream in: entries of the guard; two may wait for gaps between releases.
    released : Stream in: reserves that return; always ready.
    multiplier_of : The instrument of the release that is valid.
    released_multiplier_quote : Its multiplier.
    outcome_valid, outcome : In this cycle a TRY or OWE is through.
    coming, comes : The account to ask about from the next cycle on, while `comes`.
    awaited : Some move of the account that is asked about has not reached its row yet.
    taken_from : One that takes has not.
    written, written_account : A row is written in this cycle.
    overwrite : `row` becomes that of `account` while `enable`; only while nothing moves.
    pending : Something moves.
    ready : High once the rows are cleared after a reset.
    """

    def __init__(self, config: BookConfig):
        self._accounts = config.accounts
        account = unsigned(exact_log2(config.accounts))
        super().__init__(
            {
                "look": In(account),
                "row": Out(Account),
                "moves": In(stream.Signature(Entry)),
                "released": In(stream.Signature(Release)),
                "multiplier_of": Out(8),
                "released_multiplier_quote": In(16),
                "outcome_valid": Out(1),
                "outcome": Out(Outcome),
                "coming": In(account),
                "comes": In(1),
                "awaited": Out(1),
                "taken_from": Out(1),
                "written": Out(1),
                "written_account": Out(account),
                "overwrite": In(data.StructLayout({"enable": 1, "account": account, "row": Account})),
                "pending": Out(1),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        account_shape = self.look.shape()
        width = len(self.look)
        m.submodules.rows = rows = Memory(shape=Account, depth=self._accounts, init=[], attrs=COLLISIONS_UNUSED)
        write = rows.write_port()
        look, back = rows.read_port(), rows.read_port()
        clear = Signal(account_shape)
        m.d.comb += [
            look.addr.eq(self.look),
            self.row.eq(look.data),
            self.written.eq(write.en),
            self.written_account.eq(write.addr),
        ]

        # The entry: a release goes first; what the guard gives waits for a gap, in order.
        entry, first, second = Signal(Entry), Signal(Entry), Signal(Entry)
        first_waits, second_waits = Signal(), Signal()
        incoming = self.released.payload
        enters = first_waits & ~self.released.valid
        queues = self.moves.valid & self.moves.ready & (first_waits | self.released.valid)
        still_waits = Mux(enters, second_waits, first_waits)
        m.d.comb += [
            self.multiplier_of.eq(incoming.instrument),
            self.released.ready.eq(1),
            self.moves.ready.eq(self.ready & (~second_waits | enters)),
            entry.eq(Mux(first_waits, first, self.moves.payload)),
        ]
        m.d.sync += [
            first_waits.eq(still_waits | queues),
            second_waits.eq((second_waits & ~enters) | (queues & still_waits)),
        ]
        # What does not wait is anything: so no register waits for `moves.valid`, which is known last.
        with m.If(~first_waits | enters):
            m.d.sync += first.eq(Mux(second_waits, second, self.moves.payload))
        with m.If(~second_waits | enters):
            m.d.sync += second.eq(self.moves.payload)
        with m.If(self.released.valid):
            m.d.comb += [
                entry.move.eq(Move.RETURN),
                entry.account.eq(incoming.account),
                entry.quantity_lots.eq(incoming.quantity_lots),
                entry.price_ticks.eq(incoming.price_ticks),
                entry.multiplier_quote.eq(self.released_multiplier_quote),
            ]

        valid = [Signal(name=f"valid_{stage}") for stage in range(STAGES)]
        accounts = [Signal(account_shape, name=f"account_{stage}") for stage in range(STAGES)]
        moves = [Signal(Move, init=Move.RETURN, name=f"move_{stage}") for stage in range(STAGES)]
        m.d.sync += [
            valid[0].eq(self.released.valid | first_waits | (self.moves.valid & self.moves.ready)),
            accounts[0].eq(entry.account),
            moves[0].eq(entry.move),
        ]
        for before, after in pairwise(range(STAGES)):
            m.d.sync += [
                valid[after].eq(valid[before]),
                accounts[after].eq(accounts[before]),
                moves[after].eq(moves[before]),
            ]

        # 0: halves of quantity and price. 1: their products. 2: the product's limbs times the multiplier. 3: the value.
        quantity, price = Signal(32), Signal(32)
        multipliers = [Signal(16, name=f"multiplier_{stage}") for stage in range(3)]
        m.d.sync += [quantity.eq(entry.quantity_lots), price.eq(entry.price_ticks)]
        m.d.sync += [multipliers[0].eq(entry.multiplier_quote)]
        m.d.sync += [after.eq(before) for before, after in pairwise(multipliers)]
        halves = [Signal(32, name=f"halves_{index}") for index in range(4)]
        for index, product in enumerate(halves):
            m.d.sync += product.eq(quantity[16 * (index & 1) :][:16] * price[16 * (index >> 1) :][:16])
        product = Signal(64)
        m.d.sync += product.eq(Cat(halves[0], halves[3]) + ((halves[1] + halves[2]) << 16))
        limbs = [Signal(32, name=f"limbs_{index}") for index in range(3)]
        for index, limb in enumerate(limbs):
            m.d.sync += limb.eq(product[16 * index :][:16] * multipliers[2])
        too_wide = Signal()
        m.d.sync += too_wide.eq(product[RESERVE_BITS:] != 0)
        value = Signal(64)
        wide = Signal()
        m.d.sync += [value.eq(limbs[0] + (limbs[1] << 16) + (limbs[2] << 32)), wide.eq(too_wide)]
        value_5 = Signal(RESERVE_BITS)
        overflow = Signal()
        m.d.sync += [value_5.eq(value), overflow.eq(wide | (value[RESERVE_BITS:] != 0))]

        # 3: the row is read. 4: it arrives. 5: it changes.
        row, changed = Signal(Account), Signal(Account)
        last, last_account, last_valid = Signal(Account), Signal(account_shape), Signal()
        taken = Signal(signed(65))
        returns = moves[5] == Move.RETURN
        writes = Signal()
        m.d.comb += [back.addr.eq(accounts[3])]
        with m.If(valid[5] & writes & (accounts[5] == accounts[4])):
            m.d.sync += row.eq(changed)
        with m.Elif(last_valid & (last_account == accounts[4])):
            m.d.sync += row.eq(last)
        with m.Else():
            m.d.sync += row.eq(back.data)
        m.d.sync += [last.eq(write.data), last_account.eq(write.addr), last_valid.eq(write.en)]
        m.d.comb += [
            taken.eq(row.balance_quote - value_5),
            changed.killed.eq(row.killed),
            changed.balance_quote.eq(Mux(returns, row.balance_quote + value_5, taken)),
            self.outcome.overflow.eq(overflow),
            self.outcome.short.eq(taken < 0),
            self.outcome.value_quote.eq(value_5),
            self.outcome.deficit_quote.eq(Mux(taken < 0, -taken, 0)),
            self.outcome_valid.eq(valid[5] & ((moves[5] == Move.TRY) | (moves[5] == Move.OWE))),
            writes.eq(~overflow & ~((moves[5] == Move.TRY) & (taken < 0))),
        ]
        with m.If(~self.ready):
            m.d.sync += [clear.eq(clear + 1), self.ready.eq(clear == self._accounts - 1)]
            m.d.comb += [write.addr.eq(clear), write.en.eq(1)]
        with m.Elif(self.overwrite.enable):
            m.d.comb += [write.addr.eq(self.overwrite.account), write.data.eq(self.overwrite.row), write.en.eq(1)]
        with m.Else():
            m.d.comb += [write.addr.eq(accounts[5]), write.data.eq(changed), write.en.eq(valid[5] & writes)]

        asked = Signal(account_shape)
        with m.If(self.comes):
            m.d.sync += asked.eq(self.coming)
        waiting = ((first_waits, first.account[:width]), (second_waits, second.account[:width]))
        staged = list(zip(valid, accounts, strict=True))
        released = (self.released.valid, incoming.account[:width])
        awaited = Cat(there & (account == asked) for there, account in (released, *waiting, *staged)).any()
        pending = Cat(self.released.valid, first_waits, *valid).any()

        # Known at the beginning of a cycle: of which account what takes is still on its way then.
        takes = [
            (self.moves.valid & self.moves.ready, self.moves.payload.account[:width]),
            *waiting,
            *((there & (move != Move.RETURN), account) for (there, account), move in zip(staged, moves, strict=True)),
        ][:-1]

        def takes_from(whom):
            return Cat(there & (account == whom) for there, account in takes).any()

        m.d.sync += self.taken_from.eq(Mux(self.comes, takes_from(self.coming), takes_from(asked)))
        m.d.comb += [self.awaited.eq(awaited), self.pending.eq(pending)]
        return m
