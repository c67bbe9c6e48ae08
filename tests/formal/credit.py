"""Proof of `hdl.guard.credit`."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from harness import Harness, anything, before, opened, register, rows, some, take
from proof import Proof

from bandgap.hdl.config import PRESETS
from bandgap.hdl.guard.credit import STAGES, Account, Accounts, Entry, Move

CONFIG = PRESETS["formal"]


class Balances(Harness):
    """Every move changes its account's balance once, in turn: what is reserved and the balance are what was granted.

    One account is followed, any. Two moves of the guard wait at most, in their order, for gaps between releases; from
    its entry on each takes as many cycles as there are stages. Its worth is whatever its three factors are multiplied
    to: how that is done is not looked at.
    """

    def describe(self, m: Module) -> None:
        dut = Accounts(CONFIG)
        m.submodules.dut = inner = opened(dut)
        moves, released, overwrite = dut.moves, dut.released, dut.overwrite
        for port in (
            *(moves.valid, moves.payload, released.valid, released.payload, dut.released_multiplier_quote),
            *(dut.look, dut.coming, dut.comes, overwrite),
        ):
            anything(m, port)
        given = moves.payload
        self.assume(m, sum(given.move == move for move in (Move.RESERVE, Move.TRY, Move.OWE)) != 0)
        self.assume(m, dut.ready | ~(released.valid | overwrite.enable))
        self.assume(m, ~overwrite.enable | ~(dut.pending | moves.valid))
        account = some(m, dut.look.shape(), "account")
        age = Signal(range(CONFIG.accounts + 1))
        m.d.sync += age.eq(Mux(dut.ready, age, age + 1))
        self.claim(m, "cleared_in_time", dut.ready == (age == CONFIG.accounts))
        self.claim(m, "sweeps", dut.ready | (register(inner, "clear") == age))

        # The guard's moves wait for a gap; what enters goes from stage to stage.
        front, back, inside = Signal(Entry), Signal(Entry), Signal(range(3))
        taken, enters = moves.valid & moves.ready, ~released.valid & (inside != 0)
        waits = taken & (released.valid | (inside != 0))
        rest = inside - enters
        m.d.sync += inside.eq(rest + waits)
        with m.If(enters):
            m.d.sync += front.eq(back)
        with m.If(waits):
            m.d.sync += Array([front, back])[rest != 0].eq(given)
        entry = Signal(Entry)
        m.d.comb += entry.eq(Mux(inside != 0, front, given))
        with m.If(released.valid):
            m.d.comb += [
                entry.move.eq(Move.RETURN),
                entry.multiplier_quote.eq(dut.released_multiplier_quote),
                *(entry[name].eq(released.payload[name]) for name in ("account", "price_ticks", "quantity_lots")),
            ]
        stages = [Signal(Entry, name=f"stage_{stage}") for stage in range(STAGES)]
        present = [Signal(name=f"present_{stage}") for stage in range(STAGES)]
        m.d.sync += [
            Cat(stages).eq(Cat(entry, *stages[:-1])),
            Cat(present).eq(Cat(released.valid | taken | (inside != 0), *present[:-1])),
        ]

        def same(name, value):
            return register(inner, name) == Value.cast(value)

        self.claim(m, "two_wait_at_most", inside <= 2)
        queue = (("first", front), ("second", back))
        waiting = [(inside > place, it) for place, (_, it) in enumerate(queue)]
        they_wait = same("first_waits", waiting[0][0]) & same("second_waits", waiting[1][0])
        self.claim(m, "waiting", they_wait & Cat(~there | (it.move != Move.RETURN) for there, it in waiting).all())
        # What does not wait is anything, in the gateware as here.
        self.claim(m, "in_order", Cat(~there | same(*it) for (there, _), it in zip(waiting, queue, strict=True)).all())
        self.claim(m, "room", moves.ready == (dut.ready & ((inside != 2) | enters)))
        for stage, (there, at) in enumerate(zip(present, stages, strict=True)):
            it = same(f"account_{stage}", at.account[: len(account)]) & same(f"move_{stage}", at.move)
            self.claim(m, f"stage_{stage}", same(f"valid_{stage}", there) & (it | ~there))
        first, last = stages[0], stages[-1]
        worth, overflow = dut.outcome.value_quote, dut.outcome.overflow
        multipliers = Cat(same(f"multiplier_{stage}", stages[stage].multiplier_quote) for stage in range(3))
        factors = same("quantity", first.quantity_lots) & same("price", first.price_ticks)
        self.claim(m, "factors", factors & multipliers.all())

        # The followed account: its row, what was granted, and what is held of that.
        kept, granted, held = Signal(Account), Signal(64), Signal(64)
        here = take(m, "here", present[-1] & (last.account[: len(account)] == account))
        left = take(m, "left", (kept.balance_quote - worth).as_signed())
        returns, tries = last.move == Move.RETURN, last.move == Move.TRY
        moved = take(m, "moved", here & ~overflow & ~(tries & (left < 0)))
        changed = Signal(signed(64))
        m.d.comb += changed.eq(Mux(returns, kept.balance_quote + worth, left))
        with m.If(moved):
            m.d.sync += [kept.balance_quote.eq(changed), held.eq(Mux(returns, held - worth, held + worth))]
        overwritten = take(m, "overwritten", overwrite.enable & (overwrite.account == account))
        with m.If(overwritten):
            given_quote = overwrite.row.balance_quote - kept.balance_quote
            m.d.sync += [kept.eq(overwrite.row), granted.eq(granted + given_quote)]
        known = dut.ready | (age > account)
        row = Signal(Account)
        m.d.comb += row.eq(Array(rows(m, inner, "rows"))[account])
        zero = (held == 0) & (Value.cast(kept) == 0) & (granted == 0)
        self.claim(m, "kept", (~known | (Value.cast(row) == Value.cast(kept))) & (dut.ready | zero))
        self.claim(m, "conserved", ~known | ((row.balance_quote + held)[:64] == granted))
        self.claim(m, "nothing_moves_early", dut.ready | ~(Cat(present).any() | (inside != 0)))

        # What the move at the last stage was given of it: from memory, or of the moves right ahead of it.
        at_row, at_last = register(inner, "row"), register(inner, "last")
        read = Signal(Account)
        m.d.comb += read.eq(Value.cast(inner.submodules["rows"].read_ports[1].data))
        nearly = present[-2] & (stages[-2].account[: len(account)] == account)
        was = register(inner, "last_valid") & (register(inner, "last_account") == account)
        past = before(m, row)
        self.claim(m, "read", ~nearly | (Value.cast(read) == past))
        self.claim(m, "written_last", ~was | (Value.cast(at_last) == Value.cast(row)))
        self.claim(m, "not_written_last", was | ~known | (Value.cast(row) == past))
        self.claim(m, "forwarded", ~here | (Value.cast(at_row) == Value.cast(kept)))
        self.claim(m, "outcome", dut.outcome_valid == (present[-1] & (tries | (last.move == Move.OWE))))
        self.claim(m, "short", ~here | (dut.outcome.short == (left < 0)))
        self.claim(m, "deficit", ~here | (dut.outcome.deficit_quote == Mux(left < 0, -left, 0)))
        self.claim(m, "no_debt_by_trying", ~before(m, here & tries & dut.written) | (row.balance_quote >= 0))
        written = dut.written & (dut.written_account == account)
        self.claim(m, "written", ~dut.ready | (written == (moved | overwritten)))

        asked = Signal.like(dut.coming)
        m.d.sync += asked.eq(Mux(dut.comes, dut.coming, asked))

        def of_asked(it):
            return it.account[: len(account)] == asked

        under_way = [
            (released.valid, released.payload, 0),
            *((there, it, 1) for there, it in waiting),
            *((there, at, at.move != Move.RETURN) for there, at in zip(present, stages, strict=True)),
        ]
        awaited = Cat(there & of_asked(it) for there, it, _ in under_way).any()
        taken_from = Cat(there & takes & of_asked(it) for there, it, takes in under_way).any()
        self.claim(m, "awaited", (dut.awaited == awaited) & same("asked", asked))
        self.claim(m, "taken_from", dut.taken_from == taken_from)
        self.claim(m, "pending", dut.pending == (released.valid | (inside != 0) | Cat(present).any()))
        looked = before(m, (dut.look == account) & known & ~dut.written)
        self.claim(m, "shown", ~looked | (Value.cast(dut.row) == Value.cast(row)))

        self.reach(m, "neighbours", moved & nearly)
        self.reach(m, "one_apart", before(m, moved) & ~moved & nearly)
        self.reach(m, "short", here & tries & (left < 0) & ~overflow)
        self.reach(m, "owed", moved & (last.move == Move.OWE) & (left < 0))
        self.reach(m, "overflow", here & overflow)
        self.reach(m, "two_wait", (inside == 2) & (front.account == account) & (back.account == account))
        self.reach(m, "returned", moved & returns & (held == worth) & (worth != 0))


PROOFS = (Proof("credit", Balances, steps=2, terms=(16,), reach=13),)
