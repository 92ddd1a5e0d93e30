"""What counts as a change that older code stumbles over."""

from dataclasses import replace

import pytest

from schema_growth import Column, Table, faults

PLAIN = Column("VARCHAR(10)", 10, frozenset(), is_nullable=True, has_default=False)
STATUS = Column("ENUM", 0, frozenset({"a", "b"}), is_nullable=False, has_default=True)
NUMBER = Column("INTEGER", 0, frozenset(), is_nullable=False, has_default=True)
TABLE = Table({"name": PLAIN, "status": STATUS, "number": NUMBER})


def _with(**columns: Column) -> dict[str, Table]:
    return {"things": Table({**TABLE.columns, **columns})}


@pytest.mark.parametrize(
    "after",
    [
        {"things": TABLE, "others": Table({"id": NUMBER})},
        _with(more=PLAIN),
        _with(more=NUMBER),
        _with(name=replace(PLAIN, kind="TEXT", length=65_535)),
        _with(status=replace(STATUS, words=frozenset({"a", "b", "c"}))),
        _with(number=replace(NUMBER, is_nullable=True)),
    ],
)
def test_what_adds_harms_nobody(after: dict[str, Table]) -> None:
    assert list(faults({"things": TABLE}, after)) == []


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        ({}, "things is gone"),
        ({"things": Table({"name": PLAIN, "status": STATUS})}, "things.number is gone"),
        (_with(more=replace(PLAIN, is_nullable=False)), "things.more is new"),
        (_with(name=replace(PLAIN, length=9)), "things.name holds less"),
        (_with(name=replace(PLAIN, is_nullable=False)), "things.name may not be NULL"),
        (_with(status=replace(STATUS, words=frozenset({"a"}))), "things.status holds less"),
        (_with(status=replace(STATUS, has_default=False)), "things.status has no default"),
        (_with(number=replace(NUMBER, kind="SMALLINT")), "things.number holds less"),
        ({"things": replace(TABLE, refusals=frozenset({"unique ['name']"}))}, "things refuses what it took"),
    ],
)
def test_what_takes_away_is_told(after: dict[str, Table], fault: str) -> None:
    [told] = faults({"things": TABLE}, after)
    assert told.startswith(fault)
