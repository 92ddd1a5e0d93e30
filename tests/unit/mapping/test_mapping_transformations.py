"""Each transformation does what its sentence says, passes null on, and refuses what it cannot take with a reason."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.transformations.chain import CATALOGUE, compile_chain, parse_steps
from intertie_mapping.values import MISSING


def transformed(steps: Any, value: Any) -> Any:
    made, problems = parse_steps(steps)
    assert problems == []
    chain = compile_chain("column", made)
    assert chain is not None
    return chain(value)


def step(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, **arguments}


@pytest.mark.parametrize(
    ("steps", "value", "result"),
    [
        ("trim", " \t a b \0\n", "a b"),
        (step("trim", characters="-"), "--a-", "a"),
        ("uppercase", "straße é", "STRASSE É"),
        ("uppercase", 5, "5"),
        ("lowercase", "ÀB", "àb"),
        (["trim", "uppercase"], " a ", "A"),
        ("uppercase", ["a", None, "b"], ["A", None, "B"]),
        ("text", 2**64, "18446744073709551616"),
        ("text", Decimal("1.50"), "1.50"),
        (["date", "text"], "2026-11-30", "2026-11-30"),
        (["datetime", "text"], "2026-11-30T10:00:00", "2026-11-30 10:00:00"),
        (step("replace", find="-", **{"with": "/"}), "a-b-c", "a/b/c"),
        (step("replace", find="-"), "a-b", "ab"),
        (step("regex_replace", pattern=r"(\d+)-(\d+)", **{"with": "$2/$1 $$"}), "12-34", "34/12 $"),
        (step("regex_replace", pattern="A", **{"with": "x"}, ignore_case=True), "aA", "xx"),
        (step("regex_replace", pattern=r"\s+"), "a  b", "ab"),
        (step("substring", start=1), "abc", "bc"),
        (step("substring", start=-2, length=1), "abc", "b"),
        (step("substring", start=-9, length=2), "abc", "ab"),
        (step("truncate", length=3), "abcd", "abc"),
        (step("truncate", length=3, ending="…"), "abcd", "ab…"),
        (step("truncate", length=4, ending="…"), "abcd", "abcd"),
        (step("prefix", text="#"), 7, "#7"),
        (step("suffix", text="%"), 1.5, "1.5%"),
        ("slug", "Übung: Hafen & Quai 5!", "ubung-hafen-quai-5"),
        ("strip_html", "<p>a &amp; b<br/>5 < 6 <!-- x --> <b", "a & b5 < 6  <b"),
        ("number", " 12 ", 12),
        ("number", "-1.50", Decimal("-1.50")),
        ("number", 1.5, Decimal("1.5")),
        (step("number", grouping=","), "1,234.50", Decimal("1234.50")),
        (step("number", decimal_point=",", grouping="."), "1.234,50", Decimal("1234.50")),
        ("integer", "18446744073709551617", 2**64 + 1),
        ("integer", "3.0", 3),
        ("integer", True, 1),
        (["round", "integer"], "2.5", 3),
        (["round", "integer"], -2.5, -3),
        (step("round", places=1), "0.25", Decimal("0.3")),
        (step("decimal", places=2), "1.005", Decimal("1.01")),
        ("decimal", 5, Decimal("5.00")),
        ("absolute", "-1.5", Decimal("1.5")),
        ("absolute", -7, 7),
        (step("multiply", by=0.1), 3, Decimal("0.3")),
        (step("multiply", by=100), "19.99", Decimal("1999.00")),
        (step("add", amount=-1), 1, 0),
        (step("add", amount=0.2), 0.1, Decimal("0.3")),
        ("boolean", "Yes", True),
        ("boolean", " off ", False),
        ("boolean", 0, False),
        ("boolean", 1.0, True),
        ("boolean", True, True),
        (step("lookup", values={"a": 1, "1": "one", "true": "yes"}), "a", 1),
        (step("lookup", values={"1": "one"}), 1, "one"),
        (step("lookup", values={"true": "yes"}), True, "yes"),
        (step("lookup", values={}, default=None), "x", None),
        (step("default", value=5), None, 5),
        (step("default", value=5), 0, 0),
        (step("default", value=5), MISSING, 5),
        ([step("default", value="a"), "uppercase"], MISSING, "A"),
        ([step("null_if", values=["", "N/A", 0]), step("default", value="none")], "", "none"),
        (step("null_if", values=[0]), False, False),
        ("split", "a, b ,c", ["a", "b", "c"]),
        ("split", "", []),
        (step("split", separator="|", trim=False), "a | b", ["a ", " b"]),
        ("join", ["a", None, 1, 1.5], "a, 1, 1.5"),
        (step("join", separator=""), [], ""),
        ("first", [1, 2], 1),
        ("first", [], None),
        ("last", [1, 2], 2),
        ("count", [1, None], 2),
        ("json", {"a": [1, None, Decimal("1.10")], "é": "ü"}, '{"a":[1,null,1.10],"é":"ü"}'),
        (["date", "json"], ["2026-11-30"], '["2026-11-30"]'),
        ("parse_json", ' {"a": 18446744073709551617} ', {"a": 2**64 + 1}),
        (["parse_json", step("join", separator="-")], "[1,2]", "1-2"),
    ],
)
def test_results(steps: Any, value: Any, result: Any) -> None:
    found = transformed(steps, value)
    assert found == result
    assert str(found) == str(result), "1.50 and 1.5 are different texts"


@pytest.mark.parametrize(
    ("steps", "value", "result"),
    [
        ("date_format", "2026-11-30", "2026-11-30 00:00:00"),
        ("date_format", "2026-11-30T14:05:06", "2026-11-30 14:05:06"),
        ("date_format", "2026-11-30T14:05:06.789Z", "2026-11-30 14:05:06"),
        ("date_format", "2026-11-30T14:05:06+08:00", "2026-11-30 06:05:06"),
        ("date_format", "2026-11-30 14:05", "2026-11-30 14:05:00"),
        ("date_format", 1764460800, "2025-11-30 00:00:00"),
        ("date_format", "1764460800", "2025-11-30 00:00:00"),
        ("date_format", "@1764460800", "2025-11-30 00:00:00"),
        ("date_format", "20261130", "2026-11-30 00:00:00"),
        ("date_format", "20261130140506", "2026-11-30 14:05:06"),
        ("date_format", "11/30/2026 2:05 PM", "2026-11-30 14:05:00"),
        ("date_format", "30-11-2026", "2026-11-30 00:00:00"),
        ("date_format", "30.11.2026 08:00", "2026-11-30 08:00:00"),
        ("date_format", "30 November 2026", "2026-11-30 00:00:00"),
        ("date_format", "Nov 30, 2026 12:15 am", "2026-11-30 00:15:00"),
        ("date_format", "Mon, 30 Nov 2026 14:05:06 +0800", "2026-11-30 06:05:06"),
        ("date_format", "2016-12-31T23:59:60Z", "2016-12-31 23:59:59"),
        (step("date_format", format="Y-m-d H:i:s"), "2026-01-02T03:04:05Z", "2026-01-02 03:04:05"),
        (step("date_format", format="D, j M y g:i A \\a\\t S"), "2026-01-02T03:04:05Z", "Fri, 2 Jan 26 3:04 AM at nd"),
        (step("date_format", format="%d.%m.%Y %H:%M %%"), "2026-01-02T03:04:05Z", "02.01.2026 03:04 %"),
        (step("date_format", format="c"), "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        (step("date_format", format="c", zone="Asia/Manila"), "2026-01-02T20:00:00Z", "2026-01-03T04:00:00+08:00"),
        (step("date_format", format="H:i P", zone="-03:30"), "2026-01-02T00:00:00Z", "20:30 -03:30"),
        (step("date_format", format="l jS F Y, N w z W t L U v u"), "2024-02-29T00:00:00.5Z",
         "Thursday 29th February 2024, 4 4 59 09 29 1 1709164800 500 500000"),
        (step("date_format", **{"from": "d/m/Y"}), "05/11/2026", "2026-11-05 00:00:00"),
        (step("date_format", **{"from": "%d %b %y %I:%M %p"}), "05 Nov 26 12:30 PM", "2026-11-05 12:30:00"),
        ("date", "2026-11-30T23:30:00-05:00", date(2026, 12, 1)),
        (step("date", zone="America/New_York"), "2026-12-01T04:30:00Z", date(2026, 11, 30)),
        (step("date", zone="Asia/Manila"), "2026-11-30", date(2026, 11, 30)),
        ("datetime", "2026-11-30T14:00:00+08:00", datetime(2026, 11, 30, 6)),
        ("datetime", "2026-11-30T14:00:00", datetime(2026, 11, 30, 14)),
        ("datetime", "2026-11-30T14:00:00.123456789Z", datetime(2026, 11, 30, 14, 0, 0, 123456)),
        (step("datetime", zone="Asia/Manila"), "2026-11-30T14:00:00Z", datetime(2026, 11, 30, 22)),
        (step("datetime", zone="Asia/Manila"), "2026-11-30T14:00:00", datetime(2026, 11, 30, 14)),
        (step("datetime", from_zone="Asia/Manila"), "2026-11-30T14:00:00", datetime(2026, 11, 30, 6)),
        (step("datetime", unit="milliseconds"), 1764460800123, datetime(2025, 11, 30, 0, 0, 0, 123000)),
        ("datetime", 1764460800.5, datetime(2025, 11, 30, 0, 0, 0, 500000)),
        ("datetime", -1, datetime(1969, 12, 31, 23, 59, 59)),
        ("time", "14:30", time(14, 30)),
        ("time", "2 pm", time(14)),
        ("time", "2026-11-30T14:30:15Z", time(14, 30, 15)),
        (step("time", zone="Asia/Manila"), "2026-11-30T14:30:15Z", time(22, 30, 15)),
        ("unix_time", "2025-11-30T08:00:00.999+08:00", 1764460800),
        ("unix_millis", "2025-11-30T00:00:00.1234Z", 1764460800123),
        ("unix_time", "1969-12-31T23:59:59.5Z", -1),
        (step("unix_time", from_zone="Asia/Manila"), "2025-11-30 08:00", 1764460800),
        ("date", ["2026-11-30", None], [date(2026, 11, 30), None]),
        (["datetime", step("date_format", format="H:i")], "2026-11-30T14:00:00Z", "14:00"),
    ],
)  # fmt: skip
def test_dates(steps: Any, value: Any, result: Any) -> None:
    assert transformed(steps, value) == result


@pytest.mark.parametrize(
    ("steps", "value", "reason"),
    [
        ("uppercase", True, Reason.NOT_TEXT),
        ("trim", {"a": 1}, Reason.NOT_TEXT),
        ("trim", [["a"]], Reason.NOT_TEXT),
        ("parse_json", 5, Reason.NOT_TEXT),
        ("parse_json", "{", Reason.INVALID_JSON),
        ("parse_json", "[" * 40 + "]" * 40, Reason.INVALID_JSON),
        ("number", "1,5", Reason.NOT_A_NUMBER),
        ("number", "0x1F", Reason.NOT_A_NUMBER),
        ("number", "nan", Reason.NOT_A_NUMBER),
        ("number", "٣", Reason.NOT_A_NUMBER),
        ("number", "", Reason.NOT_A_NUMBER),
        ("number", "1" * 5000, Reason.NOT_A_NUMBER),
        ("number", {}, Reason.NOT_A_NUMBER),
        (step("number", decimal_point=","), "1.5", Reason.NOT_A_NUMBER),
        ("integer", "1.5", Reason.NOT_A_NUMBER),
        ("integer", "1e9999", Reason.OUT_OF_RANGE),
        ("decimal", "1e300", Reason.OUT_OF_RANGE),
        ("boolean", "maybe", Reason.NOT_A_BOOLEAN),
        ("boolean", 2, Reason.NOT_A_BOOLEAN),
        ("join", "a", Reason.NOT_A_LIST),
        ("first", {}, Reason.NOT_A_LIST),
        (step("lookup", values={"a": 1}), "b", Reason.NOT_IN_LOOKUP),
        (step("replace", find="a", **{"with": "b" * 1000}), "a" * 10_000, Reason.TOO_LONG),
        (step("regex_replace", pattern=r"\s+$"), " " * 20_000, Reason.TOO_LONG),
        ("split", "," * 20_000, Reason.TOO_LONG),
        ("date", "0000-00-00", Reason.BAD_DATETIME),
        ("date", "2026-02-30", Reason.BAD_DATETIME),
        ("date", "tomorrow", Reason.BAD_DATETIME),
        ("date", "", Reason.BAD_DATETIME),
        ("date", "30 Foo 2026", Reason.BAD_DATETIME),
        ("date", True, Reason.BAD_DATETIME),
        ("datetime", "2026-01-01T00:00:00+25:00", Reason.BAD_DATETIME),
        ("datetime", "0001-01-01T00:00:00+08:00", Reason.BAD_DATETIME),
        (step("datetime", zone="Asia/Manila"), "9999-12-31T23:00:00Z", Reason.BAD_DATETIME),
        ("datetime", 1764460800123, Reason.BAD_DATETIME),
        ("datetime", 10**400, Reason.BAD_DATETIME),
        ("time", "25:00", Reason.BAD_DATETIME),
        ("time", "13:00 pm", Reason.BAD_DATETIME),
        (step("date", **{"from": "d/m/Y"}), "2026-11-30", Reason.BAD_DATETIME),
        (step("date", **{"from": "d/m/Y"}), "31/02/2026", Reason.BAD_DATETIME),
    ],
)  # fmt: skip
def test_refusals_name_the_column(steps: Any, value: Any, reason: Reason) -> None:
    with pytest.raises(MappingFault) as fault:
        transformed(steps, value)
    assert (fault.value.reason, fault.value.field) == (reason, "column")
    assert fault.value.message.endswith(".")


@pytest.mark.parametrize(
    ("steps", "path", "says"),
    [
        ("trimm", "", "there is no transformation"),
        (5, "", "a name, or an object"),
        ({"separator": ","}, "", "a name, or an object"),
        (["trim", {"name": "split", "sep": ","}], "[1].sep", "it takes separator, trim"),
        ({"name": "split", "separator": 5}, ".separator", "must be a text"),
        ({"name": "split", "separator": ""}, ".separator", "must not be empty"),
        ({"name": "truncate"}, ".length", "needs it"),
        ({"name": "truncate", "length": True}, ".length", "must be an integer"),
        ({"name": "regex_replace", "pattern": "(a+)+"}, ".pattern", "forever"),
        ({"name": "regex_replace", "pattern": "a", "with": "$1"}, ".with", "group"),
        ({"name": "date", "zone": "Mars/Olympus"}, ".zone", "no time zone"),
        ({"name": "date", "zone": "../../etc/passwd"}, ".zone", "no time zone"),
        ({"name": "date", "unit": "hours"}, ".unit", "must be one of"),
        ({"name": "date", "from": "H:i"}, ".from", "year"),
        ({"name": "date", "from": "Y-m-d l jS"}, ".from", "cannot|but not read"),
        ({"name": "date_format", "format": "%Q"}, ".format", "%Q"),
        ({"name": "round", "places": 99}, ".places", "0 to 30"),
        ({"name": "number", "decimal_point": ",", "grouping": ","}, ".grouping", "differ"),
        (["trim"] * 21, "", "more than 20"),
    ],
)
def test_configuration_problems_name_the_argument(steps: Any, path: str, says: str) -> None:
    _, problems = parse_steps(steps)
    assert [problem[0] for problem in problems] == [path]
    assert any(word in problems[0][1] for word in says.split("|"))


#: An example of each transformation that needs arguments.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "replace": {"find": "a"}, "regex_replace": {"pattern": "a"}, "substring": {"start": 0}, "truncate": {"length": 5},
    "prefix": {"text": "a"}, "suffix": {"text": "a"}, "multiply": {"by": 2}, "add": {"amount": 2},
    "lookup": {"values": {}}, "default": {"value": 1}, "null_if": {"values": [1]},
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", CATALOGUE)
@given(value=JSON)
def test_no_transformation_fails_in_any_other_way(name: str, value: Any) -> None:
    """Whatever the record holds, a transformation gives a value or a fault, twice the same; null stays null."""

    def outcome() -> Any:
        try:
            return transformed(step(name, **ARGUMENTS.get(name, {})), value)
        except MappingFault as fault:
            return fault.reason, fault.message

    assert outcome() == outcome()
    if value is None and name != "default":
        assert outcome() is None
