"""Paginators as values: every record once for any page size and limit of the server, and no way without an end."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_ingest.apis import exact
from intertie_ingest.apis.paginators import Ask, Paginator, Seen, paginator_of, relation_of
from intertie_ingest.apis.rounds import GoesRound, step
from intertie_ingest.errors import ExternalInvalid

RECORDS = list(range(60))
TEXTS = st.text(st.characters(codec="utf-8"))


def walk(paginator: Paginator, answer: Any, resume: bool) -> list[int]:
    """All records of a server that answers an Ask; with `resume` every state has been stored in between."""
    read: list[int] = []
    state: dict[str, Any] | None = paginator.first()
    rounds: dict[str, Any] = {}
    while state is not None:
        body, link = answer(paginator.ask(state))
        read += body["data"]
        seen = Seen(body, len(body["data"]), json.dumps(body["data"]), link)
        state = paginator.after(state, seen)
        mark = "" if state is None else paginator.mark(state, seen)
        rounds = step(rounds, mark) if mark else rounds
        if resume:
            state, rounds = json.loads(json.dumps([state, rounds]))
    return read


SIZES = st.integers(1, 70)


@given(SIZES, SIZES, st.integers(0, 60), st.booleans(), st.booleans())
def test_offsets(size: int, most: int, count: int, with_total: bool, resume: bool) -> None:
    """Also when the server gives fewer than it is asked for, and whether or not it knows how many there are."""

    def answer(ask: Ask) -> tuple[dict[str, Any], str]:
        start, limit = int(ask.params["offset"]), int(ask.params["limit"])
        part = RECORDS[:count][start : start + min(limit, most)]
        return {"data": part} | ({"total": count} if with_total else {}), ""

    assert walk(paginator_of({"kind": "offset"}, size), answer, resume) == RECORDS[:count]


@given(SIZES, st.integers(0, 60), st.integers(0, 3), st.sampled_from(["total", "more", "none"]), st.booleans())
def test_page_numbers(size: int, count: int, base: int, says: str, resume: bool) -> None:
    """Whichever number the first page has, and whatever tells the end."""
    pages = -(-count // size)

    def answer(ask: Ask) -> tuple[dict[str, Any], str]:
        page = int(ask.params["page"]) - base
        body: dict[str, Any] = {"data": RECORDS[:count][page * size : (page + 1) * size]}
        told = {"total": {"total": pages}, "more": {"more": page + 1 < pages}, "none": {}}[says]
        return body | told, ""

    pagination = {"kind": "page_number", "base_page": base} | ({"has_more_path": "more"} if says == "more" else {})
    assert walk(paginator_of(pagination, size), answer, resume) == RECORDS[:count]


@given(SIZES, st.integers(0, 60), st.sampled_from(["cursor", "json_link", "header_link"]), st.booleans())
def test_what_the_server_hands_out(size: int, count: int, kind: str, resume: bool) -> None:
    """Cursors and links lead through all pages, also through empty ones."""

    def answer(ask: Ask) -> tuple[dict[str, Any], str]:
        start = int(ask.params.get("cursor", 0) if ask.link is None else ask.link.removeprefix("/x?"))
        after = start + size
        body: dict[str, Any] = {"data": [] if start == -size else RECORDS[:count][start:after]}
        if after >= count:
            return body | {"next": None, "cursors": {"next": ""}}, '<https://h/>; rel="prev"'
        return body | {"next": f"/x?{after}", "cursors": {"next": str(after)}}, f'</x?{after}>; rel="last next"'

    assert walk(paginator_of({"kind": kind}, size), answer, resume) == RECORDS[:count]


@given(st.integers(0, 200), st.integers(1, 200))
def test_circles_are_noticed(tail: int, circle: int) -> None:
    """However long the way into it and around it, within a few times their length, and with three marks remembered."""

    def go() -> None:
        state: dict[str, Any] = {}
        for number in range(6 * (tail + circle) + 10):
            state = step(state, str(number if number < tail else tail + (number - tail) % circle))
            assert len(json.dumps(state)) < 200

    with pytest.raises(GoesRound):
        go()


@given(st.integers(1, 500))
def test_no_circle_where_there_is_none(length: int) -> None:
    """Marks that differ are never taken for one."""
    state: dict[str, Any] = {}
    for number in range(length):
        state = json.loads(json.dumps(step(state, str(number))))


def test_bounds() -> None:
    """maximum_offset and maximum_page are where it stops before, as in dlt."""

    def answer(ask: Ask) -> tuple[dict[str, Any], str]:
        return {"data": [ask.params.get("offset", ask.params.get("page"))] * 2}, ""

    for pagination in ({"kind": "offset", "maximum_offset": 6}, {"kind": "page_number", "maximum_page": 3}):
        assert len(walk(paginator_of(pagination, 2), answer, False)) == 6


@pytest.mark.parametrize(
    ("header", "link"),
    [
        ('<https://h/a?x=1,2;3>; rel="next"', "https://h/a?x=1,2;3"),
        ('</a>; rel=next, </b>; rel="prev"', "/a"),
        ('</a>; rel="prev", </b>; title="x, <y>; rel=\\"next\\""; REL="first Next"', "/b"),
        ('</a>; rel="prev"', None),
        ("</a>", None),
        ("nonsense; rel=next", None),
        ("", None),
    ],
)
def test_link_headers(header: str, link: str | None) -> None:
    """The address of the relation, whatever stands around it."""
    assert relation_of(header, "next") == link


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    )
)
def test_documents_stay_as_they_are(value: Any) -> None:
    """What is cut out of a document says what it said."""
    assert json.loads(exact.dump(exact.parse(json.dumps(value).encode()))) == value


def test_digits_and_keys_stay() -> None:
    """Digits that no float holds, and a key that stands twice."""
    for text in (b"[1.10,1E2,-0.0,123456789012345678901234567890]", b'{"a":1,"b":{"c":1.0,"c":[2.50]}}'):
        assert exact.dump(exact.parse(text)) == text
    assert exact.plain(exact.parse(b"1e99999999999999999999")) is None
    with pytest.raises(ExternalInvalid, match="deep"):
        exact.parse(b"[" * 100_000 + b"]" * 100_000)
