"""Messages worked out by hand, byte by byte, from docs/protocol.md.

The gateware's structs, the host's dtypes and the model's own reading are each held to the same bytes, so that a mistake
which any of them share with another shows. Multi-byte numbers are little-endian: 0x0102 is written 02 01.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from amaranth.lib import data

from bandgap.hdl.protocol.commands import COMMANDS, Opcode
from bandgap.hdl.protocol.reports import REPORTS, ReportKind
from bandgap.host.wire import COMMAND_DTYPES, REPORT_DTYPES, new_commands, to_bytes
from bandgap.sim.model import commands, reports


@dataclass(frozen=True)
class Golden:
    """A message: its bytes, and its fields (header and body together; reserved bytes left out)."""

    name: str
    text: str
    fields: dict[str, int]
    model: Any

    @property
    def raw(self) -> bytes:
        return bytes.fromhex("".join(line.partition("#")[0] for line in self.text.splitlines()))


GOLDEN_COMMANDS = [
    Golden(
        "new order",
        """
        01           # opcode NEW_ORDER
        02           # instrument 2
        03 00        # epoch 3
        15 cd 5b 07  # number 123,456,789 = 0x075bcd15
        10 27 00 00  # price 10,000 = 0x2710
        ff ff ff ff  # quantity 4,294,967,295, the largest
        2a 00 00 00  # account 42 = 0x2a
        39 30        # token 12,345 = 0x3039
        fe ff        # generation 65,534 = 0xfffe
        02           # side SELL
        01           # type LIMIT
        01           # time in force GTC
        05           # self-trade prevention DECREMENT
        03           # flags POST_ONLY 1 + REDUCE_ONLY 2
        00 00 00     # reserved
        """,
        {
            "opcode": 1,
            "instrument": 2,
            "epoch": 3,
            "number": 123_456_789,
            "price_ticks": 10_000,
            "quantity_lots": 4_294_967_295,
            "account": 42,
            "token": 12_345,
            "generation": 65_534,
            "side": 2,
            "order_type": 1,
            "time_in_force": 1,
            "self_trade_prevention": 5,
            "flags": 3,
        },
        commands.NewOrder(
            instrument=2,
            epoch=3,
            number=123_456_789,
            price_ticks=10_000,
            quantity_lots=4_294_967_295,
            account=42,
            token=12_345,
            generation=65_534,
            side=commands.Side.SELL,
            order_type=commands.OrderType.LIMIT,
            time_in_force=commands.TimeInForce.GTC,
            self_trade_prevention=commands.SelfTradePrevention.DECREMENT,
            post_only=True,
            reduce_only=True,
        ),
    ),
    Golden(
        "cancel",
        """
        02                       # opcode CANCEL
        01                       # instrument 1
        ff ff                    # epoch 65,535
        01 00 00 00              # number 1
        00 00 00 00 00 00 00 00  # reserved
        00 00 01 00              # account 65,536 = 0x10000
        00 10                    # token 4,096 = 0x1000
        07 00                    # generation 7
        00 00 00 00 00 00 00 00  # reserved
        """,
        {
            "opcode": 2,
            "instrument": 1,
            "epoch": 65_535,
            "number": 1,
            "account": 65_536,
            "token": 4_096,
            "generation": 7,
        },
        commands.Cancel(instrument=1, epoch=65_535, number=1, account=65_536, token=4_096, generation=7),
    ),
    Golden(
        "replace",
        """
        03           # opcode REPLACE
        00           # instrument 0
        01 00        # epoch 1
        00 01 00 00  # number 256
        ff 00 00 00  # price 255
        00 01 00 00  # quantity 256
        03 00 00 00  # account 3
        04 00        # token 4
        05 00        # generation 5
        01           # side BUY
        00 00 00     # reserved
        e8 03 00 00  # expected quantity 1,000 = 0x3e8
        """,
        {
            "opcode": 3,
            "instrument": 0,
            "epoch": 1,
            "number": 256,
            "price_ticks": 255,
            "quantity_lots": 256,
            "account": 3,
            "token": 4,
            "generation": 5,
            "side": 1,
            "expected_quantity_lots": 1_000,
        },
        commands.Replace(
            instrument=0,
            epoch=1,
            number=256,
            price_ticks=255,
            quantity_lots=256,
            account=3,
            token=4,
            generation=5,
            side=commands.Side.BUY,
            expected_quantity_lots=1_000,
        ),
    ),
    Golden(
        "kill account",
        """
        15                                   # opcode KILL_ACCOUNT, 21 = 0x15
        00                                   # instrument, none
        01 00                                # epoch 1
        02 00 00 00                          # number 2
        00 00 00 00 00 00 00 00              # reserved
        ff 03 00 00                          # account 1,023 = 0x3ff
        00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"opcode": 21, "instrument": 0, "epoch": 1, "number": 2, "account": 1_023},
        commands.AccountCommand(commands.Opcode.KILL_ACCOUNT, instrument=0, epoch=1, number=2, account=1_023),
    ),
    Golden(
        "set instrument",
        """
        10                             # opcode SET_INSTRUMENT, 16 = 0x10
        07                             # instrument 7
        01 00                          # epoch 1
        03 00 00 00                    # number 3
        a0 86 01 00                    # window base 100,000 = 0x186a0
        00 08 00 00                    # ladder offset 2,048 = 0x800
        64 00 00 00                    # multiplier 100 = 0x64
        0b                             # window of 2**11 ticks
        02                             # flags DEPTH
        00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {
            "opcode": 16,
            "instrument": 7,
            "epoch": 1,
            "number": 3,
            "window_base_ticks": 100_000,
            "ladder_offset": 2_048,
            "multiplier_quote": 100,
            "window_log2": 11,
            "flags": 2,
        },
        commands.SetInstrument(
            instrument=7,
            epoch=1,
            number=3,
            window_base_ticks=100_000,
            ladder_offset=2_048,
            multiplier_quote=100,
            window_log2=11,
            top_of_book=False,
            depth=True,
        ),
    ),
    Golden(
        "set band",
        """
        11                                # opcode SET_BAND, 17 = 0x11
        07                                # instrument 7
        01 00                             # epoch 1
        04 00 00 00                       # number 4
        b8 88 01 00                       # lower bound 100,536 = 0x188b8
        00 89 01 00                       # upper bound 100,608 = 0x18900
        dc 88 01 00                       # reference 100,572 = 0x188dc
        02                                # policy CLAMP
        00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {
            "opcode": 17,
            "instrument": 7,
            "epoch": 1,
            "number": 4,
            "lower_ticks": 100_536,
            "upper_ticks": 100_608,
            "reference_ticks": 100_572,
            "policy": 2,
        },
        commands.SetBand(7, 1, 4, 100_536, 100_608, 100_572, commands.BandPolicy.CLAMP),
    ),
    Golden(
        "resume all",
        """
        13                                                                       # opcode RESUME, 19 = 0x13
        ff                                                                       # all instruments
        01 00                                                                    # epoch 1
        05 00 00 00                                                              # number 5
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"opcode": 19, "instrument": 255, "epoch": 1, "number": 5},
        commands.PlainCommand(commands.Opcode.RESUME, instrument=255, epoch=1, number=5),
    ),
    Golden(
        "grant credit, taken back",
        """
        14                                   # opcode GRANT_CREDIT, 20 = 0x14
        00                                   # instrument, none
        01 00                                # epoch 1
        06 00 00 00                          # number 6
        fe ff ff ff ff ff ff ff              # amount -2 in two's complement
        09 00 00 00                          # account 9
        00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"opcode": 20, "instrument": 0, "epoch": 1, "number": 6, "amount_quote": -2, "account": 9},
        commands.GrantCredit(instrument=0, epoch=1, number=6, amount_quote=-2, account=9),
    ),
    Golden(
        "heartbeat",
        """
        17                                            # opcode HEARTBEAT, 23 = 0x17
        00                                            # instrument, none
        01 00                                         # epoch 1
        07 00 00 00                                   # number 7
        00 ca 9a 3b 00 00 00 00                       # timeout 1,000,000,000 ns = 0x3b9aca00
        02                                            # action HALT_AND_CANCEL
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"opcode": 23, "instrument": 0, "epoch": 1, "number": 7, "timeout_ns": 1_000_000_000, "action": 2},
        commands.Heartbeat(0, 1, 7, 1_000_000_000, commands.ExpiryAction.HALT_AND_CANCEL),
    ),
    Golden(
        "halt all for a time",
        """
        12                                                           # opcode HALT, 18 = 0x12
        ff                                                           # all instruments
        01 00                                                        # epoch 1
        08 00 00 00                                                  # number 8
        00 a3 e1 11                                                  # 300,000,000 us = 0x11e1a300
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"opcode": 18, "instrument": 255, "epoch": 1, "number": 8, "duration_us": 300_000_000},
        commands.StateCommand(commands.Opcode.HALT, instrument=255, epoch=1, number=8, duration_us=300_000_000),
    ),
    Golden(
        "call",
        """
        1c                                                           # opcode CALL, 28 = 0x1c
        03                                                           # instrument 3
        01 00                                                        # epoch 1
        09 00 00 00                                                  # number 9
        00 00 00 00                                                  # as long as the instrument's calls
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"opcode": 28, "instrument": 3, "epoch": 1, "number": 9, "duration_us": 0},
        commands.StateCommand(commands.Opcode.CALL, instrument=3, epoch=1, number=9, duration_us=0),
    ),
    Golden(
        "set breaker",
        """
        19           # opcode SET_BREAKER, 25 = 0x19
        07           # instrument 7
        01 00        # epoch 1
        0a 00 00 00  # number 10
        c0 e1 e4 00  # limit state 15,000,000 us = 0xe4e1c0
        00 a3 e1 11  # halt 300,000,000 us = 0x11e1a300
        00 e1 f5 05  # call 100,000,000 us = 0x5f5e100
        e8 03 00 00  # extension 1,000 us = 0x3e8
        40 42 0f 00  # indicative every 1,000,000 us = 0xf4240
        02           # mode BATCH
        01           # flags COLLECT
        00 00        # reserved
        """,
        {
            "opcode": 25,
            "instrument": 7,
            "epoch": 1,
            "number": 10,
            "limit_us": 15_000_000,
            "halt_us": 300_000_000,
            "call_us": 100_000_000,
            "extension_us": 1_000,
            "indicative_us": 1_000_000,
            "mode": 2,
            "flags": 1,
        },
        commands.SetBreaker(
            instrument=7,
            epoch=1,
            number=10,
            limit_us=15_000_000,
            halt_us=300_000_000,
            call_us=100_000_000,
            extension_us=1_000,
            indicative_us=1_000_000,
            mode=commands.TradingMode.BATCH,
            collects=True,
        ),
    ),
    Golden(
        "set dynamic band",
        """
        1a                 # opcode SET_DYNAMIC_BAND, 26 = 0x1a
        07                 # instrument 7
        01 00              # epoch 1
        0b 00 00 00        # number 11
        19 00 00 00        # short width 25 = 0x19
        20 a1 07 00        # short bucket 500,000 us = 0x7a120
        58 02 00 00        # long width 600 = 0x258
        00 87 93 03        # long bucket 60,000,000 us = 0x3938700
        04                 # 4 short buckets
        3c                 # 60 long buckets = 0x3c
        00 00 00 00 00 00  # reserved
        """,
        {
            "opcode": 26,
            "instrument": 7,
            "epoch": 1,
            "number": 11,
            "short_width_ticks": 25,
            "short_bucket_us": 500_000,
            "long_width_ticks": 600,
            "long_bucket_us": 60_000_000,
            "short_buckets": 4,
            "long_buckets": 60,
        },
        commands.SetDynamicBand(
            instrument=7,
            epoch=1,
            number=11,
            short_width_ticks=25,
            short_bucket_us=500_000,
            long_width_ticks=600,
            long_bucket_us=60_000_000,
            short_buckets=4,
            long_buckets=60,
        ),
    ),
    Golden(
        "set reference rule",
        """
        1b           # opcode SET_REFERENCE_RULE, 27 = 0x1b
        07           # instrument 7
        01 00        # epoch 1
        0c 00 00 00  # number 12
        2c 01 00 00  # width 300 = 0x12c
        50 c3 00 00  # width 50,000 millionths = 0xc350
        0a 00 00 00  # auction width 10
        10 27 00 00  # move 10,000 millionths = 0x2710
        80 c3 c9 01  # hold 30,000,000 us = 0x1c9c380
        02           # source LAST_TRADES
        06           # of 2**6 trades
        00 00        # reserved
        """,
        {
            "opcode": 27,
            "instrument": 7,
            "epoch": 1,
            "number": 12,
            "width_ticks": 300,
            "width_ppm": 50_000,
            "auction_width_ticks": 10,
            "move_ppm": 10_000,
            "hold_us": 30_000_000,
            "source": 2,
            "trades_log2": 6,
        },
        commands.SetReferenceRule(
            instrument=7,
            epoch=1,
            number=12,
            width_ticks=300,
            width_ppm=50_000,
            auction_width_ticks=10,
            move_ppm=10_000,
            hold_us=30_000_000,
            source=commands.ReferenceSource.LAST_TRADES,
            trades_log2=6,
        ),
    ),
    Golden(
        "set call end",
        """
        1d                                                           # opcode SET_CALL_END, 29 = 0x1d
        07                                                           # instrument 7
        01 00                                                        # epoch 1
        0d 00 00 00                                                  # number 13
        87 d6 12 00                                                  # 1,234,567 us = 0x12d687
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"opcode": 29, "instrument": 7, "epoch": 1, "number": 13, "extra_us": 1_234_567},
        commands.SetCallEnd(instrument=7, epoch=1, number=13, extra_us=1_234_567),
    ),
    Golden(
        "set schedule",
        """
        1e                                # opcode SET_SCHEDULE, 30 = 0x1e
        07                                # instrument 7
        01 00                             # epoch 1
        0e 00 00 00                       # number 14
        00 e4 0b 54 02 00 00 00           # at 10,000,000,000 ns = 0x02540be400
        00 e1 f5 05                       # call of 100,000,000 us = 0x5f5e100
        03                                # CLOSING_CALL
        00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {
            "opcode": 30,
            "instrument": 7,
            "epoch": 1,
            "number": 14,
            "at_ns": 10_000_000_000,
            "duration_us": 100_000_000,
            "state": 3,
        },
        commands.SetSchedule(7, 1, 14, 10_000_000_000, 100_000_000, commands.ScheduledState.CLOSING_CALL),
    ),
    Golden(
        "move window",
        """
        1f                                                           # opcode MOVE_WINDOW, 31 = 0x1f
        07                                                           # instrument 7
        01 00                                                        # epoch 1
        0f 00 00 00                                                  # number 15
        00 f8 ff ff                                                  # window base 2**32 - 2,048 = 0xfffff800
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"opcode": 31, "instrument": 7, "epoch": 1, "number": 15, "window_base_ticks": 2**32 - 2_048},
        commands.MoveWindow(instrument=7, epoch=1, number=15, window_base_ticks=2**32 - 2_048),
    ),
]

CAUSE = reports.Cause(time_ns=0x0102_0304_0506_0708, link=1, command_number=99)
"""What caused every report below; its number is 258 in epoch 3."""

_CAUSED = {"link": 1, "number": 258, "time_ns": 0x0102_0304_0506_0708, "command_number": 99, "epoch": 3}

GOLDEN_REPORTS = [
    Golden(
        "canceled",
        """
        04                                   # kind CANCELED
        23                                   # reason SELF_TRADE, 35 = 0x23
        02                                   # instrument 2
        01                                   # link 1
        02 01 00 00                          # number 258 = 0x102
        08 07 06 05 04 03 02 01              # time
        63 00 00 00                          # command 99 = 0x63
        00 00 00 00                          # entry cycle
        00 00 00 00                          # exit cycle
        03 00                                # epoch 3
        01                                   # side BUY
        01                                   # flags LAST
        10 27 00 00                          # price 10,000
        05 00 00 00                          # quantity 5 taken away
        2a 00 00 00                          # account 42
        39 30                                # token 12,345
        fe ff                                # generation 65,534
        07 00 00 00                          # 7 remain
        00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {
            "kind": 4,
            "reason": 35,
            "instrument": 2,
            "side": 1,
            "flags": 1,
            "price_ticks": 10_000,
            "quantity_lots": 5,
            "account": 42,
            "token": 12_345,
            "generation": 65_534,
            "remaining_lots": 7,
        },
        reports.OrderReport(reports.ReportKind.CANCELED, 35, 2, 1, 10_000, 5, 42, 12_345, 65_534, 7),
    ),
    Golden(
        "rejected",
        """
        02                                               # kind REJECTED
        0b                                               # reason CREDIT, 11
        00                                               # instrument 0
        01 02 01 00 00 08 07 06 05 04 03 02 01           # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00              # command 99, entry cycle, exit cycle
        03 00 02 01                                      # epoch 3, side SELL, flags LAST
        01 00 00 00 02 00 00 00 03 00 00 00 04 00 05 00  # bytes 8 to 23 of the command
        00 00 00 00                                      # nothing remains
        00 00 00 00 00 00 00 00 00 00 00 00              # reserved
        """,
        {
            "kind": 2,
            "reason": 11,
            "instrument": 0,
            "side": 2,
            "flags": 1,
            "price_ticks": 1,
            "quantity_lots": 2,
            "account": 3,
            "token": 4,
            "generation": 5,
            "remaining_lots": 0,
        },
        reports.Rejected(reports.Reason.CREDIT, 0, 2, bytes.fromhex("01000000020000000300000004000500")),
    ),
    Golden(
        "trade",
        """
        03 00 02                                # kind TRADE, no reason, instrument 2
        01 02 01 00 00 08 07 06 05 04 03 02 01  # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00     # command 99, entry cycle, exit cycle
        03 00 02 00                             # epoch 3, the taker sells, not the last
        64 00 00 00                             # price 100
        0a 00 00 00                             # quantity 10
        0b 00 00 00                             # taker's account 11
        0c 00                                   # its token 12
        0d 00                                   # its generation 13
        0e 00 00 00                             # 14 remain of it
        0f 00 00 00                             # maker's account 15
        10 00                                   # its token 16
        11 00                                   # its generation 17
        12 00 00 00                             # 18 remain of it
        """,
        {
            "kind": 3,
            "reason": 0,
            "instrument": 2,
            "side": 2,
            "flags": 0,
            "price_ticks": 100,
            "quantity_lots": 10,
            "account": 11,
            "token": 12,
            "generation": 13,
            "remaining_lots": 14,
            "maker_account": 15,
            "maker_token": 16,
            "maker_generation": 17,
            "maker_remaining_lots": 18,
        },
        reports.Trade(2, 2, 100, 10, 11, 12, 13, 14, 15, 16, 17, 18),
    ),
    Golden(
        "done",
        """
        06 00 00                                # kind DONE, no reason, no instrument
        01 02 01 00 00 08 07 06 05 04 03 02 01  # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00     # command 99, entry cycle, exit cycle
        03 00 00 01                             # epoch 3, no side, flags LAST
        03 00 00 00                             # count 3
        00 00 00 00                             # reserved
        09 00 00 00                             # account 9
        00 00 00 00                             # reserved
        ff ff ff ff ff ff ff ff                 # balance -1
        00 00 00 00 00 00 00 00                 # reserved
        """,
        {
            "kind": 6,
            "reason": 0,
            "instrument": 0,
            "side": 0,
            "flags": 1,
            "count": 3,
            "account": 9,
            "balance_quote": -1,
        },
        reports.Done(count=3, account=9, balance_quote=-1),
    ),
    Golden(
        "band moved",
        """
        07 00 07                                                  # kind BAND_MOVED, no reason, instrument 7
        01 02 01 00 00 08 07 06 05 04 03 02 01                    # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00                       # command 99, entry cycle, exit cycle
        03 00 00 01                                               # epoch 3, no side, flags LAST
        b8 88 01 00 00 89 01 00 dc 88 01 00                       # lower, upper, reference as set
        02                                                        # policy CLAMP
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {
            "kind": 7,
            "reason": 0,
            "instrument": 7,
            "side": 0,
            "flags": 1,
            "lower_ticks": 100_536,
            "upper_ticks": 100_608,
            "reference_ticks": 100_572,
            "policy": 2,
        },
        reports.BandMoved(7, 100_536, 100_608, 100_572, commands.BandPolicy.CLAMP),
    ),
    Golden(
        "trading state",
        """
        08 31 05                                         # kind TRADING_STATE, reason WATCHDOG 49 = 0x31, instrument 5
        01 02 01 00 00 08 07 06 05 04 03 02 01           # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00              # command 99, entry cycle, exit cycle
        03 00 00 00                                      # epoch 3, no side, not the last
        00 e4 0b 54 02 00 00 00                          # until 10,000,000,000 ns = 0x02540be400
        01                                               # state HALTED
        00 00 00 00 00 00 00                             # reserved
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {"kind": 8, "reason": 49, "instrument": 5, "side": 0, "flags": 0, "until_ns": 10_000_000_000, "state": 1},
        reports.TradingStateChanged(reports.Reason.WATCHDOG, 5, reports.TradingState.HALTED, 10_000_000_000),
    ),
    Golden(
        "top of book",
        """
        09 00 01                                # kind TOP_OF_BOOK, no reason, instrument 1
        01 02 01 00 00 08 07 06 05 04 03 02 01  # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00     # command 99, entry cycle, exit cycle
        03 00 00 00                             # epoch 3, no side, after the last
        63 00 00 00                             # bid 99
        65 00 00 00                             # ask 101
        00 00 00 00 01 00 00 00                 # 2**32 bid
        05 00 00 00 00 00 00 00                 # 5 asked
        00 00 00 00 00 00 00 00                 # reserved
        """,
        {
            "kind": 9,
            "reason": 0,
            "instrument": 1,
            "side": 0,
            "flags": 0,
            "bid_price_ticks": 99,
            "ask_price_ticks": 101,
            "bid_quantity_lots": 2**32,
            "ask_quantity_lots": 5,
        },
        reports.TopOfBook(1, 99, 101, 2**32, 5),
    ),
    Golden(
        "level",
        """
        0a 00 01                                         # kind LEVEL 10 = 0xa, no reason, instrument 1
        01 02 01 00 00 08 07 06 05 04 03 02 01           # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00              # command 99, entry cycle, exit cycle
        03 00 02 00                                      # epoch 3, SELL, not the last
        a0 86 01 00 00 00 00 00                          # price 100,000 = 0x186a0, reserved
        05 00 00 00 01 00 00 00                          # 2**32 + 5
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {
            "kind": 10,
            "reason": 0,
            "instrument": 1,
            "side": 2,
            "flags": 0,
            "price_ticks": 100_000,
            "quantity_lots": 2**32 + 5,
        },
        reports.LevelChanged(1, commands.Side.SELL, 100_000, 2**32 + 5),
    ),
    Golden(
        "indicative",
        """
        0b 00 01                                # kind INDICATIVE 11 = 0xb, no reason, instrument 1
        01 02 01 00 00 08 07 06 05 04 03 02 01  # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00     # command 99, entry cycle, exit cycle
        03 00 02 01                             # epoch 3, asks are left, flags LAST
        c8 00 00 00                             # price 200 = 0xc8
        00 00 00 00                             # no trades, they are not made
        bc 02 00 00 00 00 00 00                 # volume 700 = 0x2bc
        01 00 00 00 00 00 00 00                 # surplus 1
        00 00 00 00 00 00 00 00                 # reserved
        """,
        {
            "kind": 11,
            "reason": 0,
            "instrument": 1,
            "side": 2,
            "flags": 1,
            "price_ticks": 200,
            "trades": 0,
            "volume_lots": 700,
            "surplus_lots": 1,
        },
        reports.Auction(reports.ReportKind.INDICATIVE, 1, commands.Side.SELL, 200, 700, 1),
    ),
    Golden(
        "uncrossed",
        """
        0c 00 01                                # kind UNCROSSED 12 = 0xc, no reason, instrument 1
        01 02 01 00 00 08 07 06 05 04 03 02 01  # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00     # command 99, entry cycle, exit cycle
        03 00 01 00                             # epoch 3, bids are left, not the last
        a0 86 01 00                             # price 100,000 = 0x186a0
        03 00 00 00                             # 3 trades
        02 00 00 00 01 00 00 00                 # volume 2**32 + 2
        00 00 00 00 02 00 00 00                 # surplus 2**33
        00 00 00 00 00 00 00 00                 # reserved
        """,
        {
            "kind": 12,
            "reason": 0,
            "instrument": 1,
            "side": 1,
            "flags": 0,
            "price_ticks": 100_000,
            "trades": 3,
            "volume_lots": 2**32 + 2,
            "surplus_lots": 2**33,
        },
        reports.Auction(reports.ReportKind.UNCROSSED, 1, commands.Side.BUY, 100_000, 2**32 + 2, 2**33, 3),
    ),
    Golden(
        "trade of an auction",
        """
        03 00 02                                # kind TRADE, no reason, instrument 2
        01 02 01 00 00 08 07 06 05 04 03 02 01  # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00     # command 99, entry cycle, exit cycle
        03 00 00 00                             # epoch 3, nobody takes, not the last
        64 00 00 00                             # price 100
        0a 00 00 00                             # quantity 10
        0b 00 00 00                             # buyer's account 11
        0c 00                                   # its token 12
        0d 00                                   # its generation 13
        0e 00 00 00                             # 14 remain of it
        0f 00 00 00                             # seller's account 15
        10 00                                   # its token 16
        11 00                                   # its generation 17
        12 00 00 00                             # 18 remain of it
        """,
        {
            "kind": 3,
            "reason": 0,
            "instrument": 2,
            "side": 0,
            "flags": 0,
            "price_ticks": 100,
            "quantity_lots": 10,
            "account": 11,
            "token": 12,
            "generation": 13,
            "remaining_lots": 14,
            "maker_account": 15,
            "maker_token": 16,
            "maker_generation": 17,
            "maker_remaining_lots": 18,
        },
        reports.Trade(2, 0, 100, 10, 11, 12, 13, 14, 15, 16, 17, 18),
    ),
    Golden(
        "band moved, policy halt",
        """
        07 00 07                                                  # kind BAND_MOVED, no reason, instrument 7
        01 02 01 00 00 08 07 06 05 04 03 02 01                    # link, number, time
        63 00 00 00 00 00 00 00 00 00 00 00                       # command 99, entry cycle, exit cycle
        03 00 00 01                                               # epoch 3, no side, flags LAST
        01 00 00 00 03 00 00 00 02 00 00 00                       # lower 1, upper 3, reference 2
        03                                                        # policy HALT
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
        """,
        {
            "kind": 7,
            "reason": 0,
            "instrument": 7,
            "side": 0,
            "flags": 1,
            "lower_ticks": 1,
            "upper_ticks": 3,
            "reference_ticks": 2,
            "policy": 3,
        },
        reports.BandMoved(7, 1, 3, 2, commands.BandPolicy.HALT),
    ),
    *[
        Golden(
            f"trading state {state} by {reason}",
            f"""
            08 {reason:02x} 05                               # kind TRADING_STATE, instrument 5
            01 02 01 00 00 08 07 06 05 04 03 02 01           # link, number, time
            63 00 00 00 00 00 00 00 00 00 00 00              # command 99, entry cycle, exit cycle
            03 00 00 01                                      # epoch 3, no side, flags LAST
            00 00 00 00 00 00 00 00                          # until told
            {state:02x}                                      # the new state
            00 00 00 00 00 00 00                             # reserved
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # reserved
            """,
            {"kind": 8, "reason": reason, "instrument": 5, "side": 0, "flags": 1, "until_ns": 0, "state": state},
            reports.TradingStateChanged(named_reason, 5, named_state, 0),
        )
        for reason, named_reason, state, named_state in (
            (48, reports.Reason.OPERATOR, 2, reports.TradingState.TRADING),
            (50, reports.Reason.LIMIT, 3, reports.TradingState.LIMIT),
            (51, reports.Reason.HALT_OVER, 4, reports.TradingState.CALL),
            (52, reports.Reason.CALL_OVER, 2, reports.TradingState.TRADING),
            (53, reports.Reason.EXTENDED, 4, reports.TradingState.CALL),
            (54, reports.Reason.SCHEDULE, 5, reports.TradingState.PRE_OPEN),
            (54, reports.Reason.SCHEDULE, 6, reports.TradingState.CLOSED),
        )
    ],
]


def struct_fields(layout: type[data.Struct], raw: bytes) -> dict[str, int]:
    """The fields that the gateware's layout reads, header and body together, reserved bytes left out."""
    bits = int.from_bytes(raw, "little")
    fields: dict[str, int] = {}
    for name, field in data.Layout.cast(layout):
        part = bits >> field.offset & (1 << field.width) - 1
        if isinstance(field.shape, type) and issubclass(field.shape, data.Struct):
            fields |= struct_fields(field.shape, part.to_bytes(field.width // 8, "little"))
        elif isinstance(field.shape, data.ArrayLayout):
            assert part == 0, f"{name} is not zero"
        else:
            signed = not isinstance(field.shape, type) and field.shape.signed
            fields[str(name)] = part - (1 << field.width) if signed and part >> (field.width - 1) else part
    return fields


def dtype_fields(record: Any) -> dict[str, int]:
    """The fields that the host's dtype reads, header and body together, reserved bytes left out."""
    fields = {name: int(record["header"][name]) for name in record["header"].dtype.names}
    names = [name for name in record.dtype.names if name != "header" and not name.startswith("reserved")]
    return fields | {name: int(record[name]) for name in names}


@pytest.mark.parametrize("golden", GOLDEN_COMMANDS, ids=lambda golden: golden.name)
def test_command(golden: Golden) -> None:
    opcode = Opcode(golden.fields["opcode"])
    assert len(golden.raw) == 32
    assert struct_fields(COMMANDS[opcode], golden.raw) == golden.fields
    command = new_commands(opcode, 1)
    for name, value in golden.fields.items():
        (command["header"] if name in command["header"].dtype.names else command)[name] = value
    assert to_bytes(command).tobytes() == golden.raw
    assert dtype_fields(to_bytes(command).view(COMMAND_DTYPES[opcode])[0, 0]) == golden.fields
    assert commands.decode(golden.raw) == golden.model


@pytest.mark.parametrize("golden", GOLDEN_REPORTS, ids=lambda golden: golden.name)
def test_report(golden: Golden) -> None:
    kind = ReportKind(golden.fields["kind"])
    assert len(golden.raw) == 64
    expected = {**_CAUSED, "entry_cycle": 0, "exit_cycle": 0, **golden.fields}
    assert struct_fields(REPORTS[kind], golden.raw) == expected
    (record,) = np.frombuffer(golden.raw, REPORT_DTYPES[kind])
    assert dtype_fields(record) == expected
    assert reports.encode(golden.model, CAUSE, number=258, epoch=3, flags=golden.fields["flags"]) == golden.raw


def test_every_layout_has_a_golden_message() -> None:
    assert {COMMANDS[Opcode(golden.fields["opcode"])] for golden in GOLDEN_COMMANDS} == set(COMMANDS.values())
    assert {REPORTS[ReportKind(golden.fields["kind"])] for golden in GOLDEN_REPORTS} == set(REPORTS.values())
