"""`python sqlite_writer.py <file> <count>`: a process that writes so many transactions, or holds one for ever.

Each adds one to a counter that it reads, and a row large enough for the WAL to be checkpointed often. With a count of 0
it says `holding` within its transaction, and stays there. It says how often a transaction had to be run again.
"""

import asyncio
import sys
from functools import partial

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database

TABLES = (
    "CREATE TABLE counter (value INTEGER NOT NULL)",
    "CREATE TABLE entries (writer TEXT, number INTEGER, body BLOB)",
)


async def write(path: str, count: int) -> None:
    """Writes, and prints `ran again: <times>`."""
    database, runs = await Database.open(f"sqlite:///{path}"), 0

    async def add(connection: AsyncConnection, number: int) -> None:
        nonlocal runs
        runs += 1
        value = await connection.scalar(text("SELECT value FROM counter"))
        row = {"writer": path, "number": number, "body": b"x" * 3000}
        await connection.execute(text("INSERT INTO entries VALUES (:writer, :number, :body)"), row)
        await connection.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})

    async def hold(connection: AsyncConnection) -> None:
        await add(connection, 0)
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    if not count:
        await database.transaction(hold, timeout=600)
    for number in range(count):
        await database.transaction(partial(add, number=number))
    await database.close()
    sys.stdout.write(f"ran again: {runs - count}\n")


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], int(sys.argv[2])))
