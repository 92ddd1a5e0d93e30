"""Regular expressions that could run away are refused, or kept to texts on which they cannot."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intertie_mapping.patterns import MAX_TEXT, Pattern, PatternError, TextTooLong


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(a*)*",
        "(a|a)*b",
        "(a|ab)*c",
        "(?:a+|b)+c",
        "((ab)*)*",
        "(a?b?)*c",
        "(\\d+,)*x",
        "a*a*a*a*b",
        ".*,.*,.*x",
        "a?a?a?a?a?a?aaaaaa",
        "(?<=a)b",
        "(?=a)b",
        r"(a)\1",
        "(",
        "[",
        "a{99999999999}",
        "(?P<n>a)(?(n)b|c)",
        "x" * 1001,
        "((a{1,30}){1,30}){1,30}b",
        "(.{1,50}){50}x",
        "(a{0,9}){9}b",
    ],
)
def test_what_could_run_away_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        Pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\s+",
        r"^\d+$",
        r"\d{3}-\d{4}",
        r"^(\w+)@(\w+)\.com$",
        r"<[^>]*>",
        r"\b\d+\b",
        r"(?:foo|bar)+",
        r"(ab|cd)*x",
        r"[^,]*,[^,]*",
        r"(https?)://",
        "é+",
        "(?i)abc",
        "a{2,5}b",
        "(?:\\d{3} )*",
        "^.*$",
        "",
    ],
)
def test_what_people_write_is_taken(pattern: str) -> None:
    assert Pattern(pattern).max_text >= 400
    assert [match.span() for match in Pattern(pattern).finditer("ab foo 12")] == [
        match.span() for match in re.finditer(pattern, "ab foo 12")
    ]


def test_a_pattern_is_not_tried_on_a_text_that_is_too_long() -> None:
    pattern = Pattern(r"\s+$")
    assert pattern.max_text == MAX_TEXT[2]
    pattern.sub("", " " * pattern.max_text)
    with pytest.raises(TextTooLong):
        pattern.search(" " * (pattern.max_text + 1))


@pytest.mark.parametrize(
    ("pattern", "power"),
    [("abc", 1), ("^a*b", 1), ("a*b", 2), ("(?m)^[^x]*x", 2), ("a*(?:b|)a*c", 3), (r"\w+\d+", 2)],
)
def test_how_costs_are_estimated(pattern: str, power: int) -> None:
    """A branch that may be empty separates nothing, and each line is a start of its own."""
    assert Pattern(pattern).max_text == MAX_TEXT[power]


PIECES = st.sampled_from(["a", "b", "[ab]", ".", r"\w", "(a|b)", "(?:ab)", "(?:a|bc)", "(?:b|)", "^", "$"])
QUANTIFIERS = st.sampled_from(["", "*", "+", "?", "{2}", "{0,3}", "*?"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PIECES, QUANTIFIERS), min_size=1, max_size=5), st.sampled_from(["ab", "a", "aab"]))
def test_what_is_taken_ends(pieces: list[tuple[str, str]], text: str) -> None:
    """Any pattern that is accepted comes to an end on a hostile text of the length that it allows.

    The timeout is the judge.
    """
    try:
        pattern = Pattern("".join(piece + quantifier for piece, quantifier in pieces) + "x")
    except PatternError:
        return
    length = min(pattern.max_text, 3_000)
    assert pattern.search((text * length)[:length]) is None
