"""What a batch does with each record, as a function of its link and the rows that are there."""

import json
from typing import Any

import pytest

from intertie_mapper.assembly import Assembly, Plans, Prepared
from intertie_mapper.batch import Group, decide, halves, size, waves
from intertie_mapper.columns import Column, Kind, TargetTable
from intertie_mapper.configuration import MappingEntry
from intertie_mapper.errors import Refusal
from intertie_mapper.keys import canonical, key_from_json, key_to_json, same
from intertie_mapper.model import Action, LeasedRecord, Link
from intertie_mapper.retries import is_exhausted, retry_seconds
from intertie_mapping.retrying import DELAYS

TABLE = TargetTable(
    "events",
    (
        Column("id", "int", Kind.INTEGER, nullable=False, has_default=True, auto_increment=True, low=0, high=2**32 - 1),
        Column("title", "varchar(20)", Kind.TEXT, nullable=False, max_characters=20),
        Column("status", "varchar(20)", Kind.TEXT, max_characters=20),
        Column("total", "int", Kind.INTEGER, computed=True),
    ),
    ("id",),
)
CONFIG: dict[str, Any] = {"field_mappings": {"t": "title"}, "defaults": {"status": "planned"}}


def group(*items: tuple[str, dict[str, Any]], revision: int = 1, version: str = "", **changes: Any) -> Group:
    """Records of one mapping, prepared."""
    mapping = MappingEntry(1, "m", 1, "s", "events", json.dumps({**CONFIG, **changes}).encode(), True)
    assembly = Assembly(Plans().of(mapping), TABLE)
    return Group(
        mapping,
        assembly,
        tuple(
            assembly.prepare(LeasedRecord(n, 1, 1, name, revision, json.dumps(data).encode(), version))
            for n, (name, data) in enumerate(items, 1)
        ),
    )


def link(of: Group, **changes: Any) -> Link:
    """The link of the group's first record, from an earlier revision."""
    values: dict[str, Any] = {
        "id": 5, "external_id": "a", "key": (7,), "version_key": "", "revision": 0, "record_id": 1,
        "mapping_fingerprint": of.mapping.fingerprint,
    }  # fmt: skip
    return Link(**{**values, **changes})


ROW = {"title": "old"}


def test_without_a_link_a_row_is_inserted_with_its_defaults() -> None:
    """All values, those of defaults too."""
    one = group(("a", {"t": "new"}))
    step = decide(one, one.items[0], None, None, [], None)
    assert (step.action, step.key, step.values) == (Action.INSERT, None, {"title": "new", "status": "planned"})


def test_with_a_link_the_mapped_columns_are_updated() -> None:
    """Columns that have only a default are left out."""
    one = group(("a", {"t": "new"}))
    step = decide(one, one.items[0], link(one), ROW, [], None)
    assert (step.action, step.key, step.values) == (Action.UPDATE, (7,), {"title": "new"})


def test_equal_values_are_unchanged() -> None:
    """Nothing is written over the row."""
    one = group(("a", {"t": "old"}))
    assert decide(one, one.items[0], link(one), ROW, [], None).action is Action.UNCHANGED


@pytest.mark.parametrize(
    ("of_link", "of_record", "action"),
    [
        ({"revision": 5}, {"revision": 4}, Action.SUPERSEDED),
        ({"revision": 5}, {"revision": 5}, Action.APPLIED),
        ({"revision": 5}, {"revision": 6}, Action.UPDATE),
        ({"revision": 5, "record_id": 99}, {"revision": 1}, Action.UPDATE),
        ({"revision": 5, "mapping_fingerprint": b"other"}, {"revision": 5}, Action.UPDATE),
        ({"revision": 1, "version_key": "n3"}, {"revision": 2, "version": "n2"}, Action.SUPERSEDED),
        ({"revision": 1, "version_key": "n3"}, {"revision": 2, "version": "n3"}, Action.UPDATE),
        ({"revision": 1, "version_key": "n3"}, {"revision": 2, "version": ""}, Action.UPDATE),
        ({"revision": 9, "version_key": "n1"}, {"revision": 2, "version": "n2"}, Action.UPDATE),
    ],
)
def test_which_state_is_newer(of_link: dict[str, Any], of_record: dict[str, Any], action: Action) -> None:
    """Versions decide where both have one, else revisions of the same cached record."""
    one = group(("a", {"t": "new"}), **of_record)
    assert decide(one, one.items[0], link(one, **of_link), ROW, [], None).action is action


def test_a_row_that_is_gone() -> None:
    """Set aside, or made again; a mapping that now goes to another table makes a new row there."""
    one = group(("a", {"t": "new"}))
    with pytest.raises(Refusal) as refusal:
        decide(one, one.items[0], link(one), None, [], None)
    assert refusal.value.reason == "target_deleted"
    again = group(("a", {"t": "new"}), on_deleted="recreate")
    assert decide(again, again.items[0], link(again), None, [], None).action is Action.INSERT
    moved = decide(one, one.items[0], link(one, key=None, moved=True, revision=9), None, [], None)
    assert moved.action is Action.INSERT


def test_matches() -> None:
    """One is updated, more are ambiguous, one that is another record's is refused."""
    one = group(("a", {"t": "new"}), match_fields=["title"])
    assert decide(one, one.items[0], None, None, [((3,), ROW)], None).key == (3,)
    assert decide(one, one.items[0], None, None, [((3,), ROW)], "a").key == (3,)
    with pytest.raises(Refusal) as ambiguous:
        decide(one, one.items[0], None, None, [((3,), ROW), ((4,), ROW)], None)
    assert (ambiguous.value.reason, ambiguous.value.field) == ("ambiguous_match", "title")
    with pytest.raises(Refusal) as linked:
        decide(one, one.items[0], None, None, [((3,), ROW)], "b")
    assert linked.value.reason == "target_linked"


def test_a_required_column_without_a_value() -> None:
    """Only a new row needs it; field and column are named."""
    one = group(("a", {"other": 1}))
    with pytest.raises(Refusal) as refusal:
        decide(one, one.items[0], None, None, [], None)
    assert (refusal.value.reason, refusal.value.field) == ("missing_required", "t")
    assert "column title" in refusal.value.message
    assert decide(one, one.items[0], link(one), ROW, [], None).action is Action.UNCHANGED


def test_a_misfit_names_field_value_and_column() -> None:
    """The value is shortened."""
    with pytest.raises(Refusal) as refusal:
        group(("a", {"t": "x" * 100}))
    assert (refusal.value.reason, refusal.value.field) == ("too_long", "t")
    assert "column title (varchar(20))" in refusal.value.message
    assert "x" * 41 not in refusal.value.message


@pytest.mark.parametrize("column", ["total", "nothing"])
def test_columns_that_cannot_be_written(column: str) -> None:
    """Computed or absent: the whole mapping is refused."""
    with pytest.raises(Refusal) as refusal:
        group(("a", {}), field_mappings={"t": column})
    assert (refusal.value.reason, refusal.value.field) == ("invalid_mapping", column)


def test_records_that_may_match_one_new_row_take_turns() -> None:
    """Equal but for case and trailing blanks is equal to a collation."""
    one = group(("a", {"t": "x"}), ("b", {"t": "X "}), ("c", {"t": "y"}), ("d", {"t": "x"}), match_fields=["title"])
    runs = [[item.record.external_id for part in run for item in part.items] for run in waves([one])]
    assert runs == [["a", "c"], ["b"], ["d"]]
    plain = group(("a", {"t": "x"}), ("b", {"t": "x"}))
    assert [size(run) for run in waves([plain, one])] == [4, 1, 1]


def test_a_batch_is_halved_down_to_each_record() -> None:
    """Mappings are parted first; nothing is lost or doubled."""
    groups = [group(*((f"{name}{n}", {"t": "x"}) for n in range(5))) for name in "abc"]

    def leaves(some: list[Group]) -> list[Prepared]:
        if size(some) == 1:
            return [some[0].items[0]]
        left, right = halves(some)
        return leaves(left) + leaves(right)

    assert [item.record.external_id for item in leaves(groups)] == [
        item.record.external_id for one in groups for item in one.items
    ]


def test_retries_grow_to_ten_hours() -> None:
    """The table of delays, a fifth either way, then exhausted."""
    assert [retry_seconds(attempt, DELAYS, lambda low, high: 1.0) for attempt in range(1, 10)] == [*DELAYS, DELAYS[-1]]
    assert {4 <= retry_seconds(1, DELAYS) <= 6 for _ in range(200)} == {True}
    assert not is_exhausted(8, DELAYS)
    assert is_exhausted(9, DELAYS)


def test_keys_survive_json() -> None:
    """Numbers beyond doubles, bytes and texts."""
    table = TargetTable(
        "t",
        (Column("n", "bigint", Kind.INTEGER), Column("b", "binary", Kind.BINARY), Column("s", "char", Kind.TEXT)),
        ("s", "n", "b"),
    )
    key = ("ñ", 2**63 + 1, b"\x00\xff")
    assert key_from_json(table, key_to_json(table, key)) == key
    assert key_from_json(TABLE, key_to_json(table, key)) is None


def test_sameness_is_never_assumed() -> None:
    """JSON is compared by its content with exact numbers, other values by type and value."""
    document = Column("j", "json", Kind.JSON)
    assert same(document, '{"b": 1, "a": [1.0]}', '{"a":[1.0],"b":1}')
    assert not same(document, '{"a": 1.0}', '{"a": 1}')
    assert not same(document, "1", "true")
    text = Column("t", "text", Kind.TEXT)
    assert not same(text, "a", "A")
    assert not same(text, "1", 1)
    assert not same(text, None, "")
    assert canonical(Column("b", "bit(8)", Kind.BIT), b"\x05") == 5
