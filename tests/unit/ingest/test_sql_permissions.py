"""What is not understood in a grant's permissions closes; what is understood restricts just that."""

import pytest

from intertie_ingest.databases.permissions import Permissions
from intertie_ingest.errors import QueryNotPermitted


def test_no_permissions_restrict_nothing() -> None:
    """Nor does the null that PHP writes where nothing was said."""
    for text in (b"", b"  ", b"{}", b"null"):
        assert Permissions.of(text) == Permissions()
        Permissions.of(text).check_endpoint("DELETE", "/x")


def test_all_keys_are_read() -> None:
    found = Permissions.of(
        b'{"tables": ["Assets", "main.Rooms"], "columns": {"Assets": ["Id"]}, "statements": ["SELECT"],'
        b' "max_rows": 5, "endpoints": ["incidents/", "/users/*"], "methods": ["get"]}'
    )

    assert found == Permissions(
        tables=frozenset({"assets", "main.rooms"}),
        columns={"assets": frozenset({"id"})},
        statements=frozenset({"select"}),
        max_rows=5,
        endpoints=("/incidents", "/users/*"),
        methods=frozenset({"GET"}),
    )
    assert hash(found) == hash(Permissions.of(b'{"max_rows":5}')) or found.max_rows == 5


def test_a_list_names_tables_and_endpoints() -> None:
    found = Permissions.of(b'["assets", "/incidents"]')

    assert found.tables == {"assets", "/incidents"}
    assert found.endpoints == ("/assets", "/incidents")


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"1",
        b'"assets"',
        b"\xff",
        b"[1]",
        b'[""]',
        b'{"table": ["a"]}',
        b'{"tables": "a"}',
        b'{"tables": null}',
        b'{"tables": [["a"]]}',
        b'{"columns": ["a"]}',
        b'{"columns": {"a": "b"}}',
        b'{"columns": {"a": ["b"], "A": ["c"]}}',
        b'{"columns": {" ": ["b"]}}',
        b'{"statements": ["drop"]}',
        b'{"methods": ["CONNECT"]}',
        b'{"max_rows": 0}',
        b'{"max_rows": true}',
        b'{"max_rows": 1.5}',
        b'{"max_rows": null}',
        b'{"tables": ["a"], "tables": ["b"]}',
        b"[" * 100_000,
        b'{"max_rows": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_not_understood_closes(text: bytes) -> None:
    found = Permissions.of(text)

    assert found.problem
    assert len(found.problem) < 300
    assert found.tables == frozenset()
    with pytest.raises(QueryNotPermitted):
        found.check_open()
    with pytest.raises(QueryNotPermitted):
        found.check_endpoint("GET", "/")


@pytest.mark.parametrize(
    ("endpoint", "path", "is_permitted"),
    [
        ("/incidents", "/incidents", True),
        ("/incidents", "/incidents/", True),
        ("incidents", "/incidents", True),
        ("/incidents", "/incidents/7", False),
        ("/incidents", "/incidentsX", False),
        ("/incidents", "/Incidents", False),
        ("/incidents/*", "/incidents/7", True),
        ("/incidents/*", "/incidents", False),
        ("/incidents/*", "/incidentsX", False),
        ("/incidents*", "/incidentsX", True),
        ("*", "/anything", True),
        ("/a", "/b/a", False),
    ],
)
def test_endpoints_cover_their_path_or_with_a_star_what_begins_so(endpoint: str, path: str, is_permitted: bool) -> None:
    permissions = Permissions(endpoints=("/" + endpoint.lstrip("/") if "*" in endpoint else "/" + endpoint.strip("/"),))
    if is_permitted:
        permissions.check_endpoint("get", path)
    else:
        with pytest.raises(QueryNotPermitted):
            permissions.check_endpoint("get", path)


def test_methods_restrict_in_any_case() -> None:
    permissions = Permissions.of(b'{"methods": ["get", "Head"]}')

    permissions.check_endpoint("GET", "/")
    permissions.check_endpoint("head", "/")
    with pytest.raises(QueryNotPermitted, match="POST"):
        permissions.check_endpoint("post", "/")


def test_only_letters_of_ascii_are_folded() -> None:
    assert Permissions.of('["\u212aey", "Ä"]'.encode()).tables == {"\u212aey", "Ä"}


@pytest.mark.parametrize(
    ("restricted", "table", "is_restricted"),
    [
        ("t", "t", True),
        ("t", "s.t", True),
        ("s.t", "t", True),
        ("s.t", "s.t", True),
        ("s.t", "r.t", False),
        ("t", "u", False),
    ],
)
def test_columns_restrict_a_table_also_where_only_one_side_names_the_schema(
    restricted: str, table: str, is_restricted: bool
) -> None:
    columns = Permissions(columns={restricted: frozenset({"a"})}).columns_of(table)

    assert columns == (frozenset({"a"}) if is_restricted else None)
