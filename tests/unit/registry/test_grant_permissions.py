"""What the permissions of a grant may say."""

import json
from typing import Any

import pytest

from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_registry import grant_convert
from intertie_registry.model import Grant

FULL: dict[str, Any] = {
    "tables": ["incidents", "reporting.totals"],
    "columns": {"incidents": ["id", "title"]},
    "statements": ["select", "Insert"],
    "max_rows": 500,
    "endpoints": ["/incidents/*", "health", "/a/b"],
    "methods": ["get", "POST"],
}


def new_grant(body: bytes) -> Grant:
    """Convert a creation."""
    wire = registry_pb2.Grant(module_name="events", system="police", query_permissions=body)
    return grant_convert.new_grant(registry_pb2.CreateGrantRequest(grant=wire))


@pytest.mark.parametrize("permissions", [FULL, {}, {"tables": []}, ["incidents", "/incidents/*"], {"max_rows": 1}])
def test_what_is_fine(permissions: Any) -> None:
    """An object with any of the keys, or a list of texts; kept as it was written."""
    body = json.dumps(permissions).encode()
    assert new_grant(b" " + body + b"\n").query_permissions == body.decode()


@pytest.mark.parametrize("body", [b"", b"  "])
def test_nothing_permits_everything(body: bytes) -> None:
    """Nothing is stored."""
    assert new_grant(body).query_permissions == ""


@pytest.mark.parametrize(
    ("permissions", "place"),
    [
        ([], ""),
        (["a", 5], ""),
        (["a", " "], ""),
        (["a*b"], ""),
        ("incidents", ""),
        (None, ""),
        (5, ""),
        ({"table": ["a"]}, "table"),
        ({"tables": "a"}, "tables"),
        ({"tables": ["a", ""]}, "tables"),
        ({"tables": None}, "tables"),
        ({"statements": ["drop"]}, "statements"),
        ({"methods": ["TRACE"]}, "methods"),
        ({"endpoints": ["/a/*/b"]}, "endpoints"),
        ({"endpoints": ["/a?b=1"]}, "endpoints"),
        ({"max_rows": 0}, "max_rows"),
        ({"max_rows": True}, "max_rows"),
        ({"max_rows": None}, "max_rows"),
        ({"columns": ["id"]}, "columns"),
        ({"columns": {"a": "id"}}, "columns.a"),
        ({"columns": {"a": ["id"], "A": ["title"]}}, "columns.A"),
    ],
)
def test_what_is_refused(permissions: Any, place: str) -> None:
    """With its place; nothing else is."""
    with pytest.raises(InvalidArgument) as error:
        new_grant(json.dumps(permissions).encode())
    fields = [field for field, _ in error.value.violations]
    assert fields == [f"grant.query_permissions.{place}" if place else "grant.query_permissions"]


def test_an_unknown_key_is_told_with_those_that_there_are() -> None:
    """A key that is not understood would close the whole grant."""
    with pytest.raises(InvalidArgument, match="rows unknown; the keys are tables, columns, statements, max_rows"):
        new_grant(b'{"rows": 5}')


@pytest.mark.parametrize("body", [b"{", b'{"tables": ["a"], "tables": ["b"]}', b"\xff", b"[" * 100, b"NaN"])
def test_what_is_no_plain_json(body: bytes) -> None:
    """Refused once, and not understood as none."""
    with pytest.raises(InvalidArgument) as error:
        new_grant(body)
    assert [field for field, _ in error.value.violations] == ["grant.query_permissions"]
