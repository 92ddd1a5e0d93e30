"""How long a statement may run, how many queries at once, and what of a call is told to the audit log."""

import json
from dataclasses import replace
from typing import Any

import pytest

from intertie.audit.v1 import audit_pb2
from intertie_chassis import calls
from intertie_chassis.errors import IntertieError
from intertie_ingest.errors import ConnectionUnusable, ExternalRefused, Overloaded, QueryTimedOut
from intertie_ingest.external import ExternalConnection
from intertie_ingest.pull.limits import Limits, Slots
from intertie_ingest.pull.note import Note
from intertie_ingest.pull.note_convert import entry_of_note

LIMITS = Limits(10, 1000, 100, 10_000, statement_seconds=5, longest_statement_seconds=60, stream_seconds=200)
CONNECTION = ExternalConnection(1, 1, "police", "database")


def seconds(is_stream: bool = False, **options: Any) -> float:
    return LIMITS.seconds(replace(CONNECTION, options=options), is_stream=is_stream)


def test_a_statement_runs_as_long_as_its_connection_says_within_bounds() -> None:
    """The installation's default, and its most; a stream has a time of its own."""
    assert [seconds(), seconds(statement_seconds=0.5), seconds(statement_seconds=300)] == [5, 0.5, 60]
    assert seconds(is_stream=True) == 200


@pytest.mark.parametrize("said", ["5", 0, -1, 301, True, None, [5]])
def test_what_is_no_such_time_makes_the_connection_unusable(said: Any) -> None:
    """It is not guessed at, for a stream neither."""
    for is_stream in (False, True):
        with pytest.raises(ConnectionUnusable):
            seconds(is_stream, statement_seconds=said)


def test_the_callers_deadline_shortens_it() -> None:
    """So that the database says first that its time is over."""
    calls.set_time_remaining(3)
    try:
        assert 0 < seconds() < 2
        calls.set_time_remaining(0)
        assert 0 < seconds() < 1
    finally:
        calls.set_time_remaining(None)


def test_each_module_has_its_slots_and_all_together_have_theirs() -> None:
    """What ends makes room again, also what fails."""
    slots = Slots(2, 3)
    with slots.taken("a"), slots.taken("a"):
        with pytest.raises(Overloaded) as refused, slots.taken("a"):
            raise AssertionError("a third one of the module runs")
        assert refused.value.retry_after == 1
        with slots.taken("b"), pytest.raises(Overloaded), slots.taken("c"):
            raise AssertionError("a fourth one runs")
    with pytest.raises(ValueError), slots.taken("a"):  # noqa: PT011 - any error
        raise ValueError
    with slots.taken("a"), slots.taken("a"):
        pass


def entry(note: Note, error: IntertieError | None = None) -> audit_pb2.Entry:
    (found,) = audit_pb2.AppendEntriesRequest.FromString(entry_of_note(note, error, 12)).entries
    return found


def note(**values: Any) -> Note:
    return Note(
        **{"query_type": "select", "query_string": "SELECT 1", "system": "police", **values}, actor="a", request_id="r"
    )


def test_what_was_sent_is_told_digit_by_digit_within_bounds() -> None:
    """Of much only size and digest; what is no JSON, or nested too deeply for the log's column, as text."""
    told = entry(note(sent=("params", b'{"a": 12345678901234567890.10}'))).request_payload
    assert told == b'{"params":{"a": 12345678901234567890.10}}'
    large = json.loads(entry(note(sent=("data", b'"' + b"x" * 20_000 + b'"'))).request_payload)
    assert (large["data_bytes"], len(large["data_sha256"])) == (20_002, 64)
    deep = b"[" * 40 + b"]" * 40
    for sent in (deep, b"{oops", b"\xff"):
        assert json.loads(entry(note(sent=("data", sent))).request_payload) == {
            "data_text": sent.decode(errors="replace")
        }


def test_a_long_statement_is_cut_between_characters() -> None:
    """To 32 KiB."""
    told = entry(note(query_string="ü" * 20_000)).query_string
    assert told.endswith("ü…")
    assert 32 * 1024 - 3 < len(told.encode()) <= 32 * 1024


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, ("success", 200)),
        (QueryTimedOut(), ("timeout", 504)),
        (Overloaded(), ("error", 429)),
        (ExternalRefused(metadata={"upstream_status": "418"}), ("error", 400)),
    ],
)
def test_how_a_call_ended_is_told(error: IntertieError | None, expected: tuple[str, int]) -> None:
    """As HTTP would answer."""
    told = entry(note(answered={"rows": 1}), error)
    assert (told.status, told.response_status) == expected
    payload = json.loads(told.response_payload)
    assert (payload["rows"], payload.get("reason")) == (1, error.reason if error else None)
    assert payload.get("upstream_status") == (418 if isinstance(error, ExternalRefused) else None)
