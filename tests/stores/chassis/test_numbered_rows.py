"""Rows that the database numbers get numbers that follow each other, and come out as they went in."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, String, Table, insert, select
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.numbered_rows import NumberedRows

NAMES = ("plain", 'it\'s "%s" ? \\ \x00\n', "é\U0001f600", None)
AT = datetime(2025, 1, 20, 12, 30, 5, 123456)


async def test_numbers_follow_each_other_in_the_order_of_the_rows(database_url: str) -> None:
    """However many come at once: what is prepared, what goes as text, and both."""
    table = Table(
        "things",
        MetaData(),
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("place", Integer),
        Column("name", String(40)),
        Column("at", DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")),
        mysql_charset="utf8mb4",
    )
    rows = [{"place": n, "name": NAMES[n % 4], "at": AT if n % 3 else None} for n in range(300)]
    inserts = NumberedRows(insert(table), ["place", "name", "at"])
    database = await Database.open(database_url)

    async def work(connection: AsyncConnection) -> list[Any]:
        await connection.run_sync(table.metadata.create_all)
        start = 0
        for count in (0, 1, 2, 15, 16, 17, 79, 170):
            await inserts.execute(connection, rows[start : start + count])
            start += count
        return [tuple(row) for row in await connection.execute(select(table).order_by(table.c.id))]

    found = await database.transaction(work)
    await database.close()
    assert found == [(n + 1, n, row["name"], row["at"]) for n, row in enumerate(rows)]
