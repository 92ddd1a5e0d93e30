"""What the verbs of pull decide by themselves: parameters, progress; and the demo's external systems."""

import socket
import sqlite3
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from intertie.ingest.v1 import sync_pb2
from intertie_cli import addresses, demo_api, demo_source
from intertie_cli.problems import UsageError
from intertie_cli.queries import parameters
from intertie_cli.sync_watch import Rate, told

BEARER = f"Bearer {demo_api.TOKEN}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"7"', "7"),
        ("2025-01-20", "2025-01-20"),
        ("a=b", "a=b"),
        ("", ""),
        ("[1]", "[1]"),
        ("12345678901234567890", 12345678901234567890),
    ],
)
def test_a_parameter_is_a_json_value_or_text(text: str, value: Any) -> None:
    """Dates need no quotes, and a quoted number is a text; no column takes a list, so that is text too."""
    assert parameters([f"name={text}"]) == {"name": value}


@pytest.mark.parametrize("given", [["name"], ["=1"], ["a=1", "a=2"]])
def test_what_is_no_parameter_is_refused(given: list[str]) -> None:
    """Without a name, without a value, or named twice."""
    with pytest.raises(UsageError, match="--param"):
        parameters(given)


def test_a_run_is_told_on_a_line() -> None:
    """Pages, rows and rate while it reads; what waits and what failed when there is some."""
    run = sync_pb2.SyncRun(state="running", pages=3, read=12_000)
    assert told(run, 1234.4) == "reading, 3 pages, 12,000 rows, 1,234 rows/s"
    run = sync_pb2.SyncRun(state="settling", pages=3, read=3, pending=2, failed=1)
    assert told(run, 0) == "mapping, 3 pages, 3 rows, 2 wait for mapper, 1 failed"
    assert told(sync_pb2.SyncRun(state="succeeded"), 0) == "succeeded, 0 pages, 0 rows"


def test_the_rate_counts_from_the_first_look() -> None:
    """What had been read before somebody watched is no speed."""
    times = iter([10.0, 12.0, 20.0])
    rate = Rate(lambda: next(times))
    assert [rate.of(1000), rate.of(1500), rate.of(1000)] == [0.0, 250.0, 0.0]


def works(query: str) -> list[str]:
    """The ids that the demo's API gives."""
    return [each["id"] for each in demo_api.answer(f"/works{query}", BEARER)["works"]]


def test_the_demo_api_has_pages_and_a_since() -> None:
    """Each of the works stands on one page; the start of the time is part of it."""
    everything = works("")
    assert len(everything) == 7
    document = demo_api.answer("/works?page_size=3", BEARER)
    assert (document["pages"], document["total"]) == (3, 7)
    assert works("?page_size=3&page=1") + works("?page_size=3&page=2") + works("?page_size=3&page=3") == everything
    assert works("?page_size=3&page=4") == []
    assert works("?updated_since=2026-01-08T11%3A00%3A00Z") == ["RW-205", "RW-206", "RW-207"]
    assert works("?updated_since=2027-01-01T00:00:00Z") == []
    assert demo_api.answer("/works/RW-203", BEARER)["place"] == "Main Street"


@pytest.mark.parametrize(
    ("path", "authorization", "status"),
    [
        ("/works", "", HTTPStatus.UNAUTHORIZED),
        ("/works", "Bearer other", HTTPStatus.UNAUTHORIZED),
        ("/works/RW-1", BEARER, HTTPStatus.NOT_FOUND),
        ("/", BEARER, HTTPStatus.NOT_FOUND),
        ("/works?page=0", BEARER, HTTPStatus.BAD_REQUEST),
        ("/works?page_size=x", BEARER, HTTPStatus.BAD_REQUEST),
    ],
)
def test_the_demo_api_refuses(path: str, authorization: str, status: HTTPStatus) -> None:
    """As somebody else's API does."""
    with pytest.raises(demo_api.Refused) as refused:
        demo_api.answer(path, authorization)
    assert refused.value.status == status


def test_the_demo_database_is_made_once(tmp_path: Path) -> None:
    """A second start leaves what has been changed in it."""
    file = tmp_path / "external" / "demo.db"
    demo_source.make(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        assert connection.execute("SELECT COUNT(*), COUNT(DISTINCT updated_at) FROM closures").fetchone() == (12, 10)
        connection.execute("DELETE FROM closures WHERE id = 1")
    demo_source.make(file)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM closures").fetchone() == (11,)


def test_an_address_is_kept_while_it_is_free(tmp_path: Path) -> None:
    """The same one each time; another, which is kept then, once somebody else has it."""
    file = tmp_path / "external" / "address"
    first = addresses.kept(file)
    assert addresses.kept(file) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(first.rpartition(":")[2])))
        other.listen()
        second = addresses.kept(file)
        assert second != first
    assert addresses.kept(file) == second
