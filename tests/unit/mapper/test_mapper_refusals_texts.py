"""What MariaDB, MySQL 8 and SQLite say about a row that they refuse, and what a person is told of it."""

import pytest

from intertie_mapper.columns import Column, ForeignKey, Kind, TargetTable, UniqueKey
from intertie_mapper.refusals import is_schema_error, refusal
from intertie_mapper.target_tables import singulars

TABLE = TargetTable(
    "visits",
    tuple(Column(name, "int", Kind.INTEGER) for name in ("id", "code", "place_id", "n", "name")),
    ("id",),
    (UniqueKey("uq_code", ("code", "n")),),
    (ForeignKey("fk_place", ("place_id",), "places"),),
)
FOREIGN = (
    "Cannot add or update a child row: a foreign key constraint fails (`LGU`.`visits`, CONSTRAINT `fk_place` "
    "FOREIGN KEY (`place_id`) REFERENCES `places` (`id`))"
)


@pytest.mark.parametrize(
    ("number", "text", "reason", "field", "words"),
    [
        (1062, "Duplicate entry 'secret-5' for key 'uq_code'", "target_conflict", "code, n", "same code, n"),
        (1062, "Duplicate entry 'secret-5' for key 'visits.uq_code'", "target_conflict", "code, n", "same code, n"),
        (1062, "Duplicate entry '5' for key 'PRIMARY'", "target_conflict", "id", "same id"),
        (1062, "Duplicate entry '5' for key 'visits.PRIMARY'", "target_conflict", "id", "same id"),
        (2067, "UNIQUE constraint failed: visits.code, visits.n", "target_conflict", "code, n", "same code, n"),
        (1555, "UNIQUE constraint failed: visits.id", "target_conflict", "id", "same id"),
        (1452, FOREIGN, "target_refused", "place_id", "refers to a row of places"),
        (787, "FOREIGN KEY constraint failed", "target_refused", "place_id", "refers to a row of places"),
        (4025, "CONSTRAINT `visits.n` failed for `LGU`.`visits`", "target_refused", "", "a check"),
        (3819, "Check constraint 'positive' is violated.", "target_refused", "", "(positive)"),
        (275, "CHECK constraint failed: positive", "target_refused", "", "(positive)"),
        (1048, "Column 'name' cannot be null", "missing_required", "name", "column name"),
        (1364, "Field 'name' doesn't have a default value", "missing_required", "name", "column name"),
        (1299, "NOT NULL constraint failed: visits.name", "missing_required", "name", "column name"),
        (1406, "Data too long for column 'name' at row 1", "too_long", "name", "too long"),
        (1264, "Out of range value for column 'n' at row 3", "out_of_range", "n", "out of the range"),
        (
            1366,
            "Incorrect integer value: 'secret' for column `LGU`.`visits`.`n` at row 1",
            "target_refused",
            "n",
            "n of",
        ),
        (1265, "Data truncated for column 'n' at row 1", "target_refused", "n", "n of"),
        (1644, "secret text of a trigger", "target_refused", "", "a trigger"),
        (9999, "secret", "target_refused", "", "refused the row"),
    ],
)
def test_what_a_person_is_told(number: int, text: str, reason: str, field: str, words: str) -> None:
    """Reason, columns and what to do; never the driver's words or values."""
    told = refusal(TABLE, number, text)
    assert (told.reason, told.field) == (reason, field)
    assert words in told.message
    assert "secret" not in told.message


def test_errors_of_the_table_are_not_the_rows() -> None:
    """A column that went, a table that went, a right that went."""
    assert is_schema_error(1054, "Unknown column 'x' in 'INSERT INTO'")
    assert is_schema_error(1142, "INSERT command denied")
    assert is_schema_error(1, "no such table: visits")
    assert is_schema_error(1, "table visits has no column named kind")
    assert not is_schema_error(1, "near INSERT: syntax error")
    assert not is_schema_error(1062, "Duplicate entry")


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("events", "event"),
        ("categories", "category"),
        ("statuses", "status"),
        ("responses", "response"),
        ("staff", "staff"),
    ],
)
def test_singulars(plural: str, singular: str) -> None:
    """The name of a checkpoint table is among the candidates."""
    assert singular in singulars(plural)
