"""From a mapped value to what is bound: exact or refused, for every type of column."""

import base64
import json
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapper.binders import binder
from intertie_mapper.columns import Column, Kind
from intertie_mapper.conversion import convert, shown
from intertie_mapper.misfits import Misfit

INT = Column("c", "int(11)", Kind.INTEGER, low=-(2**31), high=2**31 - 1)
UNSIGNED = Column("c", "int(10) unsigned", Kind.INTEGER, low=0, high=2**32 - 1)
BIG = Column("c", "bigint(20) unsigned", Kind.INTEGER, low=0, high=2**64 - 1)
FLAG = Column("c", "tinyint(1)", Kind.BOOLEAN, low=-128, high=127)
MONEY = Column("c", "decimal(12,2)", Kind.DECIMAL, precision=12, scale=2)
WIDE = Column("c", "decimal(65,30)", Kind.DECIMAL, precision=65, scale=30)
EMBEDDED_MONEY = Column("c", "DECIMAL(30,2)", Kind.DECIMAL, precision=30, scale=2, embedded=True)
DOUBLE = Column("c", "double", Kind.FLOAT)
FLOAT = Column("c", "float", Kind.FLOAT, single=True)
VARCHAR = Column("c", "varchar(5)", Kind.TEXT, max_characters=5)
CHAR = Column("c", "char(5)", Kind.TEXT, max_characters=5, padded=True)
TINYTEXT = Column("c", "tinytext", Kind.TEXT, max_bytes=255)
UTF8MB3 = Column("c", "varchar(5)", Kind.TEXT, max_characters=5, encoding="utf8mb3")
LATIN1 = Column("c", "varchar(5)", Kind.TEXT, max_characters=5, encoding="cp1252")
ENUM = Column("c", "enum('seminar','drill')", Kind.ENUM, words=("seminar", "drill"))
SET = Column("c", "set('a','b','c')", Kind.SET, words=("a", "b", "c"))
DATE = Column("c", "date", Kind.DATE)
DATETIME = Column("c", "datetime", Kind.DATETIME)
MICRO = Column("c", "datetime(6)", Kind.DATETIME, fraction=6)
MILLI = Column("c", "datetime(3)", Kind.DATETIME, fraction=3)
TIMESTAMP = Column("c", "timestamp", Kind.TIMESTAMP)
TIME = Column("c", "time", Kind.TIME)
YEAR = Column("c", "year(4)", Kind.YEAR, low=1901, high=2155)
JSON = Column("c", "json", Kind.JSON)
BLOB = Column("c", "blob", Kind.BINARY, max_bytes=65535)
BINARY16 = Column("c", "binary(16)", Kind.BINARY, max_bytes=16, fixed_bytes=16)
UUID = Column("c", "uuid", Kind.UUID)
BIT = Column("c", "bit(1)", Kind.BIT, low=0, high=1)
BITS = Column("c", "bit(8)", Kind.BIT, low=0, high=255)
ANY = Column("c", "ANY", Kind.OTHER, embedded=True)
GUID = "0190a0f1-7c3e-7b5a-8e2c-1d5a3b7c9e0f"


@pytest.mark.parametrize(
    ("column", "value", "bound"),
    [
        (INT, None, None),
        (INT, 5, 5),
        (INT, 5.0, 5),
        (INT, " -5 ", -5),
        (INT, "5.00", 5),
        (INT, True, 1),
        (INT, Decimal("1E+3"), 1000),
        (BIG, 2**64 - 1, 2**64 - 1),
        (BIG, "9007199254740993", 9007199254740993),
        (FLAG, True, 1),
        (FLAG, "False", 0),
        (FLAG, 7, 7),
        (MONEY, 12, "12.00"),
        (MONEY, 0.1, "0.10"),
        (MONEY, "-9999999999.99", "-9999999999.99"),
        (MONEY, Decimal("1.500"), "1.50"),
        (MONEY, "-0.00", "0.00"),
        (WIDE, "0." + "1" * 30, "0." + "1" * 30),
        (EMBEDDED_MONEY, "12.50", 12.5),
        (EMBEDDED_MONEY, "12", 12),
        (DOUBLE, 1, 1.0),
        (DOUBLE, "1e3", 1000.0),
        (VARCHAR, "ñandú", "ñandú"),
        (VARCHAR, "a b ", "a b "),
        (VARCHAR, 12345, "12345"),
        (VARCHAR, True, "true"),
        (VARCHAR, "", ""),
        (VARCHAR, "\x00", "\x00"),
        (CHAR, "ab   ", "ab"),
        (CHAR, "ab      ", "ab"),
        (TINYTEXT, "x" * 255, "x" * 255),
        (LATIN1, "ñ€", "ñ€"),
        (UTF8MB3, "中", "中"),
        (ENUM, "drill", "drill"),
        (ENUM, "DRILL ", "drill"),
        (SET, "c,a", "a,c"),
        (SET, ["b", "a", "a"], "a,b"),
        (SET, "", ""),
        (DATE, "2026-11-30", "2026-11-30"),
        (DATE, "20261130", "2026-11-30"),
        (DATE, "2026-11-30T23:30:00-02:00", "2026-12-01"),
        (DATE, date(2026, 11, 30), "2026-11-30"),
        (DATE, datetime(2026, 11, 30, 5), "2026-11-30"),
        (DATETIME, "2026-11-30", "2026-11-30 00:00:00"),
        (DATETIME, "2026-11-30T14:00:00+08:00", "2026-11-30 06:00:00"),
        (DATETIME, "2026-11-30 14:00:00.999", "2026-11-30 14:00:00"),
        (DATETIME, datetime(2026, 11, 30, 5, 6, 7), "2026-11-30 05:06:07"),
        (MICRO, "2026-11-30T14:00:00.123456789Z", "2026-11-30 14:00:00.123456"),
        (MILLI, "2026-11-30T14:00:00.9999Z", "2026-11-30 14:00:00.999"),
        (TIMESTAMP, "2038-01-19T03:14:07Z", "2038-01-19 03:14:07"),
        (TIME, "14:30", "14:30:00"),
        (TIME, "2:30 pm", "14:30:00"),
        (TIME, time(1, 2, 3), "01:02:03"),
        (TIME, "2026-11-30T14:30:00+08:00", "06:30:00"),
        (YEAR, "2026", 2026),
        (YEAR, date(2026, 1, 1), 2026),
        (JSON, {"a": [1, "ñ"]}, '{"a":[1,"ñ"]}'),
        (JSON, "text", '"text"'),
        (JSON, False, "false"),
        (JSON, Decimal("0.1000000000000000000001"), "0.1000000000000000000001"),
        (JSON, date(2026, 1, 1), '"2026-01-01"'),
        (BLOB, "AAECAw==", b"\x00\x01\x02\x03"),
        (BLOB, "-_8", b"\xfb\xff"),
        (BINARY16, GUID, bytes.fromhex(GUID.replace("-", ""))),
        (UUID, GUID.upper(), GUID),
        (UUID, "{" + GUID + "}", GUID),
        (BIT, True, 1),
        (BITS, 255, 255),
        (ANY, 5, 5),
        (ANY, "x", "x"),
        (ANY, 1.5, 1.5),
    ],
)
def test_fits(column: Column, value: Any, bound: Any) -> None:
    """What fits is bound exactly, in the database's own spelling."""
    found = convert(column, value)
    assert (found, type(found)) == (bound, type(bound))


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (INT, "many", "not_a_number"),
        (INT, "", "not_a_number"),
        (INT, "1_000", "not_a_number"),
        (INT, "٣", "not_a_number"),
        (INT, "0x10", "not_a_number"),
        (INT, "nan", "not_a_number"),
        (INT, 1.5, "fraction_lost"),
        (INT, "1.5", "fraction_lost"),
        (INT, 2**31, "out_of_range"),
        (INT, -(2**31) - 1, "out_of_range"),
        (INT, 1e300, "out_of_range"),
        (INT, "1e9999", "out_of_range"),
        (INT, [1], "wrong_type"),
        (INT, {"a": 1}, "wrong_type"),
        (UNSIGNED, -1, "out_of_range"),
        (BIG, 2**64, "out_of_range"),
        (FLAG, "maybe", "not_a_boolean"),
        (FLAG, 300, "out_of_range"),
        (MONEY, "12.345", "fraction_lost"),
        (MONEY, 0.1 + 0.2, "fraction_lost"),
        (MONEY, "1e-400", "fraction_lost"),
        (MONEY, "10000000000", "out_of_range"),
        (MONEY, "1e400", "out_of_range"),
        (MONEY, "x", "not_a_number"),
        (EMBEDDED_MONEY, "12345678901234567.25", "fraction_lost"),
        (DOUBLE, "1e999", "out_of_range"),
        (DOUBLE, 10**400, "out_of_range"),
        (FLOAT, 1e39, "out_of_range"),
        (VARCHAR, "abcdef", "too_long"),
        (VARCHAR, {"a": 1}, "wrong_type"),
        (VARCHAR, ["a"], "wrong_type"),
        (TINYTEXT, "ñ" * 128, "too_long"),
        (UTF8MB3, "😀", "not_allowed_value"),
        (LATIN1, "中", "not_allowed_value"),
        (ENUM, "party", "not_allowed_value"),
        (ENUM, "", "not_allowed_value"),
        (ENUM, 1, "not_allowed_value"),
        (SET, "a,z", "not_allowed_value"),
        (DATE, "0000-00-00", "bad_datetime"),
        (DATE, "2026-02-30", "bad_datetime"),
        (DATE, "10000-01-01", "bad_datetime"),
        (DATE, "tomorrow", "bad_datetime"),
        (DATE, "", "bad_datetime"),
        (DATE, 20261130, "bad_datetime"),
        (DATE, True, "wrong_type"),
        (DATETIME, "2026-11-30T24:00:00", "bad_datetime"),
        (DATETIME, "9999-12-31T23:59:60Z", "bad_datetime"),
        (DATETIME, "2026-11-30T14:00:00+25:00", "bad_datetime"),
        (DATETIME, "0001-01-01T00:00:00+08:00", "bad_datetime"),
        (DATETIME, "1764460800", "bad_datetime"),
        (DATETIME, 1764460800, "bad_datetime"),
        (DATETIME, {}, "wrong_type"),
        (TIMESTAMP, "2038-01-19T03:14:08Z", "bad_datetime"),
        (TIMESTAMP, "1969-12-31", "bad_datetime"),
        (TIME, "25:00", "bad_datetime"),
        (TIME, "10:00:60", "bad_datetime"),
        (YEAR, 1900, "out_of_range"),
        (BLOB, "not base64!", "wrong_type"),
        (BLOB, 5, "wrong_type"),
        (BINARY16, "AAEC", "wrong_type"),
        (BINARY16, "x" * 36, "wrong_type"),
        (UUID, "x", "wrong_type"),
        (BIT, 2, "out_of_range"),
        (ANY, 2**63, "out_of_range"),
    ],
)
def test_does_not_fit(column: Column, value: Any, reason: str) -> None:
    """What does not fit is refused with a reason, never cut, rounded or turned into something else."""
    with pytest.raises(Misfit) as misfit:
        convert(column, value)
    assert misfit.value.reason == reason


def test_json_is_nested_31_deep_at_most() -> None:
    """MariaDB refuses the 32nd level."""
    deep: Any = 1
    for _ in range(31):
        deep = [deep]
    assert json.loads(str(convert(JSON, deep))) == deep
    with pytest.raises(Misfit):
        convert(JSON, [deep])
    assert convert(JSON, {"brackets in text": "[" * 100}) is not None


@given(st.integers())
def test_integers_are_exact_or_out_of_range(value: int) -> None:
    """As numbers and as texts alike."""
    fits = -(2**31) <= value < 2**31
    for given_value in (value, str(value)):
        if fits:
            assert convert(INT, given_value) == value
        else:
            with pytest.raises(Misfit, match="takes"):
                convert(INT, given_value)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_are_exact_or_refused(value: Decimal) -> None:
    """What is bound denotes the number that came, whatever its digits."""
    whole, _, fraction = f"{abs(value):f}".partition(".")
    if len(whole.lstrip("0")) <= 10 and len(fraction.rstrip("0")) <= 2:
        assert Decimal(str(convert(MONEY, value))) == value
    else:
        with pytest.raises(Misfit, match="column"):
            convert(MONEY, value)


@given(st.datetimes())
def test_times_keep_their_microseconds(value: datetime) -> None:
    """A time written and read back is the same, in a column that keeps all digits."""
    assert datetime.fromisoformat(str(convert(MICRO, value.isoformat()))) == value


@given(st.binary(max_size=300))
def test_bytes_come_back_from_base64(value: bytes) -> None:
    """Both alphabets, with padding and without."""
    assert convert(BLOB, base64.b64encode(value).decode()) == value
    assert convert(BLOB, base64.urlsafe_b64encode(value).decode().rstrip("=")) == value


COLUMNS = [value for value in list(globals().values()) if isinstance(value, Column)]
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(COLUMNS), DOCUMENTS)
def test_anything_is_bound_or_refused(column: Column, value: Any) -> None:
    """No value of JSON makes a conversion fail in any other way."""
    try:
        bound = convert(column, value)
    except Misfit:
        return
    assert bound is None or isinstance(bound, (int, float, str, bytes))


DATES = st.dates().map(str) | st.datetimes().map(str) | st.from_regex(r"\d{4}-\d{2}-\d{2}", fullmatch=True)


@given(st.sampled_from(COLUMNS), DOCUMENTS | DATES)
def test_a_binder_gives_what_the_conversion_gives(column: Column, value: Any) -> None:
    """What passes at a glance is what would have been bound, and nothing passes that would have been refused."""
    if value is not None:
        assert _outcome(binder(column), value) == _outcome(partial(convert, column), value)


def _outcome(bind: Callable[[Any], Any], value: Any) -> tuple[type, object]:
    try:
        bound = bind(value)
    except Misfit as misfit:
        return Misfit, (misfit.reason, misfit.why)
    return type(bound), bound


@given(DOCUMENTS)
def test_shown_values_are_short(value: Any) -> None:
    """A message never repeats a whole document."""
    assert len(shown(value)) <= 40
