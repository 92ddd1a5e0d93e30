"""What API calls are made of, as values: GraphQL documents, envelopes, retries, the breaker, secrets in texts."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.apis import graphql, only_reads, soap
from intertie_ingest.apis.body_paths import set_at
from intertie_ingest.apis.breaker import Breaker
from intertie_ingest.apis.cursor_texts import cursor_text
from intertie_ingest.apis.options import ApiOptions
from intertie_ingest.apis.redaction import Redaction
from intertie_ingest.apis.retries import may_repeat, retry_after_of, wait_seconds
from intertie_ingest.apis.xml import InvalidXml, parse_xml
from intertie_ingest.errors import ExternalUnavailable, NoSource
from intertie_ingest.external import ExternalConnection
from intertie_ingest.syncs.cursors import CursorValue

READING = [
    "{ a }",
    "query { a }",
    "query Q($x: In = {mutation: 1}) @d(a: {b: 1}) { a(x: $x) { b } } fragment F on T { mutation }",
    "# mutation { a }\n{ a }",
    '{ a(text: "} mutation { b }") }',
    '{ a(text: """} \\""" mutation { b }""") }',
    "\ufeff, query mutation { subscription }",
    "query A { a } query B { b }",
]
WRITING = [
    "mutation { a }",
    "subscription { a }",
    "query A { a } mutation B { b }",
    "{ a } mutation { b }",
    "fragment F on T { a } mutation { ...F }",
    "# query\nmutation { a }",
    "# query { a }\r mutation { a }",
    '{ a(text: "\\"") } mutation { b }',
    '{ a(text: "\\\\") } mutation { b(t: "") }',
    '{ a(text: """x""") } mutation { b }',
    "{ a }} mutation { b }",
    '{ a(text: "open) }',
    "{ a",
    "{ a ] }",
    "",
    "   ",
    "extend type T { a: Int }",
    "MUTATION { a }",
    "é { a }",
]


@pytest.mark.parametrize("document", READING)
def test_documents_that_read(document: str) -> None:
    """Queries and fragments, whatever their texts, comments, names and defaults hold."""
    assert graphql.only_reads(document)
    assert graphql.only_reads({"query": document, "variables": {}})


@pytest.mark.parametrize("document", WRITING)
def test_documents_that_may_write(document: str) -> None:
    """Any other operation among several, and whatever is no document: in doubt it writes."""
    assert not graphql.only_reads(document)


@given(st.text(alphabet='{}()"\\#\n\r querymutationa', max_size=40))
def test_a_mutation_behind_anything_writes(before: str) -> None:
    """Whatever is a complete reading document stays one only without a mutation behind it."""
    if graphql.only_reads(before) and not before.rstrip(" ").rpartition("\n")[2].rpartition("\r")[2].count("#"):
        assert not graphql.only_reads(f"{before} mutation {{ a }}")


def test_no_document_no_reading() -> None:
    """Persisted queries, batches and nothing are not known to read."""
    for data in (None, [], {}, [{"query": "{ a }"}], {"query": "{ a }", "extensions": {}}, {"query": 1}):
        assert not graphql.only_reads(data)


def test_which_access_a_call_needs() -> None:
    """GET and HEAD read; GraphQL and SOAP read when they are meant to, and GraphQL's document agrees."""
    rest, graph, erp = (ExternalConnection(1, 1, "s", kind) for kind in ("rest", "graphql", "soap"))
    assert [only_reads(rest, method, None) for method in ("get", "HEAD", "POST", "DELETE")] == [
        True,
        True,
        False,
        False,
    ]
    assert only_reads(graph, "GET", "{ a }")
    assert not only_reads(graph, "POST", "{ a }")
    assert not only_reads(graph, "GET", "mutation { a }")
    assert only_reads(erp, "GET", {})
    assert not only_reads(erp, "POST", {})


XML_VALUES = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1)
    .map(str.strip)
    .filter(bool),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "Größe"]), inner, min_size=1, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["x", "y"]), XML_VALUES, min_size=1))
def test_an_envelope_comes_back(data: dict[str, Any]) -> None:
    """What goes into an envelope comes out of it."""
    for version in ("1.1", "1.2"):
        assert soap.body_of(soap.envelope(data, version)) == data


def test_forms_in_an_envelope() -> None:
    """Attributes, lists, nulls, numbers and prefixes."""
    data = {"p:a": {"@xmlns:p": "urn:p", "@k": '"<', "p:n": [1, Decimal("2.50"), None, True], "#text": "t&"}}
    envelope = soap.envelope(data, "1.1")
    assert b"<p:n>1</p:n><p:n>2.50</p:n><p:n></p:n><p:n>true</p:n>t&amp;" in envelope
    assert soap.body_of(envelope) == {"a": {"@k": '"<', "n": ["1", "2.50", None, "true"], "#text": "t&"}}
    assert soap.body_of(soap.envelope(None, "1.2")) is None


@pytest.mark.parametrize(
    "data",
    [
        [],
        "x",
        {"a b": 1},
        {"1a": 1},
        {"": 1},
        {"a/>": 1},
        {"a:b:c": 1},
        {"@a": 1},
        {"#text": "x"},
        {"a": {"@b c": 1}},
        {"a": {"@b": {}}},
        {"a": "\x00"},
        {"a": "\ud800"},
        {"a": "\ufffe"},
        {"a": [[1]]},
        {"x\ud800": 1},
    ],
)
def test_what_has_no_form_in_xml(data: Any) -> None:
    """Names that are none, and characters that XML has no form for: nothing of a caller's can become markup."""
    with pytest.raises(InvalidArgument):
        soap.envelope(data, "1.1")


def test_an_envelope_too_deep() -> None:
    """Depth is bounded before it can exhaust anything."""
    data: Any = 1
    for _ in range(200):
        data = {"a": data}
    with pytest.raises(InvalidArgument, match="deeper"):
        soap.envelope(data, "1.1")


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "http://evil.example/a.dtd"><a/>',
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><a/>',
        b"<a>&b;</a>",
        b"<a>",
        b"",
        b"\xff",
        b"<a>" * 200 + b"</a>" * 200,
        b"<a>" + b"<b/>" * 500_001 + b"</a>",
        b'<?xml version="1.0" encoding="klingon"?><a/>',
        b"<p:a/>",
        b"<a/><b/>",
    ],
    ids=lambda document: document[:20],
)
def test_xml_that_is_not_taken(document: bytes) -> None:
    """Document types, entities, what is too deep or too much, and what is no XML."""
    with pytest.raises(InvalidXml):
        parse_xml(document)


def test_faults() -> None:
    """Both versions' faults give their reason."""
    for fault, text in (
        ({"faultstring": "no"}, "no"),
        ({"Reason": {"Text": {"@lang": "en", "#text": "no"}}}, "no"),
        ({"Reason": {"Text": ["no", "nein"]}}, "no"),
        ({"Reason": None}, "a fault without a reason"),
        ({"faultstring": {}}, "a fault without a reason"),
        ("x", "a fault without a reason"),
    ):
        assert soap.fault_of({"Fault": fault}) == text
    assert soap.fault_of({"a": 1}) is None
    assert soap.fault_of(None) is None


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("999999999", 86_400),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("9" * 400, None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds or a time, bounded to a day; nonsense is as if it were not there."""
    assert retry_after_of({"retry-after": text}, NOW) == seconds
    assert retry_after_of({}, NOW) is None


def test_what_may_be_repeated() -> None:
    """What is not idempotent only when the server says that it is undone, and when to come again."""
    assert {status for status in range(100, 600) if may_repeat(status, None, True)} == {429, 502, 503, 504}
    assert {status for status in range(100, 600) if may_repeat(status, 1, False)} == {429, 503}
    assert not any(may_repeat(status, None, False) for status in range(100, 600))


def test_waits_are_spread() -> None:
    """A random part of a time that doubles up to ten seconds; what the server asks for is kept."""
    assert [wait_seconds(attempt, None, lambda: 1.0) for attempt in range(8)] == [0.25, 0.5, 1, 2, 4, 8, 10, 10]
    assert len({wait_seconds(3, None, random.random) for _ in range(10)}) > 1
    assert wait_seconds(0, 3.0, lambda: 0.0) == 3.0


def test_the_breaker_opens_and_closes() -> None:
    """Open after failures in a row, one try at a time after the rest, closed by one that goes well."""
    now = 0.0
    breaker = Breaker(failures=2, seconds=10, clock=lambda: now)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.admit()
    breaker.failed()
    with pytest.raises(ExternalUnavailable) as raised:
        breaker.admit()
    assert raised.value.retry_after == 10
    now = 10.0
    breaker.admit()
    with pytest.raises(ExternalUnavailable):
        breaker.admit()  # one try is on its way
    breaker.failed()
    with pytest.raises(ExternalUnavailable):
        breaker.admit()
    now = 20.0
    breaker.admit()
    breaker.gave_up()
    breaker.admit()
    breaker.succeeded()
    breaker.admit()
    breaker.admit()


def test_secrets_are_taken_out() -> None:
    """In the spellings in which a server may send them back, and also where an excerpt is cut."""
    connection = ExternalConnection(
        1, 1, "s", "rest", api_base_url="https://h/?api_key=query-key", api_auth_type="basic",
        api_auth_token='user:pa"ss/word', options={"headers": {"X-Key": "Bearer header-key"}},
    )  # fmt: skip
    options = ApiOptions.of(connection)
    redaction = Redaction(options.secrets())
    redaction.add("access-token")
    text = 'dXNlcjpwYSJzcy93b3Jk pa"ss/word pa\\"ss/word pa%22ss%2Fword query-key header-key access-token ok\x00'
    assert redaction.excerpt(text) == "[redacted] " * 7 + "ok "
    assert redaction.excerpt("x" * 1995 + "access-token") == "x" * 1995 + "[reda"
    assert not any(secret in repr(options) for secret in ("ss/word", "query-key", "header-key"))


@pytest.mark.parametrize(
    ("cursor", "form", "text"),
    [
        ("2026-01-02T03:04:05.678901+02:00", "iso8601", "2026-01-02T01:04:05.678901Z"),
        ("2026-01-02T03:04:05.999999Z", "unix", "1767323045"),
        ("2026-01-02T03:04:05.999999Z", "unix_ms", "1767323045999"),
        ("1969-12-31T23:59:59.5Z", "unix", "-1"),
        ("2026-01-02T03:04:05Z", "%Y-%m-%d %H:%M:%S", "2026-01-02 03:04:05"),
        ("2026-01-02", "iso8601", "2026-01-02"),
        ("2026-01-02", "unix", "1767312000"),
        (17, "unix", "17"),
        (Decimal("1.50"), "iso8601", "1.50"),
        ("abc", "%Y", "abc"),
    ],
)
def test_cursors_as_apis_want_them(cursor: Any, form: str, text: str) -> None:
    """Rounded down, so that nothing is left out."""
    value = CursorValue.of(cursor)
    assert value is not None
    assert cursor_text(value, form) == text
    with pytest.raises(NoSource):
        cursor_text(value, "rfc2822")


def test_values_in_bodies() -> None:
    """A path leads to its place, making objects on the way, and to nowhere else."""
    assert set_at(None, "a.b", 1) == {"a": {"b": 1}}
    assert set_at({"a": [{"v": 0}]}, "a[0].v", 2) == {"a": [{"v": 2}]}
    assert set_at({"a": {"c": 1}}, "a.b", 1) == {"a": {"c": 1, "b": 1}}
    for body, path in (
        ({"a": 1}, "a.b"),
        ([], "a"),
        ({}, "a[0]"),
        ({"a": []}, "a[0]"),
        ({}, ""),
        ({}, "a..b"),
        ({}, "[x]"),
    ):
        with pytest.raises(NoSource):
            set_at(body, path, 1)
