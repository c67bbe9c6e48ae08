"""Flow files: what they hold, and what is said about a bad one."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from bandgap.hdl.protocol.commands import Opcode, OrderFlags, OrderType, SelfTradePrevention, Side, TimeInForce
from bandgap.sim.flow.file import CHUNK_ROWS, FlowError, FlowFile, PriceRange

HEADER = "command,client_order_id,side,price_ticks,quantity,time_in_force\n"
GOOD = "new,1,buy,100,5,gtc\n"


def write(folder: Path, text: str, name: str = "flow.csv") -> FlowFile:
    path = folder / name
    path.write_text(text)
    return FlowFile(path)


def test_the_minimal_columns(tmp_path: Path) -> None:
    flow = write(
        tmp_path,
        HEADER + "new,7,buy,100,5,gtc\nnew,8,sell,90,4294967295,ioc\nnew,9,sell,4294967295,0,fok\n"
        "replace,7,buy,101,2,\ncancel,18446744073709551615,,,,\n",
    )
    (chunk,) = flow.chunks()
    assert chunk.rows.tolist() == [1, 2, 3, 4, 5]
    requests = chunk.requests
    assert requests["kind"].tolist() == [
        *[Opcode.NEW_ORDER.value] * 3,
        Opcode.REPLACE.value,
        Opcode.CANCEL.value,
    ]
    assert requests["client_order_id"].tolist() == [7, 8, 9, 7, 2**64 - 1]
    buy, sell = Side.BUY.value, Side.SELL.value
    assert requests["side"].tolist() == [buy, sell, sell, buy, 0]
    assert requests["price_ticks"].tolist() == [100, 90, 2**32 - 1, 101, 0]
    assert requests["quantity_lots"].tolist() == [5, 2**32 - 1, 0, 2, 0]
    forces = [TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]
    assert requests["time_in_force"].tolist() == [*(force.value for force in forces), 0, 0]
    assert requests["order_type"][:3].tolist() == [OrderType.LIMIT.value] * 3
    assert requests["self_trade_prevention"][:3].tolist() == [SelfTradePrevention.OFF.value] * 3
    assert not requests["account"].any() and not requests["instrument"].any() and not requests["flags"].any()


def test_the_optional_columns_in_any_order(tmp_path: Path) -> None:
    flow = write(
        tmp_path,
        "account,post_only,instrument,self_trade_prevention," + HEADER + "3,true,ETH,decrement,new,1,buy,1,1,gtc\n"
        "4,0,BTC,,new,2,buy,2,1,gtc\n,,ETH,,cancel,1,,,,\n",
    )
    survey = flow.survey()
    assert survey.instruments == ["ETH", "BTC"]
    assert survey.accounts == [0, 3, 4]
    assert survey.prices == [PriceRange(1, 1, 1), PriceRange(2, 2, 2)]
    (chunk,) = flow.chunks()
    assert chunk.requests["account"].tolist() == [3, 4, 0]
    assert chunk.requests["instrument"].tolist() == [0, 1, 0]
    assert chunk.requests["flags"].tolist() == [OrderFlags.POST_ONLY.value, 0, 0]
    modes = [SelfTradePrevention.DECREMENT.value, SelfTradePrevention.OFF.value]
    assert chunk.requests["self_trade_prevention"].tolist()[:2] == modes


def test_compressed_and_plain_are_the_same_and_chunks_are_bounded(tmp_path: Path) -> None:
    text = HEADER + "".join(f"new,{n},buy,{n},1,gtc\n" for n in range(1, 5_001))
    plain = write(tmp_path, text)
    (tmp_path / "flow.gz").write_bytes(gzip.compress(text.encode()))
    packed = FlowFile(tmp_path / "flow.gz")
    assert plain.survey() == packed.survey()
    assert plain.survey().prices == [PriceRange(1, 5_000, 51)], "the first hundred prices tell where it starts"
    chunks = list(packed.chunks())
    assert [len(chunk.rows) for chunk in chunks] == [CHUNK_ROWS, CHUNK_ROWS, 5_000 - 2 * CHUNK_ROWS]
    assert np.concatenate([chunk.rows for chunk in chunks]).tolist() == list(range(1, 5_001))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("new,1,buy,100,5", "5 fields where the header has 6"),
        ("new,1,buy,100,5,gtc,", "7 fields"),
        ("", "0 fields"),
        ("amend,1,buy,100,5,gtc", "command is 'amend', not one of new, cancel, replace"),
        ("new,0,buy,100,5,gtc", "client_order_id is not from 1 to 18446744073709551615: 0"),
        ("new,18446744073709551616,buy,100,5,gtc", "client_order_id is not from 1"),
        ("new,x1,buy,100,5,gtc", "client_order_id is not a whole number: 'x1'"),
        ("new,1,BUY,100,5,gtc", "side is 'BUY', not one of buy, sell"),
        ("new,1,buy,-1,5,gtc", "price_ticks is not a whole number: '-1'"),
        ("new,1,buy,1e3,5,gtc", "price_ticks is not a whole number: '1e3'"),
        ("new,1,buy,,5,gtc", "price_ticks is not a whole number: ''"),
        ("new,1,buy,4294967296,5,gtc", "price_ticks is not from 0 to 4294967295: 4294967296"),
        ("new,1,buy,100,5.5,gtc", "quantity is not a whole number: '5.5'"),
        ("new,1,buy,100,4294967296,gtc", "quantity is not from 0"),
        ("new,1,buy,100,٣,gtc", "quantity is not a whole number"),
        ("new,1,buy,100,5,day", "time_in_force is 'day', not one of gtc, ioc, fok"),
        ("new,1,buy,100,5,", "time_in_force is ''"),
        ("replace,1,,100,5,", "side is ''"),
        ("replace,1,buy,100,,", "quantity is not a whole number: ''"),
        ('new,1,buy,100,5,"gtc', "unexpected end of data"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    flow = write(tmp_path, HEADER + GOOD + row + "\n")
    with pytest.raises(FlowError) as error:
        flow.survey()
    assert str(error.value).startswith(f"{tmp_path / 'flow.csv'}:3: ")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("columns", "values", "reason"),
    [
        ("account", "4294967296", "account is not from 0"),
        ("account", "me", "account is not a whole number: 'me'"),
        ("post_only", "yes", "post_only is 'yes'"),
        ("self_trade_prevention", "cancel", "self_trade_prevention is 'cancel', not one of off, cancel_newest"),
    ],
)
def test_a_bad_optional_value_is_named(tmp_path: Path, columns: str, values: str, reason: str) -> None:
    flow = write(tmp_path, HEADER.strip() + f",{columns}\n{GOOD.strip()},{values}\n")
    with pytest.raises(FlowError, match=f":2: {reason}"):
        flow.survey()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1: the header lacks command, client_order_id"),
        ("command,client_order_id,side,price_ticks,quantity\n", "1: the header lacks time_in_force"),
        (HEADER.strip() + ",price\n" + GOOD, "1: unknown column 'price'; known: command"),
        (HEADER.strip() + ",side\n" + GOOD, "1: a column appears twice"),
        (HEADER, " no orders"),
    ],
)
def test_a_file_that_is_no_flow(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(FlowError, match=rf"flow\.csv:{reason}"):
        write(tmp_path, text).survey()


def test_a_flow_of_cancels_alone_is_a_flow(tmp_path: Path) -> None:
    survey = write(tmp_path, HEADER + "cancel,1,,,,\n").survey()
    assert (survey.requests, survey.instruments, survey.prices) == (1, [""], [PriceRange(0, 0, 0)])


def test_a_cancel_without_an_instrument_adds_none(tmp_path: Path) -> None:
    header = HEADER.strip() + ",instrument\n"
    survey = write(tmp_path, header + "cancel,9,,,,,\nnew,1,buy,5,1,gtc,ETH\n").survey()
    assert survey.instruments == ["ETH"]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    marked = ("\ufeff" + HEADER + GOOD).encode()
    (tmp_path / "packed.gz").write_bytes(gzip.compress(marked))
    (tmp_path / "plain.csv").write_bytes(marked)
    (tmp_path / "lobster.csv").write_bytes("\ufeff34200,1,11,100,5850000,1\n".encode())
    for name in ("packed.gz", "plain.csv", "lobster.csv"):
        assert FlowFile(tmp_path / name).survey().requests == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="No such file"):
        FlowFile(tmp_path / "nowhere.csv").survey()
    with pytest.raises(FlowError, match="Is a directory"):
        FlowFile(tmp_path).survey()
    whole = gzip.compress((HEADER + GOOD * 1_000).encode())
    (tmp_path / "cut.gz").write_bytes(whole[:-20])
    with pytest.raises(FlowError, match=r"cut\.gz: Compressed file ended"):
        FlowFile(tmp_path / "cut.gz").survey()
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"new,\xe9,buy,1,1,gtc\n")
    with pytest.raises(FlowError, match=r"latin\.csv: 'utf-8' codec"):
        FlowFile(tmp_path / "latin.csv").survey()


def test_too_many_instruments(tmp_path: Path) -> None:
    rows = "".join(f"new,{n},buy,1,1,gtc,I{n}\n" for n in range(1, 256))
    with pytest.raises(FlowError, match=":256: more than 254 instruments; 'I255' is one too many"):
        write(tmp_path, HEADER.strip() + ",instrument\n" + rows).survey()


LOBSTER = """34200.000000001,1,11,100,5850000,1
34200.5,1,12,50,5851000,-1
34200.5,2,11,30,5850000,1
34200.6,5,0,10,5850500,1
34201,4,12,20,5851000,-1
34201,4,12,30,5851000,-1
34201,3,12,30,5851000,-1
34202,3,99,10,5850000,1
34202,4,98,10,5850000,1
34202,2,11,70,5850000,1
"""


def test_lobster_events_become_requests(tmp_path: Path) -> None:
    flow = write(tmp_path, LOBSTER)
    survey = flow.survey()
    assert survey.requests == 9
    assert survey.notes == {"hidden execution": 1}
    (chunk,) = flow.chunks()
    new, cancel, replace = Opcode.NEW_ORDER.value, Opcode.CANCEL.value, Opcode.REPLACE.value
    rows = zip(
        *(
            chunk.requests[name].tolist()
            for name in ("kind", "client_order_id", "side", "price_ticks", "quantity_lots")
        ),
        strict=True,
    )
    buy, sell = Side.BUY.value, Side.SELL.value
    assert list(rows) == [
        (new, 11, buy, 58_500, 100),
        (new, 12, sell, 58_510, 50),
        (replace, 11, buy, 58_500, 70),
        (new, 10**15 + 5, buy, 58_510, 20),
        (new, 10**15 + 6, buy, 58_510, 30),
        (cancel, 12, 0, 0, 0),  # filled: nothing is left to delete
        (cancel, 99, 0, 0, 0),  # from before the file
        (cancel, 98, 0, 0, 0),
        (cancel, 11, 0, 0, 0),  # a reduction to nothing
    ]
    assert chunk.rows.tolist() == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert chunk.requests["arrival_ns"].tolist()[:3] == [34_200_000_000_001, 34_200_500_000_000, 34_200_500_000_000]
    forces = chunk.requests["time_in_force"].tolist()
    assert forces[0] == TimeInForce.GTC.value
    assert forces[3] == TimeInForce.IOC.value


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("34200.1,1,11,100,5850000", "5 fields, not 6"),
        ("34199.9,1,13,100,5850000,1", "time goes back: 34199.9"),
        ("34200.1234567891,1,13,100,5850000,1", "time has more than nine decimals"),
        ("x,1,13,100,5850000,1", "time is not a whole number"),
        ("34300,8,13,100,5850000,1", "type is not from 1 to 7: 8"),
        ("34300,1,0,100,5850000,1", "order id is not from 1"),
        ("34300,1,13,0,5850000,1", "size is not from 1"),
        ("34300,1,13,100,5850050,1", "price is not a whole number of cents: 5850050"),
        ("34300,1,13,100,5850000,0", "direction is '0', not 1 or -1"),
        ("34300,1," + "5" * 200_000 + ",100,5850000,1", "field larger than field limit"),
        ('34300,1,13,100,"5850000,1', "unexpected end of data"),
    ],
)
def test_a_bad_lobster_row_is_named_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(FlowError, match=f":2: {reason}"):
        write(tmp_path, "34200,1,11,100,5850000,1\n" + row + "\n").survey()
