"""Real databases of each kind behind pull: asked, changed under a grant to write, and moved while pull runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from external_databases import External, ExternalMariaDB, ExternalPostgreSQL, ExternalSQLite
from intertie.ingest.v1 import query_pb2
from intertie_chassis.errors import IntertieError
from intertie_ingest.configuration import StoredGrant
from pull_rig import pull_rig, stored, system_of
from waiting import eventually

GRANTS = (StoredGrant("reader", "read", True), StoredGrant("both", "read_write", True))


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def external(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[External]:
    """A database with a table of a few types."""
    made: External
    match request.param:
        case "sqlite":
            made = ExternalSQLite.make(tmp_path / "external.db")
        case "mariadb":
            made = ExternalMariaDB.make(request.getfixturevalue("mariadb_server"))
        case _:
            made = ExternalPostgreSQL.make(request.getfixturevalue("postgresql_server"))
    made.execute("CREATE TABLE fines (id BIGINT PRIMARY KEY, amount DECIMAL(20,2), note VARCHAR(50), due DATE)")
    made.execute("INSERT INTO fines VALUES (9007199254740993, 12345678901234567.89, 'grün', '2026-05-01')")
    made.execute("INSERT INTO fines (id) VALUES (2)")
    yield made
    made.close()


def _request(sql: str, **params: Any) -> query_pb2.QueryDatabaseRequest:
    return query_pb2.QueryDatabaseRequest(system="police", query=sql, params=json.dumps(params).encode())


async def test_each_kind_of_database_is_asked_and_changed(external: External, tmp_path: Path, sqlite_url: str) -> None:
    """By bound parameters; a statement that reads gives rows, one that writes how many it changed, and it is there."""
    connections = stored(external.connection), stored(external.reader)
    async with pull_rig(tmp_path, sqlite_url, system_of(*connections, grants=GRANTS)) as rig:
        reader, both = rig.query("module:reader"), rig.query("module:both")
        answer = await reader.QueryDatabase(
            _request("SELECT id, note FROM fines WHERE id > :least ORDER BY id", least=5)
        )
        assert (answer.results, answer.count) == ('[{"id":9007199254740993,"note":"grün"}]'.encode(), 1)
        changed = await both.QueryDatabase(
            _request("UPDATE fines SET note = :note WHERE id = :id", note="o'; --", id=2)
        )
        assert (changed.count, changed.results, changed.truncated) == (1, b"[]", False)
        assert external.rows("SELECT note FROM fines WHERE id = 2") == [("o'; --",)]
        with pytest.raises(IntertieError) as failed:
            await reader.QueryDatabase(_request("SELECT nothing FROM fines"))
        assert failed.value.reason == "QUERY_FAILED"
        # PHP writes an object without members as a list.
        counting = _request("SELECT count(*) AS number FROM fines")
        counting.params = b"[]"
        again = await reader.QueryDatabase(counting)
        assert json.loads(again.results) == [{"number": 2}]


async def test_a_changed_connection_counts_at_once(external: External, tmp_path: Path, sqlite_url: str) -> None:
    """What was reached before is not reached any more, and the other way round."""
    good = stored(external.connection)
    bad = stored(external.connection, db_name="elsewhere")
    async with pull_rig(tmp_path, sqlite_url, system_of(good, grants=GRANTS)) as rig:

        async def reason() -> str:
            try:
                await rig.query("module:reader").QueryDatabase(_request("SELECT id FROM fines"))
            except IntertieError as error:
                return error.reason
            return ""

        assert await reason() == ""
        for connection, expected in ((bad, "CONNECTION_UNUSABLE"), (good, "")):
            rig.registry.say(system_of(connection, grants=GRANTS))
            await eventually(lambda expected=expected: _is(reason, expected))


async def _is(reason: Any, expected: str) -> bool:
    return bool(await reason() == expected)
