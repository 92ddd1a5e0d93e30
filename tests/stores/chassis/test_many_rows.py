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
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.many_rows import ManyRows

MOMENTS = [datetime(2025, 1, 20, 12, 30, 5, 123456), datetime(2025, 1, 20), None]


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
