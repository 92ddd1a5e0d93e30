"""The spool's own small schema: what waits for the database, and the newest state of each record in it."""

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.errors import StartupError

VERSION = 1
"""Of the file, in its `user_version`; a change of the tables or of what `content` holds makes it another one."""

_METADATA = MetaData()

DELIVERIES = Table(
    "spool_deliveries",
    _METADATA,
    #: the order in which they go to the database
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("delivery_id", String, nullable=False, unique=True),
    #: those that were, or will be, committed in one transaction have the same
    Column("attempt", String),
    Column("system_id", Integer, nullable=False),
    Column("delivery_key", String),
    Column("replay_mark", LargeBinary),
    Column("digest", LargeBinary, nullable=False),
    #: what its sender was answered: the first one's id when it is a repetition
    Column("answered_id", String, nullable=False),
    Column("answered_external_ids", String, nullable=False),
    Column("is_array", Boolean, nullable=False),
    Column("is_unrouted", Boolean, nullable=False),
    #: bytes of content and body
    Column("size", Integer, nullable=False),
    #: why the database refuses it; it stays here then, and holds nobody up
    Column("refused", String),
    Column("content", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
Index("spool_keys", DELIVERIES.c.system_id, DELIVERIES.c.delivery_key)
Index("spool_marks", DELIVERIES.c.system_id, DELIVERIES.c.replay_mark)
Index("spool_attempts", DELIVERIES.c.attempt)

STATES = Table(
    "spool_states",
    _METADATA,
    #: JSON of system, mapping and external id
    Column("place", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("version_key", String),
    Column("delivery_id", String, nullable=False, index=True),
)


async def version_of(connection: AsyncConnection) -> int:
    """The version of a file; 0 of a new one. Raises StartupError for a newer one than ours."""
    version = int((await connection.exec_driver_sql("PRAGMA user_version")).scalar_one())
    if version > VERSION:
        raise StartupError(
            "the spool was written by a newer version of Intertie; drain it with that version before going back"
        )
    return version


async def prepare(connection: AsyncConnection) -> None:
    """Makes the tables in a new file. Raises StartupError for a file of a newer version."""
    # A file that is in order is not written, so that it can be opened on a disk that is full.
    if await version_of(connection) < VERSION:
        await write(connection)


async def write(connection: AsyncConnection) -> None:
    """Makes what is not there, and writes the version that stands there already."""
    await connection.run_sync(_METADATA.create_all)
    await connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
