"""Rows that go to the driver as they are come out as SQLAlchemy's own would."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.many_rows import ManyRows

MOMENTS = [datetime(2025, 1, 20, 12, 30, 5, 123456), datetime(2025, 1, 20), None]
MANY_BYTES = 300_000


async def test_rows_are_written_as_sqlalchemy_writes_them(database_url: str) -> None:
    """Texts with signs that a driver might take for placeholders, bytes, and times of any fraction or none."""
    table = Table(
        "things",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", String(40)),
        Column("at", DateTime),
        Column("data", LargeBinary),
    )
    many, one_by_one = (
        [{"id": first + n, "name": f"%s ? {n}%", "at": at, "data": b"\x00\xff"} for n, at in enumerate(MOMENTS)]
        for first in (1, 11)
    )
    inserts = ManyRows(insert(table), list(many[0]))
    change = update(table).where(table.c.id == bindparam("row")).values(name=bindparam("name"), at=bindparam("at"))
    updates = ManyRows(change)
    database = await Database.open(database_url)

    async def work(connection: AsyncConnection) -> list[Any]:
        await connection.run_sync(table.metadata.create_all)
        await inserts.execute(connection, many)
        await inserts.execute(connection, [])
        await connection.execute(insert(table), one_by_one)
        await updates.execute(connection, [{"row": 3, "name": "later", "at": MOMENTS[1]}])
        await connection.execute(change, [{"row": 13, "name": "later", "at": MOMENTS[1]}])
        plain = select(table.c.name, table.c.data, table.c.at.cast(String(40))).order_by(table.c.id)
        return [tuple(row) for row in await connection.execute(plain)]

    rows = await database.transaction(work)
    await database.close()
    assert len(rows) == 2 * len(MOMENTS)
    assert rows[: len(MOMENTS)] == rows[len(MOMENTS) :]


async def test_rows_go_to_mariadb_in_few_packets_of_its_binary_protocol(mariadb_url: str) -> None:
    """Also a single row, and rows of which a column is NULL in all; what is long is cut into several statements."""
    table = Table(
        "things",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", String(40)),
        Column("at", DATETIME(fsp=6)),
        Column("data", LargeBinary(MANY_BYTES)),
    )
    inserts = ManyRows(insert(table), ["id", "name", "at", "data"])
    change = mysql.insert(table)
    changes = ManyRows(
        change.on_duplicate_key_update(name=change.inserted.name, at=change.inserted.at), ["id", "name", "at"]
    )
    database = await Database.open(mariadb_url)
    rows = [{"id": n, "name": f"'{n}\\", "at": MOMENTS[n % 3], "data": bytes([n]) * MANY_BYTES} for n in range(1, 11)]

    async def count(connection: AsyncConnection) -> dict[str, int]:
        found = await connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Com_stmt_%%'")
        return {str(name): int(value) for name, value in found.all()}

    async def work(connection: AsyncConnection) -> tuple[list[Any], int]:
        await connection.run_sync(table.metadata.create_all)
        before = await count(connection)
        await inserts.execute(connection, rows)
        await inserts.execute(connection, [{"id": 11, "name": None, "at": None, "data": None}])
        await changes.execute(connection, [{"id": n, "name": "later", "at": None} for n in (2, 11)])
        after = await count(connection)
        plain = select(table.c.id, table.c.name, table.c.at, table.c.data).order_by(table.c.id)
        return (
            [tuple(row) for row in await connection.execute(plain)],
            after["Com_stmt_execute"] - before["Com_stmt_execute"],
        )

    found, executions = await database.transaction(work)
    await database.close()
    expected = [(row["id"], row["name"], row["at"], row["data"]) for row in rows] + [(11, None, None, None)]
    for n in (2, 11):
        expected[n - 1] = (n, "later", None, expected[n - 1][3])
    assert found == expected
    # Three of 300 kB fit into one statement. A packet counts as one execution.
    assert executions == 4 + 1 + 1
