"""Expressions give plain JSON that depends on the record alone, with integers exact, within bounds."""

from __future__ import annotations

import asyncio
import sys
import threading
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.expressions import Expression, ExpressionError, without_decimals
from intertie_mapping.values import MISSING

RECORD: dict[str, Any] = {
    "id": 2**53 + 1,
    "big": 2**70,
    "null": None,
    "list": [1, 2, 3],
    "one": [5],
    "text": "héllo wörld",
    "nested": {"k.v": 1, "items": [{"x": 1}, {"x": 2}]},
    "half": 1.5,
    "when": "2026-11-30T10:00:00",
    "long": "a" * 50_000,
}


def evaluated(text: str, record: Any = None) -> Any:
    return Expression(text, "column").evaluate(RECORD if record is None else record)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("id", 2**53 + 1),
        ("id + 1", 2**53 + 2),
        ("id * 3", 3 * (2**53 + 1)),
        ("-id", -(2**53) - 1),
        ("id = 9007199254740992", False),
        ("id & '-x'", "9007199254740993-x"),
        ("$string(id)", "9007199254740993"),
        ("$lookup($, 'big')", 2**70),
        ("$number('12345678901234567890')", 12345678901234567890),
        ("$number('1.5')", 1.5),
        ("$sum([id, 1])", 2**53 + 2),
        ("{'a': id}", {"a": 2**53 + 1}),
        ("10 / 4", 2.5),
        ("10 / 5", 2),
        ("half + 1", 2.5),
        ("null", None),
        ("null = null", True),
        ("{'a': null, 'b': nope}", {"a": None}),
        ("nope", MISSING),
        ("nope.further", MISSING),
        ("text.further", MISSING),
        ("list", [1, 2, 3]),
        ("one", [5]),
        ("nested.items.x", [1, 2]),
        ("nested.items[x = 2].x", 2),
        ("nested.`k.v`", 1),
        ("$map(list, function($v) { $v * 2 })", [2, 4, 6]),
        ("[1..5]", [1, 2, 3, 4, 5]),
        ("$count(nope)", 0),
        ("$reduce(list, function($a, $b) { $a + $b })", 6),
        ("($f := function($n) { $n = 0 ? 0 : 1 + $f($n - 1) }; $f(15))", 15),
        ("$replace(text, /(l+)o/, '[$1]')", "hé[ll] wörld"),
        ("$contains(text, /WÖ/i)", True),
        ("$split('a, b', /,\\s*/)", ["a", "b"]),
        ("$toMillis(when)", 1796032800000),
        ("$toMillis('2026-11-30T10:00:00+08:00')", 1796004000000),
        ("$fromMillis(0)", "1970-01-01T00:00:00.000Z"),
        ("$merge([{'a': 1}, {'b': 2}])", {"a": 1, "b": 2}),
        ("$exists(null)", True),
        ("'x' in ['x', 'y']", True),
    ],
)
def test_results(text: str, result: Any) -> None:
    found = evaluated(text)
    assert found == result
    assert type(found) is type(result)


def test_results_share_nothing_with_the_record() -> None:
    record = {"list": [1, {"a": 1}]}
    found: Any = evaluated("list", record)
    found[1]["a"] = 2
    assert record == {"list": [1, {"a": 1}]}


@pytest.mark.parametrize(
    "text",
    [
        "$now()",
        "$millis()",
        "$random()",
        "$shuffle(list)",
        "$eval('1')",
        "($n := $now; $n())",
        "list ~> $shuffle",
        "$map(list, $random)",
    ],
)
def test_what_depends_on_more_than_the_record_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="the same row each time"):
        Expression(text)


@pytest.mark.parametrize(
    "text",
    ["", "  ", "a &", "(", "[1..10000000]", "[0..10000]", "$replace(a, /(a+)+b/, '')", "x" * 10_001, "@", "a[", "'"],
)
def test_what_cannot_be_compiled_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "[1..id]",
        "($n := 20000000; [1..$n])",
        "$pad('x', 100000000)",
        "$pad('x', -100000000)",
        "($f := function($n) { $f($n) }; $f(1))",
        "($f := function($n) { 1 + $f($n) }; $f(1))",
        "($f := function($n, $s) { $n = 0 ? $s : $f($n - 1, $s & $s) }; $f(60, 'x'))",
        "($f := function($n, $s) { $n = 0 ? $s : $f($n - 1, $append($s, $s)) }; $f(60, [1, 2]))",
        "($f := function($n, $s) { $n = 0 ? $s : $f($n - 1, {'a': $s, 'b': $s}) }; $f(30, 1))",
        "($f := function($n, $s) { $n = 0 ? $s : $f($n - 1, {'a': $s, 'b': $s}) }; $string($f(30, 1)))",
        "($f := function($n, $s) { $n = 0 ? $s : $f($n - 1, $s * $s) }; $f(60, 3))",
        "$map([1..10000], function($i) { $map([1..10000], function($j) { $i * $j }) })",
        "$join($map([1..10000], function($i) { $pad('x', 1000) }))",
        "$replace(long, 'a', long)",
        "$contains(long, /\\s+$/)",
        "true and $contains(long, /\\s+$/)",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "(" * 200 + "1" + ")" * 200,
    ],
)
def test_what_grows_too_large_is_stopped(text: str) -> None:
    with pytest.raises(MappingFault) as fault:
        evaluated(text)
    assert (fault.value.reason, fault.value.field) == (Reason.EXPRESSION_LIMIT, "column")


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0",
        "'a' + 1",
        "$error('boo')",
        "$nope(1)",
        "$number('nan')",
        "$sqrt(-1)",
        "function($x) { $x }",
        "$uppercase",
        "text < 1",
    ],
)
def test_what_fails_is_a_fault_of_the_column(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In the library's words about the expression, never in Python's about its code, and nothing is printed."""
    with pytest.raises(MappingFault) as fault:
        evaluated(text)
    assert (fault.value.reason, fault.value.field) == (Reason.EXPRESSION_FAILED, "column")
    assert "Traceback" not in fault.value.message
    assert "object at 0x" not in fault.value.message
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ("nope", False),
        ("list", True),
        ("one[0] - 5", False),
        ("''", False),
        ("'a'", True),
        ("{}", False),
        ("null", False),
        ("list[$ > 5]", False),
        ("text = 'x' or half > 1", True),
    ],
)
def test_filters_follow_jsonatas_truth(text: str, holds: bool) -> None:
    assert Expression(text, "filter").holds(RECORD) is holds


def test_decimals_become_floats_for_expressions_alone() -> None:
    record: dict[str, Any] = {"a": [{"b": Decimal("0.1234567890123456789")}], "c": 1}
    assert evaluated("a.b * 2", without_decimals(record)) == 0.1234567890123456789 * 2
    assert record["a"][0]["b"] == Decimal("0.1234567890123456789")
    assert without_decimals(RECORD) is RECORD


def test_importing_leaves_the_recursion_limit_alone() -> None:
    """The library raises it to 10,000, at which C code can exhaust a thread's stack."""
    assert sys.getrecursionlimit() < 10_000


def test_threads_and_tasks_share_an_expression() -> None:
    """Results never cross, also when threads change in the middle of an evaluation."""
    expression = Expression("$map(list, function($v) { $v & ':' & id })", "column")
    wrong: list[Any] = []

    def work(number: int) -> None:
        for _ in range(100):
            found = expression.evaluate({"list": [number, number + 1], "id": number})
            if found != [f"{number}:{number}", f"{number + 1}:{number}"]:
                wrong.append(found)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


async def test_a_compiled_expression_serves_any_thread() -> None:
    """It may be compiled in one thread and evaluated in another, as a worker pool does."""
    expression = Expression("$sum(list)", "column")
    results = await asyncio.gather(
        *(asyncio.to_thread(expression.evaluate, {"list": [number]}) for number in range(10))
    )
    assert results == list(range(10))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)
TEXTS = [
    "a",
    "a.b",
    "a + b",
    "a & b",
    "$sum(a)",
    "a[0]",
    "a = b",
    "a < b",
    "$join(a)",
    "{'x': a}",
    "a.b ? a : b",
    "$map(a, $string)",
    "-a",
    "a in b",
    "**.b",
]


@given(st.sampled_from(TEXTS), st.dictionaries(st.sampled_from(["a", "b"]), JSON))
def test_no_record_makes_an_expression_fail_in_any_other_way(text: str, record: dict[str, Any]) -> None:
    """A value or a fault, and twice the same."""

    def outcome() -> Any:
        try:
            return evaluated(text, record)
        except MappingFault as fault:
            return fault.reason, fault.message

    assert outcome() == outcome()
