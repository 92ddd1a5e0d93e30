"""What the target database's error about one row means to the person who has to mend it.

The driver's text is read for the names of columns and keys and never repeated: it holds values, and changes with
versions.
"""

import re
from collections.abc import Iterable

from intertie_mapper.columns import TargetTable
from intertie_mapper.errors import Refusal, TargetReason
from intertie_mapping.errors import Reason

_MYSQL_KEY = re.compile(r"for key '(?:[^']*\.)?([^'.]+)'")
_MYSQL_COLUMN = re.compile(r"(?:[Cc]olumn|Field) [`'](?:[^`']+`\.`)*([^`'.]+)[`']")
_MYSQL_FOREIGN = re.compile(r"FOREIGN KEY \(([^)]*)\) REFERENCES `([^`]+)`")
_MYSQL_CHECK = re.compile(r"(?:CONSTRAINT|[Cc]heck constraint) [`']?(?:[^`'.]*`?\.)?`?([^`'\s]+)[`']")
_SQLITE_COLUMNS = re.compile(r"constraint failed: (.+)$")

_DUPLICATE = {1062, 1169, 1586, 1859, 1555, 2067, 2579}
_FOREIGN = {1216, 1217, 1451, 1452, 787, 1811}
_CHECK = {3819, 4025, 275}
_REQUIRED = {1048, 1364, 1299}
_TOO_LONG = {1406}
_RANGE = {1264, 1690}
_VALUE = {1265, 1292, 1366, 1367, 3140}
_TRIGGER = {1644}

SCHEMA_ERRORS = {1049, 1054, 1060, 1103, 1136, 1142, 1143, 1146, 1288, 1347, 1348, 1356, 1370, 1471}
"""MySQL's errors that concern the table or the account, not the row."""


def is_schema_error(number: int | None, text: str) -> bool:
    """Whether the table is not what it was when it was reflected, or may not be written."""
    return number in SCHEMA_ERRORS or (number == 1 and ("no such" in text or "has no column" in text))


def is_row_error(number: int | None) -> bool:
    """Whether it is a trigger's own refusal of the row, which the chassis does not count as a fault of the data."""
    return number in _TRIGGER


def refusal(table: TargetTable, number: int | None, text: str) -> Refusal:
    """Why the row was refused, with the columns as far as they can be told."""
    name = table.name
    if number in _DUPLICATE:
        columns = _duplicate_columns(table, text)
        shown = ", ".join(columns) or "a unique key"
        return Refusal(
            TargetReason.TARGET_CONFLICT,
            ", ".join(columns),
            f"another row of {name} has the same {shown}, and this record has no link to it; "
            "match_fields can tie records to rows that are there",
        )
    if number in _FOREIGN:
        return _foreign(table, text)
    if number in _CHECK:
        constraint = _first(_MYSQL_CHECK, text) or _first(_SQLITE_COLUMNS, text)
        known = constraint if constraint and re.fullmatch(r"\w{1,64}", constraint) else ""
        return Refusal(
            TargetReason.TARGET_REFUSED, "", f"a check{f' ({known})' if known else ''} of {name} does not hold"
        )
    column = _column(table, text)
    of = f"the column {column} of {name}" if column else f"a column of {name}"
    if number in _REQUIRED:
        return Refusal(TargetReason.MISSING_REQUIRED, column, f"{of} needs a value")
    if number in _TOO_LONG:
        return Refusal(Reason.TOO_LONG, column, f"the value is too long for {of}")
    if number in _RANGE:
        return Refusal(Reason.OUT_OF_RANGE, column, f"the value is out of the range of {of}")
    if number in _VALUE:
        return Refusal(TargetReason.TARGET_REFUSED, column, f"the value is not one that {of} takes")
    if number in _TRIGGER:
        return Refusal(TargetReason.TARGET_REFUSED, "", f"a trigger of {name} refused the row")
    return Refusal(TargetReason.TARGET_REFUSED, column, f"the database refused the row for {name}")


def _foreign(table: TargetTable, text: str) -> Refusal:
    match = _MYSQL_FOREIGN.search(text)
    if match:
        columns, refers_to = match[1].replace("`", "").replace(" ", "").split(","), match[2]
        if all(column in table.by_name for column in columns):
            shown = ", ".join(columns)
            return Refusal(
                TargetReason.TARGET_REFUSED,
                shown,
                f"{shown} of {table.name} refers to a row of {refers_to} that does not exist",
            )
    # SQLite does not say which; of one foreign key there is no doubt.
    if len(table.foreign_keys) == 1:
        (key,) = table.foreign_keys
        shown = ", ".join(key.columns)
        return Refusal(
            TargetReason.TARGET_REFUSED,
            shown,
            f"{shown} of {table.name} refers to a row of {key.refers_to} that does not exist",
        )
    every = ", ".join(column for key in table.foreign_keys for column in key.columns)
    return Refusal(
        TargetReason.TARGET_REFUSED, "", f"a reference of {table.name} to another table ({every}) does not hold"
    )


def _duplicate_columns(table: TargetTable, text: str) -> tuple[str, ...]:
    key = _first(_MYSQL_KEY, text)
    if key == "PRIMARY":
        return table.primary_key
    for unique in table.uniques:
        if key == unique.name:
            return unique.columns
    return tuple(_known(table, (part.rpartition(".")[2] for part in (_first(_SQLITE_COLUMNS, text) or "").split(", "))))


def _column(table: TargetTable, text: str) -> str:
    found = _first(_MYSQL_COLUMN, text) or (_first(_SQLITE_COLUMNS, text) or "").rpartition(".")[2]
    return next(iter(_known(table, [found])), "")


def _known(table: TargetTable, names: Iterable[str]) -> list[str]:
    return [name for name in names if name in table.by_name]


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
