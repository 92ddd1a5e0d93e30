"""What the target does not take is set aside with a reason a person can act on, and takes nothing else with it."""

import json
import threading
from typing import Any

import pytest

from intertie_mapper.model import Action, Ending, Outcome
from intertie_mapping.expressions import Expression
from intertie_mapping.values import JsonObject
from mapper_rig import Rig, record, rig

PARENTS = "CREATE TABLE {p}places (id INTEGER PRIMARY KEY, name VARCHAR(50))"
CHILDREN = """CREATE TABLE {p}visits (
    id INTEGER PRIMARY KEY %s, code VARCHAR(20) UNIQUE, name VARCHAR(10) NOT NULL, place_id INT,
    n INT CHECK (n <> 13), kind VARCHAR(10) NOT NULL DEFAULT 'plain',
    FOREIGN KEY (place_id) REFERENCES {p}places (id))"""
CONFIG = {"field_mappings": {"code": "code", "name": "name", "place": "place_id", "n": "n", "kind": "kind"}}


def tables(url: str) -> tuple[str, ...]:
    """A table with every kind of constraint, and the one that it refers to, with the place 1 in it."""
    counting = "AUTOINCREMENT" if url.startswith("sqlite") else "AUTO_INCREMENT"
    return PARENTS, CHILDREN % counting, "INSERT INTO {p}places VALUES (1, 'Hall')"


def good(n: int) -> dict[str, Any]:
    """A record that fits."""
    return {"code": f"C{n}", "name": f"name {n}", "place": 1, "n": n}


async def land_among_good_ones(mapper: Rig, bad: dict[str, Any], neighbours: int = 20) -> Ending:
    """Land a bad record in the middle of good ones; all of these must land. Gives the bad one's ending."""
    mapper.map("visits", CONFIG)
    records = [record(f"g{n}", good(n + 100)) for n in range(neighbours)]
    records.insert(neighbours // 2, record("bad", bad))
    endings = await mapper.land(*records)
    ending = endings.pop(neighbours // 2)
    assert {one.outcome for one in endings} == {Outcome.SYNCED}
    rows = await mapper.rows("SELECT code FROM {p}visits WHERE code LIKE 'C1%'")
    assert len(rows) == neighbours
    assert len(await mapper.rows("SELECT id FROM {p}external_record_links")) == neighbours
    entries = await mapper.audited()
    assert sorted(entry.status for entry in entries) == ["error", *["success"] * neighbours]
    return ending


@pytest.mark.parametrize(
    ("bad", "reason", "field", "words"),
    [
        ({**good(1), "place": 99}, "target_refused", "place", "places that does not exist"),
        ({**good(1), "n": 13}, "target_refused", "", "a check"),
        ({**good(1), "name": "far too long a name"}, "too_long", "name", "column takes 10"),
        ({**good(1), "name": None}, "missing_required", "name", "column name"),
        ({"code": "x"}, "missing_required", "name", "the record has no name"),
        ({**good(1), "n": "many"}, "not_a_number", "n", '"many"'),
        ({**good(1), "n": 2**63}, "out_of_range", "n", "takes"),
        ({**good(1), "n": 1.5}, "fraction_lost", "n", "round"),
        ({**good(1), "name": {"a": 1}}, "wrong_type", "name", "an object"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else None,
)
async def test_a_bad_record_stands_alone(
    database_url: str, bad: dict[str, Any], reason: str, field: str, words: str
) -> None:
    """A foreign key, a check, a length, a missing or unfit value: reason, field and column are named."""
    async with rig(database_url, *tables(database_url)) as mapper:
        ending = await land_among_good_ones(mapper, bad)
        assert (ending.outcome, ending.reason) == (Outcome.SET_ASIDE, reason)
        assert ending.field == field
        assert words in ending.message


async def test_heavy_expressions_are_evaluated_in_a_thread(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second record on: heartbeats and other batches must go on, and the endings are the same."""
    threads: list[bool] = []

    def evaluate(self: Expression, document: JsonObject) -> object:
        threads.append(threading.current_thread() is threading.main_thread())
        return original(self, document)

    original = Expression.evaluate
    monkeypatch.setattr(Expression, "evaluate", evaluate)
    loop = "($f := function($n) { $f($n) }; $f(1))"
    async with rig(database_url, PARENTS) as mapper:
        mapper.map(
            "places", {"field_mappings": {"number": "id"}, "expressions": {"name": f"id = 'good' ? 'fine' : {loop}"}}
        )
        endings = await mapper.land(
            *(record(name, {"id": name, "number": n}) for n, name in enumerate(("bad", "good", "worse"), 1))
        )
    assert [ending.reason for ending in endings] == ["expression_limit", "", "expression_limit"]
    assert threads[:2] == [True, False]


async def test_a_clash_with_another_unique_key_is_a_conflict(database_url: str) -> None:
    """Never an update of the other row: it stays as its module made it."""
    async with rig(database_url, *tables(database_url)) as mapper:
        await mapper.run("INSERT INTO {p}visits (code, name) VALUES ('TAKEN', 'module')")
        ending = await land_among_good_ones(mapper, {**good(1), "code": "TAKEN"})
        assert (ending.outcome, ending.reason, ending.field) == (Outcome.SET_ASIDE, "target_conflict", "code")
        assert "Duplicate" not in ending.message
        assert await mapper.rows("SELECT name FROM {p}visits WHERE code = 'TAKEN'") == [{"name": "module"}]


async def test_two_new_records_with_one_unique_value(database_url: str) -> None:
    """The first lands, the second is set aside."""
    async with rig(database_url, *tables(database_url)) as mapper:
        mapper.map("visits", CONFIG)
        first, second = await mapper.land(record("1", good(7)), record("2", good(7)))
        assert (first.outcome, second.reason) == (Outcome.SYNCED, "target_conflict")


async def test_an_update_that_clashes_leaves_the_row(database_url: str) -> None:
    """A change into another row's unique value is refused whole."""
    async with rig(database_url, *tables(database_url)) as mapper:
        mapper.map("visits", CONFIG)
        await mapper.land(record("1", good(1)), record("2", good(2)))
        (ending,) = await mapper.land(record("2", {**good(2), "code": "C1", "name": "other"}, revision=2))
        assert ending.reason == "target_conflict"
        assert await mapper.rows("SELECT code, name FROM {p}visits ORDER BY id") == [
            {"code": "C1", "name": "name 1"},
            {"code": "C2", "name": "name 2"},
        ]


async def test_null_for_a_column_with_a_default(database_url: str) -> None:
    """A new row gets the default, an old one keeps what it has."""
    async with rig(database_url, *tables(database_url)) as mapper:
        mapper.map("visits", CONFIG)
        (ending,) = await mapper.land(record("1", {**good(1), "kind": None}))
        assert ending.outcome is Outcome.SYNCED
        assert await mapper.rows("SELECT kind FROM {p}visits") == [{"kind": "plain"}]
        await mapper.land(record("1", {**good(1), "kind": "rare"}, revision=2))
        await mapper.land(record("1", {**good(1), "kind": None, "name": "b"}, revision=3))
        assert await mapper.rows("SELECT kind, name FROM {p}visits") == [{"kind": "rare", "name": "b"}]


async def test_match_fields_find_the_row_once(database_url: str) -> None:
    """An unlinked record updates the one row that matches and is linked to it; defaults stay out of the update."""
    async with rig(database_url, *tables(database_url)) as mapper:
        mapper.map("visits", {**CONFIG, "match_fields": ["code"], "constants": {}, "defaults": {}})
        await mapper.run("INSERT INTO {p}visits (code, name, n) VALUES ('C1', 'module', 5)")
        (ending,) = await mapper.land(record("1", good(1)))
        assert ending.action is Action.UPDATE
        (ending,) = await mapper.land(record("2", good(1)))
        assert (ending.outcome, ending.reason) == (Outcome.SET_ASIDE, "target_linked")
        (ending,) = await mapper.land(record("1", {**good(1), "code": "C9"}, revision=2))
        assert ending.action is Action.UPDATE, "once linked, the link decides"
        assert await mapper.rows("SELECT code, name FROM {p}visits") == [{"code": "C9", "name": "name 1"}]


async def test_match_fields_that_find_several_rows_or_none(database_url: str) -> None:
    """More than one row is ambiguous; none is a new row; two new ones of one batch are never two rows."""
    async with rig(database_url, *tables(database_url)) as mapper:
        mapper.map("visits", {**CONFIG, "match_fields": ["name"]})
        await mapper.run("INSERT INTO {p}visits (code, name) VALUES ('A', 'twin'), ('B', 'twin')")
        several, new, same = await mapper.land(
            record("1", {**good(1), "name": "twin"}),
            record("2", {**good(2), "name": "alone"}),
            record("3", {**good(3), "name": "alone"}),
        )
        assert (several.reason, several.field) == ("ambiguous_match", "name")
        assert new.action is Action.INSERT
        assert same.reason == "target_linked"
        assert len(await mapper.rows("SELECT id FROM {p}visits")) == 3


async def test_a_table_that_is_not_there_or_not_allowed(database_url: str) -> None:
    """The mapping's records are set aside, and others of the same batch land."""
    async with rig(database_url, *tables(database_url)) as mapper:
        mapper.map("visits", CONFIG)
        mapper.map("nowhere", {"field_mappings": {"a": "b"}}, 2)
        mapper.map("external_systems", {"field_mappings": {"a": "b"}}, 3)
        mapper.map("visits", {"field_mappings": {"a": "no_such_column"}}, 4)
        mapper.map("visits", {"field_mappings": 5}, 5)
        one, missing, ours, column, malformed = await mapper.land(
            record("1", good(1)), *(record("1", {"a": 1}, mapping_id=number) for number in (2, 3, 4, 5))
        )
        assert one.outcome is Outcome.SYNCED
        assert (missing.reason, ours.reason) == ("target_not_found", "target_not_found")
        assert (column.reason, column.field) == ("invalid_mapping", "no_such_column")
        assert malformed.reason == "invalid_mapping"
        assert "field_mappings" in malformed.message


@pytest.mark.parametrize("raw", ["[1]", "5", "{", '[{"a": 1}]', '{"code": "x", "code": "y", "name": "z"}'])
async def test_a_cached_document_that_is_no_record(database_url: str, raw: str) -> None:
    """What PHP (or anyone) wrote into the cache is refused like any other."""
    async with rig(database_url, *tables(database_url)) as mapper:
        mapper.map("visits", CONFIG)
        (ending,) = await mapper.land(record("1", raw))
        assert ending.outcome is Outcome.SET_ASIDE
        assert ending.reason in ("invalid_document", "duplicate_key")


async def test_a_table_without_transactions_is_no_target(database_url: str) -> None:
    """What MyISAM wrote would stay when a batch is rolled back: nothing is written, and the way to mend it is told."""
    if database_url.startswith("sqlite"):
        return  # every table of SQLite keeps transactions
    async with rig(database_url, *tables(database_url)) as mapper:
        await mapper.run("CREATE TABLE {p}old (id INTEGER PRIMARY KEY AUTO_INCREMENT, code TEXT) ENGINE = MyISAM")
        mapper.map("old", {"field_mappings": {"code": "code"}})
        (ending,) = await mapper.land(record("1", good(1)))
        assert (ending.outcome, ending.reason) == (Outcome.SET_ASIDE, "target_not_found")
        assert "ENGINE = InnoDB" in ending.message
        assert await mapper.rows("SELECT * FROM {p}old") == []
        await mapper.run("ALTER TABLE {p}old ENGINE = InnoDB")
        (ending,) = await mapper.land(record("1", good(1)))
        assert ending.outcome is Outcome.SYNCED


async def test_a_table_that_changes_under_the_mapper(database_url: str) -> None:
    """A column that goes after the table was looked at: tried again, then judged by the table as it is."""
    async with rig(database_url, *tables(database_url)) as mapper:
        mapper.targets._keep = 3600
        mapper.map("visits", CONFIG)
        await mapper.land(record("1", good(1)))
        await mapper.run("ALTER TABLE {p}visits RENAME COLUMN kind TO sort")
        (ending,) = await mapper.land(record("2", {**good(2), "kind": "x"}))
        assert (ending.outcome, ending.reason) == (Outcome.RETRY, "invalid_mapping")
        (ending,) = await mapper.land(record("2", {**good(2), "kind": "x"}))
        assert (ending.outcome, ending.field) == (Outcome.SET_ASIDE, "kind")


async def test_text_that_looks_like_sql_is_only_text(database_url: str) -> None:
    """Quotes, backslashes, per cent signs, NUL and characters beyond the BMP arrive as they were."""
    async with rig(database_url, "CREATE TABLE {p}notes (id INTEGER PRIMARY KEY, body TEXT, data JSON)") as mapper:
        mapper.map("notes", {"field_mappings": {"id": "id", "t": "body", "d": "data"}, "external_id_field": "k"})
        texts = ["'; DROP TABLE x; --", "a\\'b\\\\", "100% %s %(x)s", 'x"y`z', "nul\x00end", "😀 ñ", "{{7*7}}"]
        endings = await mapper.land(
            *(record(f"{n}", {"id": n, "t": one, "d": {"k": one}}) for n, one in enumerate(texts, 1))
        )
        assert {ending.outcome for ending in endings} == {Outcome.SYNCED}, endings
        rows = await mapper.rows("SELECT body, data FROM {p}notes ORDER BY id")
        assert [row["body"] for row in rows] == texts
        assert [json.loads(row["data"])["k"] for row in rows] == texts
        again = await mapper.land(
            *(record(f"{n}", {"id": n, "t": one, "d": {"k": one}}, revision=2) for n, one in enumerate(texts, 1))
        )
        assert {ending.action for ending in again} == {Action.UNCHANGED}
