"""What pages of a table tell of their records is what reading the records would give, whatever the column's type."""

from typing import Any

import pytest

from external_databases import External
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.table_source import TableSource
from intertie_ingest.syncs.source import Page, Range
from intertie_mapping.documents import parse
from intertie_mapping.synchronisation import Synchronisation

TYPES: dict[str, dict[str, str]] = {
    "mariadb": {
        "DECIMAL(65,30)": "'12345678901234567890.123456789012345678901234567890'",
        "BIGINT UNSIGNED": "18446744073709551615",
        "TINYINT(1)": "1",
        "DOUBLE": "-1.7976931348623157e308",
        "FLOAT": "0.1",
        "DATE": "'2024-02-29'",
        "DATETIME": "'0000-00-00 00:00:00'",
        "DATETIME(6)": "'2024-02-29 23:59:59.000001'",
        "TIME(3)": "'-838:59:58.5'",
        "BIT(12)": "b'100000000001'",
        "VARBINARY(9)": "x'00ff'",
        "GEOMETRY": "ST_GeomFromText('POINT(1 2)')",
        "JSON": "'{\"a\": [1, 2]}'",
        "VARCHAR(90)": r"'it''s \"\\ud800\" { \\ [ \U0001f600'",
        "SET('a','b')": "'a,b'",
        "INT": "NULL",
    },
    "sqlite": {"INTEGER": "-9223372036854775808", "REAL": "9e999", "TEXT": "'é { \" \\ud800'", "BLOB": "x'c328'"},
    "postgresql": {"NUMERIC": "1e5000", "JSON": """'{"a": 1, "a": 2}'""", "TEXT[]": "'{a,b}'", "TEXT": "'a'"},
}


@pytest.mark.parametrize("extra", [False, True])
async def test_members_are_known_as_they_are_read(external: External, databases: Databases, extra: bool) -> None:
    """Where the database holds nothing but texts and numbers; elsewhere nothing is told, and records must be read.

    The rows are ordered by a column that is asked for besides them, too.
    """
    types = TYPES["mariadb" if external.connection.db_driver == "mysql" else external.connection.db_driver]
    names = [f"c{number}" for number in range(len(types))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, types, strict=True))
    key = "FLOAT" if extra and external.connection.db_driver == "mysql" else "INTEGER"
    external.execute(f"CREATE TABLE t (id {key} PRIMARY KEY, {columns});\n")
    nulls = ", ".join(["NULL"] * len(types))
    external.execute(f"INSERT INTO t VALUES (1, {', '.join(types.values())}), (2, {nulls});\n")
    source = TableSource(databases, external.reader, "t", Synchronisation(page_size=5), "id", ("id", *names, "gone"))
    (page,) = [page async for page in source.pages(Range(), None)]
    assert _known(page) == ({} if external.connection.db_driver == "postgresql" else _read(page, ["id", *names]))


def _known(page: Page) -> dict[str, str]:
    return {name: repr(list(values)) for name, values in page.known.items()}


def _read(page: Page, names: list[str]) -> dict[str, str]:
    records: list[Any] = [parse(record).records[0].value for record in page.records]
    return {name: repr([record[name] for record in records]) for name in names}
