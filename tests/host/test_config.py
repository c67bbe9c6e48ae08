"""The venue file: the example is valid, and every mistake names its key."""

from pathlib import Path

import pytest

from bandgap.host.config import ConfigError, SessionConfig, load_config

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
EXAMPLE = EXAMPLES / "venue.toml"
SHARES = EXAMPLES / "shares.toml"


def test_example_with_hours_is_valid() -> None:
    config = load_config(SHARES)
    assert config.timetable is not None
    assert config.timetable.times_us()["continuous"] == (14 * 60 + 30) * 60 * 1_000_000
    assert config.timetable.days == ("monday", "tuesday", "wednesday", "thursday", "friday")
    own = [instrument.timetable for instrument in config.instruments]
    assert own[0] is None
    assert own[1] is not None
    assert list(own[1].times_us()) == ["opening_call", "continuous", "closed"]


def test_example_is_valid() -> None:
    config = load_config(EXAMPLE)
    assert [instrument.name for instrument in config.instruments] == ["BTC-PERP", "ETH-PERP"]
    assert config.device == "embedded:ecp5"


MISTAKES = {
    'name = "BTC-PERP"': ('name = "BTC PERP"', "instruments[0].name: "),
    'name = "ETH-PERP"': ('name = "BTC-PERP"', "venue: instrument 'BTC-PERP' is named 2 times"),
    'name = "bob"': ('name = "alice"', "venue: account 'alice' is named 2 times"),
    'name = "carol"': ("name = 3", "accounts[2].name: Input should be a valid string"),
    "quorum = 2": ("quorum = 4", "oracle: quorum 4 is more than the 3 sources"),
    'sources = ["alpha", "beta", "gamma"]': ('sources = ["alpha", "alpha"]', "oracle: source 'alpha' is named 2 times"),
    "window_ticks = 4_096": ("window_ticks = 4_097", "instruments[0]: window_ticks must be a power of two, not 4097"),
    "window_base_ticks = 8_192": (
        "window_base_ticks = 4_294_963_201",
        "instruments[0]: window_base_ticks + window_ticks",
    ),
    "maintenance_margin_ppm = 50_000": (
        "maintenance_margin_ppm = 100_000",
        "instruments[0]: maintenance_margin_ppm must be less than initial_margin_ppm",
    ),
    "\nwidth_ppm = 60_000": (
        "\nwidth_ppm = 0.06",
        "instruments[1].breaker.width_ppm: Input should be a valid integer",
    ),
    "\nwidth_ppm = 50_000": ("\nstep_ppm = 1", "instruments[0].breaker.width_ppm: Field required"),
    "halt_us = 30_000_000": ("halt_us = 999", "instruments[0].breaker: halt_us must be at least 1000, not 999"),
    "call_us = 30_000_000": ("call_us = 0", "instruments[0].breaker.call_us: Input should be greater than 0"),
    "random_end_us = 5_000_000": (
        'source = "window_mean"',
        "instruments[0].breaker: source 'window_mean' needs a long window",
    ),
    "limit_us = 5_000_000": (
        "short_width_ppm = 1_000",
        "instruments[0].breaker: short_bucket_us must be at least 1000 and short_buckets 1 to 64",
    ),
    "[instruments.breaker]": (
        '[instruments.breaker]\npreset = "luld"',
        "instruments[0].breaker: no preset 'luld'; known: luld_tier_1, ",
    ),
    "[[accounts]]": (
        "[market_halt]\nlevels_ppm = [130_000, 70_000]\n[[accounts]]",
        "market_halt: levels_ppm must ascend, not [130000, 70000]",
    ),
    'name = "carol"\ndeposit_quote = 5_000_000\n': (
        'name = "carol"\ndeposit_quote = 5_000_000\n[session]\nlength_ns = 10\nclose_ns = 11\n',
        "session: close_ns 11 is behind the session's end at 10",
    ),
    "multiplier_quote = 5": ("multiplier_quote = 65_536", "instruments[1].multiplier_quote: "),
    "deposit_quote = 5_000_000": ("deposit_quote = -1", "accounts[2].deposit_quote: "),
    "deposit_quote = 100_000_000": (
        f"deposit_quote = {2**60 - 1}",
        "venue: deposits and insurance",
    ),
    'host = "127.0.0.1"': ('host = "0.0.0.0"', "gateway.host: "),
    "port = 7171": ("prot = 7171", "gateway.prot: Extra inputs are not permitted"),
    "watchdog_ns = 2_000_000_000": (
        "watchdog_ns = 999_999_999",
        "watchdog_ns: Input should be greater than or equal to 1000000000",
    ),
    "[oracle]": ("[orakel]", "oracle: Field required"),
    "[gateway]": ("[gateway", "line"),
}


HOURS_MISTAKES = {
    "pre_open = 13:30:00": (
        "pre_open = 14:28:00",
        "timetable: opening_call 14:28:00 does not follow pre_open",
    ),
    "closing_call = 20:58:00": (
        "closing_call = 14:29:59",
        "timetable: closing_call 14:29:59 does not follow continuous 14:30:00",
    ),
    "opening_call = 14:28:00": ("", "timetable.opening_call: Field required"),
    "opening_call = 14:50:00": (
        "opening_call = 13:48:00",
        "instruments[1].timetable: from opening_call to continuous must be 1000 to 4294967295 microseconds",
    ),
    "closed = 20:30:00": ("closed = 14:50:00", "instruments[1].timetable: closed 14:50:00 does not follow continuous"),
    "closed = 21:00:00": ("closed = 20:58:00.000999", "timetable: from closing_call to closed must be 1000 to"),
    "continuous = 15:00:00": ('continuous = "15:00:00+01:00"', "continuous must be a time of day in UTC without an"),
    "continuous = 14:30:00": ("continuous = 52_200", "timetable.continuous: "),
    "closed = 20:30:00\n": ("closed = 25:00:00\n", "line"),
    '["monday", "tuesday", "wednesday", "thursday", "friday"]': ('["mon"]', "timetable.days[0]: Input should be 'mon"),
    'days = ["monday", "tuesday",': ('days = ["monday", "monday",', "timetable: day 'monday' is named 2 times"),
    'days = ["monday", "tuesday", "wednesday", "thursday", "friday"]': ("days = []", "timetable.days: "),
    "window_margin_ppm = 250_000": ("window_margin_ppm = 500_000", "instruments[0].window_margin_ppm: "),
}


@pytest.mark.parametrize(
    ("example", "right", "wrong", "message"),
    [(EXAMPLE, right, *wrong) for right, wrong in MISTAKES.items()]
    + [(SHARES, right, *wrong) for right, wrong in HOURS_MISTAKES.items()],
)
def test_mistakes_name_their_key(tmp_path: Path, example: Path, right: str, wrong: str, message: str) -> None:
    path = tmp_path / "venue.toml"
    text = example.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert f"{path}: " in str(caught.value)
    assert message in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: No such file"):
        load_config(tmp_path / "none.toml")


def test_other_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# Zahl f\xfcr")
    with pytest.raises(ConfigError, match=r"latin.toml: not UTF-8: invalid start byte at byte 8"):
        load_config(path)


def test_rules_leave_out_what_decides_nothing() -> None:
    config = load_config(EXAMPLE)
    same = config.model_copy(update={"device": "model:ecp5", "store": Path("other.sqlite")})
    other = config.model_copy(update={"insurance_fund_quote": 1})
    assert same.rules() == config.rules() != other.rules()


@pytest.mark.parametrize(
    ("second", "number", "late"),
    [(0, 0, False), (59, 0, False), (60, 0, True), (79, 0, True), (80, 0, False), (170, 1, True)],
)
def test_session_has_a_number_and_a_late_part(second: int, number: int, late: bool) -> None:
    session = SessionConfig(length_ns=100, close_ns=80, late_ns=20)
    assert (session.number(second), session.is_late(second)) == (number, late)
    assert session.end_ns(second) == (number + 1) * 100


def test_session_closes_with_its_end_by_default() -> None:
    session = SessionConfig(length_ns=100, late_ns=1)
    assert [session.is_late(second) for second in (98, 99, 100)] == [False, True, False]
