"""Targets with any primary key: generated, BIGINT, UUID, composite, natural; with RETURNING and without."""

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from intertie_mapper.columns import Kind
from intertie_mapper.model import Action, Outcome
from mapper_rig import PREFIX, Rig, record, rig

NATURAL = "CREATE TABLE {p}things (code VARCHAR(20) PRIMARY KEY NOT NULL, label VARCHAR(50))"


@dataclass(frozen=True)
class Place:
    """A store, and whether its INSERT … RETURNING is used: without it MySQL's way is taken."""

    url: str
    returning: bool | None

    @property
    def embedded(self) -> bool:
        """Whether it is SQLite."""
        return self.url.startswith("sqlite")

    def rig(self, *statements: str) -> AbstractAsyncContextManager[Rig]:
        """A mapper there."""
        return rig(self.url, *statements, returning=self.returning)


@pytest.fixture(params=["sqlite", "mariadb", "as-mysql"])
def place(request: pytest.FixtureRequest) -> Place:
    """SQLite, MariaDB, and MariaDB treated as if it were MySQL."""
    which = "sqlite" if request.param == "sqlite" else "mariadb"
    return Place(request.getfixturevalue(f"{which}_url"), False if request.param == "as-mysql" else None)


async def _insert_update_and_check(
    mapper: Rig, config: dict[str, Any], key: str, *, count: int = 7
) -> list[dict[str, Any]]:
    """Land `count` records twice; every link names the row that has its record's values. Gives the keys."""
    mapper.map("things", config)
    for revision in (1, 2):
        endings = await mapper.land(
            *(
                record(f"r{n}", {"id": f"r{n}", "code": f"K{n}", "n": n, "label": f"{n}/{revision}"}, revision=revision)
                for n in range(count)
            )
        )
        assert {ending.outcome for ending in endings} == {Outcome.SYNCED}, endings
        assert {ending.action for ending in endings} == {Action.INSERT if revision == 1 else Action.UPDATE}
        keys = [json.loads(ending.key_json) for ending in endings]
        for n, found in enumerate(keys):
            assert ", ".join(found) == key
            where = " AND ".join(
                f"{name} = '{value}'" if isinstance(value, str) else f"{name} = {value}"
                for name, value in found.items()
            )
            rows = await mapper.rows(f"SELECT label FROM {{p}}things WHERE {where}")
            assert rows == [{"label": f"{n}/{revision}"}]
    assert len(await mapper.rows("SELECT 1 AS one FROM {p}things")) == count
    return keys


async def test_bigint_key_of_another_name(place: Place) -> None:
    """Numbers beyond 32 bits stay exact, in the link and in the settlement's key."""
    ddl = (
        "CREATE TABLE {p}things (thing_no INTEGER PRIMARY KEY AUTOINCREMENT, label VARCHAR(50))"
        if place.embedded
        else "CREATE TABLE {p}things (thing_no BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, label VARCHAR(50))"
    )
    start = (
        "INSERT INTO {p}things (thing_no) VALUES (9007199254740993)"
        if place.embedded
        else "ALTER TABLE {p}things AUTO_INCREMENT = 9007199254740994"
    )
    async with place.rig(ddl, start) as mapper:
        if place.embedded:
            await mapper.run("DELETE FROM {p}things")
        keys = await _insert_update_and_check(mapper, {"field_mappings": {"label": "label"}}, "thing_no")
        assert [found["thing_no"] for found in keys] == [9007199254740994 + n for n in range(7)]


async def test_many_rows_change_at_once_whatever_their_values(place: Place) -> None:
    """Nulls in some rows and in all, integers beyond 63 bits among the values and the keys, and keys that change."""
    kind, most = ("BIGINT", 2**63 - 1) if place.embedded else ("BIGINT UNSIGNED", 2**64 - 1)
    ddl = f"CREATE TABLE {{p}}things (no {kind} PRIMARY KEY NOT NULL, big {kind}, label VARCHAR(50))"
    first = [(most - n, n, f"{n}") for n in range(5)]
    states = [
        [(no, None if n % 2 else most, None) for n, (no, _, _) in enumerate(first)],
        [(no, None, None) for no, _, _ in first],
        [(no, n, None if n % 2 else "x") for no, n, _ in first],
        [(n, most, "x") for _, n, _ in first],
        [(n, None, "y") for _, n, _ in first],
    ]
    async with place.rig(ddl) as mapper:
        mapper.map("things", {"field_mappings": {"no": "no", "big": "big", "label": "label"}})
        for revision, rows in enumerate((first, *states), 1):
            documents = [dict(zip(("no", "big", "label"), row, strict=True)) for row in rows]
            endings = await mapper.land(
                *(record(str(n), document, revision=revision) for n, document in enumerate(documents))
            )
            assert {ending.outcome for ending in endings} == {Outcome.SYNCED}, endings
            assert [json.loads(ending.key_json) for ending in endings] == [{"no": row[0]} for row in rows]
            kept = await mapper.rows("SELECT no, big, label FROM {p}things ORDER BY no")
            assert kept == sorted(documents, key=lambda document: int(document["no"]))


async def test_mapped_uuid_key(place: Place) -> None:
    """A key that the sender gives: no number, so no local_id, and no checkpoint."""
    async with place.rig("CREATE TABLE {p}things (ref CHAR(36) PRIMARY KEY NOT NULL, label VARCHAR(50))") as mapper:
        await _insert_update_and_check(mapper, {"field_mappings": {"code": "ref", "label": "label"}}, "ref")


async def test_generated_uuid_key(place: Place) -> None:
    """A key that a default makes: learnt by RETURNING, or by evaluating the default first."""
    ddl = (
        "CREATE TABLE {p}things (ref TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16)))), label VARCHAR(50))"
        if place.embedded
        else "CREATE TABLE {p}things (ref CHAR(36) PRIMARY KEY DEFAULT (uuid()), label VARCHAR(50))"
    )
    async with place.rig(ddl) as mapper:
        await _insert_update_and_check(mapper, {"field_mappings": {"label": "label"}}, "ref")


async def test_native_uuid_key(mariadb_url: str) -> None:
    """MariaDB's own UUID type, spelt in capitals by the sender."""
    async with rig(mariadb_url, "CREATE TABLE {p}things (ref UUID PRIMARY KEY, label VARCHAR(50))") as mapper:
        mapper.map("things", {"field_mappings": {"code": "ref", "label": "label"}})
        code = "0190A0F1-7C3E-7B5A-8E2C-1D5A3B7C9E0F"
        (ending,) = await mapper.land(record("1", {"code": code, "label": "a"}))
        assert json.loads(ending.key_json) == {"ref": code.lower()}
        (ending,) = await mapper.land(record("1", {"code": code, "label": "b"}, revision=2))
        assert ending.action is Action.UPDATE
        (ending,) = await mapper.land(record("1", {"code": code, "label": "b"}, revision=3))
        assert ending.action is Action.UNCHANGED


async def test_binary_key(place: Place) -> None:
    """Bytes as a key are kept in base64 in the link and found again."""
    ddl = "CREATE TABLE {p}things (ref BINARY(16) PRIMARY KEY NOT NULL, label VARCHAR(50))"
    async with place.rig(ddl) as mapper:
        mapper.map("things", {"field_mappings": {"code": "ref", "label": "label"}})
        code = "AAECAwQFBgcICQoLDA0ODw=="
        for revision, action in ((1, Action.INSERT), (2, Action.UPDATE)):
            (ending,) = await mapper.land(record("1", {"code": code, "label": f"{revision}"}, revision=revision))
            assert (ending.action, json.loads(ending.key_json)) == (action, {"ref": code})


async def test_composite_key_of_mapped_columns(place: Place) -> None:
    """Two columns make the key; both stores compare tuples."""
    ddl = "CREATE TABLE {p}things (code VARCHAR(20) NOT NULL, n INT NOT NULL, label VARCHAR(50), PRIMARY KEY (code, n))"
    async with place.rig(ddl) as mapper:
        config = {"field_mappings": {"code": "code", "n": "n", "label": "label"}}
        await _insert_update_and_check(mapper, config, "code, n")


async def test_composite_key_with_a_generated_part(mariadb_url: str) -> None:
    """One column mapped, the other counted by the database, with RETURNING and without."""
    ddl = (
        "CREATE TABLE {p}things (n INT NOT NULL, no INT UNSIGNED NOT NULL AUTO_INCREMENT, label VARCHAR(50), "
        "PRIMARY KEY (n, no), KEY (no))"
    )
    for returning in (True, False):
        async with rig(mariadb_url, "DROP TABLE IF EXISTS {p}things", ddl, returning=returning) as mapper:
            await mapper.run("DELETE FROM {p}external_record_links")
            await _insert_update_and_check(mapper, {"field_mappings": {"n": "n", "label": "label"}}, "n, no")


async def test_a_natural_key_that_changes_takes_its_link_along(place: Place) -> None:
    """The record's row gets the new key and stays the record's."""
    async with place.rig(NATURAL) as mapper:
        mapper.map("things", {"field_mappings": {"code": "code", "label": "label"}})
        await mapper.land(record("1", {"code": "A", "label": "x"}), record("2", {"code": "B", "label": "y"}))
        (ending,) = await mapper.land(record("1", {"code": "C", "label": "z"}, revision=2))
        assert (ending.action, json.loads(ending.key_json)) == (Action.UPDATE, {"code": "C"})
        (ending,) = await mapper.land(record("1", {"code": "C", "label": "w"}, revision=3))
        assert ending.action is Action.UPDATE
        assert await mapper.rows("SELECT code, label FROM {p}things ORDER BY code") == [
            {"code": "B", "label": "y"},
            {"code": "C", "label": "w"},
        ]


async def test_a_key_that_comes_again_belongs_to_the_new_record(place: Place) -> None:
    """The row of record 1 was deleted and its key given to record 2: record 1 never writes there again."""
    async with place.rig(NATURAL) as mapper:
        mapper.map("things", {"field_mappings": {"code": "code", "label": "label"}})
        await mapper.land(record("1", {"code": "A", "label": "first"}))
        await mapper.run("DELETE FROM {p}things")
        (second,) = await mapper.land(record("2", {"code": "A", "label": "second"}))
        assert second.outcome is Outcome.SYNCED
        (first,) = await mapper.land(record("1", {"code": "A", "label": "late"}, revision=2))
        assert (first.outcome, first.reason) == (Outcome.SET_ASIDE, "target_deleted")
        assert await mapper.rows("SELECT label FROM {p}things") == [{"label": "second"}]


async def test_names_are_quoted(place: Place) -> None:
    """A column may be called like a keyword, or hold a blank or a per cent sign."""
    quote = '"{}"' if place.embedded else "`{}`"
    names = [quote.format(name) for name in ("order", "per %", "a b")]
    ddl = (
        f"CREATE TABLE {{p}}things ({names[0]} INTEGER PRIMARY KEY "
        f"{'AUTOINCREMENT' if place.embedded else 'AUTO_INCREMENT'}, {names[1]} INT, "
        f"{names[2]} VARCHAR(20), label TEXT)"
    )
    async with place.rig(ddl) as mapper:
        config = {"field_mappings": {"n": "per %", "code": "a b", "label": "label"}}
        await _insert_update_and_check_quoted(mapper, config)
        table = await mapper.targets.get(f"{PREFIX}things")
        assert table.by_name["per %"].kind is Kind.INTEGER


async def _insert_update_and_check_quoted(mapper: Rig, config: dict[str, Any]) -> None:
    mapper.map("things", config)
    for revision in (1, 2):
        endings = await mapper.land(
            *(record(f"{n}", {"n": n, "code": "x", "label": f"{revision}"}, revision=revision) for n in range(3))
        )
        assert {ending.outcome for ending in endings} == {Outcome.SYNCED}, endings
    assert await mapper.rows("SELECT label FROM {p}things") == [{"label": "2"}] * 3
